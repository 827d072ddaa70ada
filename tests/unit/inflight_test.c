/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: kmod/inflight.c -Itests/unit/shim -Ikmod */
/*
 * In-flight table, the shipped source. Policy: what was added and has not ended
 * is told by every walk; what has ended is told by none; a table that is full
 * says so and loses nothing that it holds; children go with the bio that they
 * are chained to, however long the chain.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "inflight.h"
#include "tap.h"

#define ROOM 8192u

static struct bf_inflight *table;
static char bios[2 * ROOM];		/* only their addresses matter */

static struct bf_range range(u64 sector, u64 nr_sectors)
{
	return (struct bf_range){ .sector = sector, .nr_sectors = nr_sectors };
}

/* As the probes do: what is no easy case is none at all. */
static bool add_any(const void *bio, u64 sector, u64 nr_sectors,
		    struct bf_range *old)
{
	struct bf_range new = range(sector, nr_sectors);

	*old = range(0, 0);
	return bf_inflight_add_fast(table, bio, sector, nr_sectors) ||
	       bf_inflight_add(table, bio, &new, old);
}

static bool remove_any(const void *bio)
{
	return bf_inflight_remove_fast(table, bio) ||
	       bf_inflight_remove(table, bio);
}

static bool add(unsigned int bio, u64 sector, u64 nr_sectors)
{
	struct bf_range old;
	bool added = add_any(&bios[bio], sector, nr_sectors, &old);

	check_eq(old.nr_sectors, 0);
	return added;
}

static bool add_child(unsigned int parent, u64 sector, u64 nr_sectors)
{
	struct bf_range new = range(sector, nr_sectors);

	return bf_inflight_add_child(table, &bios[parent], &new);
}

static bool covers(unsigned int bio, u64 sector, u64 nr_sectors)
{
	struct bf_range what = range(sector, nr_sectors);

	return bf_inflight_covers(table, &bios[bio], &what);
}

/* Sectors told by a walk, and how many ranges. */
static u64 walk(unsigned int *nr_ranges)
{
	struct bf_range ranges[16];
	unsigned int cursor = 0, nr;
	u64 sectors = 0;

	*nr_ranges = 0;
	while ((nr = bf_inflight_next(table, &cursor, ranges, 16))) {
		*nr_ranges += nr;
		while (nr--)
			sectors += ranges[nr].nr_sectors;
	}
	return sectors;
}

static void expect(unsigned int wanted_ranges, u64 wanted_sectors)
{
	unsigned int nr;

	check_eq(walk(&nr), wanted_sectors);
	check_eq(nr, wanted_ranges);
	check_eq(bf_inflight_nr(table), wanted_ranges);
}

static void fresh(void)
{
	bf_inflight_free(table);
	table = bf_inflight_new();
	check(table);
}

static void comes_and_goes(void)
{
	fresh();
	expect(0, 0);
	check(add(1, 100, 8));
	expect(1, 8);
	check(!remove_any(&bios[2]));
	expect(1, 8);
	check(remove_any(&bios[1]));
	check(!remove_any(&bios[1]));
	expect(0, 0);
}

static void comes_again(void)
{
	struct bf_range old;

	fresh();
	check(add_any(bios, 100, 8, &old));
	check(add_any(bios, 500, 16, &old));	/* out of its slot */
	check_eq(old.sector, 100);
	check_eq(old.nr_sectors, 8);
	expect(1, 16);
	check(add_any(bios, 700, 32, &old));
	check_eq(old.sector, 500);
	check_eq(old.nr_sectors, 16);
	expect(1, 32);
	check(remove_any(bios));
	expect(0, 0);
	check(add_any(bios, 900, 4, &old));
	check_eq(old.nr_sectors, 0);
	expect(1, 4);
}

/* One that ends is in its slot and has children elsewhere. */
static void comes_before_children(void)
{
	fresh();
	check(add(9, 100, 8));
	check(add_child(9, 108, 8));
	expect(2, 16);
	check(covers(9, 100, 8));
	check(remove_any(&bios[9]));
	expect(0, 0);
	check(!remove_any(&bios[9]));
}

