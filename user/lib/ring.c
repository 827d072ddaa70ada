// SPDX-License-Identifier: Apache-2.0
/*
 * Ring: block operations flow in, whole or failed completions flow out, through
 * one io_uring and a set of registered buffers. A short transfer is continued
 * here, so that RULE 4 holds below: "done" always means all of it.
 *
 * Only what liburing 0.7 and a 5.10 kernel offer is used.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "ring.h"

#define RETRIES_MAX 128		/* of one operation, on -EAGAIN and -EINTR */
#define BATCH 32
#define RETRY_MS 10

struct slot {
	struct bf_ring_op op;
	bool flush;
	uint32_t done_bytes;
	uint32_t retries;
	struct slot *next_free;
};

struct bf_ring {
	struct io_uring uring;
	uint32_t depth, in_flight;
	struct slot *slots, *free;
	uint8_t *memory;
	size_t memory_bytes, buffer_bytes;
	uint32_t nr_buffers, nr_own;
	uint8_t *lent;
	bool registered;
	int event_fd;
};

static int fail_init(struct bf_error *err, int error)
{
	switch (error) {
	case ENOSYS:
		return bf_fail(err, BF_E_SYSTEM, error,
			       "this kernel has no io_uring; a kernel 5.10 or later with CONFIG_IO_URING is needed");
	case EPERM:
	case EACCES:
		return bf_fail(err, BF_E_SYSTEM, error,
			       "io_uring is not permitted here; set kernel.io_uring_disabled to 0 with sysctl, or allow it in the container's seccomp profile");
	case ENOMEM:
		return bf_fail(err, BF_E_SYSTEM, error,
			       "no memory may be locked for io_uring; raise the limit with `ulimit -l` or LimitMEMLOCK=");
	default:
		return bf_fail(err, BF_E_SYSTEM, error,
			       "io_uring cannot be set up: %s", strerror(error));
	}
}

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

/* A refusal (RLIMIT_MEMLOCK, old kernel limits) costs speed, nothing else. */
static void register_buffers(struct bf_ring *r)
{
	_cleanup_free_ struct iovec *iov = calloc(r->nr_buffers, sizeof(*iov));
	uint32_t i;

	if (!iov || !r->nr_buffers)
		return;
	for (i = 0; i < r->nr_buffers; i++) {
		iov[i].iov_base = bf_ring_buffer(r, i);
		iov[i].iov_len = r->buffer_bytes;
	}
	r->registered = !io_uring_register_buffers(&r->uring, iov, r->nr_buffers);
}

