// SPDX-License-Identifier: GPL-2.0-only
/*
 * In-flight table: see inflight.h.
 */
#include <linux/compiler.h>
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/spinlock.h>

#include "inflight.h"

#define SHARD_BITS	4
#define BUCKET_BITS	9
#define NR_SHARDS	(1u << SHARD_BITS)
#define NR_BUCKETS	(1u << BUCKET_BITS)
#define NR_ENTRIES	512u
#define NONE		NR_ENTRIES

struct entry {
	const void *key;	/* NULL: free */
	u64 sector;
	u64 nr_sectors;
	u16 next;		/* in its bucket, or in the list of free ones */
	bool child;
	bool to_end;
};

struct shard {
	raw_spinlock_t lock;	/* for all that follows */
	u16 free;
	u16 nr_used;		/* also read without the lock, as a hint */
	u16 heads[NR_BUCKETS];
	struct entry entries[NR_ENTRIES];
};

struct bf_inflight {
	struct shard shards[NR_SHARDS];
};

static void shard_init(struct shard *shard)
{
	unsigned int i;

	raw_spin_lock_init(&shard->lock);
	for (i = 0; i < NR_BUCKETS; i++)
		shard->heads[i] = NONE;
	for (i = 0; i < NR_ENTRIES; i++)
		shard->entries[i].next = i + 1;	/* the last one: NONE */
}

/**
 * bf_inflight_new() - make an empty table
 *
 * Context: Process, may sleep.
 * Return: the table or NULL.
 */
struct bf_inflight *bf_inflight_new(void)
{
	struct bf_inflight *table = kvzalloc(sizeof(*table), GFP_KERNEL);
	unsigned int i;

	if (!table)
		return NULL;
	for (i = 0; i < NR_SHARDS; i++)
		shard_init(&table->shards[i]);
	return table;
}

/**
 * bf_inflight_free() - free a table
 * @table: the table, which no probe can find any more; or NULL
 *
 * Context: Process, may sleep.
 */
void bf_inflight_free(struct bf_inflight *table)
{
	kvfree(table);
}

static u32 key_hash(const void *key)
{
	return hash_ptr(key, SHARD_BITS + BUCKET_BITS);
}

static struct shard *shard_of(struct bf_inflight *table, const void *key)
{
	return &table->shards[key_hash(key) >> BUCKET_BITS];
}

static u16 *head_of(struct shard *shard, const void *key)
{
	return &shard->heads[key_hash(key) % NR_BUCKETS];
}

/* The next entry of a key from @at on, its own or those of its children. */
static struct entry *entry_find(struct shard *shard, u16 at, const void *key,
				bool child)
{
	for (; at != NONE; at = shard->entries[at].next) {
		struct entry *entry = &shard->entries[at];

		if (entry->key == key && entry->child == child)
			return entry;
	}
	return NULL;
}

static bool entry_new(struct shard *shard, const void *key,
		      const struct bf_range *range, bool child)
{
	u16 *head = head_of(shard, key);
	u16 at = shard->free;

	if (at == NONE)
		return false;
	shard->free = shard->entries[at].next;
	shard->entries[at] = (struct entry){
		.key = key,
		.sector = range->sector,
		.nr_sectors = range->nr_sectors,
		.next = *head,
		.child = child,
		.to_end = range->to_end,
	};
	*head = at;
	WRITE_ONCE(shard->nr_used, shard->nr_used + 1);
	return true;
}

static struct bf_range entry_range(const struct entry *entry)
{
	return (struct bf_range){
		.sector = entry->sector,
		.nr_sectors = entry->nr_sectors,
		.to_end = entry->to_end,
	};
}

/**
 * bf_inflight_add() - a bio is submitted
 * @table: the table
 * @bio: its address
 * @range: what it will change
 * @old: gets the range that it had when it was submitted before without having
 *	 ended, to be marked; empty if there is none
 *
 * Context: Any.
 * Return: false if there is no room.
 */
bool bf_inflight_add(struct bf_inflight *table, const void *bio,
		     const struct bf_range *range, struct bf_range *old)
{
	struct shard *shard = shard_of(table, bio);
	struct entry *entry;
	unsigned long flags;
	bool added = true;

	*old = (struct bf_range){};
	raw_spin_lock_irqsave(&shard->lock, flags);
	entry = entry_find(shard, *head_of(shard, bio), bio, false);
	if (entry) {
		*old = entry_range(entry);
		entry->sector = range->sector;
		entry->nr_sectors = range->nr_sectors;
		entry->to_end = range->to_end;
	} else {
		added = entry_new(shard, bio, range, false);
	}
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return added;
}

/* Chained bios mostly follow on one another: one entry then stands for all. */
static bool entry_extend(struct entry *entry, const struct bf_range *range)
{
	if (entry->to_end || range->to_end ||
	    entry->sector + entry->nr_sectors != range->sector)
		return false;
	entry->nr_sectors += range->nr_sectors;
	return true;
}

/**
 * bf_inflight_add_child() - a bio is submitted whose end will not be seen
 * @table: the table
 * @parent: address of the bio that it is chained to
 * @range: what it will change
 *
 * Context: Any.
 * Return: false if there is no room.
 */
bool bf_inflight_add_child(struct bf_inflight *table, const void *parent,
			   const struct bf_range *range)
{
	struct shard *shard = shard_of(table, parent);
	struct entry *entry;
	unsigned long flags;
	bool added;

	raw_spin_lock_irqsave(&shard->lock, flags);
	entry = entry_find(shard, *head_of(shard, parent), parent, true);
	added = entry && entry_extend(entry, range);
	if (!added)
		added = entry_new(shard, parent, range, true);
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return added;
}

