/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source that does as it is told, also what a source must not do: one call a
 * message over any transport. For tests of the receiver; shares nothing with
 * the replicator but the library.
 */
#ifndef BF_TESTS_SOURCE_PEER_H
#define BF_TESTS_SOURCE_PEER_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/frame.h"
#include "lib/transport_private.h"

#define PEER_PATIENCE_NS (20 * BF_NSEC_PER_SEC)

struct peer {
	struct bf_transport *transport;
	struct bf_frame_reader reader;
	struct bf_codec *codec;
	struct wire_welcome welcome;
	struct wire_claimed claimed;
	uint64_t sequence;		/* of the last BARRIER */
	uint32_t nr_disks;
	struct wire_totals sent[WIRE_DISKS_MAX];
	uint32_t pings;			/* answered */
	bool deaf;			/* answers no PING */
	struct bf_error err;		/* of the last call that failed */
	uint8_t payload[sizeof(struct wire_data) +
			WIRE_EXTENTS_MAX * sizeof(struct wire_extent) +
			WIRE_RAW_MAX + 4096];
};

static inline struct peer *peer_new(struct bf_transport *transport)
{
	struct peer *p = calloc(1, sizeof(*p));

	p->transport = transport;
	bf_frame_reader_init(&p->reader, BF_ROLE_SOURCE);
	bf_codec_new(&p->codec, NULL);
	return p;
}

static inline void peer_free(struct peer *p)
{
	if (!p)
		return;
	bf_transport_close(p->transport);
	bf_frame_reader_free(&p->reader);
	bf_codec_free(p->codec);
	free(p);
}

static inline int peer_send(struct peer *p, uint16_t type, uint16_t disk,
			    const void *payload, size_t bytes)
{
	return bf_frame_send(p->transport, type, disk, payload, (uint32_t)bytes,
			     bf_now_ns() + PEER_PATIENCE_NS, &p->err);
}

/* Any bytes at all. */
static inline int peer_send_raw(struct peer *p, const void *data, size_t bytes)
{
	return bf_transport_write_all(p->transport, data, bytes,
				      bf_now_ns() + PEER_PATIENCE_NS, &p->err);
}

/* The next frame that is no PING. Return: 1, 0 at an orderly end, -errno. */
static inline int peer_next(struct peer *p, struct bf_frame **frame)
{
	uint64_t deadline_ns = bf_now_ns() + PEER_PATIENCE_NS;
	int ret;

	for (;;) {
		ret = bf_frame_read(&p->reader, p->transport, frame, &p->err);
		if (ret == -EAGAIN)
			ret = bf_wait_fd(p->transport->fd,
					 p->transport->read_events, deadline_ns);
		else if (ret != 1 || (*frame)->type != WIRE_PING)
			return ret;
		else if (!p->deaf)
			ret = (p->pings++, peer_send(p, WIRE_PONG, 0,
						     (*frame)->payload,
						     (*frame)->length));
		else
			ret = 0;
		if (ret)
			return ret;
	}
}

/* The next frame must be of @type; an ERROR fills in p->err. */
static inline int peer_expect(struct peer *p, uint16_t type,
			      struct bf_frame **frame)
{
	int ret;

	memset(&p->err, 0, sizeof(p->err));
	ret = peer_next(p, frame);
	if (ret == 0)
		return bf_fail(&p->err, BF_E_CONNECTION, EPIPE, "orderly end");
	if (ret < 0)
		return p->err.code ? ret : bf_fail(&p->err, BF_E_TIMEOUT, -ret,
						   "no answer");
	if ((*frame)->type == WIRE_ERROR)
		return bf_check_error(*frame, &p->err);
	if ((*frame)->type != type)
		return bf_fail(&p->err, BF_E_PROTOCOL, EPROTO, "%s came",
			       bf_frame_name((*frame)->type));
	return 0;
}

