// SPDX-License-Identifier: GPL-2.0-only
/*
 * In-flight table: see inflight.h.
 */
#include <linux/mm.h>
#include <linux/spinlock.h>

#include "inflight.h"

#define SHARD_BITS	4	/* less than BF_GROUP_BITS: a group has one */
#define BUCKET_BITS	8
#define NR_SHARDS	(1u << SHARD_BITS)
#define NR_BUCKETS	(1u << BUCKET_BITS)
#define NR_ENTRIES	256u
#define NONE		NR_ENTRIES

struct entry {
	const void *key;	/* NULL: free */
	u64 sector;
	u64 nr_sectors;
	u16 next;		/* in its bucket, or in the list of free ones */
	bool child;
	bool to_end;
};

struct bf_shard {
	raw_spinlock_t lock;	/* for all that follows, and its groups' numbers */
	u16 free;
	u16 heads[NR_BUCKETS];
	struct entry entries[NR_ENTRIES];
};

static void shard_init(struct bf_shard *shard)
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
	table->shards = bf_fault(BF_FAULT_INFLIGHT_MEMORY) ? NULL :
			kvzalloc(NR_SHARDS * sizeof(*table->shards), GFP_KERNEL);
	if (!table->shards) {
		kvfree(table);
		return NULL;
	}
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
	if (table)
		kvfree(table->shards);
	kvfree(table);
}

static u32 key_hash(const void *key)
{
	return hash_ptr(key, SHARD_BITS + BUCKET_BITS);
}

static struct bf_shard *shard_of(struct bf_inflight *table, const void *key)
{
	return &table->shards[key_hash(key) >> BUCKET_BITS];
}

static u16 *head_of(struct bf_shard *shard, const void *key)
{
	return &shard->heads[key_hash(key) % NR_BUCKETS];
}

static u16 *nr_of_group(struct bf_inflight *table, const void *key)
{
	return &table->nr_in_shard[hash_ptr(key, BF_GROUP_BITS)];
}

static struct bf_slot *slot_of(struct bf_inflight *table, const void *bio)
{
	return &table->slots[hash_ptr(bio, BF_SLOT_BITS)];
}

/* Return: false if nothing is in the slot that was there all the while. */
static bool slot_range(const struct bf_slot *slot, struct bf_range *range)
{
	/* Both pair with bf_inflight_add_fast(): seq is as old as the bio, or older. */
	unsigned long seq = smp_load_acquire(&slot->seq);
	const void *bio = smp_load_acquire(&slot->bio);

	if (!bio || bio == BF_SLOT_TAKEN)
		return false;
	*range = (struct bf_range){
		.sector = READ_ONCE(slot->sector),
		.nr_sectors = READ_ONCE(slot->nr_sectors),
	};
	smp_rmb();	/* pairs with bf_inflight_add_fast() */
	return READ_ONCE(slot->seq) == seq;
}

/* Of a bio that is not about to end. Return: false if it is not in its slot. */
static bool slot_of_bio_range(struct bf_inflight *table, const void *bio,
			      struct bf_range *range)
{
	const struct bf_slot *slot = slot_of(table, bio);

	return READ_ONCE(slot->bio) == bio && slot_range(slot, range);
}

/* By who submits or ends the bio. Return: false if it is not in its slot. */
static bool slot_take_out(struct bf_inflight *table, const void *bio,
			  struct bf_range *range)
{
	if (!slot_of_bio_range(table, bio, range))
		return false;
	smp_store_release(&slot_of(table, bio)->bio, NULL);
	return true;
}

/* The next entry of a key from @at on, its own or those of its children. */
static struct entry *entry_find(struct bf_shard *shard, u16 at, const void *key,
				bool child)
{
	for (; at != NONE; at = shard->entries[at].next) {
		struct entry *entry = &shard->entries[at];

		if (entry->key == key && entry->child == child)
			return entry;
	}
	return NULL;
}

static bool entry_new(struct bf_inflight *table, const void *key,
		      const struct bf_range *range, bool child)
{
	struct bf_shard *shard = shard_of(table, key);
	u16 *nr = nr_of_group(table, key);
	u16 *head = head_of(shard, key);
	u16 at = bf_fault(BF_FAULT_INFLIGHT_FULL) ? NONE : shard->free;

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
	WRITE_ONCE(*nr, *nr + 1);
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
	struct bf_shard *shard = shard_of(table, bio);
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
		slot_take_out(table, bio, old);
		added = (!range->to_end &&
			 bf_slot_take(slot_of(table, bio), bio, range->sector,
				      range->nr_sectors)) ||
			entry_new(table, bio, range, false);
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
	struct bf_shard *shard = shard_of(table, parent);
	struct entry *entry;
	unsigned long flags;
	bool added;

	raw_spin_lock_irqsave(&shard->lock, flags);
	entry = entry_find(shard, *head_of(shard, parent), parent, true);
	added = entry && entry_extend(entry, range);
	if (!added)
		added = entry_new(table, parent, range, true);
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return added;
}

