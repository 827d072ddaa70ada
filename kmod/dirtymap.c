// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty map: see dirtymap.h, which says what flows in and out and which rule
 * is kept. Builds in the kernel and, against tests/unit/shim, in userspace.
 */
#include <linux/bitmap.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "dirtymap.h"
#include "fault.h"
#include "mistakes.h"

/* Tagged word: bit 0, and a bit for each subregion from here up. */
#define TAG		1UL
#define TAG_SHIFT	32

/* fresh_blocks of one CPU go to dirty_blocks when they reach this. */
#define BATCH_BLOCKS	64

static_assert(BITS_PER_LONG == 64, "blkferry needs a 64-bit kernel: a slot holds 32 bits beside its tag");
static_assert(BLKFERRY_LEAF_BLOCKS == 1u << BF_LEAF_SHIFT, "one leaf, one slot");

static u32 slot_blocks(const struct bf_dirtymap *map, u32 index)
{
	u64 left = map->nr_blocks - ((u64)index << BF_LEAF_SHIFT);

	return left < BLKFERRY_LEAF_BLOCKS ? (u32)left : BLKFERRY_LEAF_BLOCKS;
}

/* The tagged word for blocks first..last of a region. */
static unsigned long tag_word(u32 first, u32 last)
{
	return TAG | bf_word_mask(TAG_SHIFT + (first >> BF_SUBREGION_SHIFT),
				  TAG_SHIFT + (last >> BF_SUBREGION_SHIFT));
}

static bool tag_test(unsigned long entry, u32 subregion)
{
	return entry >> (TAG_SHIFT + subregion) & 1;
}

/* How many blocks a tagged word stands for; the last region may be short. */
static u32 tag_blocks(const struct bf_dirtymap *map, u32 index,
		      unsigned long entry)
{
	u32 blocks = hweight_long(entry >> TAG_SHIFT) << BF_SUBREGION_SHIFT;
	u32 nr = slot_blocks(map, index);
	u32 last = (nr - 1) >> BF_SUBREGION_SHIFT;

	if (tag_test(entry, last))
		blocks -= ((last + 1) << BF_SUBREGION_SHIFT) - nr;
	return blocks;
}

/* True if first..last is made of whole subregions: a tag tells it exactly. */
static bool tag_is_exact(const struct bf_dirtymap *map, u32 index,
			 u32 first, u32 last)
{
	return first % BF_SUBREGION_BLOCKS == 0 &&
	       ((last + 1) % BF_SUBREGION_BLOCKS == 0 ||
		last + 1 == slot_blocks(map, index));
}

static u32 word_set(unsigned long *word, unsigned long mask)
{
	if (!(mask & ~READ_ONCE(*word)))
		return 0;
	return hweight_long(mask & ~(unsigned long)
			    atomic_long_fetch_or(mask, (atomic_long_t *)word));
}

static u32 leaf_set(struct bf_leaf *leaf, u32 first, u32 last)
{
	u32 fresh = 0;
	u32 i;

	for (i = first / BITS_PER_LONG; i <= last / BITS_PER_LONG; i++) {
		u32 lo = i == first / BITS_PER_LONG ? first % BITS_PER_LONG : 0;
		u32 hi = i == last / BITS_PER_LONG ? last % BITS_PER_LONG :
						     BITS_PER_LONG - 1;

		fresh += word_set(&leaf->words[i], bf_word_mask(lo, hi));
	}
	return fresh;
}

static u32 leaf_or(struct bf_leaf *to, const struct bf_leaf *from)
{
	u32 fresh = 0;
	u32 i;

	for (i = 0; i < BF_LEAF_WORDS; i++)
		fresh += word_set(&to->words[i], from->words[i]);
	return fresh;
}

static u32 leaf_weight(const struct bf_leaf *leaf)
{
	u32 weight = 0;
	u32 i;

	for (i = 0; i < BF_LEAF_WORDS; i++)
		weight += hweight_long(leaf->words[i]);
	return weight;
}

/* Write out a tagged word as bits of a leaf that nobody else sees yet. */
static void leaf_add_tagged(const struct bf_dirtymap *map, u32 index,
			    struct bf_leaf *leaf, unsigned long entry)
{
	u32 nr = slot_blocks(map, index);
	u32 i;

	for (i = 0; i < BF_SUBREGIONS; i++) {
		u32 first = i << BF_SUBREGION_SHIFT;

		if (tag_test(entry, i) && first < nr)
			leaf_set(leaf, first,
				 min(first + BF_SUBREGION_BLOCKS, nr) - 1);
	}
}

