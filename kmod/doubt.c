// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doubts: see doubt.h.
 */
#include <linux/spinlock.h>

#include <linux/blkferry.h>

#include "disk.h"
#include "doubt.h"
#include "mark.h"

/* Chains that were under way when a disk was tracked: few, and for a moment. */
#define DOUBTS_MAX 32

static DEFINE_RAW_SPINLOCK(doubts_lock);	/* taken with interrupts off */
static struct {
	const void *last;	/* the bio that the others are chained to */
	struct bf_disk *disk;
} doubts[DOUBTS_MAX];

unsigned int bf_nr_doubts;	/* written under doubts_lock */

/* With the lock held. One that is known already is as good. */
static void remember(struct bf_disk *disk, const void *last)
{
	unsigned int i;

	for (i = 0; i < bf_nr_doubts; i++)
		if (doubts[i].last == last && doubts[i].disk == disk)
			return;
	if (bf_nr_doubts == DOUBTS_MAX) {
		WRITE_ONCE(disk->doubts_chains, true);
		return;
	}
	doubts[bf_nr_doubts].last = last;
	doubts[bf_nr_doubts].disk = disk;
	WRITE_ONCE(bf_nr_doubts, bf_nr_doubts + 1);
}

/* With the lock held. */
static void forget(unsigned int i)
{
	WRITE_ONCE(bf_nr_doubts, bf_nr_doubts - 1);
	doubts[i] = doubts[bf_nr_doubts];
}

/**
 * bf_doubt() - what is chained to a bio may land unseen
 * @disk: the disk on which it lands
 * @last: the bio, which has not ended
 *
 * Where there are more than can be remembered the disk doubts the end of every
 * chain from then on.
 *
 * Context: Any, in an RCU read section.
 */
void bf_doubt(struct bf_disk *disk, const void *last)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&doubts_lock, flags);
	remember(disk, last);
	raw_spin_unlock_irqrestore(&doubts_lock, flags);
	bf_raise_disk(disk, BLKFERRY_REASON_UNSEEN);
}

/**
 * bf_doubts_move() - the doubts on one bio are those on another
 * @from: a bio whose end will not be seen
 * @to: the one with which its chain ends
 *
 * Context: Any, in an RCU read section.
 */
void bf_doubts_move(const void *from, const void *to)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&doubts_lock, flags);
	for (i = 0; i < bf_nr_doubts; i++)
		if (doubts[i].last == from)
			doubts[i].last = to;
	raw_spin_unlock_irqrestore(&doubts_lock, flags);
}

/**
 * bf_doubts_resolve() - raise the reason for what has landed with a bio
 * @bio: the bio, which has ended
 *
 * Under the lock, so that a disk that is let go of is not raised on later.
 *
 * Context: Any, in an RCU read section.
 */
void bf_doubts_resolve(const void *bio)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&doubts_lock, flags);
	for (i = bf_nr_doubts; i--;) {
		if (doubts[i].last != bio)
			continue;
		bf_raise_disk(doubts[i].disk, BLKFERRY_REASON_UNSEEN);
		forget(i);
	}
	raw_spin_unlock_irqrestore(&doubts_lock, flags);
}

/**
 * bf_doubts_drop() - nobody wants to know any more
 * @disk: a disk that no probe holds any more
 *
 * Context: Process.
 */
void bf_doubts_drop(const struct bf_disk *disk)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&doubts_lock, flags);
	for (i = bf_nr_doubts; i--;)
		if (doubts[i].disk == disk)
			forget(i);
	raw_spin_unlock_irqrestore(&doubts_lock, flags);
}
