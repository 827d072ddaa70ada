// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: a sample counts zeroes as what costs nothing to send, tells what
 * shrinks from what does not, and a copy is forecast at the level at which most
 * gets through, or at the one that the job names, whatever that costs.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/config.h"
#include "source/plan_sample.h"
#include "tap.h"

#define MIB (1u << 20)
#define BLOCK 4096
#define SLOW_LINK 1e5			/* bytes a second: compression always pays */
#define NO_LINK 1e18			/* nothing pays */

static struct bf_plan_sample sample;
static uint8_t block[BLOCK];

static void fill_words(void)
{
	static const char words[] = "what is written again and again shrinks, ";

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = words[i % (sizeof(words) - 1)];
}

static void fill_random(void)
{
	check_eq(getrandom(block, sizeof(block), 0), sizeof(block));
}

/* Of each four blocks of a file of @mib MiB so many are written. */
static int file_of(unsigned int mib, unsigned int of_four, void (*fill)(void))
{
	char path[] = "/tmp/blkferry-sample-XXXXXX";
	int fd = mkstemp(path);

	check(fd >= 0 && !unlink(path) && !ftruncate(fd, (off_t)mib * MIB));
	for (off_t at = 0; at < (off_t)mib * MIB; at += BLOCK) {
		if (at / BLOCK % 4 >= of_four)
			continue;
		fill();
		check_eq(pwrite(fd, block, BLOCK, at), BLOCK);
	}
	return fd;
}

static void take(int level, unsigned int mib, unsigned int of_four,
		 void (*fill)(void))
{
	struct bf_error err;
	int fd = file_of(mib, of_four, fill);

	check_eq(bf_plan_sample_new(&sample, level, &err), 0);
	check(bf_plan_sample_read(&sample, fd, (uint64_t)mib * MIB) > 0);
	close(fd);
}

static void zeroes(void)
{
	take(BF_LEVEL_AUTO, 8, 1, fill_random);
	check_eq(sample.all.bytes, 8 * MIB);
	check(bf_plan_sample_zero_share(&sample) == 0.75);
	bf_plan_sample_free(&sample);

	take(BF_LEVEL_AUTO, 2, 0, fill_random);
	check(bf_plan_sample_zero_share(&sample) == 1);
	/* Nothing was compressed: the link's own rate is all that is known. */
	check(bf_plan_sample_cost(&sample, 1e9, 1).ns_per_byte == 1);
	bf_plan_sample_free(&sample);
}

static void spread_over_the_disk(void)
{
	take(0, 200, 4, fill_words);
	check_eq(sample.looked_bytes, 64 * MIB);
	check_eq(sample.all.bytes, 200 * MIB);
	check_eq(sample.all.zero_bytes, 0);
	bf_plan_sample_free(&sample);
}

/* The large one is zeroes, the small one is not. */
static void each_by_its_size(void)
{
	int fd;

	take(0, 30, 4, fill_random);
	fd = file_of(270, 0, NULL);
	check(bf_plan_sample_read(&sample, fd, 270ULL * MIB) > 0);
	close(fd);
	check(bf_plan_sample_zero_share(&sample) == 0.9);
	bf_plan_sample_free(&sample);
}

/* A read past a file's permission fails, as one past a disk's health does. */
static void nothing_can_be_read(void)
{
	struct bf_error err;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	check_eq(bf_plan_sample_new(&sample, 0, &err), 0);
	check(bf_plan_sample_read(&sample, fd, 4 * MIB) < 0);
	check_eq(sample.nr_read, 0);
	check_eq(sample.nr_unreadable, 4);
	close(fd);
	bf_plan_sample_free(&sample);
}

static void what_shrinks(void)
{
	struct bf_sample_cost cost;

	take(BF_LEVEL_AUTO, 4, 4, fill_words);
	cost = bf_plan_sample_cost(&sample, SLOW_LINK, 1);
	check(cost.ratio > 3 && !cost.by_processors);
	check(cost.ns_per_byte < 1e9 / SLOW_LINK / 3);
	bf_plan_sample_free(&sample);
}

static void what_does_not(void)
{
	take(BF_LEVEL_AUTO, 4, 4, fill_random);
	check(bf_plan_sample_cost(&sample, SLOW_LINK, 1).ratio == 1);
	bf_plan_sample_free(&sample);
}

static void a_link_that_needs_none(void)
{
	take(BF_LEVEL_AUTO, 4, 4, fill_words);
	check(bf_plan_sample_cost(&sample, NO_LINK, 1).ratio == 1);
	bf_plan_sample_free(&sample);

	/* Who names a level gets it. */
	take(3, 4, 4, fill_words);
	check(bf_plan_sample_cost(&sample, NO_LINK, 1).ratio > 3);
	check(bf_plan_sample_cost(&sample, NO_LINK, 1).by_processors);
	bf_plan_sample_free(&sample);

	take(0, 4, 4, fill_words);
	check(bf_plan_sample_cost(&sample, SLOW_LINK, 1).ratio == 1);
	bf_plan_sample_free(&sample);
}

static void more_processors(void)
{
	double one, four;

	take(9, 4, 4, fill_words);
	one = bf_plan_sample_cost(&sample, NO_LINK, 1).ns_per_byte;
	four = bf_plan_sample_cost(&sample, NO_LINK, 4).ns_per_byte;
	check(one == 4 * four);
	bf_plan_sample_free(&sample);
}

int main(void)
{
	tap_run("zeroes cost nothing", zeroes);
	tap_run("a large disk is looked at all over, and no more than that",
		spread_over_the_disk);
	tap_run("each disk counts by its size", each_by_its_size);
	tap_run("what cannot be read is counted", nothing_can_be_read);
	tap_run("what shrinks", what_shrinks);
	tap_run("what does not shrink travels as it is", what_does_not);
	tap_run("compression where the link needs none", a_link_that_needs_none);
	tap_run("processors share the work", more_processors);
	return tap_done();
}