/*
 * A slot that was 0 is so no more. The bit is set after the slot: in the
 * active map it is a hint for PEEK, and the grace period that takes the map
 * out of service orders both before its readers.
 */
static void slot_touched(struct bf_dirtymap *map, u32 index,
			 unsigned long old, unsigned long new)
{
	if (!old)
		set_bit(index, map->touched);
	if (bf_entry_leaf(new))
		atomic_inc(&map->nr_leaves);
}

/*
 * The leaf to hang into a slot that has none, holding what the slot says now;
 * NULL if the reserve is dry.
 */
static struct bf_leaf *leaf_for_slot(struct bf_dirtymap *map, u32 index,
				     unsigned long entry)
{
	struct bf_leaf *leaf = bf_fault(BF_FAULT_RESERVE_EMPTY) ? NULL :
			       bf_reserve_take(map->reserve);

	if (leaf && entry)
		leaf_add_tagged(map, index, leaf, entry);
	return leaf;
}

static void leaf_not_needed(struct bf_dirtymap *map, struct bf_leaf *leaf,
			    unsigned long entry)
{
	if (entry)
		memset(leaf, 0, sizeof(*leaf));
	bf_reserve_give(map->reserve, leaf);
}

static u32 slot_mark(struct bf_dirtymap *map, u32 index, u32 first, u32 last)
{
	unsigned long *slot = &map->slots[index];
	unsigned long entry = READ_ONCE(*slot);

	while (!bf_entry_leaf(entry)) {
		unsigned long tagged = tag_word(first, last);
		bool exact = tag_is_exact(map, index, first, last);
		struct bf_leaf *leaf = NULL;
		unsigned long new, old;

		if (!(tagged & ~entry))
			return 0;
		if (!exact)
			leaf = leaf_for_slot(map, index, entry);
		new = leaf ? (unsigned long)leaf : entry | tagged;

		/* Full barrier: the leaf's words are there before it is. */
		old = cmpxchg(slot, entry, new);
		if (old != entry) {
			if (leaf)
				leaf_not_needed(map, leaf, entry);
			entry = old;
			continue;
		}
		slot_touched(map, index, entry, new);
		if (!leaf) {
			if (!exact)
				bf_map_count(map, BF_COUNT_COARSE, 1);
			return tag_blocks(map, index, tagged & ~entry);
		}
		entry = new;
	}
	return leaf_set(bf_entry_leaf(entry), first, last);
}

/*
 * Blocks became dirty. They gather per CPU and go to the sum in batches; each
 * of the steps is atomic by itself, so that an interrupt or a migration in
 * between moves blocks from one counter to the other but loses none.
 */
static void map_account(struct bf_dirtymap *map, long fresh)
{
	long batch, sum;

	if (!fresh)
		return;
	batch = this_cpu_add_return(map->counts->fresh_blocks, fresh);
	if (batch < (long)READ_ONCE(map->batch_blocks))
		return;
	this_cpu_sub(map->counts->fresh_blocks, batch);
	sum = atomic64_add_return(batch, &map->dirty_blocks);
	if (READ_ONCE(map->alarm_blocks) &&
	    (u64)sum >= READ_ONCE(map->alarm_blocks) &&
	    !test_and_set_bit(0, &map->alarmed))
		map->alarm(map);
}

/**
 * bf_map_mark() - mark blocks dirty
 * @map: the active map
 * @first: first block
 * @last: last block, below map->nr_blocks
 *
 * Context: Any; see bf_map_is_marked().
 * Return: the number of blocks that became dirty.
 */
u64 bf_map_mark(struct bf_dirtymap *map, u64 first, u64 last)
{
	u64 fresh = 0;

	for (;;) {
		u64 end = min(last, first | (BLKFERRY_LEAF_BLOCKS - 1));

		fresh += slot_mark(map, first >> BF_LEAF_SHIFT,
				   first % BLKFERRY_LEAF_BLOCKS,
				   end % BLKFERRY_LEAF_BLOCKS);
		if (end == last)
			break;
		first = end + 1;
	}
	map_account(map, fresh);
	return fresh;
}

/**
 * bf_map_init() - make an empty map
 * @map: the map
 * @nr_blocks: its size, more than 0, at most BLKFERRY_LEAVES_MAX leaves
 * @reserve: where its leaves come from and go to
 *
 * Context: Process, may sleep.
 * Return: 0 or -ENOMEM.
 */
