// SPDX-License-Identifier: Apache-2.0
/*
 * Acknowledge: CLAIM, BARRIER and CUTOVER flow in; CLAIMED, DURABLE and
 * CUTOVER_DONE flow out, each only when what it says is in the job's durable
 * record. Keeps RULE 2 (durable means flushed) and the epochs' promise: of two
 * sessions the one with the lower epoch writes nothing more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "lib/cleanup.h"
#include "lib/fault.h"
#include "lib/log.h"
#include "target/session_private.h"

static void cleanup_ledger(struct bf_ledger **ledger)
{
	bf_ledger_free(*ledger);
}

/* --- CLAIM ---------------------------------------------------------------------- */

static int check_disks(const struct bf_target_session *s,
		       const struct wire_claim *m, struct bf_error *err)
{
	bool whole = m->nr_disks == s->nr_disks;

	for (uint32_t i = 0; i < s->nr_disks; i++)
		whole = whole && s->disks[i]->hold;
	if (whole)
		return 0;
	return bf_fail(err, BF_E_PROTOCOL, EPROTO,
		       "CLAIM of %u disks where %u were opened, or one of them for reading only: the peer's blkferry is faulty",
		       m->nr_disks, s->nr_disks);
}

static int check_claimable(const struct bf_target_session *s,
			   const struct bf_ledger *ledger, uint64_t epoch,
			   struct bf_error *err)
{
	if (ledger->state == WIRE_JOB_CUT_OVER)
		return bf_fail(err, BF_E_CUT_OVER, EPERM,
			       "job %s was cut over in epoch %llu: its targets are no copies any more and are not overwritten; `blkferry receive --reopen TARGET` at the receiver allows it",
			       s->job, (unsigned long long)ledger->cutover_epoch);
	if (epoch <= ledger->last_epoch)
		return bf_fail(err, BF_E_STALE_SESSION, ESTALE,
			       "epoch %llu of job %s is stale: epoch %llu was claimed already; is the job running twice?",
			       (unsigned long long)epoch, s->job,
			       (unsigned long long)ledger->last_epoch);
	return 0;
}

static int load_claimable(const struct bf_target_session *s, uint64_t epoch,
			  struct bf_ledger **ledger, struct bf_error *err)
{
	int ret = bf_ledger_load(s->registry->records_dir,
				 bf_transport_peer(s->transport), s->job, ledger,
				 err);

	return ret ? ret : check_claimable(s, *ledger, epoch, err);
}

/* A stale claim must not disturb the session that is at work. */
static int check_before_evicting(const struct bf_target_session *s,
				 uint64_t epoch, struct bf_error *err)
{
	_cleanup_(cleanup_ledger) struct bf_ledger *ledger = NULL;
	_cleanup_close_ int lock = -1;
	int ret = bf_ledger_lock(s->registry->records_dir, &lock, err);

	return ret ? ret : load_claimable(s, epoch, &ledger, err);
}

static bool zero16(const uint8_t bytes[16])
{
	static const uint8_t zero[16];

	return !memcmp(bytes, zero, sizeof(zero));
}

/*
 * What the record says of a disk from now on. A tracker that the content was
 * not recorded for, or another size, needs a full copy or resync before the
 * target is complete again.
 */
static int claim_disk(const struct session_disk *disk,
		      const struct bf_ledger_disk *known, bool restart,
		      struct bf_ledger_disk *d, struct bf_error *err)
{
	const struct bf_target *t = disk->target;
	bool fresh = !known || restart || zero16(known->cookie);

	*d = fresh ? (struct bf_ledger_disk){ 0 } : *known;
	if (fresh && RAND_bytes(d->cookie, sizeof(d->cookie)) != 1)
		return bf_fail(err, BF_E_SYSTEM, EIO,
			       "OpenSSL gives no random numbers");
	if (memcmp(d->source_uuid, disk->open.source_uuid, 16)) {
		d->generation = d->through_bytes = 0;
		d->complete = false;
	}
	if (d->source_bytes != disk->open.size_bytes)
		d->complete = false;
	memcpy(d->source_uuid, disk->open.source_uuid, 16);
	d->source_bytes = disk->open.size_bytes;
	d->target_bytes = t->size_bytes;
	snprintf(d->target, sizeof(d->target), "%s", t->name);
	snprintf(d->path, sizeof(d->path), "%s", t->path);
	snprintf(d->identity, sizeof(d->identity), "%s", t->identity);
	return 0;
}

