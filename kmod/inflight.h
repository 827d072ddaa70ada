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
 * Locks: each shard has one, raw and taken with interrupts off, innermost.
 */
#ifndef BF_INFLIGHT_H
#define BF_INFLIGHT_H

#include "range.h"

struct bf_inflight;

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

#endif /* BF_INFLIGHT_H */