int bf_map_init(struct bf_dirtymap *map, u64 nr_blocks,
		struct bf_reserve *reserve)
{
	memset(map, 0, sizeof(*map));
	map->nr_blocks = nr_blocks;
	map->nr_slots = (nr_blocks + BLKFERRY_LEAF_BLOCKS - 1) >> BF_LEAF_SHIFT;
	map->reserve = reserve;
	map->batch_blocks = BATCH_BLOCKS;
	map->slots = kvcalloc(map->nr_slots, sizeof(*map->slots), GFP_KERNEL);
	map->touched = kvcalloc(BITS_TO_LONGS(map->nr_slots),
				sizeof(*map->touched), GFP_KERNEL);
	map->counts = alloc_percpu(struct bf_counts);
	if (map->slots && map->touched && map->counts &&
	    !bf_fault(BF_FAULT_MAP_MEMORY))
		return 0;
	bf_map_destroy(map);
	return -ENOMEM;
}

/**
 * bf_map_destroy() - free a map and give its leaves back
 * @map: the map, out of service, or one that bf_map_init() failed on
 *
 * Context: Process, may sleep.
 */
void bf_map_destroy(struct bf_dirtymap *map)
{
	if (map->slots && map->touched && map->counts)
		bf_map_clear(map);
	free_percpu(map->counts);
	kvfree(map->touched);
	kvfree(map->slots);
	memset(map, 0, sizeof(*map));
}

static void slot_clear(struct bf_dirtymap *map, u32 index)
{
	struct bf_leaf *leaf = bf_entry_leaf(map->slots[index]);

	map->slots[index] = 0;
	clear_bit(index, map->touched);
	if (leaf) {
		bf_reserve_recycle(map->reserve, leaf);
		atomic_dec(&map->nr_leaves);
	}
}

/**
 * bf_map_clear() - make a map as new
 * @map: the map, out of service
 *
 * The work grows with what was touched, not with the disk.
 *
 * Context: Process, may sleep.
 */
void bf_map_clear(struct bf_dirtymap *map)
{
	u32 index;
	int cpu;

	for_each_set_bit(index, map->touched, map->nr_slots) {
		slot_clear(map, index);
		cond_resched();
	}
	for_each_possible_cpu(cpu)
		memset(per_cpu_ptr(map->counts, cpu), 0, sizeof(*map->counts));
	atomic64_set(&map->dirty_blocks, 0);
	map->alarmed = 0;
}

/**
 * bf_map_set_alarm() - say when map->alarm() is to be called
 * @map: the map; may be active
 * @blocks: dirty blocks that raise it, 0: never
 *
 * The sum runs behind by a batch on each CPU: an eighth of @blocks or
 * BATCH_BLOCKS a CPU, whichever is less.
 *
 * Context: Process.
 */
void bf_map_set_alarm(struct bf_dirtymap *map, u64 blocks)
{
	u64 batch = blocks / 8 / num_possible_cpus();

	WRITE_ONCE(map->batch_blocks,
		   blocks ? clamp_t(u64, batch, 1, BATCH_BLOCKS) : BATCH_BLOCKS);
	WRITE_ONCE(map->alarm_blocks, blocks);
	if (blocks && bf_map_dirty_blocks(map) >= blocks &&
	    !test_and_set_bit(0, &map->alarmed))
		map->alarm(map);
}

/* Move a leaf of another map into a slot, or what it says if there is one. */
static u32 slot_merge_leaf(struct bf_dirtymap *map, u32 index,
			   struct bf_leaf *leaf)
{
	unsigned long *slot = &map->slots[index];
	unsigned long entry = READ_ONCE(*slot);
	u32 weight;

	while (!bf_entry_leaf(entry)) {
		unsigned long old;

		leaf_add_tagged(map, index, leaf, entry);
		weight = leaf_weight(leaf);	/* marks may come right after: */
		old = cmpxchg(slot, entry, (unsigned long)leaf);
		if (old == entry) {
			slot_touched(map, index, entry, (unsigned long)leaf);
			return weight - tag_blocks(map, index, entry);
		}
		entry = old;
	}
	weight = leaf_or(bf_entry_leaf(entry), leaf);
	bf_reserve_recycle(map->reserve, leaf);
	return weight;
}

/* Mark again what a tagged word of another map says of blocks from @low up. */
static u64 slot_merge_tagged(struct bf_dirtymap *map, u32 index,
			     unsigned long entry, u64 low)
{
	u64 base = (u64)index << BF_LEAF_SHIFT;
	unsigned long bits = entry >> TAG_SHIFT;
	u64 fresh = 0;

	while (bits) {
		u32 from = __ffs(bits);
		u32 to = from + __ffs(~(bits >> from));
		u64 first = max(base + (from << BF_SUBREGION_SHIFT), low);
		u64 end = min(base + (to << BF_SUBREGION_SHIFT), map->nr_blocks);

		if (first < end)
			fresh += bf_map_mark(map, first, end - 1);
		bits &= ~0UL << to;
	}
	return fresh;
}