static inline int peer_hello(struct peer *p, const char *job)
{
	struct wire_hello m = {
		.magic = WIRE_MAGIC, .version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION,
		.features = WIRE_FEATURE_ZSTD | WIRE_FEATURE_GMAC |
			    WIRE_FEATURE_MEASURE | WIRE_FEATURE_REPORT,
	};
	struct bf_frame *frame;
	int ret;

	snprintf(m.job, sizeof(m.job), "%s", job);
	bf_wire_swap_hello(&m);
	ret = peer_send(p, WIRE_HELLO, 0, &m, sizeof(m));
	if (!ret)
		ret = peer_expect(p, WIRE_WELCOME, &frame);
	if (!ret)
		ret = bf_check_welcome(frame, &p->welcome, &p->err);
	if (!ret)
		ret = bf_codec_digest_key(p->codec, p->welcome.digest_key,
					  &p->err);
	return ret;
}

static inline int peer_ask_open(struct peer *p, const char *target,
				uint64_t size, uint32_t flags, uint8_t uuid)
{
	struct wire_open m = { .size_bytes = size, .granularity_bytes = 4096,
			       .flags = flags };

	snprintf(m.target, sizeof(m.target), "%s", target);
	memset(m.source_uuid, uuid, sizeof(m.source_uuid));
	bf_wire_swap_open(&m);
	return peer_send(p, WIRE_OPEN, (uint16_t)p->nr_disks, &m, sizeof(m));
}

static inline int peer_open(struct peer *p, const char *target, uint64_t size,
			    uint32_t flags, uint8_t uuid,
			    struct wire_opened *opened)
{
	struct wire_opened ignored;
	struct bf_frame *frame;
	int ret = peer_ask_open(p, target, size, flags, uuid);

	if (!ret)
		ret = peer_expect(p, WIRE_OPENED, &frame);
	if (!ret)
		ret = bf_check_opened(frame, opened ? opened : &ignored, &p->err);
	if (!ret)
		p->nr_disks++;
	return ret;
}

static inline int peer_claim(struct peer *p, uint64_t epoch, uint32_t flags,
			     uint8_t (*cookies)[16])
{
	struct wire_claim m = { .epoch = epoch, .nr_disks = p->nr_disks,
				.flags = (uint16_t)flags,
				.connections = WIRE_CONNECTIONS_MAX };
	const uint8_t (*at)[16];
	struct bf_frame *frame;
	int ret;

	bf_wire_swap_claim(&m);
	ret = peer_send(p, WIRE_CLAIM, 0, &m, sizeof(m));
	if (!ret)
		ret = peer_expect(p, WIRE_CLAIMED, &frame);
	if (!ret)
		ret = bf_check_claimed(frame, &p->claimed, p->nr_disks, &at,
				       &p->err);
	if (!ret && cookies)
		memcpy(cookies, at, 16 * p->nr_disks);
	return ret;
}

/* As one more connection of @control's session. */
static inline int peer_attach(struct peer *p, const struct peer *control,
			      const char *job)
{
	struct wire_attach m = {
		.magic = WIRE_MAGIC, .version = control->welcome.version,
		.epoch = control->claimed.epoch,
	};
	struct wire_attached attached;
	struct bf_frame *frame;
	int ret;

	memcpy(m.ticket, control->claimed.ticket, sizeof(m.ticket));
	snprintf(m.job, sizeof(m.job), "%s", job);
	bf_wire_swap_attach(&m);
	p->welcome = control->welcome;
	p->nr_disks = control->nr_disks;
	ret = peer_send(p, WIRE_ATTACH, 0, &m, sizeof(m));
	if (!ret)
		ret = peer_expect(p, WIRE_ATTACHED, &frame);
	return ret ? ret : bf_check_attached(frame, &attached, &p->err);
}

static inline int peer_sync(struct peer *p, uint64_t number)
{
	struct wire_sync m = { .number = number };

	bf_wire_swap_sync(&m);
	return peer_send(p, WIRE_SYNC, 0, &m, sizeof(m));
}