static int claim_disks(const struct bf_target_session *s,
		       const struct wire_claim *m, struct bf_ledger *ledger,
		       struct bf_error *err)
{
	_cleanup_free_ struct bf_ledger_disk *disks =
		calloc(s->nr_disks, sizeof(*disks));
	int ret = 0;

	if (!disks)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	for (uint32_t i = 0; i < s->nr_disks && !ret; i++) {
		ret = bf_ledger_check_owner(s->registry->records_dir, ledger,
					    session_target_name(s, s->disks[i]->target->name),
					    s->disks[i]->target, err);
		if (!ret)
			ret = claim_disk(s->disks[i],
					 bf_ledger_find(ledger, s->disks[i]->target),
					 m->flags & WIRE_CLAIM_RESTART, &disks[i],
					 err);
	}
	if (ret)
		return ret;
	free(ledger->disks);
	ledger->disks = bf_take_pointer(disks);
	ledger->nr_disks = s->nr_disks;
	return 0;
}

static bool is_complete(const struct bf_ledger *ledger)
{
	for (uint32_t i = 0; i < ledger->nr_disks; i++)
		if (!ledger->disks[i].complete)
			return false;
	return true;
}

static int record_claim(struct bf_target_session *s, const struct wire_claim *m,
			struct bf_error *err)
{
	_cleanup_(cleanup_ledger) struct bf_ledger *ledger = NULL;
	_cleanup_close_ int lock = -1;
	int ret = bf_ledger_lock(s->registry->records_dir, &lock, err);

	if (!ret)
		ret = load_claimable(s, m->epoch, &ledger, err);
	if (!ret)
		ret = claim_disks(s, m, ledger, err);
	if (!ret && !is_complete(ledger))
		ret = bf_writer_take_turn(s->registry, s->writer, err);
	if (ret)
		return ret;
	ledger->state = WIRE_JOB_SYNCING;
	ledger->last_epoch = m->epoch;
	ret = bf_fault(BF_FAULT_TARGET_CLAIM, err);
	if (!ret)
		ret = bf_ledger_store(s->registry->records_dir, ledger, err);
	if (ret)
		return ret;
	s->ledger = bf_take_pointer(ledger);
	s->epoch = m->epoch;
	for (uint32_t i = 0; i < s->nr_disks; i++)
		bf_hold_keep(s->registry, s->disks[i]->hold, true);
	return 0;
}

static int prepare_apply(struct bf_target_session *s, struct bf_error *err)
{
	struct bf_pool *pool;
	int ret = bf_registry_pool(s->registry, &pool, err);

	if (!ret)
		ret = bf_apply_new(&s->apply, pool, s->codec, s->checksum_seed,
				   session_tick, s, err);

	for (uint32_t i = 0; i < s->nr_disks && !ret; i++)
		bf_apply_add(s->apply, s->disks[i]->target);
	return ret;
}

/* Where a block is larger than what connections may share, one must do. */
static uint16_t wanted_connections(const struct bf_target_session *s,
				   const struct wire_claim *m)
{
	for (uint32_t i = 0; i < s->nr_disks; i++)
		if (s->disks[i]->target->align_bytes > WIRE_SHARED_BLOCK_BYTES)
			return 1;
	return m->connections;
}

static int grant_connections(struct bf_target_session *s,
			     const struct wire_claim *m, struct bf_error *err)
{
	s->data_connections = bf_registry_take_connections(s->registry,
						wanted_connections(s, m) - 1);
	return bf_connections_new(&s->connections, s, m->epoch,
				  1 + s->data_connections, err);
}

static int take_over(struct bf_target_session *s, const struct wire_claim *m,
		     struct bf_error *err)
{
	int ret = check_before_evicting(s, m->epoch, err);

	if (!ret)
		ret = bf_writer_evict(s->registry, s->writer,
				      session_deadline(s), err);
	if (!ret)
		ret = bf_ledger_lock_job(s->registry->records_dir,
					 bf_transport_peer(s->transport), s->job,
					 &s->job_lock_fd, err);
	if (!ret)
		ret = prepare_apply(s, err);
	if (!ret)
		ret = grant_connections(s, m, err);
	return ret ? ret : record_claim(s, m, err);
}

