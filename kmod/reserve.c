// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reserve of leaves: see reserve.h. Builds in the kernel and, against
 * tests/unit/shim, in userspace.
 */
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "fault.h"
#include "reserve.h"

/* A fill that failed is asked for again after this long. */
#define RETRY_JIFFIES	HZ

static struct bf_leaf *leaf_alloc(struct bf_reserve *reserve, gfp_t gfp)
{
	struct bf_leaf_pool *pool = reserve->pool;
	struct bf_leaf *leaf;

	if ((unsigned long)atomic_long_add_return(sizeof(*leaf), &pool->nr_bytes) >
	    READ_ONCE(pool->max_bytes))
		goto over;
	leaf = bf_fault(BF_FAULT_LEAF_MEMORY) ? NULL :
	       kmem_cache_zalloc(pool->cache, gfp | __GFP_NOWARN);
	if (!leaf)
		goto over;
	atomic_inc(&reserve->nr_leaves);
	return leaf;
over:
	atomic_long_sub(sizeof(*leaf), &pool->nr_bytes);
	return NULL;
}

static void leaf_free(struct bf_reserve *reserve, struct bf_leaf *leaf)
{
	struct bf_leaf_pool *pool = reserve->pool;

	kmem_cache_free(pool->cache, leaf);
	atomic_dec(&reserve->nr_leaves);
	atomic_long_sub(sizeof(*leaf), &pool->nr_bytes);
}

/**
 * bf_reserve_init() - an empty reserve with target 0
 * @reserve: the reserve
 * @pool: where its leaves come from
 * @low: called in any context when a fill is wanted
 *
 * Context: Any.
 */
void bf_reserve_init(struct bf_reserve *reserve, struct bf_leaf_pool *pool,
		     void (*low)(struct bf_reserve *reserve))
{
	memset(reserve, 0, sizeof(*reserve));
	raw_spin_lock_init(&reserve->lock);
	reserve->pool = pool;
	reserve->low = low;
	reserve->retry_jiffies = jiffies;
	atomic_set(&reserve->nr_leaves, 0);
}

/**
 * bf_reserve_destroy() - give all leaves back to the allocator
 * @reserve: the reserve; no map holds a leaf of it, nobody else uses it
 *
 * Context: Process.
 */
void bf_reserve_destroy(struct bf_reserve *reserve)
{
	struct bf_leaf *leaf;

	bf_reserve_set_target(reserve, 0);
	while ((leaf = bf_reserve_take(reserve)))
		leaf_free(reserve, leaf);
	WARN_ON_ONCE(atomic_read(&reserve->nr_leaves));
}

/**
 * bf_reserve_set_target() - say how many leaves to keep ready
 * @reserve: the reserve
 * @target: number of leaves; bf_reserve_fill() goes up to it, surplus that is
 * recycled above it goes back to the allocator
 *
 * Context: Any.
 */
void bf_reserve_set_target(struct bf_reserve *reserve, unsigned int target)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&reserve->lock, flags);
	WRITE_ONCE(reserve->target, target);
	reserve->retry_jiffies = jiffies;
	raw_spin_unlock_irqrestore(&reserve->lock, flags);
}

/**
 * bf_reserve_take() - take a zeroed leaf
 * @reserve: the reserve
 *
 * Context: Any.
 * Return: a leaf, or NULL if the reserve is dry. The second half of the target
 * asks for a fill through reserve->low().
 */
struct bf_leaf *bf_reserve_take(struct bf_reserve *reserve)
{
	struct bf_leaf *leaf;
	unsigned long flags;
	bool low;

	raw_spin_lock_irqsave(&reserve->lock, flags);
	leaf = reserve->free;
	if (leaf) {
		reserve->free = (struct bf_leaf *)leaf->words[0];
		leaf->words[0] = 0;
		WRITE_ONCE(reserve->nr_free, reserve->nr_free - 1);
	}
	low = reserve->nr_free < reserve->target / 2 + reserve->target % 2 &&
	      time_after_eq(jiffies, reserve->retry_jiffies);
	raw_spin_unlock_irqrestore(&reserve->lock, flags);

	if (low)
		reserve->low(reserve);
	return leaf;
}

/**
 * bf_reserve_give() - put back a leaf that is zeroed
 * @reserve: the reserve
 * @leaf: the leaf
 *
 * Context: Any.
 */
void bf_reserve_give(struct bf_reserve *reserve, struct bf_leaf *leaf)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&reserve->lock, flags);
	leaf->words[0] = (unsigned long)reserve->free;
	reserve->free = leaf;
	WRITE_ONCE(reserve->nr_free, reserve->nr_free + 1);
	raw_spin_unlock_irqrestore(&reserve->lock, flags);
}

/**
 * bf_reserve_recycle() - put back a leaf that was used
 * @reserve: the reserve
 * @leaf: the leaf; nobody refers to it any more
 *
 * Context: Process.
 */
void bf_reserve_recycle(struct bf_reserve *reserve, struct bf_leaf *leaf)
{
	if (READ_ONCE(reserve->nr_free) >= READ_ONCE(reserve->target)) {
		leaf_free(reserve, leaf);
		return;
	}
	memset(leaf, 0, sizeof(*leaf));
	bf_reserve_give(reserve, leaf);
}

/**
 * bf_reserve_fill() - allocate leaves up to the target
 * @reserve: the reserve
 * @gfp: how to allocate
 *
 * Context: Process, or any that suits @gfp.
 * Return: true if the target is reached. If not, marks do not ask again for a
 * second.
 */
bool bf_reserve_fill(struct bf_reserve *reserve, gfp_t gfp)
{
	while (READ_ONCE(reserve->nr_free) < READ_ONCE(reserve->target)) {
		struct bf_leaf *leaf = leaf_alloc(reserve, gfp);
		unsigned long flags;

		if (!leaf) {
			raw_spin_lock_irqsave(&reserve->lock, flags);
			reserve->retry_jiffies = jiffies + RETRY_JIFFIES;
			raw_spin_unlock_irqrestore(&reserve->lock, flags);
			return false;
		}
		bf_reserve_give(reserve, leaf);
	}
	return true;
}
