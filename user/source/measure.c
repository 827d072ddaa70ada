// SPDX-License-Identifier: Apache-2.0
/*
 * Measure: a time flows in, frames that mean nothing flow to the target for as
 * long, and how many bytes a second arrived there, by its own clock, and how
 * long a question and its answer take flows out. Nothing is read or written.
 */
#include <errno.h>
#include <stdlib.h>

#include "source/session.h"

#define ITEMS 4				/* on their way at once */
#define BYTES_MAX (256u << 20)

struct bf_measure {
	struct bf_session *session;
	struct measure_item {
		struct bf_link_item item;
		struct bf_measure *measure;
	} items[ITEMS];
	struct {
		struct wire_header header;
		struct wire_measure body;
		uint8_t filler[WIRE_MEASURE_MAX];
	} frame;
	/* The link's thread's. */
	uint64_t end_ns, left_bytes;
	_Atomic unsigned int under_way;
};

/* The link's thread: once more, or that was it. */
static void on_sent(struct bf_link_item *item)
{
	struct bf_measure *m = ((struct measure_item *)item)->measure;

	if (bf_now_ns() < m->end_ns && m->left_bytes > sizeof(m->frame)) {
		m->left_bytes -= sizeof(m->frame);
		item->ready = true;
		bf_link_queue(m->session->link, item);
	} else if (atomic_fetch_sub(&m->under_way, 1) == 1) {
		bf_session_wake(m->session);
	}
}

static void set_off(struct bf_session *session, struct bf_measure *m,
		    uint64_t time_ns)
{
	m->session = session;
	m->end_ns = bf_now_ns() + time_ns;
	m->left_bytes = BYTES_MAX;
	bf_frame_header(&m->frame.header, WIRE_MEASURE, 0,
			sizeof(m->frame) - sizeof(m->frame.header));
	atomic_store(&m->under_way, ITEMS);
	for (unsigned int i = 0; i < ITEMS; i++) {
		m->items[i] = (struct measure_item){
			.item = {
				.frame = (const uint8_t *)&m->frame,
				.bytes = sizeof(m->frame),
				.ready = true,
				.sent = on_sent,
			},
			.measure = m,
		};
		bf_link_queue(session->link, &m->items[i].item);
	}
}

static int wait_sent(struct bf_session *session, struct bf_measure *m,
		     struct bf_error *err)
{
	for (;;) {
		int ret;

		bf_session_listen(session);
		if (!atomic_load(&m->under_way))
			return 0;
		ret = bf_session_check(session, err);
		if (ret)
			return ret;
		bf_session_wait(session);
	}
}

static int ask(struct bf_session *session, struct wire_measured *measured,
	       struct bf_error *err)
{
	struct wire_measure question = { .flags = WIRE_MEASURE_ANSWER };
	int ret;

	bf_wire_swap_measure(&question);
	ret = bf_session_call(session, session->link, WIRE_MEASURE, 0, &question,
			      sizeof(question), WIRE_MEASURED, err);
	return ret ? ret : bf_check_measured(&session->answer, measured, err);
}

int bf_session_measure(struct bf_session *session, uint64_t time_ns,
		       double *rate, uint64_t *round_ns, struct bf_error *err)
{
	struct wire_measured measured;
	uint64_t start_ns = bf_now_ns();
	int ret;

	if (!(session->welcome.features & WIRE_FEATURE_MEASURE))
		return bf_fail(err, BF_E_VERSION, EOPNOTSUPP,
			       "the receiver's release cannot measure the link");
	if (!session->measure)
		session->measure = calloc(1, sizeof(*session->measure));
	if (!session->measure)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	ret = ask(session, &measured, err);
	*round_ns = bf_now_ns() - start_ns;
	if (ret)
		return ret;
	set_off(session, session->measure, time_ns);
	ret = wait_sent(session, session->measure, err);
	if (!ret)
		ret = ask(session, &measured, err);
	if (!ret)
		*rate = (double)measured.bytes * BF_NSEC_PER_SEC /
			(measured.time_ns + 1);
	return ret;
}
