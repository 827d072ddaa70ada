// SPDX-License-Identifier: Apache-2.0
/*
 * Commit: barriers flow out, the target's DURABLE flows in, and only then, and
 * only if the target counts exactly what was sent before the barrier, the
 * origin may forget (RULE 2, RULE 4).
 */
#include <errno.h>
#include <string.h>

#include "lib/fault.h"
#include "source/session.h"

#ifndef BF_STEP_BYTES		/* tests want many steps of small disks */
#define BF_STEP_BYTES (256ull << 20)
#endif
#define STEP_NS (2 * BF_NSEC_PER_SEC)
#define STEP_COMPARED_BYTES (1ull << 30)	/* by a resync, sent or not */

static struct bf_barrier *slot_of(struct bf_session *s, uint64_t sequence)
{
	return &s->barrier[sequence % BF_BARRIERS];
}

/* Return: the next barrier's place, NULL while it is on its way. */
static struct bf_barrier *take_barrier(struct bf_session *s)
{
	struct bf_barrier *b = slot_of(s, s->barriers + 1);
	bool queued;

	pthread_mutex_lock(&s->lock);
	queued = b->queued;
	pthread_mutex_unlock(&s->lock);
	return queued ? NULL : b;
}

static void queue_barrier(struct bf_session *s, struct bf_barrier *b,
			  uint32_t nr_disks)
{
	b->session = s;
	b->sequence = ++s->barriers;
	b->frame.body = (struct wire_barrier){
		.sequence = b->sequence,
		.nr_disks = nr_disks,
	};
	s->barrier_ns = bf_now_ns();
	s->barrier_raw_bytes = s->queued_raw_bytes;
	pthread_mutex_lock(&s->lock);
	b->queued = true;
	b->on_wire = false;
	b->durable = false;
	pthread_mutex_unlock(&s->lock);
	bf_send_barrier(s, b);
}

/* A resync moves on also where nothing has to be sent. */
static bool step_is_due(const struct bf_session *s, uint64_t through_bytes)
{
	uint64_t bytes = s->queued_raw_bytes - s->barrier_raw_bytes;
	uint64_t moved = through_bytes - s->barrier_through_bytes;

	return bytes >= BF_STEP_BYTES ||
	       (s->resyncing && moved >= STEP_COMPARED_BYTES) ||
	       ((bytes || moved) && bf_now_ns() - s->barrier_ns >= STEP_NS);
}

void bf_commit_step(struct bf_session *session, uint32_t disk)
{
	uint64_t through_blocks;
	uint64_t through_bytes = bf_plan_through(session, &through_blocks);
	struct bf_barrier *b;

	if (!step_is_due(session, through_bytes))
		return;
	b = take_barrier(session);
	if (!b)
		return;
	session->barrier_through_bytes = through_bytes;
	b->whole_job = false;
	b->disk = disk;
	b->through_bytes = through_bytes;
	b->through_blocks = through_blocks;
	b->frame.progress[0] = (struct wire_progress){
		.generation = session->pass_disks[disk].generation.number,
		.through_bytes = b->through_bytes,
		.disk = disk,
	};
	queue_barrier(session, b, 1);
}

int bf_commit_end(struct bf_session *session, bool complete)
{
	struct bf_barrier *b = take_barrier(session);
	uint32_t i;

	if (!b)
		return -EAGAIN;
	b->whole_job = true;
	for (i = 0; i < session->nr_disks; i++)
		b->frame.progress[i] = (struct wire_progress){
			.generation = session->pass_disks[i].generation.number,
			.through_bytes = session->disks[i].size_bytes,
			.disk = i,
			.flags = WIRE_PROGRESS_END |
				 (complete ? WIRE_PROGRESS_COMPLETE : 0),
		};
	queue_barrier(session, b, session->nr_disks);
	return 0;
}

/* The oldest of those on the wire, or answered and sent whole. With the lock. */
static struct bf_barrier *oldest(struct bf_session *s, bool durable)
{
	struct bf_barrier *found = NULL;
	uint32_t i;

	for (i = 0; i < BF_BARRIERS; i++) {
		struct bf_barrier *b = &s->barrier[i];

		if (b->queued && b->on_wire && b->durable == durable &&
		    (!durable || !b->unsent) &&
		    (!found || b->sequence < found->sequence))
			found = b;
	}
	return found;
}

