// SPDX-License-Identifier: Apache-2.0
/*
 * Pass: the extents of every disk flow in, a target that holds one more
 * generation of each flows out. Keeps RULE 2: on every way out a generation is
 * either finished after "durable" or given back; and RULE 4: what was begun,
 * walked, sent and written must be the same before anything is finished.
 *
 * Nothing here logs or opens a file, and its buffers were allocated with the
 * session: the last pass runs while filesystems are frozen.
 */
#include <errno.h>
#include <string.h>

#include "lib/fault.h"
#include "source/session.h"

struct pass {
	struct bf_session *session;
	struct bf_pass_result *result;
	enum wire_pass_kind kind;
	bool ended;
	uint64_t ended_sent_ns;
};

/* --- begin, finish, give back ------------------------------------------------- */

static void group_add(struct bf_session *s, uint32_t disk)
{
	struct bf_begin_group *g = s->group;

	g->extents[g->nr] = s->disks[disk].extents;
	g->disks[g->nr++] = disk;
}

/* All disks whose extents are of the kind of @first's: in one request. */
static int begin_kind(struct bf_session *s, uint32_t first, struct bf_error *err)
{
	const struct bf_extents_ops *ops = s->disks[first].extents->ops;
	struct bf_begin_group *g = s->group;
	uint32_t i;
	int ret;

	g->nr = 0;
	for (i = first; i < s->nr_disks; i++)
		if (s->disks[i].extents->ops == ops)
			group_add(s, i);
	ret = ops->begin(g->extents, g->nr, g->generations, err);
	for (i = 0; i < g->nr && !ret; i++) {
		s->pass_disks[g->disks[i]].generation = g->generations[i];
		s->pass_disks[g->disks[i]].owned = true;
	}
	return ret;
}

static int begin_all(struct bf_session *s, struct bf_error *err)
{
	uint32_t i;

	for (i = 0; i < s->nr_disks; i++) {
		int ret = s->pass_disks[i].owned ? 0 : begin_kind(s, i, err);

		if (ret)
			return ret;
	}
	return 0;
}

static int finish_all(struct bf_session *s, const struct bf_reasons *resynced,
		      struct bf_error *err)
{
	uint32_t i;

