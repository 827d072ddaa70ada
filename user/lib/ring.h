/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring: block reads, writes and flushes through io_uring with registered,
 * page-aligned buffers, or through threads where the system refuses io_uring. A
 * ring belongs to one thread. Short transfers are continued inside; a completion
 * is reported once, whole or failed.
 */
#ifndef BF_LIB_RING_H
#define BF_LIB_RING_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct bf_ring;

/*
 * Return: 0 if io_uring is to be had. Otherwise a negative errno with cause and
 * cure in *why, for whoever starts: rings work, at a higher cost.
 */
int bf_ring_probe(struct bf_error *why);

struct bf_ring_op {
	int fd;
	bool write;
	bool background;		/* behind the I/O of others, where the
					 * scheduler knows priorities */
	uint32_t buffer;		/* index of a registered buffer */
	uint32_t buffer_offset;		/* bytes into it */
	uint32_t bytes;
	uint64_t offset_bytes;		/* on the device */
	uint64_t tag;			/* given back at completion */
};

/* A read beyond the end: no device answers so. (ENODATA is a bad medium.) */
#define BF_RING_END (-ERANGE)

struct bf_ring_done {
	uint64_t tag;
	int result;			/* 0, BF_RING_END or negative errno */
};

/*
 * @depth: operations in flight at most. @nr_buffers of @buffer_bytes each are
 * allocated and registered; where registration is refused (RLIMIT_MEMLOCK),
 * plain reads and writes are used.
 */
int bf_ring_new(struct bf_ring **ring, uint32_t depth, uint32_t nr_buffers,
		size_t buffer_bytes, struct bf_error *err);
/*
 * The same, and with the next indices @nr_lent buffers in the caller's memory:
 * whole pages, one behind the other, that outlive the ring.
 */
int bf_ring_new_lent(struct bf_ring **ring, uint32_t depth, uint32_t nr_buffers,
		     size_t buffer_bytes, uint8_t *lent, uint32_t nr_lent,
		     struct bf_error *err);
/* What a buffer takes in memory. */
size_t bf_ring_buffer_bytes(size_t buffer_bytes);
/* Waits out what is in flight; what was queued only is dropped. */
void bf_ring_free(struct bf_ring *ring);
uint8_t *bf_ring_buffer(struct bf_ring *ring, uint32_t index);

/* Return: 0, or -EAGAIN if @depth operations are in flight. */
int bf_ring_queue(struct bf_ring *ring, const struct bf_ring_op *op);
int bf_ring_queue_flush(struct bf_ring *ring, int fd, uint64_t tag);
/* Something waits to be submitted: the kernel was busy or short of memory. */
bool bf_ring_has_queued(const struct bf_ring *ring);
/* Submits what is queued, waits for @wait completions at least (0: none). */
int bf_ring_reap(struct bf_ring *ring, uint32_t wait, struct bf_ring_done *done,
		 uint32_t max, uint32_t *nr, struct bf_error *err);
uint32_t bf_ring_in_flight(const struct bf_ring *ring);
/* eventfd that becomes readable with completions, for poll(2). */
int bf_ring_event_fd(struct bf_ring *ring);

#endif /* BF_LIB_RING_H */
