// SPDX-License-Identifier: Apache-2.0
/*
 * Ring: block operations flow in, whole or failed completions flow out, through
 * an engine (ring_uring.c, or ring_threads.c where the system refuses that) and
 * a set of buffers. A short transfer is continued here, so that RULE 4 holds
 * below: "done" always means all of it.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "ring_private.h"

#define RETRIES_MAX 128		/* of one operation, on -EAGAIN and -EINTR */
#define BATCH 32

static int map_buffers(struct bf_ring *r, struct bf_error *err)
{
	void *memory;

	r->memory_bytes = r->nr_own * r->buffer_bytes;
	if (!r->memory_bytes)
		return 0;
	memory = mmap(NULL, r->memory_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "cannot allocate %zu bytes of I/O buffers",
			       r->memory_bytes);
	r->memory = memory;
	return 0;
}

static int make_slots(struct bf_ring *r, struct bf_error *err)
{
	uint32_t i;

	r->slots = calloc(r->depth, sizeof(*r->slots));
	if (!r->slots)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory for %u block operations", r->depth);
	for (i = r->depth; i-- > 0;) {
		r->slots[i].next = r->free;
		r->free = &r->slots[i];
	}
	return 0;
}

static void release_memory(struct bf_ring *r)
{
	if (r->memory)
		munmap(r->memory, r->memory_bytes);
	if (r->event_fd >= 0)
		close(r->event_fd);
	free(r->slots);
	free(r);
}

size_t bf_ring_buffer_bytes(size_t buffer_bytes)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (buffer_bytes + page - 1) & ~(page - 1);
}

/*
 * What the system does not grant is done without: a kernel that has no io_uring,
 * forbids it, or counts its memory against a limit. Anything else is an error.
 */
static int open_engine(struct bf_ring *r, struct bf_error *err)
{
	int ret;

	r->engine = &bf_ring_uring;
	ret = r->engine->open(r, err);
	if (ret != -ENOSYS && ret != -EPERM && ret != -EACCES && ret != -ENOMEM)
		return ret;
	r->engine = &bf_ring_threads;
	return r->engine->open(r, err);
}

int bf_ring_new(struct bf_ring **ring, uint32_t depth, uint32_t nr_buffers,
		size_t buffer_bytes, struct bf_error *err)
{
	return bf_ring_new_lent(ring, depth, nr_buffers, buffer_bytes, NULL, 0,
				err);
}

int bf_ring_new_lent(struct bf_ring **ring, uint32_t depth, uint32_t nr_buffers,
		     size_t buffer_bytes, uint8_t *lent, uint32_t nr_lent,
		     struct bf_error *err)
{
	struct bf_ring *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory for a ring");
	r->event_fd = -1;
	r->depth = depth;
	r->nr_own = nr_buffers;
	r->nr_buffers = nr_buffers + nr_lent;
	r->lent = lent;
	r->buffer_bytes = bf_ring_buffer_bytes(buffer_bytes);
	ret = make_slots(r, err);
	if (!ret)
		ret = map_buffers(r, err);
	if (!ret)
		ret = open_engine(r, err);
	if (ret) {
		release_memory(r);
		return ret;
	}
	*ring = r;
	return 0;
}

void bf_ring_free(struct bf_ring *ring)
{
	if (!ring)
		return;
	ring->engine->close(ring);
	release_memory(ring);
}

uint8_t *bf_ring_buffer(struct bf_ring *ring, uint32_t index)
{
	if (index >= ring->nr_own)
		return ring->lent + (index - ring->nr_own) * ring->buffer_bytes;
	return ring->memory + index * ring->buffer_bytes;
}

uint32_t bf_ring_in_flight(const struct bf_ring *ring)
{
	return ring->in_flight;
}

int bf_ring_event_fd(struct bf_ring *ring)
{
	int fd, ret;

	if (ring->event_fd >= 0)
		return ring->event_fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	ret = ring->engine->notify(ring, fd);
	if (ret) {
		close(fd);
		return ret;
	}
	ring->event_fd = fd;
	return fd;
}