	for (i = 0; i < s->nr_disks; i++) {
		struct bf_extents *extents = s->disks[i].extents;
		struct bf_pass_disk *d = &s->pass_disks[i];
		int ret = extents->ops->finish(extents, d->generation.nr_blocks,
					       resynced ? &resynced[i] : NULL,
					       err);

		if (ret)
			return bf_fail_prefix(err, ret, "disk %s: ",
					      s->disks[i].name);
		d->owned = false;
		ret = bf_fault(BF_FAULT_SOURCE_FINISHED, err);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * The error that brought us here is the one to tell. An origin that cannot take
 * its generation back keeps it, which loses nothing.
 */
static void give_back_all(struct bf_session *s)
{
	uint32_t i;

	for (i = 0; i < s->nr_disks; i++) {
		struct bf_extents *extents = s->disks[i].extents;

		if (s->pass_disks[i].owned)
			extents->ops->abort(extents, NULL);
		s->pass_disks[i].owned = false;
	}
}

/* --- the pipeline -------------------------------------------------------------- */

/*
 * All that happens by itself: barriers become durable, reads complete. What was
 * acknowledged before the link failed or somebody interrupted counts as well.
 */
static int turn(struct pass *p, struct bf_error *err)
{
	int ret = bf_session_check(p->session, err);
	int durable = bf_commit_durable(p->session, &p->ended_sent_ns, &p->ended,
					ret ? NULL : err);

	if (ret || durable)
		return ret ? ret : durable;
	return bf_read_reap(p->session, 0, err);
}

static int wait_slot(struct pass *p, struct bf_slot **slot, struct bf_error *err)
{
	for (;;) {
		int ret;

		bf_session_listen(p->session);
		ret = turn(p, err);
		if (ret)
			return ret;
		*slot = bf_reads_wait_ns(p->session) ? NULL :
			bf_session_take_slot(p->session);
		if (*slot)
			return 0;
		bf_session_wait(p->session);
	}
}

/* The first extents, joined again, for words. */
static void note_extents(struct bf_pass_disk_result *result,
			 const struct bf_slot *slot)
{
	const size_t max = sizeof(result->still_written) /
			   sizeof(result->still_written[0]);
	uint32_t i;

	for (i = 0; i < slot->nr_extents; i++) {
		const struct bf_extent *e = &slot->extents[i];
		struct bf_extent *last = result->nr_still_written ?
			&result->still_written[result->nr_still_written - 1] : NULL;

		if (last && last->offset_bytes + last->length_bytes ==
			    e->offset_bytes)
			last->length_bytes += e->length_bytes;
		else if (result->nr_still_written < max)
			result->still_written[result->nr_still_written++] = *e;
		else
			return;
	}
}

/* A comparison that is not ready is waited for, with all else going on. */
static int fill_slot(struct pass *p, struct bf_slot *slot, struct bf_error *err)
{
	struct bf_session *s = p->session;

	for (;;) {
		int ret = bf_read_fill(s, slot, err);

		if (ret != -EINPROGRESS)
			return ret;
		bf_commit_step(s, slot->disk);
		bf_session_wait(s);
		bf_session_listen(s);
		ret = turn(p, err);
		if (ret)
			return ret;
	}
}

/* Return: 1, 0 if the disk's generation is on its way whole. */
static int send_next(struct pass *p, uint32_t disk, struct bf_error *err)
{
	struct bf_session *s = p->session;
	struct bf_slot *slot;
	int ret = wait_slot(p, &slot, err);

	if (ret)
		return ret;
	slot->disk = disk;
	slot->generation = s->pass_disks[disk].generation.number;
	ret = fill_slot(p, slot, err);
	if (ret <= 0) {
		if (!ret)
			bf_session_give_slot(s, slot);
		return ret;
	}
	note_extents(&p->result->disks[disk], slot);
	if (s->disks[disk].unsent)
		bf_ranges_subtract(s->disks[disk].unsent, slot->extents,
				   slot->nr_extents);
	s->queued_raw_bytes += slot->raw_bytes;
	bf_reads_count(s, slot->raw_bytes);
	bf_send_slot(s, slot);
	bf_read_release(s, slot);
	bf_commit_step(s, disk);
	ret = bf_fault(BF_FAULT_SOURCE_QUEUED, err);
	return ret ? ret : 1;
}

/* What turned out to be skipped was planned, too. */
static void plan_less(struct bf_session *s, uint32_t disk)
{
	struct bf_pass_disk *d = &s->pass_disks[disk];
	uint64_t more = s->walker.skipped_bytes - d->skipped_bytes;

	d->skipped_bytes = s->walker.skipped_bytes;
	if (!more)
		return;
	atomic_fetch_sub_explicit(&s->progress.planned_bytes, more,
				  memory_order_relaxed);
	atomic_fetch_sub_explicit(&s->progress.disks[disk].planned_bytes, more,
				  memory_order_relaxed);
}

static int send_disk(struct pass *p, uint32_t disk, struct bf_error *err)
{
	struct bf_session *s = p->session;
	struct bf_pass_disk *d = &s->pass_disks[disk];
	int ret = 0;

	s->barrier_through_bytes = 0;
	d->compared_bytes = 0;
	atomic_store_explicit(&s->progress.disk, disk, memory_order_relaxed);
	bf_walker_start(&s->walker, s->disks[disk].extents,
			d->generation.nr_blocks, p->kind == WIRE_PASS_FULL ?
			s->disks[disk].skip : NULL, s->window);
	if (p->kind == WIRE_PASS_RESYNC && s->disks[disk].in_doubt)
		ret = bf_resync_start(s, disk, err);
	if (ret)
		return ret;
	do {
		ret = send_next(p, disk, err);
		plan_less(s, disk);
	} while (ret > 0);
	d->planned_bytes = s->walker.bytes;
	return !ret && s->resyncing ? bf_resync_end(s, d, err) : ret;
}

/* Queues the END, then waits until it is durable. */
static int send_end(struct pass *p, bool complete, struct bf_error *err)
{
	bool queued = false;

	for (;;) {
		int ret;

		bf_session_listen(p->session);
		ret = turn(p, err);
		if (ret)
			return ret;
		if (p->ended)
			return 0;
		if (!queued)
			queued = !bf_commit_end(p->session, complete);
		bf_session_wait(p->session);
	}
}

/* --- proof and report ----------------------------------------------------------- */

static void disk_totals(const struct bf_session *s, uint32_t disk,
			uint64_t *data_bytes, uint64_t *zero_bytes)
{
	const struct wire_totals *before = &s->pass_disks[disk].before;

	*data_bytes = s->sent[disk].data_bytes - before->data_bytes;
	*zero_bytes = s->sent[disk].zero_bytes - before->zero_bytes;
}

/* The target counts what was sent; here: was all sent that was walked? */
static int check_sent(const struct bf_session *s, struct bf_error *err)
{
	uint64_t data_bytes, zero_bytes;
	uint32_t i;

	for (i = 0; i < s->nr_disks; i++) {
		uint64_t planned_bytes = s->pass_disks[i].planned_bytes;

		disk_totals(s, i, &data_bytes, &zero_bytes);
		if (data_bytes + zero_bytes != planned_bytes)
			return bf_fail(err, BF_E_TOTALS, EBADMSG,
				       "disk %s: %llu bytes were planned, %llu were sent; the next pass sends them again",
				       s->disks[i].name,
				       (unsigned long long)planned_bytes,
				       (unsigned long long)(data_bytes + zero_bytes));
	}
	return 0;
}

static void report_disk(const struct bf_session *s, uint32_t i,
			struct bf_pass_result *result)
{
	const struct bf_generation *g = &s->pass_disks[i].generation;
	struct bf_pass_disk_result *r = &result->disks[i];

	r->generation = g->number;
	r->nr_blocks = g->nr_blocks;
	r->carried_blocks = g->carried_blocks;
	r->writes = g->writes;
	r->reasons = g->reasons;
	disk_totals(s, i, &r->data_bytes, &r->zero_bytes);
	r->skipped_bytes = s->pass_disks[i].skipped_bytes;
	result->skipped_bytes += r->skipped_bytes;
	result->nr_blocks += r->nr_blocks;
	result->data_bytes += r->data_bytes;
	result->zero_bytes += r->zero_bytes;
	result->raw_bytes += r->data_bytes + r->zero_bytes;
	result->compared_bytes += s->pass_disks[i].compared_bytes;
	if (bf_reasons_stand(&r->reasons, NULL))
		result->reasons_stand = true;
}

static uint64_t wire_bytes(struct bf_session *s)
{
	return atomic_load_explicit(&s->progress.wire_bytes, memory_order_relaxed);
}

static uint64_t announce_disk(struct bf_session *s, uint32_t disk,
			      enum wire_pass_kind kind)
{
	struct bf_disk_progress *progress = &s->progress.disks[disk];
	struct bf_pass_disk *d = &s->pass_disks[disk];
	uint64_t planned_bytes = d->generation.nr_blocks *
				 s->disks[disk].extents->granularity_bytes;

	d->before = s->sent[disk];
	d->skipped_bytes = 0;
	atomic_store_explicit(&progress->planned_bytes, planned_bytes,
			      memory_order_relaxed);
	atomic_store_explicit(&progress->done_bytes, 0, memory_order_relaxed);
	bf_send_begin(s, disk, kind);
	return planned_bytes;
}

static void announce(struct bf_session *s, enum wire_pass_kind kind)
{
	uint64_t planned_bytes = 0;
	uint32_t i;

	for (i = 0; i < s->nr_disks; i++)
		planned_bytes += announce_disk(s, i, kind);
	atomic_store_explicit(&s->progress.planned_bytes, planned_bytes,
			      memory_order_relaxed);
	atomic_store_explicit(&s->progress.pass_done_bytes, 0,
			      memory_order_relaxed);
	s->barrier_ns = bf_now_ns();
}

static int send_all(struct pass *p, bool complete, struct bf_error *err)
{
	struct bf_session *s = p->session;
	uint32_t i;
	int ret = 0;

	announce(s, p->kind);
	for (i = 0; i < s->nr_disks && !ret; i++)
		ret = send_disk(p, i, err);
	if (!ret)
		ret = send_end(p, complete, err);
	if (ret)
		return ret;
	p->result->barrier_ns = bf_now_ns() - p->ended_sent_ns;
	return check_sent(s, err);
}

static int check_state(const struct bf_session *s, struct bf_error *err)
{
	uint32_t i;

	if (!s->claimed || s->spent)
		return bf_fail(err, BF_E_STATE, EINVAL,
			       "the session has %s; open a new one",
			       s->spent ? "failed before" : "no claim");
	for (i = 0; i < s->nr_disks; i++)
		if (!s->disks[i].extents)
			return bf_fail(err, BF_E_STATE, EINVAL,
				       "disk %s has no list of changed blocks",
				       s->disks[i].name);
	return 0;
}

int bf_pass_run(struct bf_session *session, enum wire_pass_kind kind,
		bool complete, const struct bf_reasons *resynced,
		struct bf_pass_result *result, struct bf_error *err)
{
	struct pass p = { .session = session, .result = result, .kind = kind };
	uint64_t start_ns = bf_now_ns(), start_wire = wire_bytes(session);
	int ret = check_state(session, err);
	uint32_t i;

	if (ret)
		return ret;
	memset(result, 0, sizeof(*result));
	session->resyncing = false;
	session->hurry = kind == WIRE_PASS_LAST;
	ret = begin_all(session, err);
	result->begin_ns = bf_now_ns() - start_ns;
	if (!ret && kind == WIRE_PASS_FULL && session->options.begun)
		ret = session->options.begun(session->options.callback_context,
					     err);
	if (!ret)
		ret = bf_fault(BF_FAULT_SOURCE_BEGUN, err);
	if (!ret)
		ret = send_all(&p, complete, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_SOURCE_ENDED, err);
	if (!ret)
		ret = finish_all(session, resynced, err);
	if (ret) {
		session->spent = true;
		give_back_all(session);
		return ret;
	}
	for (i = 0; i < session->nr_disks; i++)
		report_disk(session, i, result);
	result->wire_bytes = wire_bytes(session) - start_wire;
	result->duration_ns = bf_now_ns() - start_ns;
	return 0;
}
