/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Doubts: where the end of a chained bio is not traced (BF_CHAINED_BIO_HIDES), and
 * one was not seen to begin or found no room in the in-flight table, all that can
 * be told is when its chain has ended: with the bio that it is chained to. A
 * resync that begins before may read what lands after, so that the reason UNSEEN
 * is raised at once, and again at that end (RULE 3).
 */
#ifndef BF_DOUBT_H
#define BF_DOUBT_H

#include <linux/compiler.h>

struct bf_disk;

extern unsigned int bf_nr_doubts;	/* read without a lock, see bf_doubts_end() */

void bf_doubt(struct bf_disk *disk, const void *last);
void bf_doubts_move(const void *from, const void *to);
void bf_doubts_resolve(const void *bio);
void bf_doubts_drop(const struct bf_disk *disk);

/**
 * bf_doubts_hand_on() - a bio turns out to be chained to another
 * @from: its address
 * @to: the bio with which the chain ends now, which has not ended
 *
 * Context: Any, in an RCU read section.
 */
static __always_inline void bf_doubts_hand_on(const void *from, const void *to)
{
	if (unlikely(READ_ONCE(bf_nr_doubts)))
		bf_doubts_move(from, to);
}

/**
 * bf_doubts_end() - a bio has ended
 * @bio: its address
 *
 * What is chained to a bio was submitted before that one could end: its doubt is
 * there by then, seen by whoever ends it.
 *
 * Context: Any, in an RCU read section.
 */
static __always_inline void bf_doubts_end(const void *bio)
{
	if (unlikely(READ_ONCE(bf_nr_doubts)))
		bf_doubts_resolve(bio);
}

#endif /* BF_DOUBT_H */
