/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: kmod/dirtymap.c kmod/reserve.c kmod/walk.c -Itests/unit/shim -Ikmod */
/*
 * Dirty map, the shipped source, against a model of one byte a block. Policy:
 * no mark is ever lost, whatever runs dry; with leaves at hand nothing is dirty
 * that was not marked; counts are exact; what a generation did not commit comes
 * back, and nothing below its watermark does; memory all comes back.
 */
#include "dirtymap_world.h"
#include "walk.h"

/* --- marks ------------------------------------------------------------------ */

static void one_block(void)
{
	world_open(GIB_BLOCKS, 8);
	check_eq(mark(5, 5), 1);
	check_eq(mark(5, 5), 0);
	check_eq(mark(5, 6), 1);
	check_exact(world.active, world.model);
	world_close();
}

static void every_edge_of_words(void)
{
	for (u64 first = 0; first < 130; first++) {
		u64 end = first;

		world_open(400, 1);
		for (u64 last = first; last < 330; last += 1 + last % 7) {
			check_eq(mark(first, last), last + 1 - end);
			end = last + 1;
		}
		check_exact(world.active, world.model);
		world_close();
	}
}

static void every_edge_of_regions(void)
{
	static const u64 at[] = { 0, 1, 63, 64, 1023, 1024, 32767, 32768, 32769,
				  65535, 65536, 98303 };

	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		for (size_t j = i; j < ARRAY_SIZE(at); j++) {
			world_open(98304, 3);
			check_eq(mark(at[i], at[j]), at[j] - at[i] + 1);
			check_exact(world.active, world.model);
			world_close();
		}
}

static void random_marks(void)
{
	for (int round = 0; round < 20; round++) {
		world_open(GIB_BLOCKS - 4321, 8);
		world.seed += round * 77777;
		for (int i = 0; i < 300; i++)
			mark_randomly();
		check_exact(world.active, world.model);
		check_eq(counted(world.active, BF_COUNT_COARSE), 0);
		world_close();
	}
}

static void the_last_block(void)
{
	static const u64 sizes[] = { 1, 2, 63, 64, 65, 1024, 1025, 32768, 32769,
				     33000, 65535, 99999 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		world_open(sizes[i], 4);
		check_eq(mark(sizes[i] - 1, sizes[i] - 1), 1);
		check_exact(world.active, world.model);
		check_eq(mark(0, sizes[i] - 1), sizes[i] - 1);
		check_exact(world.active, world.model);
		world_close();
	}
}

static void whole_regions_take_no_leaf(void)
{
	world_open(3 * 32768 + 5000, 8);
	check_eq(mark(0, world.nr_blocks - 1), world.nr_blocks);
	check_eq(atomic_read(&world.active->nr_leaves), 0);
	check_exact(world.active, world.model);
	check_eq(counted(world.active, BF_COUNT_COARSE), 0);
	check_eq(mark(7, 7), 0);
	check_eq(atomic_read(&world.active->nr_leaves), 0);
	world_close();
}

static void exact_again_after_whole_subregions(void)
{
	world_open(2 * 32768, 8);
	mark(SUBREGION, 3 * SUBREGION - 1);
	check_eq(atomic_read(&world.active->nr_leaves), 0);
	check_eq(mark(10 * SUBREGION + 5, 10 * SUBREGION + 5), 1);
	check_eq(atomic_read(&world.active->nr_leaves), 1);
	check_eq(mark(2 * SUBREGION, 4 * SUBREGION - 1), SUBREGION);
	check_exact(world.active, world.model);
	world_close();
}

static void dry_reserve(void)
{
	for (unsigned int leaves = 0; leaves < 8; leaves++) {
		world_open(GIB_BLOCKS - 777, leaves);
		world.seed += leaves * 1234567;
		for (int i = 0; i < 200; i++)
			mark_randomly();
		check_covers(world.active, world.model);
		check(counted(world.active, BF_COUNT_COARSE) > 0);
		check_eq(atomic_read(&world.active->nr_leaves), leaves);
		check(world.fills_wanted > 0 || !leaves);
		world_close();
	}
}

