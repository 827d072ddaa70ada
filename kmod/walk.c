// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walk: see walk.h. Builds in the kernel and, against tests/unit/shim, in
 * userspace.
 */
#include <linux/errno.h>
#include <linux/kernel.h>

#include "walk.h"

/* How many runs of ones a leaf holds: count the ones whose left is a zero. */
static unsigned int leaf_runs(const struct bf_leaf *leaf)
{
	unsigned long carry = 0;
	unsigned int runs = 0;
	unsigned int i;

	for (i = 0; i < BF_LEAF_WORDS; i++) {
		unsigned long word = READ_ONCE(leaf->words[i]);

		runs += hweight_long(word & ~(word << 1 | carry));
		carry = word >> (BITS_PER_LONG - 1);
	}
	return runs;
}

static u64 region_start(u64 block)
{
	return block & ~(u64)(BLKFERRY_LEAF_BLOCKS - 1);
}

/* The leaf of the region that starts at @block, if its bitmap is shorter. */
static const struct bf_leaf *dense_leaf(const struct bf_dirtymap *map, u64 block)
{
	const struct bf_leaf *leaf;

	if (block >= map->nr_blocks)
		return NULL;
	leaf = bf_entry_leaf(READ_ONCE(map->slots[block >> BF_LEAF_SHIFT]));
	return leaf && leaf_runs(leaf) > BF_WALK_BITMAP_RUNS ? leaf : NULL;
}

static void answer_bitmap(struct bf_walk_window *window,
			  const struct bf_dirtymap *map, u64 region)
{
	window->bitmap = bf_entry_leaf(READ_ONCE(map->slots[region >> BF_LEAF_SHIFT]));
	window->bitmap_block = region;
	window->next_block = min_t(u64, region + BLKFERRY_LEAF_BLOCKS,
				   map->nr_blocks);
}

static void add_extent(const struct bf_walk *walk,
		       struct bf_walk_window *window, u64 block, u64 end)
{
	struct blkferry_extent *extent = &window->extents[window->nr_extents++];

	extent->sector = block << walk->block_shift;
	extent->nr_sectors = min(end << walk->block_shift, walk->nr_sectors) -
			     extent->sector;
}

/**
 * bf_walk_block() - the block that starts at a sector
 * @walk: the map and its geometry
 * @sector: a multiple of the granularity, or the device's end
 * @block: the block, the map's size at the end
 *
 * Context: Any.
 * Return: 0 or -EINVAL.
 */
int bf_walk_block(const struct bf_walk *walk, u64 sector, u64 *block)
{
	if (sector == walk->nr_sectors) {
		*block = walk->map->nr_blocks;
		return 0;
	}
	if (sector > walk->nr_sectors ||
	    sector & ((1ULL << walk->block_shift) - 1))
		return -EINVAL;
	*block = sector >> walk->block_shift;
	return 0;
}

/**
 * bf_walk() - answer a window
 * @walk: what to walk
 * @from: first block that may be in the answer
 * @window: the answer
 *
 * A dense leaf is answered by its bitmap if the window starts at or before the
 * leaf's first block; extents that come before it end the window there, and a
 * run that reaches into it is cut there. Only the last region that a run
 * touches can be dense.
 *
 * Context: Process; the map is out of service, or active (a hint then).
 */
void bf_walk(const struct bf_walk *walk, u64 from,
	     struct bf_walk_window *window)
{
	const struct bf_dirtymap *map = walk->map;
	struct bf_run run;

	window->bitmap = NULL;
	window->nr_extents = 0;
	while (bf_map_next_run(map, from, &run)) {
		u64 region = region_start(run.block);
		u64 end = run.block + run.nr_blocks;

		if (from <= region && dense_leaf(map, region)) {
			if (!window->nr_extents)
				answer_bitmap(window, map, region);
			else
				window->next_block = region;
			return;
		}
		if (window->nr_extents == BLKFERRY_WALK_EXTENTS_MAX) {
			window->next_block = run.block;
			return;
		}
		if (region_start(end) > region && dense_leaf(map, region_start(end)))
			end = region_start(end);
		add_extent(walk, window, run.block, end);
		from = end;
	}
	window->next_block = map->nr_blocks;
}