static struct bf_ring_slot *take_slot(struct bf_ring *r)
{
	struct bf_ring_slot *slot = r->free;

	if (!slot)
		return NULL;
	r->free = slot->next;
	r->in_flight++;
	slot->flush = false;
	slot->done_bytes = 0;
	slot->retries = 0;
	return slot;
}

static void give_slot(struct bf_ring *r, struct bf_ring_slot *slot)
{
	slot->next = r->free;
	r->free = slot;
	r->in_flight--;
}

int bf_ring_queue(struct bf_ring *ring, const struct bf_ring_op *op)
{
	struct bf_ring_slot *slot;

	if (op->buffer >= ring->nr_buffers || !op->bytes ||
	    (uint64_t)op->buffer_offset + op->bytes > ring->buffer_bytes)
		return -EINVAL;
	slot = take_slot(ring);
	if (!slot)
		return -EAGAIN;
	slot->op = *op;
	ring->engine->queue(ring, slot);
	return 0;
}

int bf_ring_queue_flush(struct bf_ring *ring, int fd, uint64_t tag)
{
	struct bf_ring_slot *slot = take_slot(ring);

	if (!slot)
		return -EAGAIN;
	slot->op = (struct bf_ring_op){ .fd = fd, .tag = tag };
	slot->flush = true;
	ring->engine->queue(ring, slot);
	return 0;
}

/*
 * A read that ends early has met the end of the file or device. With O_DIRECT
 * its continuation may be unaligned, which answers -EINVAL instead of "nothing
 * more".
 */
static int final_result(const struct bf_ring_slot *slot, int res)
{
	if (res == 0)
		return slot->op.write ? -EIO : BF_RING_END;
	if (res == -EINVAL && slot->done_bytes && !slot->op.write)
		return BF_RING_END;
	return res;
}

/* Return: true if *result is final, false if the operation goes on. */
static bool settle(struct bf_ring *r, struct bf_ring_slot *slot, int res, int *result)
{
	if (slot->flush) {	/* never tried again: its error is told once */
		*result = res;
		return true;
	}
	if ((res == -EAGAIN || res == -EINTR) && slot->retries++ < RETRIES_MAX) {
		r->engine->queue(r, slot);
		return false;
	}
	if (res <= 0) {
		*result = final_result(slot, res);
		return true;
	}
	slot->done_bytes += res;
	if (slot->done_bytes < slot->op.bytes) {
		r->engine->queue(r, slot);
		return false;
	}
	*result = 0;
	return true;
}

static void collect(struct bf_ring *r, struct bf_ring_done *done, uint32_t max,
		    uint32_t *nr)
{
	struct bf_ring_transfer transfers[BATCH];

	while (*nr < max) {
		uint32_t want = max - *nr < BATCH ? max - *nr : BATCH;
		uint32_t got = r->engine->collect(r, transfers, want);

		if (!got)
			return;
		for (uint32_t i = 0; i < got; i++) {
			struct bf_ring_slot *slot = transfers[i].slot;
			struct bf_ring_done d = { .tag = slot->op.tag };

			if (!settle(r, slot, transfers[i].res, &d.result))
				continue;
			give_slot(r, slot);
			done[(*nr)++] = d;
		}
	}
}

bool bf_ring_has_queued(const struct bf_ring *ring)
{
	return ring->engine->has_queued((struct bf_ring *)ring);
}

int bf_ring_reap(struct bf_ring *ring, uint32_t wait, struct bf_ring_done *done,
		 uint32_t max, uint32_t *nr, struct bf_error *err)
{
	int ret;

	*nr = 0;
	if (wait > max)
		wait = max;
	if (wait > ring->in_flight)
		wait = ring->in_flight;
	collect(ring, done, max, nr);
	do {
		/* Some of those waited for may only be continued: go round. */
		ret = ring->engine->submit(ring, *nr < wait, err);
		if (ret)
			return ret;
		collect(ring, done, max, nr);
	} while (*nr < wait);
	/* What was continued just now must not lie there unsubmitted. */
	return bf_ring_has_queued(ring) ?
	       ring->engine->submit(ring, false, err) : 0;
}
