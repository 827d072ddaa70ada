/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pool: the buffers that all sessions of a receiver share beside the few that
 * each has for itself. Its size bounds what the receiver holds, however many
 * sources there are; no session gets more than its share while others want some.
 */
#ifndef BF_TARGET_POOL_H
#define BF_TARGET_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

#define BF_POOL_BUFFERS 16
/* One more that holds zeroes and is never taken. */
#define BF_POOL_ZEROES BF_POOL_BUFFERS

struct bf_pool;

int bf_pool_new(struct bf_pool **pool, struct bf_error *err);
/* When no session is left. */
void bf_pool_free(struct bf_pool *pool);
/* BF_POOL_BUFFERS + 1 buffers of bf_ring_buffer_bytes(BF_FRAME_ROOM_BYTES). */
uint8_t *bf_pool_memory(struct bf_pool *pool);

/* A session begins and ceases to take its share. */
void bf_pool_join(struct bf_pool *pool);
void bf_pool_leave(struct bf_pool *pool);
/* Return: false if @held, what the session has, is its share, or none is left. */
bool bf_pool_take(struct bf_pool *pool, uint32_t held, uint32_t *index);
void bf_pool_give(struct bf_pool *pool, uint32_t index);

#endif /* BF_TARGET_POOL_H */
