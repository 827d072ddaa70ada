/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walk: a bounded window of a dirty map, as extents or as the bitmap of one
 * leaf, whichever is shorter. Answers WALK and PEEK of the contract.
 */
#ifndef BF_WALK_H
#define BF_WALK_H

#include "dirtymap.h"

/* A leaf with more runs than this is shorter as a bitmap. */
#define BF_WALK_BITMAP_RUNS	(BLKFERRY_LEAF_BYTES / sizeof(struct blkferry_extent))

struct bf_walk {
	const struct bf_dirtymap *map;
	unsigned int block_shift;	/* log2 of sectors in a block */
	u64 nr_sectors;			/* of the device */
};

struct bf_walk_window {
	const struct bf_leaf *bitmap;	/* answer this leaf, or the extents */
	u64 bitmap_block;
	unsigned int nr_extents;
	struct blkferry_extent extents[BLKFERRY_WALK_EXTENTS_MAX];
	u64 next_block;			/* map->nr_blocks: the end is reached */
};

int bf_walk_block(const struct bf_walk *walk, u64 sector, u64 *block);
void bf_walk(const struct bf_walk *walk, u64 from,
	     struct bf_walk_window *window);

#endif /* BF_WALK_H */
