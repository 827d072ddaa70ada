// SPDX-License-Identifier: Apache-2.0
/*
 * Links: frames of one session flow out over several links. A slot takes
 * the link with the shortest queue; every BEGIN and BARRIER of the control link
 * is accompanied by a SYNC on each other, which is where the target puts them
 * together again (include/wire.h, "Several connections").
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "source/session.h"

#define CONNECT_NS (5 * BF_NSEC_PER_SEC)

/* --- what comes by a data link: its thread ---------------------------------------- */

static int on_data_frame(void *context, const struct bf_frame *frame,
			 struct bf_error *err)
{
	if (frame->type != WIRE_ATTACHED)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target sent %s on a data connection",
			       bf_frame_name(frame->type));
	return bf_session_answer(context, frame, err);
}

static void on_data_failed(void *context)
{
	bf_session_wake(context);
}

/* --- opening --------------------------------------------------------------------- */

static int attach(struct bf_session *s, struct bf_link *link, uint64_t epoch,
		  const uint8_t ticket[WIRE_TICKET_BYTES], struct bf_error *err)
{
	struct wire_attach m = {
		.magic = WIRE_MAGIC,
		.version = s->welcome.version,
		.epoch = epoch,
	};
	struct wire_attached attached;
	int ret;

	memcpy(m.ticket, ticket, sizeof(m.ticket));
	memcpy(m.job, s->options.job, strlen(s->options.job));
	bf_wire_swap_attach(&m);
	ret = bf_session_call(s, link, WIRE_ATTACH, 0, &m, sizeof(m),
			      WIRE_ATTACHED, err);
	if (!ret)
		ret = bf_check_attached(&s->answer, &attached, err);
	if (!ret && attached.epoch != epoch)
		ret = bf_fail(err, BF_E_PROTOCOL, EPROTO,
			      "the target attached a connection to session %llu instead of %llu",
			      (unsigned long long)attached.epoch,
			      (unsigned long long)epoch);
	return ret;
}

/* Two connections must never write to one page of the target. */
static bool is_shareable(const struct bf_session *s)
{
	for (uint32_t i = 0; i < s->nr_disks; i++)
		if (s->disks[i].extents->granularity_bytes %
		    WIRE_SHARED_BLOCK_BYTES)
			return false;
	return true;
}

uint16_t bf_links_wanted(const struct bf_session *session)
{
	uint32_t nr = session->options.connections;

	return session->options.address && nr && is_shareable(session) ? nr : 1;
}

/* The session can do with fewer: a forwarder may take one connection only. */
static int connect_one_more(struct bf_session *s, struct bf_transport **transport,
			    struct bf_error *err)
{
	struct bf_session_options options = s->options;
	int ret;

	if (!options.timeout_ns || options.timeout_ns > CONNECT_NS)
		options.timeout_ns = CONNECT_NS;
	ret = bf_session_connect(&options, transport, err);
	if (!ret || (err->code != BF_E_CONNECTION && err->code != BF_E_TIMEOUT &&
		     err->code != BF_E_UNREACHABLE))
		return ret;
	bf_warn("job %s: going on with %u of %u connections to the receiver: %s",
		options.job, 1 + s->nr_data_links, options.connections,
		err->text);
	*err = (struct bf_error){ 0 };
	return -EAGAIN;
}

int bf_links_open(struct bf_session *session,
		  const struct wire_claimed *claimed, struct bf_error *err)
{
	const struct bf_link_handler handler = {
		on_data_frame, on_data_failed, session,
	};

	while (session->nr_data_links + 1u < claimed->connections) {
		struct bf_transport *transport;
		struct bf_link *link;
		int ret = connect_one_more(session, &transport, err);

		if (ret == -EAGAIN)
			return 0;
		if (!ret)
			ret = bf_session_link(session, &handler, transport,
					      &link, err);
		if (ret)
			return ret;
		session->data_links[session->nr_data_links++] = link;
		ret = attach(session, link, claimed->epoch, claimed->ticket, err);
		if (ret)
			return ret;
	}
	return 0;
}

void bf_links_close(struct bf_session *session)
{
	while (session->nr_data_links)
		bf_link_stop(session->data_links[--session->nr_data_links]);
}

int bf_links_check(struct bf_session *session, struct bf_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < session->nr_data_links && !ret; i++)
		ret = bf_link_check(session->data_links[i], err);
	return ret;
}

/* --- frames ----------------------------------------------------------------------- */

struct bf_link *bf_links_pick(struct bf_session *session)
{
	struct bf_link *best = session->link;
	uint32_t least = bf_link_backlog(best);

	for (uint32_t i = 0; i < session->nr_data_links; i++) {
		uint32_t backlog = bf_link_backlog(session->data_links[i]);

		if (backlog >= least)
			continue;
		least = backlog;
		best = session->data_links[i];
	}
	return best;
}

void bf_links_sync(struct bf_session *session, struct bf_sync sync[],
		   void (*sent)(struct bf_link_item *item))
{
	uint64_t number = ++session->syncs;

	for (uint32_t i = 0; i < session->nr_data_links; i++) {
		struct bf_sync *at = &sync[i];

		bf_frame_header(&at->frame.header, WIRE_SYNC, 0,
				sizeof(at->frame.body));
		at->frame.body.number = number;
		bf_wire_swap_sync(&at->frame.body);
		at->item = (struct bf_link_item){
			.frame = (const uint8_t *)&at->frame,
			.bytes = sizeof(at->frame),
			.ready = true,
			.sent = sent,
		};
		bf_link_queue(session->data_links[i], &at->item);
	}
}
