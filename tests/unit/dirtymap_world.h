/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tracker's memory for unit tests: two maps and a reserve, as the module has
 * them, beside a model of one byte a block. Marks flow in through mark(), what
 * a map says is compared with the model. A program that includes this is one
 * file, with the shipped sources linked to it.
 */
#ifndef TESTS_DIRTYMAP_WORLD_H
#define TESTS_DIRTYMAP_WORLD_H

#include <stdlib.h>

#include <linux/jiffies.h>
#include <linux/kernel.h>

#include "dirtymap.h"
#include "tap.h"

__thread unsigned int shim_cpu;
unsigned long jiffies = 1000;

#define GIB_BLOCKS	(1u << 18)	/* at 4 KiB */
#define SUBREGION	BF_SUBREGION_BLOCKS

/* --- a tracker's memory, and a model of it ------------------------------------ */

static struct kmem_cache cache = { .object_bytes = sizeof(struct bf_leaf) };

struct world {
	struct bf_leaf_pool pool;
	struct bf_reserve reserve;
	struct bf_dirtymap maps[2];
	struct bf_dirtymap *active, *spare;
	u64 nr_blocks;
	unsigned char *model;		/* of the active map */
	u64 alarms;
	u64 fills_wanted;
	u64 seed;
};

static struct world world;

static inline void count_alarm(struct bf_dirtymap *map)
{
	world.alarms++;
}

static inline void count_low(struct bf_reserve *reserve)
{
	__atomic_fetch_add(&world.fills_wanted, 1, __ATOMIC_RELAXED);
}

static inline void world_open(u64 nr_blocks, unsigned int leaves)
{
	memset(&world, 0, sizeof(world));
	world.pool.cache = &cache;
	world.pool.max_bytes = 1ul << 30;
	world.nr_blocks = nr_blocks;
	world.seed = 0x9e3779b97f4a7c15;
	bf_reserve_init(&world.reserve, &world.pool, count_low);
	for (int i = 0; i < 2; i++) {
		check_eq(bf_map_init(&world.maps[i], nr_blocks, &world.reserve), 0);
		world.maps[i].alarm = count_alarm;
	}
	world.active = &world.maps[0];
	world.spare = &world.maps[1];
	bf_reserve_set_target(&world.reserve, leaves);
	check(bf_reserve_fill(&world.reserve, GFP_KERNEL));
	if (nr_blocks <= 1u << 24)
		world.model = calloc(nr_blocks, 1);
}

static inline void world_close(void)
{
	for (int i = 0; i < 2; i++)
		bf_map_destroy(&world.maps[i]);
	bf_reserve_destroy(&world.reserve);
	free(world.model);
	check_eq(atomic_long_read(&world.pool.nr_bytes), 0);
}

static inline u64 random_u64(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline u64 below(u64 limit)
{
	return random_u64(&world.seed) % limit;
}

static inline u64 mark(u64 first, u64 last)
{
	shim_cpu = below(SHIM_CPUS);
	memset(world.model + first, 1, last - first + 1);
	return bf_map_mark(world.active, first, last);
}

/* Sizes of all kinds: a block, some words, parts of leaves, several leaves. */
static inline void mark_randomly(void)
{
	static const u64 sizes[] = { 1, 2, 16, 64, 65, 300, 1024, 5000, 32768, 100000 };
	u64 first = below(world.nr_blocks);
	u64 nr = 1 + below(sizes[below(ARRAY_SIZE(sizes))]);

	if (below(4) == 0)
		first -= first % SUBREGION;	/* discards like round starts */
	mark(first, min(first + nr, world.nr_blocks) - 1);
}

/* --- what a map says -------------------------------------------------------- */

static inline u64 model_count(const unsigned char *model, u64 from)
{
	u64 count = 0;

	for (u64 i = from; i < world.nr_blocks; i++)
		count += model[i];
	return count;
}

/* Write out a map as bytes, through bf_map_next_run. */
static inline unsigned char *dump(const struct bf_dirtymap *map, u64 from)
{
	unsigned char *bytes = calloc(world.nr_blocks, 1);
	struct bf_run run;

	while (bf_map_next_run(map, from, &run)) {
		memset(bytes + run.block, 1, run.nr_blocks);
		from = run.block + run.nr_blocks;
	}
	return bytes;
}

static inline void check_exact(const struct bf_dirtymap *map, const unsigned char *model)
{
	unsigned char *bytes = dump(map, 0);

	for (u64 i = 0; i < world.nr_blocks; i++)
		if (bytes[i] != model[i])
			tap_fail(__FILE__, __LINE__, "block %llu is %d, marked %d",
				 i, bytes[i], model[i]);
	free(bytes);
	check_eq(bf_map_dirty_blocks(map), model_count(model, 0));
}

static inline bool subregion_is_marked(const unsigned char *model, u64 block)
{
	u64 first = block - block % SUBREGION;

	return memchr(model + first, 1, min((u64)SUBREGION, world.nr_blocks - first));
}

/* Nothing lost; what is too much lies in a subregion that was marked. */
static inline void check_covers(const struct bf_dirtymap *map, const unsigned char *model)
{
	unsigned char *bytes = dump(map, 0);
	u64 dirty = 0;

	for (u64 i = 0; i < world.nr_blocks; i++) {
		dirty += bytes[i];
		if (model[i] && !bytes[i])
			tap_fail(__FILE__, __LINE__, "block %llu is lost", i);
		if (bytes[i] && !model[i] && !subregion_is_marked(model, i))
			tap_fail(__FILE__, __LINE__, "block %llu is dirty for nothing", i);
	}
	free(bytes);
	check_eq(bf_map_dirty_blocks(map), dirty);
}

static inline u64 counted(const struct bf_dirtymap *map, enum bf_count count)
{
	u64 sums[BF_COUNT_NR] = { 0 };

	bf_map_add_counts(map, sums);
	return sums[count];
}

/* Out of service goes the active map. */
static inline struct bf_dirtymap *swap_maps(void)
{
	struct bf_dirtymap *old = world.active;

	world.active = world.spare;
	world.spare = NULL;
	return old;
}

#endif /* TESTS_DIRTYMAP_WORLD_H */