/* A region marked coarsely gets a leaf later: what was set stays set. */
static void leaf_after_coarse(void)
{
	world_open(32768, 0);
	mark(100, 100);
	check_eq(counted(world.active, BF_COUNT_COARSE), 1);
	bf_reserve_set_target(&world.reserve, 1);
	check(bf_reserve_fill(&world.reserve, GFP_KERNEL));
	check_eq(mark(20000, 20000), 1);
	check_covers(world.active, world.model);
	check_eq(bf_map_dirty_blocks(world.active), SUBREGION + 1);
	world_close();
}

/* --- the reserve ------------------------------------------------------------ */

static void reserve_asks_in_time(void)
{
	struct bf_leaf *leaves[8];

	world_open(1000, 8);
	for (int i = 0; i < 8; i++) {
		leaves[i] = bf_reserve_take(&world.reserve);
		check(leaves[i] != NULL);
		check_eq(world.fills_wanted > 0, i >= 4);
	}
	check(!bf_reserve_take(&world.reserve));
	for (int i = 0; i < 8; i++)
		bf_reserve_give(&world.reserve, leaves[i]);
	world_close();
}

static void reserve_respects_the_limit(void)
{
	world_open(1000, 2);
	world.pool.max_bytes = 3 * BLKFERRY_LEAF_BYTES;
	bf_reserve_set_target(&world.reserve, 8);
	check(!bf_reserve_fill(&world.reserve, GFP_KERNEL));
	check_eq(world.reserve.nr_free, 3);
	bf_reserve_give(&world.reserve, bf_reserve_take(&world.reserve));
	check_eq(world.fills_wanted, 0);	/* not for a second */
	jiffies += HZ;
	bf_reserve_give(&world.reserve, bf_reserve_take(&world.reserve));
	check_eq(world.fills_wanted, 1);
	world_close();
}

static void recycled_leaves_are_clean(void)
{
	world_open(64 * 32768, 64);
	for (int round = 0; round < 3; round++) {
		struct bf_dirtymap *old;

		for (u64 i = 0; i < 64; i++)
			mark(i * 32768 + below(30000), i * 32768 + 30000);
		check_exact(world.active, world.model);
		old = swap_maps();
		bf_map_clear(old);
		world.spare = old;
		memset(world.model, 0, world.nr_blocks);
		check_exact(old, world.model);
		check_eq(world.reserve.nr_free, 64);
	}
	world_close();
}

static void surplus_goes_back(void)
{
	world_open(64 * 32768, 64);
	for (u64 i = 0; i < 64; i++)
		mark(i * 32768, i * 32768);
	bf_reserve_set_target(&world.reserve, 10);
	bf_map_clear(world.active);
	check_eq(world.reserve.nr_free, 10);
	check_eq(atomic_long_read(&world.pool.nr_bytes), 10 * BLKFERRY_LEAF_BYTES);
	world_close();
}

/* --- watermark and return --------------------------------------------------- */

static void forget_counts(void)
{
	for (unsigned int leaves = 0; leaves < 12; leaves += 11) {
		struct bf_dirtymap *old;
		unsigned char *bytes;
		u64 low = 0;

		world_open(GIB_BLOCKS - 4097, leaves);
		for (int i = 0; i < 60; i++)
			mark_randomly();
		old = swap_maps();
		bytes = dump(old, 0);
		while (low < world.nr_blocks) {
			u64 end = min(low + 1 + below(40000), world.nr_blocks);
			u64 wanted = model_count(bytes, low) - model_count(bytes, end);

			check_eq(bf_map_forget(old, low, end), wanted);
			low = end;
		}
		free(bytes);
		check_eq(atomic_read(&old->nr_leaves), 0);
		world.spare = old;
		world_close();
	}
}