static int claimed(struct bf_target_session *s, struct bf_error *err)
{
	struct {
		struct wire_claimed head;
		uint8_t cookies[WIRE_DISKS_MAX][16];
	} m = {
		.head = {
			.epoch = s->epoch, .nr_disks = s->nr_disks,
			.connections = 1 + s->data_connections,
		},
	};

	memcpy(m.head.ticket, bf_connections_ticket(s->connections),
	       sizeof(m.head.ticket));
	bf_wire_swap_claimed(&m.head);
	for (uint32_t i = 0; i < s->nr_disks; i++)
		memcpy(m.cookies[i], s->ledger->disks[i].cookie, 16);
	return session_reply(s, WIRE_CLAIMED, 0, &m,
			     (uint32_t)sizeof(m.head) + s->nr_disks * 16, err);
}

int session_claim(struct bf_target_session *s, const struct bf_frame *f,
		  struct bf_error *err)
{
	struct wire_claim m;
	int ret = bf_check_claim(f, &m, err);

	if (!ret)
		ret = check_disks(s, &m, err);
	if (!ret)
		ret = bf_writer_claim(s->registry, s->writer,
				      session_deadline(s), err);
	if (ret)
		return ret;
	ret = take_over(s, &m, err);
	bf_writer_claimed(s->registry, s->writer, ret ? NULL : s, s->connections);
	if (ret)
		return ret;
	if (!s->local)
		bf_audit("job %s: epoch %llu is claimed by %s, %u disks%s",
			 s->job, (unsigned long long)s->epoch, s->peer_name,
			 s->nr_disks, m.flags & WIRE_CLAIM_RESTART ?
			 ", to be copied or compared whole" : "");
	ret = bf_fault(BF_FAULT_TARGET_CLAIMED, err);
	return ret ? ret : claimed(s, err);
}

/* --- BARRIER ---------------------------------------------------------------------- */

static int check_barrier(const struct bf_target_session *s,
			 const struct wire_barrier *m,
			 const struct wire_progress *progress,
			 struct bf_error *err)
{
	if (m->sequence != s->last_barrier + 1)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "BARRIER %llu came where %llu is next: the peer's blkferry is faulty",
			       (unsigned long long)m->sequence,
			       (unsigned long long)s->last_barrier + 1);
	for (uint32_t i = 0; i < m->nr_disks; i++) {
		const struct session_disk *disk = s->disks[progress[i].disk];

		if (progress[i].through_bytes <= disk->open.size_bytes &&
		    (!disk->begun || progress[i].generation >= disk->generation))
			continue;
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "BARRIER states impossible progress of target %s: the peer's blkferry is faulty",
			       disk->target->name);
	}
	return 0;
}

/* The job is ours: nobody else stores it, and its targets stay the same. */
static int store(const struct bf_target_session *s, struct bf_error *err)
{
	_cleanup_close_ int lock = -1;
	int ret = bf_ledger_lock_shared(s->registry->records_dir, &lock, err);

	return ret ? ret : bf_ledger_store(s->registry->records_dir, s->ledger,
					   err);
}

static int record_progress(struct bf_target_session *s, uint32_t nr,
			   const struct wire_progress *progress,
			   struct bf_error *err)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct bf_ledger_disk *d = &s->ledger->disks[progress[i].disk];

		d->generation = progress[i].generation;
		d->through_bytes = progress[i].through_bytes;
		if (progress[i].flags & WIRE_PROGRESS_COMPLETE)
			d->complete = true;
	}
	if (is_complete(s->ledger))
		bf_writer_end_turn(s->registry, s->writer);
	return nr ? store(s, err) : 0;
}

static int durable(struct bf_target_session *s, uint64_t sequence,
		   struct bf_error *err)
{
	struct {
		struct wire_durable head;
		struct wire_totals totals[WIRE_DISKS_MAX];
	} m = {
		.head = { .sequence = sequence, .nr_disks = s->nr_disks },
	};

	int ret = 0;

	bf_wire_swap_durable(&m.head);
	for (uint32_t i = 0; i < s->nr_disks && !ret; i++) {
		m.totals[i] = *bf_apply_totals(s->apply, i);
		ret = bf_connections_totals(s->connections, i, &m.totals[i], err);
		bf_wire_swap_totals(&m.totals[i]);
	}
	return ret ? ret : session_reply(s, WIRE_DURABLE, 0, &m, (uint32_t)sizeof(m.head) +
			     s->nr_disks * (uint32_t)sizeof(m.totals[0]), err);
}