/**
 * bf_map_merge() - bring an uncommitted generation back
 * @to: the active map of the same tracker, kept active by the caller
 * @from: the generation's map, out of service; as new afterwards
 * @low_block: watermark: blocks below it are committed and do not return
 *
 * Never allocates, never fails. Only where the watermark lies inside a
 * subregion that is known as a whole, a dry reserve makes the rest of that
 * subregion return coarsely.
 *
 * Context: Process, may sleep.
 */
void bf_map_merge(struct bf_dirtymap *to, struct bf_dirtymap *from,
		  u64 low_block)
{
	u64 merged = 0;
	u32 index;

	for_each_set_bit(index, from->touched, from->nr_slots) {
		unsigned long entry = from->slots[index];
		struct bf_leaf *leaf = bf_entry_leaf(entry);

		if (leaf) {
			u32 fresh;

			from->slots[index] = 0;
			atomic_dec(&from->nr_leaves);
			fresh = slot_merge_leaf(to, index, leaf);
			map_account(to, fresh);
			merged += fresh;
		} else {
			merged += slot_merge_tagged(to, index, entry, low_block);
		}
		cond_resched();
	}
	bf_map_count(to, BF_COUNT_MERGED, merged);
	bf_map_clear(from);
}

/* Forget bits lo..hi-1 of a leaf. */
static u32 leaf_forget(struct bf_leaf *leaf, u32 lo, u32 hi)
{
	u32 before = leaf_weight(leaf);

	bitmap_clear(leaf->words, lo, hi - lo);
	return before - leaf_weight(leaf);
}

/* Forget lo..hi-1 of a tagged word, but keep a subregion that goes beyond. */
static u32 tagged_forget(const struct bf_dirtymap *map, u32 index,
			 unsigned long *entry, u32 lo, u32 hi)
{
	u32 nr = slot_blocks(map, index);
	u32 forgotten = 0;
	u32 i;

	for (i = 0; i < BF_SUBREGIONS; i++) {
		u32 first = i << BF_SUBREGION_SHIFT;
		u32 end = min(first + BF_SUBREGION_BLOCKS, nr);

		if (!tag_test(*entry, i) || end <= lo || first >= hi)
			continue;
		forgotten += min(end, hi) - max(first, lo);
		if (end <= hi)
			*entry &= ~(1UL << (TAG_SHIFT + i));
	}
	return forgotten;
}

static u32 slot_forget(struct bf_dirtymap *map, u32 index, u32 lo, u32 hi)
{
	unsigned long *entry = &map->slots[index];
	struct bf_leaf *leaf = bf_entry_leaf(*entry);
	u32 forgotten;

	if (leaf)
		forgotten = leaf_forget(leaf, lo, hi);
	else
		forgotten = tagged_forget(map, index, entry, lo, hi);
	if (hi == slot_blocks(map, index))
		slot_clear(map, index);
	return forgotten;
}

/**
 * bf_map_forget() - drop blocks that are durable elsewhere
 * @map: the map, out of service
 * @first: where the last call ended, 0 at first
 * @end: forget blocks below it
 *
 * Leaves that become empty are recycled at once. A subregion known as a whole
 * that @end cuts keeps its bit: readers must start at @end by themselves.
 *
 * Context: Process, may sleep.
 * Return: the number of dirty blocks forgotten.
 */
u64 bf_map_forget(struct bf_dirtymap *map, u64 first, u64 end)
{
	u64 forgotten = 0;
	u32 index = first >> BF_LEAF_SHIFT;

	for_each_set_bit_from(index, map->touched, map->nr_slots) {
		u64 base = (u64)index << BF_LEAF_SHIFT;

		if (base >= end)
			break;
		forgotten += slot_forget(map, index,
					 max(first, base) - base,
					 min_t(u64, end - base,
					       slot_blocks(map, index)));
		cond_resched();
	}
	return forgotten;
}

/* The first block of a region at or after @block that is dirty; @nr if none. */
static u32 slot_next_dirty(const struct bf_dirtymap *map, u32 index,
			   u32 block, u32 nr)
{
	unsigned long entry = READ_ONCE(map->slots[index]);
	struct bf_leaf *leaf = bf_entry_leaf(entry);
	unsigned long bits;
	u32 from;

	if (leaf)
		return find_next_bit(leaf->words, nr, block);
	bits = entry >> TAG_SHIFT;
	from = block >> BF_SUBREGION_SHIFT;
	bits &= ~0UL << from;
	if (!bits || bf_makes(LOSE_TAGS))
		return nr;
	return min(max(block, (u32)__ffs(bits) << BF_SUBREGION_SHIFT), nr);
}

