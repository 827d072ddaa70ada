// SPDX-License-Identifier: Apache-2.0
/*
 * Ring, by io_uring: operations flow to the kernel and their results back,
 * through buffers that it knows beforehand where it allows that.
 *
 * Only what liburing 0.7 and a 5.10 kernel offer is used.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/ring_private.h"

#define BATCH 32
#define RETRY_MS 10
/* Best effort, the lowest level: ioprio_set(2); older headers do not have it. */
#define IOPRIO_BACKGROUND (2u << 13 | 7)

struct uring {
	struct io_uring uring;
	bool registered;		/* the kernel knows the buffers */
};

static int fail_open(struct bf_error *err, int error)
{
	switch (error) {
	case ENOSYS:
		return bf_fail(err, BF_E_SYSTEM, error,
			       "this kernel has no io_uring, or a seccomp profile hides it; a kernel with CONFIG_IO_URING, or a profile that allows io_uring_setup, brings it back");
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

/* A refusal (RLIMIT_MEMLOCK, old kernel limits) costs speed, nothing else. */
static void register_buffers(struct bf_ring *r, struct uring *u)
{
	_cleanup_free_ struct iovec *iov = calloc(r->nr_buffers + 1, sizeof(*iov));
	uint32_t i;

	if (!iov || !r->nr_buffers)
		return;
	for (i = 0; i < r->nr_buffers; i++) {
		iov[i].iov_base = bf_ring_buffer(r, i);
		iov[i].iov_len = r->buffer_bytes;
	}
	u->registered = !io_uring_register_buffers(&u->uring, iov, r->nr_buffers);
}

static int uring_open(struct bf_ring *ring, struct bf_error *err)
{
	struct uring *u = calloc(1, sizeof(*u));
	int ret;

	if (!u)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory for a ring");
	ret = io_uring_queue_init(ring->depth, &u->uring, 0);
	if (ret) {
		free(u);
		return fail_open(err, -ret);
	}
	register_buffers(ring, u);
	ring->state = u;
	return 0;
}

/*
 * Operations that the kernel has are waited out, whatever happens, for it still
 * owns their buffers: a write that landed late would carry what another user of
 * the memory puts there. Those that were only queued are dropped with the ring.
 */
static void uring_close(struct bf_ring *ring)
{
	struct uring *u = ring->state;
	uint32_t submitted = ring->in_flight - io_uring_sq_ready(&u->uring);
	struct io_uring_cqe *cqe;

	while (submitted) {
		if (io_uring_wait_cqe(&u->uring, &cqe)) {
			poll(NULL, 0, RETRY_MS);
			continue;
		}
		io_uring_cqe_seen(&u->uring, cqe);
		submitted--;
	}
	io_uring_queue_exit(&u->uring);
	free(u);
}

static void prepare_transfer(struct bf_ring *r, struct uring *u,
			     struct io_uring_sqe *sqe,
			     const struct bf_ring_slot *slot)
{
	const struct bf_ring_op *op = &slot->op;
	uint64_t offset = bf_ring_offset_bytes(slot);
	uint32_t bytes = bf_ring_bytes(slot);
	uint8_t *data = bf_ring_data(r, slot);

	if (u->registered && op->write)
		io_uring_prep_write_fixed(sqe, op->fd, data, bytes, offset, op->buffer);
	else if (u->registered)
		io_uring_prep_read_fixed(sqe, op->fd, data, bytes, offset, op->buffer);
	else if (op->write)
		io_uring_prep_write(sqe, op->fd, data, bytes, offset);
	else
		io_uring_prep_read(sqe, op->fd, data, bytes, offset);
}

static void uring_queue(struct bf_ring *ring, struct bf_ring_slot *slot)
{
	struct uring *u = ring->state;
	/* The queue holds @depth entries and each slot has one at most. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->uring);

	if (slot->flush)
		io_uring_prep_fsync(sqe, slot->op.fd, IORING_FSYNC_DATASYNC);
	else
		prepare_transfer(ring, u, sqe, slot);
	if (slot->op.background)
		sqe->ioprio = IOPRIO_BACKGROUND;
	io_uring_sqe_set_data(sqe, slot);
}

static bool uring_has_queued(struct bf_ring *ring)
{
	struct uring *u = ring->state;

	return io_uring_sq_ready(&u->uring);
}

static int uring_submit(struct bf_ring *ring, bool wait, struct bf_error *err)
{
	struct uring *u = ring->state;
	int ret = wait ? io_uring_submit_and_wait(&u->uring, 1) :
			 io_uring_submit(&u->uring);

	/* Busy or short of memory: completions that we collect free some. */
	if (ret >= 0 || ret == -EINTR || ret == -EAGAIN || ret == -EBUSY)
		return 0;
	return bf_fail(err, BF_E_SYSTEM, -ret, "io_uring does not take operations: %s",
		       strerror(-ret));
}

static uint32_t uring_collect(struct bf_ring *ring,
			      struct bf_ring_transfer *transfers, uint32_t max)
{
	struct uring *u = ring->state;
	struct io_uring_cqe *cqes[BATCH];
	uint32_t got = io_uring_peek_batch_cqe(&u->uring, cqes,
					       max < BATCH ? max : BATCH);

	for (uint32_t i = 0; i < got; i++)
		transfers[i] = (struct bf_ring_transfer){
			.slot = io_uring_cqe_get_data(cqes[i]),
			.res = cqes[i]->res,
		};
	io_uring_cq_advance(&u->uring, got);
	return got;
}

static int uring_notify(struct bf_ring *ring, int fd)
{
	struct uring *u = ring->state;

	return io_uring_register_eventfd(&u->uring, fd);
}

const struct bf_ring_engine bf_ring_uring = {
	.open = uring_open,
	.close = uring_close,
	.queue = uring_queue,
	.has_queued = uring_has_queued,
	.submit = uring_submit,
	.collect = uring_collect,
	.notify = uring_notify,
};

int bf_ring_probe(struct bf_error *why)
{
	struct io_uring uring;
	int ret = io_uring_queue_init(1, &uring, 0);

	if (ret)
		return fail_open(why, -ret);
	io_uring_queue_exit(&uring);
	return 0;
}
