/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target of a few lines for tests of the source: one thread, blocking,
 * writes with pwrite, and does wrong exactly what it is told to.
 */
#ifndef BF_TESTS_FAKE_TARGET_H
#define BF_TESTS_FAKE_TARGET_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/codec.h"
#include "lib/frame.h"
#include "lib/transport.h"

#define FAKE_DISKS 4
#define FAKE_DEADLINE_NS (60 * BF_NSEC_PER_SEC)

struct fake_target {
	/* In: */
	int fds[FAKE_DISKS];		/* -1: blocks are checked, not written */
	uint64_t sizes[FAKE_DISKS];
	uint64_t features;
	/* Wrongs, 0: none. */
	uint64_t totals_wrong_at;	/* barrier sequence */
	uint64_t wrong_sequence_at;
	uint64_t error_at;		/* answers it with ERROR */
	uint64_t hang_up_at;		/* closes instead of answering */
	bool hang_up_at_end;		/* likewise, whichever barrier it is */
	uint64_t silent_at_frame;	/* reads nothing more from this DATA on */
	int notify_fd;			/* eventfd: told of each DATA and PING */
	uint64_t hold_at_frame;		/* waits before it until ... */
	int release_fd;			/* ... this eventfd is written */
	/* Sends an answer in place of the honest way, if it is not NULL. */
	int (*answer)(struct fake_target *t, uint16_t type, uint16_t disk,
		      const void *payload, uint32_t bytes);
	/* Out: */
	uint64_t begins, frames, barriers, steps, pings, pongs;
	uint64_t encoded_bytes, raw_bytes;
	uint32_t complete;		/* progress flags of the last barrier */
	uint64_t last_kind;
	uint64_t order_errors;
	struct wire_totals totals[FAKE_DISKS];
	struct wire_progress last_step;
	bool cut_over;

	struct bf_transport *end;
	struct bf_codec *codec;
	pthread_t thread;
	uint32_t nr_disks;
	uint64_t next_offset[FAKE_DISKS];	/* blocks of a generation ascend */
	uint8_t raw[WIRE_RAW_MAX];
	struct bf_data_view view;
	uint8_t payload[2 << 20];
};

static const uint64_t fake_seed = 0x5eed;
static const uint8_t fake_key[16] = "sixteen bytes...";

static inline int fake_answer(struct fake_target *t, uint16_t type, uint16_t disk,
			      const void *payload, uint32_t bytes)
{
	if (t->answer)
		return t->answer(t, type, disk, payload, bytes);
	return bf_frame_send(t->end, type, disk, payload, bytes,
			     bf_now_ns() + FAKE_DEADLINE_NS, NULL);
}

static inline int fake_welcome(struct fake_target *t)
{
	struct wire_welcome w = {
		.magic = WIRE_MAGIC, .version = WIRE_VERSION,
		.features = t->features,
		.last_epoch = 6, .checksum_seed = fake_seed,
		.state = WIRE_JOB_SYNCING,
	};

	memcpy(w.digest_key, fake_key, 16);
	bf_wire_swap_welcome(&w);
	return fake_answer(t, WIRE_WELCOME, 0, &w, sizeof(w));
}

static inline int fake_opened(struct fake_target *t, const struct bf_frame *f)
{
	struct wire_opened o = { .size_bytes = t->sizes[f->disk], .generation = 3 };

	t->nr_disks = f->disk + 1;
	bf_wire_swap_opened(&o);
	return fake_answer(t, WIRE_OPENED, f->disk, &o, sizeof(o));
}

static inline int fake_claimed(struct fake_target *t, const struct bf_frame *f)
{
	struct {
		struct wire_claimed head;
		uint8_t cookies[FAKE_DISKS][16];
	} answer = { { 0 }, { { 0 } } };
	struct wire_claim claim;

	if (bf_check_claim(f, &claim, NULL))
		return -1;
	answer.head.epoch = claim.epoch;
	answer.head.nr_disks = claim.nr_disks;
	answer.head.connections = 1;
	for (uint32_t i = 0; i < claim.nr_disks; i++)
		answer.cookies[i][0] = 'a' + i;
	bf_wire_swap_claimed(&answer.head);
	return fake_answer(t, WIRE_CLAIMED, 0, &answer,
			   sizeof(answer.head) + claim.nr_disks * 16);
}