/* The first block of a region at or after @block that is clean; @nr if none. */
static u32 slot_next_clean(const struct bf_dirtymap *map, u32 index,
			   u32 block, u32 nr)
{
	unsigned long entry = READ_ONCE(map->slots[index]);
	struct bf_leaf *leaf = bf_entry_leaf(entry);
	u32 from;

	if (leaf)
		return find_next_zero_bit(leaf->words, nr, block);
	from = block >> BF_SUBREGION_SHIFT;
	from = __ffs(~(entry >> TAG_SHIFT) & (~0UL << from));
	return min(max(block, from << BF_SUBREGION_SHIFT), nr);
}

static u64 map_next_dirty(const struct bf_dirtymap *map, u64 block)
{
	u32 index = block >> BF_LEAF_SHIFT;

	for_each_set_bit_from(index, map->touched, map->nr_slots) {
		u64 base = (u64)index << BF_LEAF_SHIFT;
		u32 nr = slot_blocks(map, index);
		u32 found = slot_next_dirty(map, index,
					    block > base ? block - base : 0, nr);

		if (found < nr)
			return base + found;
	}
	return map->nr_blocks;
}

static u64 map_next_clean(const struct bf_dirtymap *map, u64 block)
{
	while (block < map->nr_blocks) {
		u32 index = block >> BF_LEAF_SHIFT;
		u32 nr = slot_blocks(map, index);
		u32 found = slot_next_clean(map, index,
					    block % BLKFERRY_LEAF_BLOCKS, nr);

		block = ((u64)index << BF_LEAF_SHIFT) + found;
		if (found < nr)
			break;
		cond_resched();
	}
	return block;
}

/**
 * bf_map_next_run() - find the next run of dirty blocks
 * @map: the map, out of service; or active, then the answer is a hint
 * @from: where to start
 * @run: the run, cut at @from; it ends at a clean block or at the map's end
 *
 * Clean regions are skipped 64 slots at a time.
 *
 * Context: Process.
 * Return: false if nothing at or after @from is dirty.
 */
bool bf_map_next_run(const struct bf_dirtymap *map, u64 from,
		     struct bf_run *run)
{
	if (from >= map->nr_blocks)
		return false;
	run->block = map_next_dirty(map, from);
	if (run->block >= map->nr_blocks)
		return false;
	run->nr_blocks = map_next_clean(map, run->block) - run->block;
	return true;
}

/**
 * bf_map_dirty_blocks() - how many blocks are dirty
 * @map: the map
 *
 * Context: Any.
 * Return: the number; exact if @map is out of service.
 */
u64 bf_map_dirty_blocks(const struct bf_dirtymap *map)
{
	s64 sum = atomic64_read(&map->dirty_blocks);
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(map->counts, cpu)->fresh_blocks);
	return sum > 0 ? sum : 0;
}

/**
 * bf_map_new_blocks() - how many blocks became dirty by marks
 * @map: the map
 *
 * Context: Any.
 * Return: dirty blocks without those that were merged; exact if @map is out of
 * service.
 */
u64 bf_map_new_blocks(const struct bf_dirtymap *map)
{
	u64 dirty = bf_map_dirty_blocks(map);
	u64 merged = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		merged += READ_ONCE(per_cpu_ptr(map->counts, cpu)->value[BF_COUNT_MERGED]);
	return dirty > merged ? dirty - merged : 0;
}

/**
 * bf_map_add_counts() - add what a map counted to sums
 * @map: the map; exact if it is out of service
 * @sums: by enum bf_count
 *
 * Context: Any.
 */
void bf_map_add_counts(const struct bf_dirtymap *map, u64 sums[BF_COUNT_NR])
{
	int cpu, i;

	for_each_possible_cpu(cpu)
		for (i = 0; i < BF_COUNT_NR; i++)
			sums[i] += READ_ONCE(per_cpu_ptr(map->counts, cpu)->value[i]);
}

/**
 * bf_map_memory_bytes() - memory of a map without its leaves
 * @map: the map
 *
 * Context: Any.
 * Return: bytes.
 */
size_t bf_map_memory_bytes(const struct bf_dirtymap *map)
{
	return map->nr_slots * sizeof(*map->slots) +
	       BITS_TO_LONGS(map->nr_slots) * sizeof(*map->touched) +
	       num_possible_cpus() * sizeof(*map->counts);
}
