/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring, from the inside: what it shares with the engines that carry its
 * operations out. Private to ring*.c. Everything belongs to the ring's thread;
 * an engine with threads of its own guards what it shares with them.
 */
#ifndef BF_LIB_RING_PRIVATE_H
#define BF_LIB_RING_PRIVATE_H

#include "lib/ring.h"

/* An operation, from bf_ring_queue to the completion that is reported. */
struct bf_ring_slot {
	struct bf_ring_op op;
	bool flush;
	uint32_t done_bytes;		/* of it, by transfers before */
	uint32_t retries;
	int res;			/* an engine's: of the last transfer */
	struct bf_ring_slot *next;	/* of the free ones, or an engine's */
};

/* One transfer that has ended: bytes, or a negative errno. */
struct bf_ring_transfer {
	struct bf_ring_slot *slot;
	int res;
};

struct bf_ring_engine {
	/* Return: 0, or a negative errno with words; then nothing is left. */
	int (*open)(struct bf_ring *ring, struct bf_error *err);
	/* Transfers that were handed over are waited out, others dropped. */
	void (*close)(struct bf_ring *ring);
	/* What is left of the operation, with the next submit. There is room:
	 * a ring has as many slots as its engine holds transfers. */
	void (*queue)(struct bf_ring *ring, struct bf_ring_slot *slot);
	bool (*has_queued)(struct bf_ring *ring);
	/* Hands over what is queued; with @wait, until one has ended. */
	int (*submit)(struct bf_ring *ring, bool wait, struct bf_error *err);
	uint32_t (*collect)(struct bf_ring *ring,
			    struct bf_ring_transfer *transfers, uint32_t max);
	/* @fd: an eventfd, to be raised whenever a transfer ends. */
	int (*notify)(struct bf_ring *ring, int fd);
};

extern const struct bf_ring_engine bf_ring_uring;
extern const struct bf_ring_engine bf_ring_threads;

struct bf_ring {
	const struct bf_ring_engine *engine;
	void *state;			/* the engine's */
	uint32_t depth, in_flight;
	struct bf_ring_slot *slots, *free;
	uint8_t *memory;
	size_t memory_bytes, buffer_bytes;
	uint32_t nr_buffers, nr_own;
	uint8_t *lent;
	int event_fd;
};

/* Where the rest of a read or write goes on in memory and on the device. */
static inline uint8_t *bf_ring_data(struct bf_ring *ring,
				    const struct bf_ring_slot *slot)
{
	return bf_ring_buffer(ring, slot->op.buffer) + slot->op.buffer_offset +
	       slot->done_bytes;
}

static inline uint32_t bf_ring_bytes(const struct bf_ring_slot *slot)
{
	return slot->op.bytes - slot->done_bytes;
}

static inline uint64_t bf_ring_offset_bytes(const struct bf_ring_slot *slot)
{
	return slot->op.offset_bytes + slot->done_bytes;
}

#endif /* BF_LIB_RING_PRIVATE_H */