static inline int fake_put(struct fake_target *t, uint16_t disk)
{
	static const uint8_t zeroes[1 << 20];
	const uint8_t *from = t->raw;
	uint64_t low = UINT64_MAX, high = 0;

	for (uint32_t i = 0; i < t->view.head.nr_data + t->view.head.nr_zero; i++) {
		const struct wire_extent *e = &t->view.extents[i];
		bool zero = i >= t->view.head.nr_data;

		if (t->fds[disk] >= 0 &&
		    pwrite(t->fds[disk], zero ? zeroes : from, e->length_bytes,
			   e->offset_bytes) != (ssize_t)e->length_bytes)
			return -1;
		from += zero ? 0 : e->length_bytes;
		if (e->offset_bytes < low)
			low = e->offset_bytes;
		if (e->offset_bytes + e->length_bytes > high)
			high = e->offset_bytes + e->length_bytes;
		if (zero)
			t->totals[disk].zero_bytes += e->length_bytes;
		else
			t->totals[disk].data_bytes += e->length_bytes;
	}
	if (low < t->next_offset[disk])
		t->order_errors++;
	t->next_offset[disk] = high;
	return 0;
}

static inline void fake_notify(struct fake_target *t)
{
	uint64_t one = 1;

	if (t->notify_fd && write(t->notify_fd, &one, sizeof(one)) < 0)
		abort();
}

static inline int fake_data(struct fake_target *t, const struct bf_frame *f)
{
	const struct wire_data *h = &t->view.head;
	uint64_t released;

	t->frames++;
	fake_notify(t);
	if (t->frames == t->hold_at_frame &&
	    read(t->release_fd, &released, sizeof(released)) < 0)
		return -1;
	if (bf_check_data(f, t->sizes[f->disk], &t->view, NULL) ||
	    bf_codec_decode(t->codec, h->codec, t->view.encoded,
			    h->encoded_bytes, t->raw, h->raw_bytes, NULL) ||
	    bf_codec_checksum(t->codec, fake_seed, t->view.extent_bytes,
			      t->view.extent_table_bytes, t->raw,
			      h->raw_bytes) != h->checksum)
		return -1;
	t->totals[f->disk].frames++;
	t->totals[f->disk].extents += h->nr_data + h->nr_zero;
	t->totals[f->disk].checksum_sum += h->checksum;
	t->encoded_bytes += h->encoded_bytes;
	t->raw_bytes += h->raw_bytes;
	return fake_put(t, f->disk);
}

static inline int fake_barrier(struct fake_target *t, const struct bf_frame *f)
{
	struct wire_progress progress[WIRE_DISKS_MAX];
	struct {
		struct wire_durable head;
		struct wire_totals totals[FAKE_DISKS];
	} answer;
	struct bf_error why = { .code = BF_E_TARGET_IO };
	struct wire_barrier b;

	if (bf_check_barrier(f, &b, t->nr_disks, progress, NULL))
		return -1;
	t->barriers++;
	t->complete = b.nr_disks ? progress[0].flags : 0;
	if (b.nr_disks && !(progress[0].flags & WIRE_PROGRESS_END)) {
		t->steps++;
		t->last_step = progress[0];
	}
	if (b.sequence == t->hang_up_at ||
	    (t->hang_up_at_end && (t->complete & WIRE_PROGRESS_END)))
		return -1;
	if (b.sequence == t->error_at) {
		strcpy(why.text, "target disk full of sand; clean it");
		bf_frame_send_error(t->end, &why, bf_now_ns() + FAKE_DEADLINE_NS);
		return -1;
	}
	answer.head = (struct wire_durable){
		.sequence = b.sequence + (b.sequence == t->wrong_sequence_at),
		.nr_disks = t->nr_disks,
	};
	memcpy(answer.totals, t->totals, sizeof(t->totals));
	if (b.sequence == t->totals_wrong_at)
		answer.totals[t->nr_disks - 1].checksum_sum++;
	bf_wire_swap_durable(&answer.head);
	for (uint32_t i = 0; i < t->nr_disks; i++)
		bf_wire_swap_totals(&answer.totals[i]);
	return fake_answer(t, WIRE_DURABLE, 0, &answer, sizeof(answer.head) +
			   t->nr_disks * sizeof(struct wire_totals));
}