static int make_slots(struct bf_ring *r, struct bf_error *err)
{
	uint32_t i;

	r->slots = calloc(r->depth, sizeof(*r->slots));
	if (!r->slots)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory for %u block operations", r->depth);
	for (i = r->depth; i-- > 0;) {
		r->slots[i].next_free = r->free;
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
	if (!ret) {
		ret = io_uring_queue_init(depth, &r->uring, 0);
		if (ret)
			ret = fail_init(err, -ret);
	}
	if (ret) {
		release_memory(r);
		return ret;
	}
	register_buffers(r);
	*ring = r;
	return 0;
}

/*
 * Operations that the kernel has are waited out, whatever happens, for it still
 * owns their buffers: a write that landed late would carry what another user of
 * the memory puts there. Those that were only queued are dropped with the ring.
 */
void bf_ring_free(struct bf_ring *ring)
{
	struct io_uring_cqe *cqe;
	uint32_t submitted;

	if (!ring)
		return;
	submitted = ring->in_flight - io_uring_sq_ready(&ring->uring);
	while (submitted) {
		int ret = io_uring_wait_cqe(&ring->uring, &cqe);

		if (ret) {
			poll(NULL, 0, RETRY_MS);
			continue;
		}
		io_uring_cqe_seen(&ring->uring, cqe);
		submitted--;
	}
	io_uring_queue_exit(&ring->uring);
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
	ret = io_uring_register_eventfd(&ring->uring, fd);
	if (ret) {
		close(fd);
		return ret;
	}
	ring->event_fd = fd;
	return fd;
}

/* Prepare what is left of the operation. */
static void prepare(struct bf_ring *r, struct slot *slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
	const struct bf_ring_op *op = &slot->op;
	uint32_t bytes = op->bytes - slot->done_bytes;
	uint64_t offset = op->offset_bytes + slot->done_bytes;
	uint8_t *data = NULL;

	/* The queue holds @depth entries and each slot has one at most. */
	if (slot->flush) {
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
		io_uring_sqe_set_data(sqe, slot);
		return;
	}
	data = bf_ring_buffer(r, op->buffer) + op->buffer_offset + slot->done_bytes;
	if (r->registered && op->write)
		io_uring_prep_write_fixed(sqe, op->fd, data, bytes, offset, op->buffer);
	else if (r->registered)
		io_uring_prep_read_fixed(sqe, op->fd, data, bytes, offset, op->buffer);
	else if (op->write)
		io_uring_prep_write(sqe, op->fd, data, bytes, offset);
	else
		io_uring_prep_read(sqe, op->fd, data, bytes, offset);
	io_uring_sqe_set_data(sqe, slot);
}

static struct slot *take_slot(struct bf_ring *r)
{
	struct slot *slot = r->free;

	if (!slot)
		return NULL;
	r->free = slot->next_free;
	r->in_flight++;
	slot->flush = false;
	slot->done_bytes = 0;
	slot->retries = 0;
	return slot;
}

static void give_slot(struct bf_ring *r, struct slot *slot)
{
	slot->next_free = r->free;
	r->free = slot;
	r->in_flight--;
}

int bf_ring_queue(struct bf_ring *ring, const struct bf_ring_op *op)
{
	struct slot *slot;

	if (op->buffer >= ring->nr_buffers || !op->bytes ||
	    (uint64_t)op->buffer_offset + op->bytes > ring->buffer_bytes)
		return -EINVAL;
	slot = take_slot(ring);
	if (!slot)
		return -EAGAIN;
	slot->op = *op;
	prepare(ring, slot);
	return 0;
}

int bf_ring_queue_flush(struct bf_ring *ring, int fd, uint64_t tag)
{
	struct slot *slot = take_slot(ring);

	if (!slot)
		return -EAGAIN;
	slot->op = (struct bf_ring_op){ .fd = fd, .tag = tag };
	slot->flush = true;
	prepare(ring, slot);
	return 0;
}

/*
 * A read that ends early has met the end of the file or device: -ENODATA. With
 * O_DIRECT its continuation may be unaligned, which answers -EINVAL instead of
 * "nothing more".
 */
static int final_result(const struct slot *slot, int res)
{
	if (res == 0)
		return slot->op.write ? -EIO : -ENODATA;
	if (res == -EINVAL && slot->done_bytes && !slot->op.write)
		return -ENODATA;
	return res;
}

/* Return: true if *result is final, false if the operation goes on. */
static bool settle(struct bf_ring *r, struct slot *slot, int res, int *result)
{
	if (slot->flush) {	/* never tried again: its error is told once */
		*result = res;
		return true;
	}
	if ((res == -EAGAIN || res == -EINTR) && slot->retries++ < RETRIES_MAX) {
		prepare(r, slot);
		return false;
	}
	if (res <= 0) {
		*result = final_result(slot, res);
		return true;
	}
	slot->done_bytes += res;
	if (slot->done_bytes < slot->op.bytes) {
		prepare(r, slot);
		return false;
	}
	*result = 0;
	return true;
}

static void collect(struct bf_ring *r, struct bf_ring_done *done, uint32_t max,
		    uint32_t *nr)
{
	struct io_uring_cqe *cqes[BATCH];
	unsigned int got, i;

	while (*nr < max) {
		unsigned int want = max - *nr < BATCH ? max - *nr : BATCH;

		got = io_uring_peek_batch_cqe(&r->uring, cqes, want);
		if (!got)
			return;
		for (i = 0; i < got; i++) {
			struct slot *slot = io_uring_cqe_get_data(cqes[i]);
			struct bf_ring_done d = { .tag = slot->op.tag };

			if (!settle(r, slot, cqes[i]->res, &d.result))
				continue;
			give_slot(r, slot);
			done[(*nr)++] = d;
		}
		io_uring_cq_advance(&r->uring, got);
	}
}

static int submit(struct bf_ring *r, uint32_t wait, struct bf_error *err)
{
	int ret = wait ? io_uring_submit_and_wait(&r->uring, wait) :
			 io_uring_submit(&r->uring);

	/* Busy or short of memory: completions that we collect free some. */
	if (ret >= 0 || ret == -EINTR || ret == -EAGAIN || ret == -EBUSY)
		return 0;
	return bf_fail(err, BF_E_SYSTEM, -ret, "io_uring does not take operations: %s",
		       strerror(-ret));
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
		ret = submit(ring, *nr < wait ? 1 : 0, err);
		if (ret)
			return ret;
		collect(ring, done, max, nr);
	} while (*nr < wait);
	/* What was continued just now must not lie there unsubmitted. */
	return io_uring_sq_ready(&ring->uring) ? submit(ring, 0, err) : 0;
}
