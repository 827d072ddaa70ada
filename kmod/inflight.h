/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In-flight table: changing bios of a bio-based disk flow in as they are
 * submitted and go out as they end; at each swap of a map the ranges that are
 * in it flow into the new map. Needed because bio-based disks can only be
 * marked at submission (at the end the bio may have been cut up), and a write
 * that was marked in one generation may land after that has been read.
 *
 * Rules, each needed for "nothing is lost":
 *  1. a bio is in the table before it is marked, both in one RCU section;
 *  2. after a swap and its grace period every entry is marked in the new map;
 *  3. an entry goes only when the end of that very bio is seen;
 *  4. a bio that comes again without having ended leaves its old range marked;
 *  5. a bio for which there is no room is treated as one that was submitted
 *     before there was a table: see bio.c, which marks those at their end.
 *
 * Entries are keyed by the address of the bio. Where the end of a chained bio
 * is not traced (BF_CHAINED_BIO_HIDES) it goes in as a child, under the address
 * of the bio that it is chained to, which cannot end before it.
 *
 * An entry may be moved or replaced between a swap and its rule 2 only by one
 * who marks what it said again, in the same RCU section.
 *
 * A plain write takes the slot of its address if that is free, without a lock;
 * what finds it taken, or is no plain write, goes into the shard of its address.
 * A bio is in one place only: where any of a group of addresses is in the shard,
 * a slot is taken under the shard's lock, by who has looked.
 *
 * A slot belongs to the bio that is in it, whose submission and end are one
 * after the other, so that only taking it is a race:
 *	0 -> BF_SLOT_TAKEN	by cmpxchg, then seq and the range are written
 *	BF_SLOT_TAKEN -> bio	with release: the range is there before the bio
 *	bio -> 0		the bio ends
 * Who steps through the slots (rule 2) passes over what changes under its eyes:
 * that is no bio which was there before the swap and is there still.
 *
 * Locks: each shard has one, raw and taken with interrupts off, innermost.
 */
#ifndef BF_INFLIGHT_H
#define BF_INFLIGHT_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/hash.h>
#include <linux/types.h>

#include "fault.h"
#include "range.h"

#define BF_SLOT_BITS	12
#define BF_GROUP_BITS	8
#define BF_NR_SLOTS	(1u << BF_SLOT_BITS)
#define BF_NR_GROUPS	(1u << BF_GROUP_BITS)
#define BF_SLOT_TAKEN	((const void *)1)

struct bf_slot {
	const void *bio;	/* NULL: free */
	u64 sector;
	u64 nr_sectors;
	unsigned long seq;	/* one more each time that it is taken */
};

struct bf_shard;

struct bf_inflight {
	u16 nr_in_shard[BF_NR_GROUPS];	/* by the shard's lock, read without it */
	struct bf_shard *shards;
	struct bf_slot slots[BF_NR_SLOTS];
};

struct bf_inflight *bf_inflight_new(void);
void bf_inflight_free(struct bf_inflight *table);
bool bf_inflight_add(struct bf_inflight *table, const void *bio,
		     const struct bf_range *range, struct bf_range *old);
bool bf_inflight_add_child(struct bf_inflight *table, const void *parent,
			   const struct bf_range *range);
bool bf_inflight_take_child(struct bf_inflight *table, const void *parent,
			    struct bf_range *range);
bool bf_inflight_has_child(struct bf_inflight *table, const void *parent);
bool bf_inflight_covers(struct bf_inflight *table, const void *bio,
			const struct bf_range *range);
bool bf_inflight_remove(struct bf_inflight *table, const void *bio);
unsigned int bf_inflight_next(struct bf_inflight *table, unsigned int *cursor,
			      struct bf_range *ranges, unsigned int max);
unsigned int bf_inflight_nr(const struct bf_inflight *table);
size_t bf_inflight_bytes(void);

/* Return: false if the slot is taken. */
static __always_inline bool bf_slot_take(struct bf_slot *slot, const void *bio,
					 u64 sector, u64 nr_sectors)
{
	if (bf_fault(BF_FAULT_INFLIGHT_SLOT) || bf_fault(BF_FAULT_INFLIGHT_FULL) ||
	    unlikely(cmpxchg(&slot->bio, NULL, BF_SLOT_TAKEN)))
		return false;
	WRITE_ONCE(slot->seq, slot->seq + 1);
	smp_wmb();	/* pairs with slot_range(): seq changes before the range */
	WRITE_ONCE(slot->sector, sector);
	WRITE_ONCE(slot->nr_sectors, nr_sectors);
	smp_store_release(&slot->bio, bio);	/* pairs with slot_range() */
	return true;
}

/* Whether a bio, or another of its group, may be in the shard. */
static __always_inline bool bf_group_in_shard(const struct bf_inflight *table,
					      u32 slot)
{
	return READ_ONCE(table->nr_in_shard[slot >> (BF_SLOT_BITS - BF_GROUP_BITS)]);
}

/**
 * bf_inflight_add_fast() - a plain write is submitted
 * @table: the table
 * @bio: its address
 * @sector: where
 * @nr_sectors: how much
 *
 * Context: Any.
 * Return: false if it takes more than that; nothing is done then.
 */
static __always_inline bool bf_inflight_add_fast(struct bf_inflight *table,
						 const void *bio, u64 sector,
						 u64 nr_sectors)
{
	u32 hash = hash_ptr(bio, BF_SLOT_BITS);

	return likely(!bf_group_in_shard(table, hash)) &&
	       bf_slot_take(&table->slots[hash], bio, sector, nr_sectors);
}

/**
 * bf_inflight_remove_fast() - a bio has ended
 * @table: the table
 * @bio: its address
 *
 * Children of a bio are added before it ends, and seen here by whoever ends it.
 *
 * Context: Any.
 * Return: false if it is not in its slot, or not all of it; nothing is done then.
 */
static __always_inline bool bf_inflight_remove_fast(struct bf_inflight *table,
						    const void *bio)
{
	u32 hash = hash_ptr(bio, BF_SLOT_BITS);
	struct bf_slot *slot = &table->slots[hash];

	if (unlikely(READ_ONCE(slot->bio) != bio ||
		     bf_group_in_shard(table, hash)))
		return false;
	smp_store_release(&slot->bio, NULL);	/* the next one's range comes after */
	return true;
}

#endif /* BF_INFLIGHT_H */
