// SPDX-License-Identifier: Apache-2.0
/*
 * Send: frames flow to the links in the order of their blocks, counts of what
 * was handed on flow out. A slot is counted before it may leave, in the interval
 * between two barriers that it was queued in: when the second one is answered,
 * all of that interval has been counted, whichever links it took.
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

/* A link's thread from here ... */
static void slot_sent(struct bf_link_item *item)
{
	struct bf_slot *slot = (struct bf_slot *)
		((char *)item - offsetof(struct bf_slot, item));
	struct bf_session *s = slot->session;
	uint64_t raw = slot->totals.data_bytes + slot->totals.zero_bytes;

	add(&s->progress.raw_bytes, raw);
	add(&s->progress.data_bytes, slot->totals.data_bytes);
	add(&s->progress.pass_done_bytes, raw);
	add(&s->progress.disks[slot->disk].raw_bytes, raw);
	add(&s->progress.disks[slot->disk].done_bytes, raw);
	bf_session_give_slot(s, slot);
	bf_session_wake(s);
}

/* The answer may overtake what the other links tell of it. */
static void part_sent(struct bf_barrier *barrier)
{
	struct bf_session *s = barrier->session;

	pthread_mutex_lock(&s->lock);
	barrier->unsent--;
	barrier->sent_ns = bf_now_ns();
	pthread_mutex_unlock(&s->lock);
	bf_session_wake(s);
}

static void barrier_sent(struct bf_link_item *item)
{
	struct bf_barrier *barrier = (struct bf_barrier *)
		((char *)item - offsetof(struct bf_barrier, item));
	struct bf_session *s = barrier->session;

	pthread_mutex_lock(&s->lock);
	barrier->on_wire = true;
	pthread_mutex_unlock(&s->lock);
	part_sent(barrier);
}

static void barrier_sync_sent(struct bf_link_item *item)
{
	struct bf_sync *sync = (struct bf_sync *)
		((char *)item - offsetof(struct bf_sync, item));

	part_sent(sync->barrier);
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
	bf_links_sync(session, d->sync, NULL);
}

/* Queued before its frame exists: this is what keeps the order. */
void bf_send_slot(struct bf_session *session, struct bf_slot *slot)
{
	slot->item.sent = slot_sent;
	slot->interval = session->barriers % (BF_BARRIERS + 1);
	slot->link = bf_links_pick(session);
	bf_link_queue(slot->link, &slot->item);
}

void bf_send_ready(struct bf_session *session, struct bf_slot *slot)
{
	pthread_mutex_lock(&session->lock);
	add_totals(&session->interval[slot->interval][slot->disk], &slot->totals);
	pthread_mutex_unlock(&session->lock);
	bf_link_ready(slot->link, &slot->item);
}

void bf_send_counted(struct bf_session *session, uint64_t sequence)
{
	struct wire_totals *interval =
		session->interval[(sequence - 1) % (BF_BARRIERS + 1)];

	pthread_mutex_lock(&session->lock);
	for (uint32_t i = 0; i < session->nr_disks; i++) {
		add_totals(&session->sent[i], &interval[i]);
		interval[i] = (struct wire_totals){ 0 };
	}
	pthread_mutex_unlock(&session->lock);
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
	barrier->unsent = 1 + session->nr_data_links;
	for (uint32_t i = 0; i < session->nr_data_links; i++)
		barrier->sync[i].barrier = barrier;
	bf_link_queue(session->link, &barrier->item);
	bf_links_sync(session, barrier->sync, barrier_sync_sent);
}