static inline int fake_digest(struct fake_target *t, const struct bf_frame *f)
{
	struct {
		struct wire_digests head;
		uint8_t digests[WIRE_DIGESTS_MAX][16];
	} answer;
	struct wire_digest d;
	uint32_t n = 0;

	if (bf_check_digest(f, t->sizes[f->disk], &d, NULL))
		return -1;
	for (uint64_t at = 0; at < d.length_bytes; at += d.block_bytes, n++) {
		uint64_t left = d.length_bytes - at;
		ssize_t bytes = left < d.block_bytes ? left : d.block_bytes;

		if (pread(t->fds[f->disk], t->raw, bytes, d.offset_bytes + at) !=
		    bytes)
			return -1;
		bf_codec_digest(t->codec, d.offset_bytes + at, t->raw, bytes,
				answer.digests[n], NULL);
	}
	answer.head = (struct wire_digests){ d.offset_bytes, n, d.block_bytes };
	bf_wire_swap_digests(&answer.head);
	return fake_answer(t, WIRE_DIGESTS, f->disk, &answer,
			   sizeof(answer.head) + n * 16);
}

static inline int fake_begin(struct fake_target *t, const struct bf_frame *f)
{
	struct wire_begin b;

	if (bf_check_begin(f, &b, NULL))
		return -1;
	t->begins++;
	t->last_kind = b.kind;
	t->next_offset[f->disk] = 0;
	return 0;
}

static inline int fake_cutover(struct fake_target *t, const struct bf_frame *f)
{
	t->cut_over = true;
	return fake_answer(t, WIRE_CUTOVER_DONE, 0, f->payload, f->length);
}

/* All that came since the last answer came at once. */
static inline int fake_measure(struct fake_target *t, const struct bf_frame *f)
{
	struct wire_measured answer = { .bytes = 1 << 20, .time_ns = 1000000 };
	struct wire_measure m;

	if (bf_check_measure(f, &m, NULL))
		return -1;
	bf_wire_swap_measured(&answer);
	return m.flags & WIRE_MEASURE_ANSWER ?
		fake_answer(t, WIRE_MEASURED, 0, &answer, sizeof(answer)) : 0;
}

static inline int fake_report(struct fake_target *t)
{
	const struct wire_reported answer = { 0 };

	return fake_answer(t, WIRE_REPORTED, 0, &answer, sizeof(answer));
}

static inline int fake_frame(struct fake_target *t, const struct bf_frame *f)
{
	switch (f->type) {
	case WIRE_HELLO:
		return fake_welcome(t);
	case WIRE_OPEN:
		return fake_opened(t, f);
	case WIRE_CLAIM:
		return fake_claimed(t, f);
	case WIRE_BEGIN:
		return fake_begin(t, f);
	case WIRE_DATA:
		return fake_data(t, f);
	case WIRE_BARRIER:
		return fake_barrier(t, f);
	case WIRE_DIGEST:
		return fake_digest(t, f);
	case WIRE_CUTOVER:
		return fake_cutover(t, f);
	case WIRE_MEASURE:
		return fake_measure(t, f);
	case WIRE_REPORT:
		return fake_report(t);
	case WIRE_PING:
		t->pings++;
		fake_notify(t);
		return fake_answer(t, WIRE_PONG, 0, f->payload, f->length) ||
		       fake_answer(t, WIRE_PING, 0, f->payload, f->length);
	case WIRE_PONG:
		t->pongs++;
		return 0;
	default:
		return -1;
	}
}

static inline void *fake_main(void *argument)
{
	struct fake_target *t = argument;
	uint64_t forever_ns = bf_now_ns() + FAKE_DEADLINE_NS;

	for (;;) {
		struct wire_header h;
		struct bf_frame f;

		if (bf_transport_read_all(t->end, &h, sizeof(h), forever_ns, NULL))
			break;
		f = (struct bf_frame){ h.type, h.disk, h.length, t->payload };
		if (f.type == WIRE_DATA && t->silent_at_frame &&
		    t->frames + 1 == t->silent_at_frame) {
			struct pollfd hung_up = { .fd = bf_transport_fd(t->end) };

			poll(&hung_up, 1, -1);	/* the source must give up */
			break;
		}
		if (bf_transport_read_all(t->end, f.payload, f.length, forever_ns,
					  NULL) ||
		    fake_frame(t, &f))
			break;
	}
	bf_transport_close(t->end);
	return NULL;
}

/* Return: the source's end. */
static inline struct bf_transport *fake_start(struct fake_target *t)
{
	struct bf_transport *ends[2];

	if (bf_transport_pair(ends, NULL) || bf_codec_new(&t->codec, NULL) ||
	    bf_codec_digest_key(t->codec, fake_key, NULL))
		abort();
	t->end = ends[1];
	if (pthread_create(&t->thread, NULL, fake_main, t))
		abort();
	return ends[0];
}

static inline void fake_join(struct fake_target *t)
{
	pthread_join(t->thread, NULL);
	bf_codec_free(t->codec);
}

#endif /* BF_TESTS_FAKE_TARGET_H */