/* Every place is filled and freed; the table is full only when it says so. */
static void full(void)
{
	unsigned int added = 0;

	fresh();
	for (unsigned int i = 0; i < 2 * ROOM; i++)
		added += add(i, i, 1);
	check(added > ROOM / 2 && added <= ROOM);
	expect(added, added);
	for (unsigned int i = 0; i < 2 * ROOM; i++)
		added -= remove_any(&bios[i]);
	check_eq(added, 0);
	expect(0, 0);
	check(add(1, 1, 1));
}

static void pieces(void)
{
	fresh();
	check(add(1, 100, 50));
	check(covers(1, 100, 50));
	check(covers(1, 149, 1));
	check(covers(1, 150, 0));
	check(!covers(1, 149, 2));
	check(!covers(1, 99, 1));
	check(!covers(1, U64_MAX, 2));
	check(!covers(2, 100, 1));
}

static void children(void)
{
	struct bf_range child;

	fresh();
	check(add_child(9, 100, 8));
	check(add_child(9, 108, 8));
	expect(1, 16);				/* they follow on one another */
	check(add_child(9, 500, 8));
	expect(2, 24);
	check(add(9, 116, 8));
	expect(3, 32);
	check(!bf_inflight_has_child(table, &bios[8]));
	check(bf_inflight_has_child(table, &bios[9]));
	check(!covers(9, 100, 8));		/* a child is not the bio */
	check(bf_inflight_take_child(table, &bios[9], &child));
	check(bf_inflight_take_child(table, &bios[9], &child));
	check(!bf_inflight_take_child(table, &bios[9], &child));
	expect(1, 8);
	check(add_child(9, 500, 8));
	check(remove_any(&bios[9]));
	expect(0, 0);
}

/* Children alone go with their parent, of which nothing else is known. */
static void orphans(void)
{
	fresh();
	check(add_child(9, 100, 8));
	check(!remove_any(&bios[9]));
	expect(0, 0);
}

static atomic_bool walked;

static void *come_and_go(void *arg)
{
	unsigned int first = *(unsigned int *)arg;
	struct bf_range old;

	for (unsigned int i = 0; !atomic_load(&walked); i++) {
		/* by turns many, and one that changes under the eyes of a walk */
		const void *bio = &bios[first + (i % 20000 < 1000 ? i % 100 : 0)];

		if (add_any(bio, i, i % 1000, &old) && !remove_any(bio))
			abort();
	}
	return NULL;
}

/* No range is half of one bio and half of the next. */
static u64 staying(void)
{
	struct bf_range ranges[16];
	unsigned int cursor = 0, nr;
	u64 staying = 0;

	while ((nr = bf_inflight_next(table, &cursor, ranges, 16)))
		while (nr--) {
			if (ranges[nr].nr_sectors == 1000000)
				staying++;
			else if (ranges[nr].sector % 1000 != ranges[nr].nr_sectors)
				tap_fail(__FILE__, __LINE__, "a torn range");
		}
	return staying;
}

/* What stays is told by each walk while others come and go. */
static void threads(void)
{
	unsigned int first[3] = { 1000, 2000, 3000 };
	pthread_t thread[3];

	fresh();
	for (unsigned int i = 0; i < 500; i++)
		check(add(i, i, 1000000));
	for (int i = 0; i < 3; i++)
		check(!pthread_create(&thread[i], NULL, come_and_go, &first[i]));
	for (int i = 0; i < 2000; i++)
		check_eq(staying(), 500);
	atomic_store(&walked, true);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	expect(500, 500000000);
}

int main(void)
{
	tap_run("a bio comes and goes", comes_and_goes);
	tap_run("a bio comes again without having ended", comes_again);
	tap_run("children of a bio in its slot", comes_before_children);
	tap_run("a full table says so and loses nothing", full);
	tap_run("a piece lies within its bio", pieces);
	tap_run("children", children);
	tap_run("children of an unknown bio", orphans);
	tap_run("threads", threads);
	bf_inflight_free(table);
	return tap_done();
}