static void entry_free(struct shard *shard, u16 *link)
{
	u16 at = *link;
	struct entry *entry = &shard->entries[at];

	*link = entry->next;
	entry->key = NULL;
	entry->next = shard->free;
	shard->free = at;
	WRITE_ONCE(shard->nr_used, shard->nr_used - 1);
}

/*
 * Takes the next entry of a key out of its bucket, from *link on; *link is then
 * where to go on. Return: false if there is none.
 */
static bool entry_take(struct shard *shard, u16 **link, const void *key,
		       bool only_children, struct entry *taken)
{
	for (; **link != NONE; *link = &shard->entries[**link].next) {
		*taken = shard->entries[**link];
		if (taken->key != key || (only_children && !taken->child))
			continue;
		entry_free(shard, *link);
		return true;
	}
	return false;
}

/**
 * bf_inflight_take_child() - take a child of a bio out of the table
 * @table: the table
 * @parent: the bio's address
 * @range: gets the child's range
 *
 * Context: Any.
 * Return: false if there is none.
 */
bool bf_inflight_take_child(struct bf_inflight *table, const void *parent,
			    struct bf_range *range)
{
	struct shard *shard = shard_of(table, parent);
	u16 *link = head_of(shard, parent);
	struct entry taken;
	unsigned long flags;
	bool found;

	raw_spin_lock_irqsave(&shard->lock, flags);
	found = entry_take(shard, &link, parent, true, &taken);
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	if (found)
		*range = entry_range(&taken);
	return found;
}

/**
 * bf_inflight_has_child() - whether anything is in flight under a bio
 * @table: the table
 * @parent: the bio's address
 *
 * Context: Any.
 * Return: true if so.
 */
bool bf_inflight_has_child(struct bf_inflight *table, const void *parent)
{
	struct shard *shard = shard_of(table, parent);
	unsigned long flags;
	bool has;

	raw_spin_lock_irqsave(&shard->lock, flags);
	has = entry_find(shard, *head_of(shard, parent), parent, true);
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return has;
}

/* Of a range of nothing the sector before it counts: it is what was behind it. */
static bool lies_within(const struct bf_range *range, const struct entry *entry)
{
	u64 before = range->sector - entry->sector;

	if (range->sector < entry->sector ||
	    range->nr_sectors > entry->nr_sectors)
		return false;
	return before <= entry->nr_sectors - range->nr_sectors &&
	       (range->nr_sectors || before);
}

/**
 * bf_inflight_covers() - whether what is left of a piece is in flight with a bio
 * @table: the table
 * @bio: the bio's address
 * @range: what a driver has left of the piece, perhaps nothing: then its end
 *
 * Context: Any.
 * Return: true if the bio is there and @range lies within its range.
 */
bool bf_inflight_covers(struct bf_inflight *table, const void *bio,
			const struct bf_range *range)
{
	struct shard *shard = shard_of(table, bio);
	struct entry *entry;
	unsigned long flags;
	bool covers;

	raw_spin_lock_irqsave(&shard->lock, flags);
	entry = entry_find(shard, *head_of(shard, bio), bio, false);
	covers = entry && lies_within(range, entry);
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return covers;
}

/**
 * bf_inflight_remove() - a bio has ended, and so have its children
 * @table: the table
 * @bio: its address
 *
 * Context: Any.
 * Return: false if it was not there.
 */
bool bf_inflight_remove(struct bf_inflight *table, const void *bio)
{
	struct shard *shard = shard_of(table, bio);
	u16 *link = head_of(shard, bio);
	struct entry taken;
	unsigned long flags;
	bool found = false;

	raw_spin_lock_irqsave(&shard->lock, flags);
	while (entry_take(shard, &link, bio, false, &taken))
		found |= !taken.child;
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return found;
}

/**
 * bf_inflight_next() - step through the ranges in flight
 * @table: the table
 * @cursor: 0 at first
 * @ranges: filled in
 * @max: how many fit
 *
 * What was in the table before the first call and is in it still at the last
 * is told; each call holds a lock only for as long as it takes to copy @max.
 *
 * Context: Any.
 * Return: how many ranges; 0 at the end.
 */
unsigned int bf_inflight_next(struct bf_inflight *table, unsigned int *cursor,
			      struct bf_range *ranges, unsigned int max)
{
	unsigned int nr = 0;

	while (!nr && *cursor < NR_SHARDS * NR_ENTRIES) {
		struct shard *shard = &table->shards[*cursor / NR_ENTRIES];
		unsigned long flags;

		raw_spin_lock_irqsave(&shard->lock, flags);
		do {
			const struct entry *entry =
				&shard->entries[*cursor % NR_ENTRIES];

			if (entry->key)
				ranges[nr++] = entry_range(entry);
			++*cursor;
		} while (nr < max && *cursor % NR_ENTRIES);
		raw_spin_unlock_irqrestore(&shard->lock, flags);
	}
	return nr;
}

/**
 * bf_inflight_nr() - how many ranges are in flight
 * @table: the table
 *
 * Context: Any.
 * Return: the number, a moment ago.
 */
unsigned int bf_inflight_nr(const struct bf_inflight *table)
{
	unsigned int nr = 0;
	unsigned int i;

	for (i = 0; i < NR_SHARDS; i++)
		nr += READ_ONCE(table->shards[i].nr_used);
	return nr;
}

/**
 * bf_inflight_bytes() - memory of a table
 *
 * Context: Any.
 * Return: bytes.
 */
size_t bf_inflight_bytes(void)
{
	return sizeof(struct bf_inflight);
}