static inline int peer_begin(struct peer *p, uint16_t disk, uint64_t generation,
			     uint32_t kind)
{
	struct wire_begin m = { .generation = generation, .kind = kind };

	bf_wire_swap_begin(&m);
	return peer_send(p, WIRE_BEGIN, disk, &m, sizeof(m));
}

/* What one DATA frame is made of; a checksum_flip damages it. */
struct peer_data {
	uint64_t generation;
	const struct wire_extent *extents;	/* data, then zero */
	uint16_t nr_data, nr_zero;
	const void *blocks;
	int level;
	uint64_t checksum_flip;
	int32_t raw_bytes_lie;		/* added to what is stated */
};

/* Builds the frame's payload in p->payload. Return: its length. */
static inline size_t peer_build(struct peer *p, const struct peer_data *d,
				uint64_t *checksum, size_t *raw)
{
	struct wire_data head = {
		.generation = d->generation, .nr_data = d->nr_data,
		.nr_zero = d->nr_zero,
	};
	size_t table = (size_t)(d->nr_data + d->nr_zero) * sizeof(*d->extents);
	const void *blocks = d->blocks ? d->blocks : p->payload, *out;
	uint8_t *at = p->payload + sizeof(head), *room;
	size_t bytes;

	*raw = 0;
	for (int i = 0; i < d->nr_data + d->nr_zero; i++) {
		struct wire_extent e = d->extents[i];

		*raw += i < d->nr_data ? e.length_bytes : 0;
		bf_wire_swap_extent(&e);
		memcpy(at + i * sizeof(e), &e, sizeof(e));
	}
	room = malloc(*raw + 1);
	bytes = bf_codec_encode(p->codec, d->level, blocks, *raw, room, *raw, &out,
				&head.codec);
	memcpy(at + table, out, bytes);
	free(room);
	*checksum = bf_codec_checksum(p->codec, p->welcome.checksum_seed, at,
				      table, blocks, *raw) ^ d->checksum_flip;
	head.checksum = *checksum;
	head.raw_bytes = (uint32_t)((int64_t)*raw + d->raw_bytes_lie);
	head.encoded_bytes = (uint32_t)bytes;
	bf_wire_swap_data(&head);
	memcpy(p->payload, &head, sizeof(head));
	return sizeof(head) + table + bytes;
}

static inline int peer_data(struct peer *p, uint16_t disk,
			    const struct peer_data *d)
{
	struct wire_totals *sent = &p->sent[disk];
	uint64_t checksum;
	size_t raw, bytes = peer_build(p, d, &checksum, &raw);

	sent->frames++;
	sent->extents += d->nr_data + d->nr_zero;
	sent->data_bytes += raw;
	sent->checksum_sum += checksum;
	for (int i = 0; i < d->nr_zero; i++)
		sent->zero_bytes += d->extents[d->nr_data + i].length_bytes;
	return peer_send(p, WIRE_DATA, disk, p->payload, bytes);
}

/* One extent of data, or of zeroes if @blocks is NULL. */
static inline int peer_extent(struct peer *p, uint16_t disk, uint64_t generation,
			      uint64_t offset, uint64_t length,
			      const void *blocks, int level)
{
	struct wire_extent e = { offset, length };
	struct peer_data d = {
		.generation = generation, .extents = &e, .blocks = blocks,
		.nr_data = blocks ? 1 : 0, .nr_zero = blocks ? 0 : 1,
		.level = level,
	};

	return peer_data(p, disk, &d);
}

static inline int peer_barrier_send(struct peer *p, uint64_t sequence,
				    const struct wire_progress *progress,
				    uint32_t nr)
{
	struct {
		struct wire_barrier head;
		struct wire_progress progress[WIRE_DISKS_MAX];
	} m = { .head = { .sequence = sequence, .nr_disks = nr } };

	bf_wire_swap_barrier(&m.head);
	for (uint32_t i = 0; i < nr; i++) {
		m.progress[i] = progress[i];
		bf_wire_swap_progress(&m.progress[i]);
	}
	return peer_send(p, WIRE_BARRIER, 0, &m,
			 sizeof(m.head) + nr * sizeof(*progress));
}

