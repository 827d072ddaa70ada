/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reserve: leaves that marks may take in any context. Memory flows in from the
 * allocator in process context (bf_reserve_fill) and from committed
 * generations (bf_reserve_recycle); leaves flow out to the dirty map. Keeps
 * "the probe allocates nothing".
 */
#ifndef BF_RESERVE_H
#define BF_RESERVE_H

#include <linux/types.h>
#include <linux/atomic.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include <linux/blkferry.h>

#define BF_LEAF_WORDS	(BLKFERRY_LEAF_BYTES / sizeof(unsigned long))
#define BF_RESERVE_MIN	256	/* leaves kept ready, if the disk has as many */

struct bf_leaf {
	unsigned long words[BF_LEAF_WORDS];
};

/* Where all leaves of all trackers come from, and how much they may take. */
struct bf_leaf_pool {
	struct kmem_cache *cache;
	atomic_long_t nr_bytes;
	unsigned long max_bytes;
};

struct bf_reserve {
	struct bf_leaf_pool *pool;
	void (*low)(struct bf_reserve *reserve);	/* ask for a fill; any context */

	/*
	 * Innermost lock, taken with interrupts off by marks. Protects free,
	 * nr_free, target and retry_jiffies; the two in the middle are also
	 * read without it where a stale value does no harm.
	 */
	raw_spinlock_t lock;
	struct bf_leaf *free;		/* zeroed, but for words[0]: the next one */
	unsigned int nr_free;
	unsigned int target;
	unsigned long retry_jiffies;	/* not to be asked for again before */

	atomic_t nr_leaves;		/* free ones and those in maps */
};

void bf_reserve_init(struct bf_reserve *reserve, struct bf_leaf_pool *pool,
		     void (*low)(struct bf_reserve *reserve));
void bf_reserve_destroy(struct bf_reserve *reserve);
void bf_reserve_set_target(struct bf_reserve *reserve, unsigned int target);
bool bf_reserve_fill(struct bf_reserve *reserve, gfp_t gfp);
struct bf_leaf *bf_reserve_take(struct bf_reserve *reserve);
void bf_reserve_give(struct bf_reserve *reserve, struct bf_leaf *leaf);
void bf_reserve_recycle(struct bf_reserve *reserve, struct bf_leaf *leaf);

#endif /* BF_RESERVE_H */
