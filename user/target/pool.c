// SPDX-License-Identifier: Apache-2.0
/*
 * Pool: sessions flow in, buffers flow out and back. A buffer is given away as
 * soon as its last write has completed, so shares follow who joins and leaves
 * within the time of a few writes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/frame.h"
#include "lib/ring.h"
#include "target/pool.h"

/* @lock guards all below it and is a leaf. */
struct bf_pool {
	uint8_t *memory;
	size_t memory_bytes;
	pthread_mutex_t lock;
	uint32_t sessions;
	uint32_t free[BF_POOL_BUFFERS], nr_free;
};

int bf_pool_new(struct bf_pool **pool, struct bf_error *err)
{
	struct bf_pool *p = calloc(1, sizeof(*p));
	void *memory;

	if (!p)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	p->memory_bytes = (BF_POOL_BUFFERS + 1) *
			  bf_ring_buffer_bytes(BF_FRAME_ROOM_BYTES);
	memory = mmap(NULL, p->memory_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		free(p);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "no memory for the receiver's buffers");
	}
	p->memory = memory;
	pthread_mutex_init(&p->lock, NULL);
	while (p->nr_free < BF_POOL_BUFFERS) {
		p->free[p->nr_free] = p->nr_free;
		p->nr_free++;
	}
	*pool = p;
	return 0;
}

void bf_pool_free(struct bf_pool *pool)
{
	if (!pool)
		return;
	munmap(pool->memory, pool->memory_bytes);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

uint8_t *bf_pool_memory(struct bf_pool *pool)
{
	return pool->memory;
}

void bf_pool_join(struct bf_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->sessions++;
	pthread_mutex_unlock(&pool->lock);
}

void bf_pool_leave(struct bf_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->sessions--;
	pthread_mutex_unlock(&pool->lock);
}

/* At least one: with more sessions than buffers it is first come. */
static uint32_t share(const struct bf_pool *pool)
{
	uint32_t each = BF_POOL_BUFFERS / (pool->sessions ? pool->sessions : 1);

	return each ? each : 1;
}

bool bf_pool_take(struct bf_pool *pool, uint32_t held, uint32_t *index)
{
	bool taken;

	pthread_mutex_lock(&pool->lock);
	taken = pool->nr_free && held < share(pool);
	if (taken)
		*index = pool->free[--pool->nr_free];
	pthread_mutex_unlock(&pool->lock);
	return taken;
}

void bf_pool_give(struct bf_pool *pool, uint32_t index)
{
	pthread_mutex_lock(&pool->lock);
	pool->free[pool->nr_free++] = index;
	pthread_mutex_unlock(&pool->lock);
}
