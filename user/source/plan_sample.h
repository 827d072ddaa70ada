/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plan, sample: a little of each disk flows in; how fast it reads, how much of
 * it is zeroes, and what compression makes of the rest, in what time, flows out.
 */
#ifndef BF_SOURCE_PLAN_SAMPLE_H
#define BF_SOURCE_PLAN_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

#define BF_SAMPLE_LEVELS 3

struct bf_codec;

/* At one level of compression. */
struct bf_sample_level {
	int level;			/* 0: not used */
	double raw_bytes, packed_bytes, time_ns;
};

/* What a sample says of all that it stands for: a disk's part counts by the
 * disk's size. */
struct bf_sample_sums {
	double bytes, zero_bytes;	/* all; zeroes of them */
	struct bf_sample_level levels[BF_SAMPLE_LEVELS];
};

struct bf_plan_sample {
	struct bf_sample_sums all;
	uint64_t looked_bytes;
	uint64_t spent_ns[BF_SAMPLE_LEVELS];	/* compressing, over all disks */
	/* Places of the last disk: where it was read, and where that failed. */
	unsigned int nr_read, nr_unreadable;
	struct bf_codec *codec;
	uint8_t *block, *room;
};

/* What sending takes, and what bounds it. */
struct bf_sample_cost {
	double ns_per_byte;		/* of blocks that are no zeroes */
	double ratio;			/* raw to wire, 1: as they are */
	bool by_processors;		/* not by the link */
};

/* @level: as configured; 0 and a local target need no compression. */
int bf_plan_sample_new(struct bf_plan_sample *sample, int level,
		       struct bf_error *err);
void bf_plan_sample_free(struct bf_plan_sample *sample);
/*
 * Adds a disk, or a file, of @size_bytes. Sets nr_read and nr_unreadable.
 * Return: bytes read a second, or below 0 where nothing can be read.
 */
double bf_plan_sample_read(struct bf_plan_sample *sample, int fd,
			   uint64_t size_bytes);
/* 0..1; 0 of an empty sample. */
double bf_plan_sample_zero_share(const struct bf_plan_sample *sample);
/*
 * At the level at which most gets through, as "auto" looks for it, or at the one
 * that is configured; over a link of @link_rate bytes a second, by @cores.
 */
struct bf_sample_cost bf_plan_sample_cost(const struct bf_plan_sample *sample,
					  double link_rate, unsigned int cores);

#endif /* BF_SOURCE_PLAN_SAMPLE_H */
