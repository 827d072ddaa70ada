// SPDX-License-Identifier: Apache-2.0
/*
 * Send: frames flow to the link in the order of their blocks, counts of what
 * really left flow out. The counting is done by the link's thread as each frame
 * has been sent, so that a barrier knows exactly what went before it.
 */
#include <stddef.h>
#include <string.h>

#include "source/session.h"

static void add_totals(struct wire_totals *sum, const struct wire_totals *more)
{
	sum->data_bytes += more->data_bytes;
	sum->zero_bytes += more->zero_bytes;
	sum->extents += more->extents;
	sum->frames += more->frames;
	sum->checksum_sum += more->checksum_sum;
}

static void add(_Atomic uint64_t *counter, uint64_t bytes)
{
	atomic_fetch_add_explicit(counter, bytes, memory_order_relaxed);
}

/* The link's thread from here ... */
static void slot_sent(struct bf_link_item *item)
{
	struct bf_slot *slot = (struct bf_slot *)
		((char *)item - offsetof(struct bf_slot, item));
	struct bf_session *s = slot->session;
	uint64_t raw = slot->totals.data_bytes + slot->totals.zero_bytes;

	add_totals(&s->sent[slot->disk], &slot->totals);
	add(&s->progress.raw_bytes, raw);
	add(&s->progress.data_bytes, slot->totals.data_bytes);
	add(&s->progress.pass_done_bytes, raw);
	bf_session_give_slot(s, slot);
	bf_session_wake(s);
}

static void barrier_sent(struct bf_link_item *item)
{
	struct bf_barrier *barrier = (struct bf_barrier *)
		((char *)item - offsetof(struct bf_barrier, item));
	struct bf_session *s = barrier->session;

	memcpy(barrier->sent, s->sent, s->nr_disks * sizeof(s->sent[0]));
	barrier->sent_ns = bf_now_ns();
	pthread_mutex_lock(&s->lock);
	barrier->on_wire = true;
	pthread_mutex_unlock(&s->lock);
}
/* ... to here. */

void bf_send_begin(struct bf_session *session, uint32_t disk,
		   enum wire_pass_kind kind)
{
	struct bf_pass_disk *d = &session->pass_disks[disk];

	bf_frame_header(&d->begin_frame.header, WIRE_BEGIN, disk,
			sizeof(d->begin_frame.body));
	d->begin_frame.body = (struct wire_begin){
		.generation = d->generation.number,
		.nr_blocks = d->generation.nr_blocks,
		.kind = kind,
	};
	bf_wire_swap_begin(&d->begin_frame.body);
	d->begin = (struct bf_link_item){
		.frame = (const uint8_t *)&d->begin_frame,
		.bytes = sizeof(d->begin_frame),
		.ready = true,
	};
	bf_link_queue(session->link, &d->begin);
}

/* Queued before its frame exists: this is what keeps the order. */
void bf_send_slot(struct bf_session *session, struct bf_slot *slot)
{
	slot->item.sent = slot_sent;
	bf_link_queue(session->link, &slot->item);
}

void bf_send_barrier(struct bf_session *session, struct bf_barrier *barrier)
{
	barrier->item = (struct bf_link_item){
		.frame = (const uint8_t *)&barrier->frame,
		.bytes = sizeof(struct wire_header) + sizeof(struct wire_barrier) +
			 barrier->frame.body.nr_disks * sizeof(struct wire_progress),
		.answered = true,
		.ready = true,
		.sent = barrier_sent,
	};
	bf_frame_header(&barrier->frame.header, WIRE_BARRIER, 0,
			barrier->item.bytes - sizeof(struct wire_header));
	for (uint32_t i = 0; i < barrier->frame.body.nr_disks; i++)
		bf_wire_swap_progress(&barrier->frame.progress[i]);
	bf_wire_swap_barrier(&barrier->frame.body);
	bf_link_queue(session->link, &barrier->item);
}