static void entry_free(struct bf_inflight *table, struct bf_shard *shard,
		       u16 *link)
{
	u16 at = *link;
	struct entry *entry = &shard->entries[at];
	u16 *nr = nr_of_group(table, entry->key);

	*link = entry->next;
	entry->key = NULL;
	entry->next = shard->free;
	shard->free = at;
	WRITE_ONCE(*nr, *nr - 1);
}

/*
 * Takes the next entry of a key out of its bucket, from *link on; *link is then
 * where to go on. Return: false if there is none.
 */
static bool entry_take(struct bf_inflight *table, u16 **link, const void *key,
		       bool only_children, struct entry *taken)
{
	struct bf_shard *shard = shard_of(table, key);

	for (; **link != NONE; *link = &shard->entries[**link].next) {
		*taken = shard->entries[**link];
		if (taken->key != key || (only_children && !taken->child))
			continue;
		entry_free(table, shard, *link);
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
	struct bf_shard *shard = shard_of(table, parent);
	u16 *link = head_of(shard, parent);
	struct entry taken;
	unsigned long flags;
	bool found;

	raw_spin_lock_irqsave(&shard->lock, flags);
	found = entry_take(table, &link, parent, true, &taken);
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
	struct bf_shard *shard = shard_of(table, parent);
	unsigned long flags;
	bool has;

	raw_spin_lock_irqsave(&shard->lock, flags);
	has = entry_find(shard, *head_of(shard, parent), parent, true);
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return has;
}

/* Of a range of nothing the sector before it counts: it is what was behind it. */
static bool lies_within(const struct bf_range *range,
			const struct bf_range *whole)
{
	u64 before = range->sector - whole->sector;

	if (range->sector < whole->sector ||
	    range->nr_sectors > whole->nr_sectors)
		return false;
	return before <= whole->nr_sectors - range->nr_sectors &&
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
	struct bf_shard *shard = shard_of(table, bio);
	const struct entry *entry;
	struct bf_range whole;
	unsigned long flags;
	bool found;

	if (slot_of_bio_range(table, bio, &whole))
		return lies_within(range, &whole);
	raw_spin_lock_irqsave(&shard->lock, flags);
	entry = entry_find(shard, *head_of(shard, bio), bio, false);
	found = entry;
	if (entry)
		whole = entry_range(entry);
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return found && lies_within(range, &whole);
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
	struct bf_shard *shard = shard_of(table, bio);
	u16 *link = head_of(shard, bio);
	struct bf_range range;
	struct entry taken;
	unsigned long flags;
	bool found;

	raw_spin_lock_irqsave(&shard->lock, flags);
	found = slot_take_out(table, bio, &range);
	while (entry_take(table, &link, bio, false, &taken))
		found |= !taken.child;
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return found;
}

/* Up to @max ranges of a shard from *at on. */
static unsigned int shard_next(struct bf_shard *shard, unsigned int *at,
			       struct bf_range *ranges, unsigned int max)
{
	unsigned int nr = 0;
	unsigned long flags;

	raw_spin_lock_irqsave(&shard->lock, flags);
	for (; nr < max && *at < NR_ENTRIES; ++*at)
		if (shard->entries[*at].key)
			ranges[nr++] = entry_range(&shard->entries[*at]);
	raw_spin_unlock_irqrestore(&shard->lock, flags);
	return nr;
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

	for (; nr < max && *cursor < BF_NR_SLOTS; ++*cursor)
		nr += slot_range(&table->slots[*cursor], &ranges[nr]);
	while (!nr && *cursor < BF_NR_SLOTS + NR_SHARDS * NR_ENTRIES) {
		unsigned int at = (*cursor - BF_NR_SLOTS) % NR_ENTRIES;
		unsigned int base = *cursor - at;

		nr = shard_next(&table->shards[(base - BF_NR_SLOTS) / NR_ENTRIES],
				&at, ranges, max);
		*cursor = base + at;
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

	for (i = 0; i < BF_NR_SLOTS; i++)
		nr += !!READ_ONCE(table->slots[i].bio);
	for (i = 0; i < BF_NR_GROUPS; i++)
		nr += READ_ONCE(table->nr_in_shard[i]);
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
	return sizeof(struct bf_inflight) +
	       NR_SHARDS * sizeof(struct bf_shard);
}
