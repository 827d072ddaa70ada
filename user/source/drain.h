/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drain: the dirty extents of one generation of one disk, joined across the
 * windows in which their origin tells them and without the ranges that are
 * skipped, flow out in ascending order.
 */
#ifndef BF_SOURCE_DRAIN_H
#define BF_SOURCE_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "source/extents.h"
#include "source/ranges.h"

/* As many as one answer of the module can hold. */
#define BF_WALK_WINDOW_MAX (BLKFERRY_LEAF_BLOCKS / 2)

struct bf_walker {
	struct bf_extents *extents;
	uint64_t nr_blocks;		/* what begin said */
	struct bf_extent *window;	/* BF_WALK_WINDOW_MAX, lent */
	size_t nr, next;		/* extents in it, the next one */
	uint64_t from_bytes;		/* where the next window starts */
	uint64_t walked_to_bytes;	/* end of the last extent told */
	bool end;			/* the trailer has been seen */
	struct bf_extent head;		/* joined, not yet taken; length 0: none */
	uint64_t blocks;		/* of all extents joined or skipped so far */
	uint64_t bytes;			/* joined */
	const struct bf_ranges *skip;	/* lent; NULL: nothing is skipped */
	uint64_t skipped_bytes;
	uint64_t committed_blocks;	/* set by whoever commits */
};

/* @skip: on blocks of the granularity, or NULL. */
void bf_walker_start(struct bf_walker *walker, struct bf_extents *extents,
		     uint64_t nr_blocks, const struct bf_ranges *skip,
		     struct bf_extent *window);
/*
 * The extent to go on with, joined until it is @want_bytes long or its
 * neighbour is not dirty. @out stays the walker's head until it is taken.
 * Return: 1, 0 at the end (all counts agree), or a negative errno.
 */
int bf_walker_peek(struct bf_walker *walker, uint64_t want_bytes,
		   struct bf_extent *out, struct bf_error *err);
/* The first @bytes of the head are on their way. */
void bf_walker_take(struct bf_walker *walker, uint64_t bytes);
/*
 * All dirty blocks below the result have been taken; on a block, or the end of
 * the device. *blocks: how many they are.
 */
uint64_t bf_walker_through(const struct bf_walker *walker, uint64_t *blocks);

#endif /* BF_SOURCE_DRAIN_H */