static void merge_one(unsigned int leaves, u64 seed)
{
	struct bf_dirtymap *old;
	unsigned char *bytes;
	u64 low, before;

	world_open(GIB_BLOCKS - below(70000), leaves);
	world.seed += seed * 1000003;
	for (u64 i = below(80); i > 0; i--)
		mark_randomly();
	old = swap_maps();
	bytes = dump(old, 0);
	memset(world.model, 0, world.nr_blocks);
	low = below(3) ? below(world.nr_blocks + 1) : 0;
	if (below(2))
		low -= low % SUBREGION;
	bf_map_forget(old, 0, low / 2);
	bf_map_forget(old, low / 2, low);
	for (u64 i = below(80); i > 0; i--)
		mark_randomly();
	before = bf_map_new_blocks(world.active);
	bf_map_merge(world.active, old, low);
	check_eq(bf_map_new_blocks(world.active), before);
	for (u64 i = low; i < world.nr_blocks; i++)
		world.model[i] |= bytes[i];
	free(bytes);
	if (leaves >= 16)
		check_exact(world.active, world.model);
	else
		check_covers(world.active, world.model);
	check_eq(bf_map_dirty_blocks(old), 0);
	check(!bf_map_next_run(old, 0, &(struct bf_run){ 0 }));
	world.spare = old;
	world_close();
}

static void merge_exactly(void)
{
	for (u64 seed = 0; seed < 60; seed++)
		merge_one(20, seed);
}

static void merge_without_memory(void)
{
	for (u64 seed = 0; seed < 60; seed++)
		merge_one(seed % 6, seed);
}

/* Where the watermark cuts a subregion only the rest of it returns. */
static void merge_cuts_a_subregion(void)
{
	struct bf_dirtymap *old;

	world_open(GIB_BLOCKS, 8);
	mark(0, world.nr_blocks - 1);
	old = swap_maps();
	check_eq(bf_map_forget(old, 0, 1500), 1500);
	bf_map_merge(world.active, old, 1500);
	memset(world.model, 0, 1500);
	check_exact(world.active, world.model);
	check_eq(counted(world.active, BF_COUNT_MERGED), world.nr_blocks - 1500);
	world.spare = old;
	world_close();
}

/* --- alarm ------------------------------------------------------------------ */

static void alarm_once(void)
{
	world_open(GIB_BLOCKS, 8);
	bf_map_set_alarm(world.active, 10);
	mark(0, 8);
	check_eq(world.alarms, 0);
	mark(100, 100);
	check_eq(world.alarms, 1);
	mark(200, 300);
	check_eq(world.alarms, 1);
	bf_map_set_alarm(world.active, 5);
	check_eq(world.alarms, 1);
	bf_map_clear(world.active);
	memset(world.model, 0, world.nr_blocks);
	mark(0, 100);
	check_eq(world.alarms, 2);
	world_close();
}

static void alarm_at_once(void)
{
	world_open(GIB_BLOCKS, 8);
	mark(0, 99);
	bf_map_set_alarm(world.active, 100);
	check_eq(world.alarms, 1);
	world_close();
}

/* The sum may lag by an eighth, not more. */
static void alarm_in_time(void)
{
	u64 marked = 0;

	world_open(GIB_BLOCKS, 8);
	bf_map_set_alarm(world.active, 20000);
	while (!world.alarms)
		mark(marked * 3, marked * 3), marked++;
	check(marked >= 20000 && marked <= 20000 + 20000 / 8);
	world_close();
}

/* --- walk ------------------------------------------------------------------- */

/* Joins all windows into bytes; returns how many there were. */
static unsigned int walk_all(const struct bf_dirtymap *map, u64 nr_sectors,
			     unsigned char *bytes, unsigned int *bitmaps)
{
	const struct bf_walk walk = { map, 3, nr_sectors };
	struct bf_walk_window window;
	unsigned int windows = 0;
	u64 from = 0, last_end = 0;

	do {
		bf_walk(&walk, from, &window);
		check(window.next_block > from);
		for (unsigned int i = 0; i < window.nr_extents; i++) {
			struct blkferry_extent e = window.extents[i];

			check_eq(e.sector % 8, 0);
			check(e.sector >= last_end && e.nr_sectors > 0);
			last_end = e.sector + e.nr_sectors;
			check(last_end % 8 == 0 || last_end == nr_sectors);
			memset(bytes + e.sector / 8, 1, (e.nr_sectors + 7) / 8);
		}
		if (window.bitmap) {
			check_eq(window.nr_extents, 0);
			check_eq(window.bitmap_block % BLKFERRY_LEAF_BLOCKS, 0);
			for (u64 i = 0; i < BLKFERRY_LEAF_BLOCKS; i++)
				if (window.bitmap->words[i / 64] >> (i % 64) & 1)
					bytes[window.bitmap_block + i] = 1;
			++*bitmaps;
		}
		from = window.next_block;
		windows++;
	} while (from < map->nr_blocks);
	return windows;
}

