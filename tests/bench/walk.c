/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * "walk time DISK": dirties 20 blocks in each of 500 leaves, then times begin,
 * and walk and commit together; prints the median nanoseconds of several rounds
 * of both, and how many extents were walked. "walk fill DISK": gives every entry
 * of the map its leaf, which is all that a fully dirty map takes; "walk scatter
 * DISK" dirties 1 % of all blocks at random. Both print the tracker's memory
 * without what it holds in reserve.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/netlink.h"

#define NR_LEAVES 500
#define BLOCKS_A_LEAF 20
#define NR_ROUNDS 5
#define BATCH_EXTENTS 64	/* a leaf each at most, and the reserve holds them */

static struct bf_netlink *nl;
static struct bf_tracker tracker;
static struct bf_error err;
static int disk;

static void need(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "%s: %s\n", what, err.text);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void wait_for_reserve(void)
{
	struct timespec pause = { .tv_nsec = 10000000 };

	need(bf_tracker_get(nl, tracker.id, &tracker, &err), "get");
	while (tracker.stats[BLKFERRY_STAT_RESERVE_LEAVES] < BATCH_EXTENTS) {
		nanosleep(&pause, NULL);
		need(bf_tracker_get(nl, tracker.id, &tracker, &err), "get");
	}
}

/* Marks @blocks blocks, far apart, in each of @leaves leaves of the disk. */
static void dirty(uint64_t leaves, uint64_t leaf_step, unsigned int blocks)
{
	uint64_t unit = tracker.granularity_bytes / 512;
	uint64_t spread = BLKFERRY_LEAF_BLOCKS / blocks;

	for (uint64_t leaf = 0; leaf < leaves; leaf++) {
		struct blkferry_extent extents[BLOCKS_A_LEAF];
		uint64_t first = leaf * leaf_step * BLKFERRY_LEAF_BLOCKS;

		for (unsigned int i = 0; i < blocks; i++)
			extents[i] = (struct blkferry_extent){
				.sector = (first + i * spread) * unit,
				.nr_sectors = unit,
			};
		if (leaf % BATCH_EXTENTS == 0)
			wait_for_reserve();
		need(bf_tracker_mark(nl, tracker.id, extents, blocks, &err), "mark");
	}
}

/* One block in a hundred, some of them drawn twice. */
static void scatter(void)
{
	uint64_t unit = tracker.granularity_bytes / 512, seed = 1;
	uint64_t blocks = tracker.nr_sectors / unit;

	for (uint64_t done = 0; done < blocks / 100; done += BATCH_EXTENTS) {
		struct blkferry_extent extents[BATCH_EXTENTS];

		for (unsigned int i = 0; i < BATCH_EXTENTS; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			extents[i] = (struct blkferry_extent){
				.sector = (seed >> 16) % blocks * unit,
				.nr_sectors = unit,
			};
		}
		wait_for_reserve();
		need(bf_tracker_mark(nl, tracker.id, extents, BATCH_EXTENTS, &err),
		     "mark");
	}
}

struct round {
	uint64_t begin_ns, walk_ns;	/* the latter with the commit */
};

static struct round one_round(void)
{
	static struct bf_walk_window window;
	struct bf_drain drain = { .fd = -1, .tracker_id = tracker.id };
	uint64_t leaf_sectors = (uint64_t)tracker.granularity_bytes / 512 *
				BLKFERRY_LEAF_BLOCKS;
	uint64_t from = 0, start, total = 0;
	struct round round;

	dirty(NR_LEAVES, tracker.nr_sectors / leaf_sectors / NR_LEAVES, BLOCKS_A_LEAF);
	start = now_ns();
	need(bf_drain_begin(nl, &drain, &disk, 1, &err), "begin");
	round.begin_ns = now_ns() - start;
	start = now_ns();
	do {
		need(bf_drain_walk(nl, &drain, from, &window, &err), "walk");
		from = window.next_sector;
		total += window.nr_extents;
	} while (!window.end);
	need(bf_drain_finish(nl, &drain, tracker.nr_sectors, drain.nr_blocks, NULL,
			     &err), "commit");
	round.walk_ns = now_ns() - start;
	bf_drain_close(&drain);
	if (total != NR_LEAVES * BLOCKS_A_LEAF) {
		fprintf(stderr, "walked %" PRIu64 " extents\n", total);
		exit(1);
	}
	return round;
}

static int smaller(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void time_rounds(void)
{
	uint64_t begins[NR_ROUNDS], walks[NR_ROUNDS];

	for (int i = 0; i < NR_ROUNDS; i++) {
		struct round round = one_round();

		begins[i] = round.begin_ns;
		walks[i] = round.walk_ns;
	}
	qsort(begins, NR_ROUNDS, sizeof(begins[0]), smaller);
	qsort(walks, NR_ROUNDS, sizeof(walks[0]), smaller);
	printf("%" PRIu64 " %" PRIu64 " %d\n", begins[NR_ROUNDS / 2],
	       walks[NR_ROUNDS / 2], NR_LEAVES * BLOCKS_A_LEAF);
}

/* A dry reserve would make the map smaller than it has to be. */
static void print_memory(void)
{
	need(bf_tracker_get(nl, tracker.id, &tracker, &err), "get");
	if (tracker.stats[BLKFERRY_STAT_COARSE_MARKS]) {
		fprintf(stderr, "%" PRIu64 " marks found no leaf\n",
			tracker.stats[BLKFERRY_STAT_COARSE_MARKS]);
		exit(1);
	}
	printf("%" PRIu64 "\n", tracker.stats[BLKFERRY_STAT_MEMORY_BYTES] -
	       tracker.stats[BLKFERRY_STAT_RESERVE_LEAVES] * BLKFERRY_LEAF_BYTES);
}

int main(int argc, char **argv)
{
	disk = argc == 3 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	if (disk < 0) {
		fprintf(stderr, "usage: walk time|fill|scatter DISK\n");
		return 2;
	}
	need(bf_netlink_open(&nl, &err), "netlink");
	need(bf_tracker_create(nl, disk, "walk", 0, false, &tracker, &err), "track");
	if (!strcmp(argv[1], "time")) {
		time_rounds();
	} else if (!strcmp(argv[1], "scatter")) {
		scatter();
		print_memory();
	} else {
		dirty(tracker.nr_sectors * 512 / tracker.granularity_bytes /
		      BLKFERRY_LEAF_BLOCKS, 1, 1);
		print_memory();
	}
	need(bf_tracker_delete(nl, tracker.id, &err), "untrack");
	return 0;
}
