// SPDX-License-Identifier: Apache-2.0
/*
 * Pool. Policy: one session may have all buffers; while others are there none
 * gets more than its share, and with more sessions than buffers each may have
 * one; a buffer belongs to one session at a time.
 */
#include "target/pool.h"
#include "tap.h"

static struct bf_pool *pool;
static struct bf_error err;

/* Return: how many a session gets; their indices are in *taken. */
static uint32_t take_all(uint64_t *taken)
{
	uint32_t index, held = 0;

	while (bf_pool_take(pool, held, &index)) {
		check(index < BF_POOL_BUFFERS);
		check(!(*taken & 1ull << index));
		*taken |= 1ull << index;
		held++;
	}
	return held;
}

static void give_all(uint64_t taken)
{
	for (uint32_t i = 0; i < BF_POOL_BUFFERS; i++)
		if (taken & 1ull << i)
			bf_pool_give(pool, i);
}

static void alone_it_has_all(void)
{
	uint64_t taken = 0;

	check_eq(bf_pool_new(&pool, &err), 0);
	bf_pool_join(pool);
	check_eq(take_all(&taken), BF_POOL_BUFFERS);
	give_all(taken);
	taken = 0;
	check_eq(take_all(&taken), BF_POOL_BUFFERS);
	bf_pool_free(pool);
}

static void two_have_half_each(void)
{
	uint64_t taken = 0;

	check_eq(bf_pool_new(&pool, &err), 0);
	bf_pool_join(pool);
	bf_pool_join(pool);
	check_eq(take_all(&taken), BF_POOL_BUFFERS / 2);
	check_eq(take_all(&taken), BF_POOL_BUFFERS / 2);
	check_eq(take_all(&taken), 0);
	give_all(taken);
	bf_pool_leave(pool);
	taken = 0;
	check_eq(take_all(&taken), BF_POOL_BUFFERS);
	bf_pool_free(pool);
}

static void many_have_one_each(void)
{
	uint64_t taken = 0;

	check_eq(bf_pool_new(&pool, &err), 0);
	for (int i = 0; i < 3 * BF_POOL_BUFFERS; i++)
		bf_pool_join(pool);
	for (int i = 0; i < BF_POOL_BUFFERS; i++)
		check_eq(take_all(&taken), 1);
	check_eq(take_all(&taken), 0);
	bf_pool_free(pool);
}

int main(void)
{
	tap_run("alone it has all", alone_it_has_all);
	tap_run("two have half each", two_have_half_each);
	tap_run("many have one each", many_have_one_each);
	return tap_done();
}