#define ANY_BITMAPS	(~0u)

static void check_walk(u64 nr_sectors, unsigned int max_windows,
		       unsigned int wanted_bitmaps)
{
	unsigned char *bytes = calloc(world.nr_blocks, 1);
	unsigned int bitmaps = 0;
	unsigned int windows = walk_all(world.active, nr_sectors, bytes, &bitmaps);

	check(!memcmp(bytes, world.model, world.nr_blocks));
	check(windows <= max_windows);
	if (wanted_bitmaps != ANY_BITMAPS)
		check_eq(bitmaps, wanted_bitmaps);
	free(bytes);
}

static void walk_empty(void)
{
	world_open(GIB_BLOCKS, 8);
	check_walk(GIB_BLOCKS * 8, 1, 0);
	world_close();
}

static void walk_all_dirty(void)
{
	world_open(GIB_BLOCKS, 8);
	mark(0, GIB_BLOCKS - 1);
	check_walk(GIB_BLOCKS * 8 - 5, 1, 0);
	world_close();
}

static void walk_dense_leaf(void)
{
	world_open(4 * 32768, 8);
	for (u64 i = 32768; i < 65536; i += 2)
		mark(i, i);
	mark(3, 32768);			/* reaches into the dense leaf */
	mark(70000, 70010);
	check_walk(4 * 32768 * 8, 3, 1);
	world_close();
}

static void walk_many_extents(void)
{
	world_open(64 * 32768, 64);
	for (u64 i = 0; i < world.nr_blocks; i += 200)
		mark(i, i + 3);
	check_walk(world.nr_blocks * 8, 64 * 164 / 512 + 2, 0);
	world_close();
}

static void walk_randomly(void)
{
	for (u64 seed = 0; seed < 20; seed++) {
		world_open(GIB_BLOCKS - 99, 8);
		world.seed += seed * 31;
		for (int i = 0; i < 20000; i++) {
			u64 block = below(60000);

			mark(block, block);
		}
		for (int i = 0; i < 20; i++)
			mark_randomly();
		check_walk(world.nr_blocks * 8 - 3, 100, ANY_BITMAPS);
		world_close();
	}
}

static void walk_from_anywhere(void)
{
	struct bf_walk_window window;
	struct bf_walk walk;

	world_open(4 * 32768, 8);
	walk = (struct bf_walk){ world.active, 3, world.nr_blocks * 8 };
	for (u64 i = 0; i < 32768; i += 2)
		mark(i, i);
	mark(40000, 40100);
	for (u64 from = 1; from < 33000; from += 997) {
		bf_walk(&walk, from, &window);
		check(!window.bitmap);
		check(window.nr_extents > 0);
		check_eq(window.extents[0].sector / 8,
			 from < 32768 ? (from + 1) / 2 * 2 : 40000);
	}
	bf_walk(&walk, 40050, &window);
	check_eq(window.nr_extents, 1);
	check_eq(window.extents[0].sector, 40050 * 8);
	check_eq(window.extents[0].nr_sectors, 51 * 8);
	check_eq(window.next_block, world.nr_blocks);
	bf_walk(&walk, world.nr_blocks, &window);
	check_eq(window.nr_extents, 0);
	check_eq(window.next_block, world.nr_blocks);
	world_close();
}

static void walk_block_checks(void)
{
	struct bf_walk walk;
	u64 block;

	world_open(1000, 1);
	walk = (struct bf_walk){ world.active, 3, 7995 };
	check_eq(bf_walk_block(&walk, 0, &block), 0);
	check_eq(bf_walk_block(&walk, 7992, &block), 0);
	check_eq(block, 999);
	check_eq(bf_walk_block(&walk, 7995, &block), 0);
	check_eq(block, 1000);
	check(bf_walk_block(&walk, 7, &block) < 0);
	check(bf_walk_block(&walk, 8000, &block) < 0);
	check(bf_walk_block(&walk, ~(u64)7, &block) < 0);
	world_close();
}

