// SPDX-License-Identifier: Apache-2.0
/*
 * Attach: ATTACH and SYNC flow in on a data connection, which by its ticket
 * joins the session that handed it out; from then on DATA goes the way of
 * receive.c, into writes of its own on the same targets. Grants nothing: what
 * the control connection may write, this one may, for as long.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fault.h"
#include "lib/log.h"
#include "target/session_private.h"

bool session_is_data(const struct bf_target_session *s)
{
	return s->ladder == BF_LADDER_ATTACHED;
}

static int find_session(struct bf_target_session *s, const struct wire_attach *m,
			struct bf_error *err)
{
	int ret;

	memcpy(s->job, m->job, sizeof(s->job));
	ret = bf_writer_get(s->registry, bf_transport_peer(s->transport), s->job,
			    &s->writer, err);
	if (ret)
		return ret;
	s->connections = bf_writer_connections(s->registry, s->writer);
	if (!s->connections)
		return bf_fail(err, BF_E_STALE_SESSION, ESTALE,
			       "a connection came for session %llu of job %s, which has ended",
			       (unsigned long long)m->epoch, s->job);
	ret = bf_connections_join(s->connections, s, m, err);
	s->joined = !ret;
	return ret;
}

/*
 * Its descriptors are the control connection's, which waits with closing them
 * until this one has left; what is learnt about a target is each one's own.
 */
static int lend_disk(struct bf_target_session *s, const struct session_disk *disk,
		     struct bf_error *err)
{
	struct session_disk *lent = calloc(1, sizeof(*lent));

	if (!lent)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	lent->open = disk->open;
	lent->own = *disk->target;
	lent->target = &lent->own;
	bf_apply_add(s->apply, lent->target);
	s->disks[s->nr_disks++] = lent;
	return 0;
}

void session_return_disks(struct bf_target_session *s)
{
	while (s->nr_disks)
		free(s->disks[--s->nr_disks]);
}

static int prepare(struct bf_target_session *s, struct bf_error *err)
{
	const struct bf_target_session *control =
		bf_connections_control(s->connections);
	struct bf_pool *pool;
	int ret = bf_registry_pool(s->registry, &pool, err);

	s->features = control->features;
	s->checksum_seed = control->checksum_seed;
	s->epoch = control->epoch;
	if (!ret)
		ret = bf_apply_new(&s->apply, pool, s->codec, s->checksum_seed,
				   session_tick, s, err);
	for (uint32_t i = 0; i < control->nr_disks && !ret; i++)
		ret = lend_disk(s, control->disks[i], err);
	if (!ret)
		bf_connections_set_apply(s->connections, s, s->apply);
	return ret;
}

int session_attach(struct bf_target_session *s, const struct bf_frame *f,
		   struct bf_error *err)
{
	struct wire_attached attached;
	struct wire_attach m;
	int ret = bf_check_attach(f, &m, err);

	if (!ret)
		ret = find_session(s, &m, err);
	if (!ret)
		ret = prepare(s, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_ATTACHED, err);
	if (ret)
		return ret;
	bf_info("session of %s from %s: one more connection of job %s, epoch %llu",
		s->peer_name, s->address, s->job, (unsigned long long)s->epoch);
	attached = (struct wire_attached){ .epoch = s->epoch };
	bf_wire_swap_attached(&attached);
	return session_reply(s, WIRE_ATTACHED, 0, &attached, sizeof(attached),
			     err);
}

/* The control connection changes these at sync points only. */
static void take_generations(struct bf_target_session *s)
{
	const struct bf_target_session *control =
		bf_connections_control(s->connections);

	for (uint32_t i = 0; i < s->nr_disks; i++) {
		s->disks[i]->begun = control->disks[i]->begun;
		s->disks[i]->generation = control->disks[i]->generation;
	}
}

int session_sync(struct bf_target_session *s, const struct bf_frame *f,
		 struct bf_error *err)
{
	struct wire_sync m;
	int ret = bf_check_sync(f, &m, err);

	if (!ret)
		ret = bf_apply_settle_all(s->apply, err);
	if (!ret)
		ret = bf_connections_reach(s->connections, s, m.number,
					   session_tick, s, err);
	if (!ret)
		take_generations(s);
	return ret;
}

int session_gather(struct bf_target_session *s, struct bf_error *err)
{
	return bf_connections_gather(s->connections, session_tick, s, err);
}

static bool is_shareable(const struct wire_extent *e, uint64_t device_bytes)
{
	return e->offset_bytes % WIRE_SHARED_BLOCK_BYTES == 0 &&
	       (e->length_bytes % WIRE_SHARED_BLOCK_BYTES == 0 ||
		e->offset_bytes + e->length_bytes == device_bytes);
}

int session_check_shareable(struct bf_target_session *s,
			    const struct session_disk *disk,
			    const struct bf_data_view *view,
			    struct bf_error *err)
{
	uint32_t nr = (uint32_t)view->head.nr_data + view->head.nr_zero;

	if (!bf_connections_shared(s->connections))
		return 0;
	for (uint32_t i = 0; i < nr; i++)
		if (!is_shareable(&view->extents[i], disk->open.size_bytes))
			return bf_fail(err, BF_E_PROTOCOL, EPROTO,
				       "DATA of target %s begins or ends within %u bytes that another connection could write: the peer's blkferry is faulty",
				       disk->target->name,
				       WIRE_SHARED_BLOCK_BYTES);
	return 0;
}