/* What came by any connection: a flush of a disk is a flush of all its writes. */
static int flush_all(struct bf_target_session *s, struct bf_error *err)
{
	int ret = bf_connections_hand_over(s->connections, s->apply, err);

	return ret ? ret : bf_apply_flush(s->apply, err);
}

int session_barrier(struct bf_target_session *s, const struct bf_frame *f,
		    struct bf_error *err)
{
	struct wire_progress progress[WIRE_DISKS_MAX];
	struct wire_barrier m;
	int ret = bf_check_barrier(f, &m, s->nr_disks, progress, err);

	if (!ret)
		ret = check_barrier(s, &m, progress, err);
	if (!ret)
		ret = session_gather(s, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_FLUSH, err);
	if (!ret)
		ret = flush_all(s, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_FLUSHED, err);
	if (!ret)
		ret = record_progress(s, m.nr_disks, progress, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_RECORDED, err);
	if (ret)
		return ret;
	s->last_barrier = m.sequence;
	ret = durable(s, m.sequence, err);
	bf_connections_pass(s->connections);
	return ret ? ret : bf_fault(BF_FAULT_TARGET_DURABLE, err);
}

/* --- CUTOVER ----------------------------------------------------------------------- */

static int late_blocks(const struct bf_target_session *s, struct bf_error *err)
{
	return bf_fail(err, BF_E_STATE, EPERM,
		       "job %s can not cut over: blocks came after the last barrier; the peer's blkferry is faulty",
		       s->job);
}

/* The data connections: nothing comes by them any more. */
static int end_others(struct bf_target_session *s, struct bf_error *err)
{
	return bf_connections_close(s->connections, &s->sum) ?
		late_blocks(s, err) : 0;
}

static int check_cutover(const struct bf_target_session *s,
			 const struct wire_cutover *m, struct bf_error *err)
{
	if (m->epoch != s->epoch)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "CUTOVER of epoch %llu in a session of epoch %llu",
			       (unsigned long long)m->epoch,
			       (unsigned long long)s->epoch);
	if (bf_apply_unflushed(s->apply))
		return late_blocks(s, err);
	for (uint32_t i = 0; i < s->ledger->nr_disks; i++)
		if (!s->ledger->disks[i].complete)
			return bf_fail(err, BF_E_STATE, EPERM,
				       "job %s can not cut over: target %s holds no complete copy yet; let the full copy or resync end first",
				       s->job, s->ledger->disks[i].target);
	return 0;
}

/* The target is the operator's now: nothing here keeps it open for writing. */
static void reopen_read_only(struct bf_target_session *s,
			     struct session_disk *disk)
{
	struct bf_target_config config;
	struct bf_error err = { 0 };

	disk->target = &disk->own;
	bf_hold_keep(s->registry, disk->hold, false);
	bf_hold_put(s->registry, disk->hold);
	disk->hold = NULL;
	if (bf_registry_target(s->registry, session_key(s), disk->open.target,
			       &config, &err) ||
	    bf_target_open(&disk->own, &config, false, &err))
		bf_log_error(&err);
}

int session_cutover(struct bf_target_session *s, const struct bf_frame *f,
		    struct bf_error *err)
{
	struct wire_cutover_done done;
	struct wire_cutover m;
	int ret = bf_check_cutover(f, &m, err);

	if (!ret)
		ret = check_cutover(s, &m, err);
	if (!ret)
		ret = end_others(s, err);
	if (ret)
		return ret;
	s->ledger->state = WIRE_JOB_CUT_OVER;
	s->ledger->cutover_epoch = s->epoch;
	ret = bf_fault(BF_FAULT_TARGET_CUTOVER, err);
	if (!ret)
		ret = store(s, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_CUT_OVER, err);
	if (ret)
		return ret;
	s->cut_over = true;
	session_release(s);
	for (uint32_t i = 0; i < s->nr_disks; i++) {
		if (!s->local)
			bf_audit("job %s: target %s (%s) is cut over by %s, epoch %llu",
				 s->job, s->ledger->disks[i].target,
				 s->ledger->disks[i].path, s->peer_name,
				 (unsigned long long)s->epoch);
		reopen_read_only(s, s->disks[i]);
	}
	done = (struct wire_cutover_done){ .epoch = s->epoch };
	bf_wire_swap_cutover_done(&done);
	ret = session_reply(s, WIRE_CUTOVER_DONE, 0, &done, sizeof(done), err);
	return ret ? ret : bf_fault(BF_FAULT_TARGET_ANSWERED, err);
}