int bf_commit_frame(struct bf_session *session, const struct bf_frame *frame,
		    struct bf_error *err)
{
	struct wire_durable durable;
	struct bf_barrier *b;
	int ret;

	pthread_mutex_lock(&session->lock);
	b = oldest(session, false);
	pthread_mutex_unlock(&session->lock);
	if (!b)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target says DURABLE without a barrier");
	ret = bf_check_durable(frame, &durable, session->nr_disks,
			       b->durable_totals, err);
	if (ret)
		return ret;
	if (durable.sequence != b->sequence)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target says DURABLE to barrier %llu instead of %llu",
			       (unsigned long long)durable.sequence,
			       (unsigned long long)b->sequence);
	pthread_mutex_lock(&session->lock);
	b->durable = true;
	pthread_mutex_unlock(&session->lock);
	bf_session_wake(session);
	return 0;
}

/* --- the job's thread ------------------------------------------------------------ */

static int compare_disk(const struct bf_session_disk *disk,
			const struct wire_totals *sent,
			const struct wire_totals *durable, struct bf_error *err)
{
	if (!memcmp(sent, durable, sizeof(*sent)))
		return 0;
	return bf_fail(err, BF_E_TOTALS, EBADMSG,
		       "disk %s: sent %llu data and %llu zero bytes in %llu extents and %llu frames (checksums %016llx), the target counts %llu, %llu, %llu, %llu (%016llx); nothing of it is committed",
		       disk->name, (unsigned long long)sent->data_bytes,
		       (unsigned long long)sent->zero_bytes,
		       (unsigned long long)sent->extents,
		       (unsigned long long)sent->frames,
		       (unsigned long long)sent->checksum_sum,
		       (unsigned long long)durable->data_bytes,
		       (unsigned long long)durable->zero_bytes,
		       (unsigned long long)durable->extents,
		       (unsigned long long)durable->frames,
		       (unsigned long long)durable->checksum_sum);
}

static int compare(struct bf_session *s, const struct bf_barrier *b,
		   struct bf_error *err)
{
	uint64_t durable_bytes = 0;
	uint32_t i;

	bf_send_counted(s, b->sequence);
	for (i = 0; i < s->nr_disks; i++) {
		int ret = compare_disk(&s->disks[i], &s->sent[i],
				       &b->durable_totals[i], err);

		if (ret)
			return ret;
		durable_bytes += s->sent[i].data_bytes + s->sent[i].zero_bytes;
	}
	atomic_store_explicit(&s->progress.durable_bytes, durable_bytes,
			      memory_order_relaxed);
	return 0;
}

/* The END commits by finishing each generation; a step moves the watermark. */
static int commit_step(struct bf_session *s, const struct bf_barrier *b,
		       struct bf_error *err)
{
	struct bf_extents *extents = s->disks[b->disk].extents;
	int ret = extents->ops->commit(extents, b->through_bytes, err);

	if (ret)
		return ret;
	if (s->walker.extents == extents)
		s->walker.committed_blocks = b->through_blocks;
	return 0;
}

/* Answers come in order, so the oldest answered one is the next. */
static struct bf_barrier *next_durable(struct bf_session *s)
{
	struct bf_barrier *b;

	pthread_mutex_lock(&s->lock);
	b = oldest(s, true);
	pthread_mutex_unlock(&s->lock);
	return b;
}

int bf_commit_durable(struct bf_session *session, uint64_t *ended_sent_ns,
		      bool *ended, struct bf_error *err)
{
	struct bf_barrier *b;

	while ((b = next_durable(session))) {
		int ret = compare(session, b, err);

		if (!ret)
			ret = bf_fault(BF_FAULT_SOURCE_DURABLE, err);
		if (!ret && !b->whole_job)
			ret = commit_step(session, b, err);
		if (!ret && !b->whole_job)
			ret = bf_fault(BF_FAULT_SOURCE_COMMITTED, err);
		if (ret)
			return ret;
		if (b->whole_job) {
			*ended = true;
			*ended_sent_ns = b->sent_ns;
		}
		pthread_mutex_lock(&session->lock);
		b->queued = false;
		pthread_mutex_unlock(&session->lock);
	}
	return 0;
}
