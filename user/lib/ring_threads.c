// SPDX-License-Identifier: Apache-2.0
/*
 * Ring, by threads: where the system refuses io_uring (a sysctl, a seccomp
 * profile, a kernel without it), a few threads carry the operations out with
 * pread(2), pwrite(2) and fdatasync(2). Slower, and nothing else.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/ring_private.h"
#include "lib/thread.h"

#define THREADS_MAX 4

/* A list with its end, in order. */
struct list {
	struct bf_ring_slot *head, **tail;
};

struct threads {
	struct bf_ring *ring;
	pthread_t thread[THREADS_MAX];
	uint32_t nr_threads;
	struct list queued;		/* the ring's thread's */

	pthread_mutex_t lock;		/* guards what follows; a leaf */
	pthread_cond_t handed_over, ended;
	struct list waiting, done;
	bool stop;
	int event_fd;
};

static void list_init(struct list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static void list_add(struct list *list, struct bf_ring_slot *slot)
{
	slot->next = NULL;
	*list->tail = slot;
	list->tail = &slot->next;
}

static struct bf_ring_slot *list_take(struct list *list)
{
	struct bf_ring_slot *slot = list->head;

	if (slot)
		list->head = slot->next;
	if (!list->head)
		list->tail = &list->head;
	return slot;
}

/* --- the threads --------------------------------------------------------------- */

/* Without the lock: the slot is this thread's until it is done. */
static int transfer(struct bf_ring *ring, const struct bf_ring_slot *slot)
{
	const struct bf_ring_op *op = &slot->op;
	ssize_t n;

	if (slot->flush)
		n = fdatasync(op->fd);
	else if (op->write)
		n = pwrite(op->fd, bf_ring_data(ring, slot), bf_ring_bytes(slot),
			   (off_t)bf_ring_offset_bytes(slot));
	else
		n = pread(op->fd, bf_ring_data(ring, slot), bf_ring_bytes(slot),
			  (off_t)bf_ring_offset_bytes(slot));
	return n < 0 ? -errno : (int)n;
}

/* With the lock. */
static void tell(struct threads *t)
{
	uint64_t one = 1;

	pthread_cond_signal(&t->ended);
	/* Fails only when the counter is full: then it is readable anyway. */
	if (t->event_fd >= 0 && write(t->event_fd, &one, sizeof(one)) < 0)
		return;
}

static void *thread_main(void *context)
{
	struct threads *t = context;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		struct bf_ring_slot *slot = list_take(&t->waiting);

		if (!slot) {
			pthread_cond_wait(&t->handed_over, &t->lock);
			continue;
		}
		pthread_mutex_unlock(&t->lock);
		slot->res = transfer(t->ring, slot);
		pthread_mutex_lock(&t->lock);
		list_add(&t->done, slot);
		tell(t);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* --- the ring's thread ---------------------------------------------------------- */

/* Whoever is within a transfer ends it first; what nobody has begun is dropped. */
static void threads_close(struct bf_ring *ring)
{
	struct threads *t = ring->state;

	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->handed_over);
	pthread_mutex_unlock(&t->lock);
	for (uint32_t i = 0; i < t->nr_threads; i++)
		pthread_join(t->thread[i], NULL);
	pthread_cond_destroy(&t->ended);
	pthread_cond_destroy(&t->handed_over);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static int start_threads(struct threads *t, struct bf_error *err)
{
	uint32_t wanted = t->ring->depth < THREADS_MAX ? t->ring->depth :
							 THREADS_MAX;

	while (t->nr_threads < wanted) {
		int ret = bf_thread_start(&t->thread[t->nr_threads], thread_main,
					  t);

		if (ret)
			return bf_fail(err, BF_E_SYSTEM, ret,
				       "cannot start a thread for reads and writes: %s",
				       strerror(ret));
		t->nr_threads++;
	}
	return 0;
}

static int threads_open(struct bf_ring *ring, struct bf_error *err)
{
	struct threads *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory for a ring");
	t->ring = ring;
	t->event_fd = -1;
	list_init(&t->queued);
	list_init(&t->waiting);
	list_init(&t->done);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->handed_over, NULL);
	pthread_cond_init(&t->ended, NULL);
	ring->state = t;
	ret = start_threads(t, err);
	if (ret)
		threads_close(ring);
	return ret;
}

static void threads_queue(struct bf_ring *ring, struct bf_ring_slot *slot)
{
	struct threads *t = ring->state;

	list_add(&t->queued, slot);
}

static bool threads_has_queued(struct bf_ring *ring)
{
	struct threads *t = ring->state;

	return t->queued.head;
}

static int threads_submit(struct bf_ring *ring, bool wait, struct bf_error *err)
{
	struct threads *t = ring->state;
	struct bf_ring_slot *slot;

	pthread_mutex_lock(&t->lock);
	while ((slot = list_take(&t->queued))) {
		list_add(&t->waiting, slot);
		pthread_cond_signal(&t->handed_over);
	}
	while (wait && !t->done.head)
		pthread_cond_wait(&t->ended, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static uint32_t threads_collect(struct bf_ring *ring,
				struct bf_ring_transfer *transfers, uint32_t max)
{
	struct threads *t = ring->state;
	struct bf_ring_slot *slot;
	uint32_t nr = 0;

	pthread_mutex_lock(&t->lock);
	while (nr < max && (slot = list_take(&t->done)))
		transfers[nr++] = (struct bf_ring_transfer){ slot, slot->res };
	pthread_mutex_unlock(&t->lock);
	return nr;
}

static int threads_notify(struct bf_ring *ring, int fd)
{
	struct threads *t = ring->state;

	pthread_mutex_lock(&t->lock);
	t->event_fd = fd;
	pthread_mutex_unlock(&t->lock);
	return 0;
}

const struct bf_ring_engine bf_ring_threads = {
	.open = threads_open,
	.close = threads_close,
	.queue = threads_queue,
	.has_queued = threads_has_queued,
	.submit = threads_submit,
	.collect = threads_collect,
	.notify = threads_notify,
};