/* --- size ------------------------------------------------------------------- */

/* 64 TiB at 64 KiB: 2^30 blocks in 32768 regions. */
static void sixty_four_tib(void)
{
	u64 blocks[500];
	struct bf_run run;
	u64 from = 0;

	world_open(1ull << 30, 600);
	for (u64 i = 0; i < ARRAY_SIZE(blocks); i++) {
		blocks[i] = i * ((1ull << 30) / ARRAY_SIZE(blocks)) + below(1000);
		check_eq(bf_map_mark(world.active, blocks[i], blocks[i]), 1);
	}
	for (u64 i = 0; i < ARRAY_SIZE(blocks); i++) {
		check(bf_map_next_run(world.active, from, &run));
		check_eq(run.block, blocks[i]);
		check_eq(run.nr_blocks, 1);
		from = run.block + 1;
	}
	check(!bf_map_next_run(world.active, from, &run));
	check_eq(bf_map_mark(world.active, (1ull << 30) - 1, (1ull << 30) - 1), 1);
	check(bf_map_memory_bytes(world.active) < 300000);
	world_close();
}

static void all_dirty_sixty_four_tib(void)
{
	struct bf_run run;

	world_open(1ull << 30, 4);
	check_eq(bf_map_mark(world.active, 0, (1ull << 30) - 1), 1ull << 30);
	check(bf_map_next_run(world.active, 0, &run));
	check_eq(run.nr_blocks, 1ull << 30);
	check_eq(atomic_read(&world.active->nr_leaves), 0);
	world_close();
}

/* One TiB, every other block: 32 MiB of leaves and little else. */
static void a_dirty_tib(void)
{
	world_open(1ull << 28, 8192);
	for (u64 i = 0; i < 8192; i++)
		bf_map_mark(world.active, i << 15, i << 15);
	check_eq(atomic_read(&world.active->nr_leaves), 8192);
	check(bf_map_memory_bytes(world.active) + (32u << 20) < 34078720);
	world_close();
}

int main(void)
{
	tap_run("one block", one_block);
	tap_run("every edge of words", every_edge_of_words);
	tap_run("every edge of regions", every_edge_of_regions);
	tap_run("random marks", random_marks);
	tap_run("the last block of odd sizes", the_last_block);
	tap_run("whole regions take no leaf", whole_regions_take_no_leaf);
	tap_run("exact again after whole subregions", exact_again_after_whole_subregions);
	tap_run("a dry reserve loses nothing", dry_reserve);
	tap_run("a leaf after coarse marks", leaf_after_coarse);
	tap_run("the reserve asks in time", reserve_asks_in_time);
	tap_run("the reserve respects the limit", reserve_respects_the_limit);
	tap_run("recycled leaves are clean", recycled_leaves_are_clean);
	tap_run("surplus leaves go back", surplus_goes_back);
	tap_run("the watermark counts", forget_counts);
	tap_run("merge back, exactly", merge_exactly);
	tap_run("merge back without memory", merge_without_memory);
	tap_run("merge back from within a subregion", merge_cuts_a_subregion);
	tap_run("the alarm comes once", alarm_once);
	tap_run("the alarm comes at once", alarm_at_once);
	tap_run("the alarm comes in time", alarm_in_time);
	tap_run("walk of nothing", walk_empty);
	tap_run("walk of everything", walk_all_dirty);
	tap_run("walk of a dense leaf", walk_dense_leaf);
	tap_run("walk of many extents", walk_many_extents);
	tap_run("walk of all kinds", walk_randomly);
	tap_run("walk from anywhere", walk_from_anywhere);
	tap_run("sectors that are no blocks", walk_block_checks);
	tap_run("64 TiB", sixty_four_tib);
	tap_run("64 TiB, all dirty", all_dirty_sixty_four_tib);
	tap_run("memory of a dirty TiB", a_dirty_tib);
	return tap_done();
}