/* Waits for DURABLE; -EBADMSG if the totals are not what was sent. */
static inline int peer_durable(struct peer *p)
{
	struct wire_totals totals[WIRE_DISKS_MAX];
	struct wire_durable m;
	struct bf_frame *frame;
	int ret = peer_expect(p, WIRE_DURABLE, &frame);

	if (!ret)
		ret = bf_check_durable(frame, &m, p->nr_disks, totals, &p->err);
	if (ret)
		return ret;
	if (m.sequence != p->sequence ||
	    memcmp(totals, p->sent, p->nr_disks * sizeof(*totals)))
		return bf_fail(&p->err, BF_E_TOTALS, EBADMSG, "totals differ");
	return 0;
}

static inline int peer_barrier(struct peer *p,
			       const struct wire_progress *progress, uint32_t nr)
{
	int ret = peer_barrier_send(p, ++p->sequence, progress, nr);

	return ret ? ret : peer_durable(p);
}

/* One disk's generation is sent whole; @complete: a full copy. */
static inline int peer_finish(struct peer *p, uint16_t disk, uint64_t generation,
			      uint64_t through, bool complete)
{
	struct wire_progress progress = {
		.generation = generation, .through_bytes = through, .disk = disk,
		.flags = WIRE_PROGRESS_END |
			 (complete ? WIRE_PROGRESS_COMPLETE : 0),
	};

	return peer_barrier(p, &progress, 1);
}

static inline int peer_cutover(struct peer *p, uint64_t epoch)
{
	struct wire_cutover m = { .epoch = epoch };
	struct wire_cutover_done done;
	struct bf_frame *frame;
	int ret;

	bf_wire_swap_cutover(&m);
	ret = peer_send(p, WIRE_CUTOVER, 0, &m, sizeof(m));
	if (!ret)
		ret = peer_expect(p, WIRE_CUTOVER_DONE, &frame);
	return ret ? ret : bf_check_cutover_done(frame, &done, &p->err);
}

/* Compares the target's digests of a range with those of @blocks. */
static inline int peer_digest(struct peer *p, uint16_t disk, uint64_t offset,
			      uint64_t length, uint32_t block,
			      const uint8_t *blocks)
{
	struct wire_digest m = { .offset_bytes = offset, .length_bytes = length,
				 .block_bytes = block };
	uint8_t own[WIRE_DIGEST_BYTES];
	struct wire_digests got;
	struct bf_frame *frame;
	const uint8_t *at;
	int ret;

	bf_wire_swap_digest(&m);
	ret = peer_send(p, WIRE_DIGEST, disk, &m, sizeof(m));
	if (!ret)
		ret = peer_expect(p, WIRE_DIGESTS, &frame);
	if (!ret)
		ret = bf_check_digests(frame, &got, &at, &p->err);
	for (uint32_t i = 0; !ret && i < got.nr_digests; i++) {
		uint64_t from = (uint64_t)i * block;
		size_t bytes = length - from < block ? length - from : block;

		ret = bf_codec_digest(p->codec, offset + from, blocks + from,
				      bytes, own, &p->err);
		if (!ret && memcmp(own, at + i * WIRE_DIGEST_BYTES, sizeof(own)))
			ret = bf_fail(&p->err, BF_E_DIFFERS, EBADMSG,
				      "block %u differs", i);
	}
	if (!ret && got.nr_digests != (length + block - 1) / block)
		ret = bf_fail(&p->err, BF_E_PROTOCOL, EPROTO, "too few digests");
	return ret;
}

#endif /* BF_TESTS_SOURCE_PEER_H */
