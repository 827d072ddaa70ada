/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dirty map: which blocks of a tracker changed. Marks flow in from completions
 * in any context; sorted runs flow out in process context once the map has
 * been taken out of service. RULE 2: a mark is never lost, whatever runs dry:
 * lack of memory costs precision only.
 *
 * A map is a directory of slots, each for BLKFERRY_LEAF_BLOCKS blocks. A slot
 * is one of
 *	0		clean
 *	tagged word	bit 0 set; bits 32..63 stand for 1/32 of the region each
 *			("subregion", 1024 blocks), set = all of it dirty
 *	leaf		address of a struct bf_leaf, one bit a block
 *
 *	set when	a completion or MARK touches the block (bf_map_mark), or
 *			a generation that held it merges back (bf_map_merge)
 *	cleared when	never while the map is active; after the swap by the
 *			commit watermark passing it (bf_map_forget)
 *
 * Transitions of a slot while the map is active, all by cmpxchg:
 *	0 -> tagged, 0 -> leaf, tagged -> tagged | more, tagged -> leaf
 * A leaf stays where it is until the map is out of service, so whoever sees
 * it inside the RCU section in which it found the map may use it.
 *
 * Who may call what
 *	any context, in an RCU read section		bf_map_mark,
 *							bf_map_is_marked
 *	process context, on the active map		bf_map_merge (into it)
 *	process context, out of service			the rest
 * Out of service means: no longer published and one grace period later.
 */
#ifndef BF_DIRTYMAP_H
#define BF_DIRTYMAP_H

#include <linux/types.h>
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/percpu.h>

#include <linux/blkferry.h>

#include "reserve.h"

#define BF_LEAF_SHIFT		15
#define BF_SUBREGIONS		32
#define BF_SUBREGION_SHIFT	(BF_LEAF_SHIFT - 5)
#define BF_SUBREGION_BLOCKS	(1u << BF_SUBREGION_SHIFT)

/* What is counted for a map, each exact once the map is out of service. */
enum bf_count {
	BF_COUNT_WRITES,
	BF_COUNT_SECTORS,
	BF_COUNT_DISCARDS,
	BF_COUNT_ZEROES,
	BF_COUNT_ZONE_OPS,
	BF_COUNT_FAILED,
	BF_COUNT_HARMLESS,
	BF_COUNT_RANGED,
	BF_COUNT_OPAQUE,
	BF_COUNT_COARSE,	/* marks without a leaf */
	BF_COUNT_LATE,		/* marked at their end only */
	BF_COUNT_MERGED,	/* blocks that were dirty in an earlier map */
	BF_COUNT_NR
};

struct bf_counts {
	unsigned long value[BF_COUNT_NR];
	long fresh_blocks;	/* became dirty, not yet in dirty_blocks */
};

struct bf_dirtymap {
	/* Read by every mark. */
	unsigned long *slots;
	struct bf_counts __percpu *counts;
	struct bf_reserve *reserve;	/* leaves come from and return to it */
	u64 nr_blocks;
	u32 nr_slots;

	/* Touched only when a block becomes dirty. */
	u32 batch_blocks;		/* fresh_blocks overflow at this */
	unsigned long *touched;		/* a bit for each slot that is not 0 */
	u64 alarm_blocks;		/* dirty_blocks that raise alarm; 0: none */
	void (*alarm)(struct bf_dirtymap *map);	/* any context, once */
	unsigned long alarmed;		/* bit 0: alarm was raised */
	atomic64_t dirty_blocks;
	atomic_t nr_leaves;
};

struct bf_run {
	u64 block;
	u64 nr_blocks;
};

u64 bf_map_mark(struct bf_dirtymap *map, u64 first, u64 last);
int bf_map_init(struct bf_dirtymap *map, u64 nr_blocks,
		struct bf_reserve *reserve);
void bf_map_destroy(struct bf_dirtymap *map);
void bf_map_clear(struct bf_dirtymap *map);
void bf_map_set_alarm(struct bf_dirtymap *map, u64 blocks);
void bf_map_merge(struct bf_dirtymap *to, struct bf_dirtymap *from,
		  u64 low_block);
u64 bf_map_forget(struct bf_dirtymap *map, u64 first, u64 end);
bool bf_map_next_run(const struct bf_dirtymap *map, u64 from,
		     struct bf_run *run);
u64 bf_map_dirty_blocks(const struct bf_dirtymap *map);
u64 bf_map_new_blocks(const struct bf_dirtymap *map);
void bf_map_add_counts(const struct bf_dirtymap *map, u64 sums[BF_COUNT_NR]);
size_t bf_map_memory_bytes(const struct bf_dirtymap *map);

static inline bool bf_entry_is_tagged(unsigned long entry)
{
	return entry & 1;
}

static inline struct bf_leaf *bf_entry_leaf(unsigned long entry)
{
	return entry && !bf_entry_is_tagged(entry) ?
		(struct bf_leaf *)entry : NULL;
}

/* Bits first..last of a word, both within it. */
static inline unsigned long bf_word_mask(unsigned int first, unsigned int last)
{
	return (~0UL << first) & (~0UL >> (BITS_PER_LONG - 1 - last));
}

static inline void bf_map_count(struct bf_dirtymap *map, enum bf_count count,
				unsigned long nr)
{
	this_cpu_add(map->counts->value[count], nr);
}

/**
 * bf_map_is_marked() - whether blocks are known to be dirty already
 * @map: the active map
 * @first: first block
 * @last: last block, below map->nr_blocks
 *
 * Nearly every write goes to a block that is dirty already; this tells so
 * without a call or a locked operation.
 *
 * Context: Any, hard interrupt included; in the RCU read section in which @map
 * was looked up, or with the map kept active by other means.
 * Return: true if a mark would change nothing; false if it may.
 */
static __always_inline bool bf_map_is_marked(const struct bf_dirtymap *map,
					     u64 first, u64 last)
{
	unsigned long entry = READ_ONCE(map->slots[first >> BF_LEAF_SHIFT]);
	const struct bf_leaf *leaf = bf_entry_leaf(entry);
	unsigned long word;

	if (unlikely(!leaf))
		return false;
	word = READ_ONCE(leaf->words[first / BITS_PER_LONG % BF_LEAF_WORDS]);
	if (likely(first == last))
		return word >> first % BITS_PER_LONG & 1;
	return (first ^ last) < BITS_PER_LONG &&
	       !(bf_word_mask(first % BITS_PER_LONG,
			      last % BITS_PER_LONG) & ~word);
}

#endif /* BF_DIRTYMAP_H */
