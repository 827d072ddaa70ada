// SPDX-License-Identifier: Apache-2.0
/*
 * Frames. Policy: any split of the bytes gives the same frames; a header that
 * breaks a limit is refused before its payload is read; every validator takes
 * its limits' last good value and refuses the first bad one (the messages that
 * make a session are in frame_session_test.c).
 */
#include <stdlib.h>

#include "frame_messages.h"

static uint8_t bytes[2 << 20];

/* --- reading --------------------------------------------------------------- */

static size_t put_frame(uint8_t *to, uint16_t type, uint16_t disk,
			const void *data, uint32_t length)
{
	struct wire_header header;

	bf_frame_header(&header, type, disk, length);
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), data, length);
	return sizeof(header) + length;
}

static int feed(struct bf_frame_reader *reader, const uint8_t *data, size_t n,
		struct bf_frame **frame)
{
	memset(&err, 0, sizeof(err));
	return bf_frame_feed(reader, &data, &n, frame, &err);
}

static int feed_header(enum bf_role role, uint16_t type, uint16_t disk,
		       uint32_t length)
{
	struct bf_frame_reader reader;
	struct wire_header header;
	struct bf_frame *frame;
	int ret;

	bf_frame_reader_init(&reader, role);
	bf_frame_header(&header, type, disk, length);
	ret = feed(&reader, (uint8_t *)&header, sizeof(header), &frame);
	bf_frame_reader_free(&reader);
	return ret;
}

static void bytes_one_by_one(void)
{
	struct bf_frame_reader reader;
	struct bf_frame *frame = NULL;
	size_t n = 0, at;

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	n += put_frame(bytes + n, WIRE_PING, 0, payload, 8);
	n += put_frame(bytes + n, WIRE_BARRIER, 0, payload, 16 + 3 * 32);
	bf_frame_reader_init(&reader, BF_ROLE_TARGET);
	for (at = 0; at < 15; at++)
		check_eq(feed(&reader, bytes + at, 1, &frame), -EAGAIN);
	check_eq(feed(&reader, bytes + at++, 1, &frame), 1);
	check_eq(frame->type, WIRE_PING);
	check(!memcmp(frame->payload, payload, 8));
	check(bf_frame_reader_idle(&reader));
	for (; at < n - 1; at++)
		check_eq(feed(&reader, bytes + at, 1, &frame), -EAGAIN);
	check(!bf_frame_reader_idle(&reader));
	check_eq(feed(&reader, bytes + at, 1, &frame), 1);
	check_eq(frame->type, WIRE_BARRIER);
	check_eq(frame->length, 16 + 3 * 32);
	check(!memcmp(frame->payload, payload, frame->length));
	bf_frame_reader_free(&reader);
}

static void many_frames_in_one_piece(void)
{
	struct bf_frame_reader reader;
	struct bf_frame *frame;
	const uint8_t *data = bytes;
	size_t n = 0;

	for (int i = 0; i < 100; i++)
		n += put_frame(bytes + n, WIRE_PING, 0, payload, 8);
	bf_frame_reader_init(&reader, BF_ROLE_SOURCE);
	for (int i = 0; i < 100; i++)
		check_eq(bf_frame_feed(&reader, &data, &n, &frame, &err), 1);
	check_eq(n, 0);
	check_eq(bf_frame_feed(&reader, &data, &n, &frame, &err), -EAGAIN);
	bf_frame_reader_free(&reader);
}

static void limits_come_before_payloads(void)
{
	for (int type = WIRE_HELLO; type <= WIRE_TYPE_MAX; type++) {
		for (int role = BF_ROLE_SOURCE; role <= BF_ROLE_TARGET; role++) {
			uint32_t limit = bf_frame_limit(role, type);
			uint32_t least = bf_frame_minimum(type);

			if (!limit) {
				check_eq(feed_header(role, type, 0, least), -EPROTO);
				check_says(err.text, "wrong side");
				continue;
			}
			check(least && least <= limit);
			check_eq(feed_header(role, type, 0, least), -EAGAIN);
			check_eq(feed_header(role, type, 0, limit), -EAGAIN);
			check_eq(feed_header(role, type, 0, least - 1), -EPROTO);
			check_eq(feed_header(role, type, 0, limit + 1), -EPROTO);
			check_eq(feed_header(role, type, 0, UINT32_MAX), -EPROTO);
			check_eq(err.code, BF_E_PROTOCOL);
			check_says(err.text, bf_frame_name(type));
		}
	}
}

static void unknown_types_are_refused(void)
{
	check_eq(feed_header(BF_ROLE_TARGET, 0, 0, 8), -EPROTO);
	check_eq(feed_header(BF_ROLE_TARGET, WIRE_TYPE_MAX + 1, 0, 8), -EPROTO);
	check_eq(feed_header(BF_ROLE_SOURCE, UINT16_MAX, 0, 0), -EPROTO);
	check_says(err.text, "unknown type");
	check_eq(bf_frame_limit(BF_ROLE_SOURCE, 99), 0);
}

static void disks_are_limited(void)
{
	check_eq(feed_header(BF_ROLE_TARGET, WIRE_BEGIN, WIRE_DISKS_MAX - 1, 24),
		 -EAGAIN);
	check_eq(feed_header(BF_ROLE_TARGET, WIRE_BEGIN, WIRE_DISKS_MAX, 24),
		 -EPROTO);
	check_eq(feed_header(BF_ROLE_TARGET, WIRE_PING, 1, 8), -EPROTO);
	check_says(err.text, "disk 1");
}

/* A caller that goes on after an error must not write beyond the buffer. */
static void reading_on_after_an_error_is_harmless(void)
{
	struct bf_frame_reader reader;
	struct wire_header header;
	struct bf_frame *frame;

	bf_frame_reader_init(&reader, BF_ROLE_TARGET);
	bf_frame_header(&header, WIRE_DATA, 0, UINT32_MAX);
	check_eq(feed(&reader, (uint8_t *)&header, sizeof(header), &frame),
		 -EPROTO);
	for (int i = 0; i < 100; i++)
		feed(&reader, payload, 1000, &frame);
	bf_frame_reader_free(&reader);
}

/* The longest frame that says it has @nr_data extents, read into lent room. */
static void read_into_room(uint8_t *room, uint16_t nr_data, size_t blocks_at)
{
	uint32_t length = bf_frame_limit(BF_ROLE_TARGET, WIRE_DATA);
	struct wire_data head = { .nr_data = nr_data };
	struct bf_frame_reader reader;
	struct bf_frame *frame;
	size_t n;

	for (size_t i = 0; i < length; i++)
		payload[i] = (uint8_t)(i * 7);
	bf_wire_swap_data(&head);
	memcpy(payload, &head, sizeof(head));
	n = put_frame(bytes, WIRE_DATA, 0, payload, length);
	bf_frame_reader_init(&reader, BF_ROLE_TARGET);
	bf_frame_reader_lend(&reader, room);
	for (size_t at = 0; at < 60; at++)
		check_eq(feed(&reader, bytes + at, 1, &frame), -EAGAIN);
	check_eq(feed(&reader, bytes + 60, n - 60, &frame), 1);
	check_eq(frame->payload - room,
		 (long)(blocks_at - sizeof(head) - nr_data * 16ul));
	check(!memcmp(frame->payload, payload, length));
	check(bf_frame_reader_idle(&reader));
	n = put_frame(bytes, WIRE_PING, 0, payload, 8);
	check_eq(feed(&reader, bytes, n, &frame), 1);
	check(frame->payload < room || frame->payload >= room + BF_FRAME_ROOM_BYTES);
	bf_frame_reader_free(&reader);
}

static void data_lies_where_it_is_written_from(void)
{
	/* Of exactly this size: the sanitizer sees a byte beyond it. */
	uint8_t *room = malloc(BF_FRAME_ROOM_BYTES);

	read_into_room(room, 1, BF_FRAME_BLOCKS_AT);
	read_into_room(room, 0, BF_FRAME_BLOCKS_AT);
	read_into_room(room, WIRE_EXTENTS_MAX, BF_FRAME_BLOCKS_AT);
	/* Impossible: stays in the room, and is for the validator to refuse. */
	read_into_room(room, UINT16_MAX, BF_FRAME_BLOCKS_AT +
		       (UINT16_MAX - WIRE_EXTENTS_MAX) * 16ul);
	free(room);
}

/* --- validators -------------------------------------------------------------- */

/* --- DATA ----------------------------------------------------------------------- */

static struct wire_data data_head;
static struct wire_extent data_extents[WIRE_EXTENTS_MAX + 1];
static struct bf_data_view view;

static void reset_data(void)
{
	data_head = (struct wire_data){
		.generation = 1, .raw_bytes = 8192, .encoded_bytes = 8192,
		.codec = WIRE_CODEC_NONE, .nr_data = 2, .nr_zero = 1,
	};
	data_extents[0] = (struct wire_extent){ 0, 4096 };
	data_extents[1] = (struct wire_extent){ 8192, 4096 };
	data_extents[2] = (struct wire_extent){ 4096, 4096 };
}

static int check_data_of(size_t nr, long surplus)
{
	uint8_t *at = payload;
	struct wire_data head = data_head;
	struct bf_frame f = { .type = WIRE_DATA, .payload = payload };

	bf_wire_swap_data(&head);
	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	for (size_t i = 0; i < nr; i++, at += sizeof(struct wire_extent)) {
		struct wire_extent e = data_extents[i];

		bf_wire_swap_extent(&e);
		memcpy(at, &e, sizeof(e));
	}
	f.length = (uint32_t)((at - payload) + data_head.encoded_bytes + surplus);
	memset(&err, 0, sizeof(err));
	return bf_check_data(&f, DEVICE_BYTES, &view, &err);
}

#define DATA_REFUSED(change, nr) do {					\
	reset_data();							\
	change;								\
	check_eq(check_data_of(nr, 0), -EPROTO);			\
	check_eq(err.code, BF_E_PROTOCOL);				\
} while (0)

static void data_heads(void)
{
	reset_data();
	check_eq(check_data_of(3, 0), 0);
	check_eq(view.extents[2].offset_bytes, 4096);
	check_eq(view.extent_table_bytes, 48);
	check(view.encoded == payload + 32 + 48);
	check_eq(check_data_of(3, 1), -EPROTO);
	check_eq(check_data_of(3, -1), -EPROTO);
	DATA_REFUSED(data_head.nr_data = data_head.nr_zero = 0, 0);
	DATA_REFUSED(data_head.reserved = 1, 3);
	DATA_REFUSED(data_head.codec = 2, 3);
	DATA_REFUSED(data_head.generation = UINT64_MAX, 3);
	DATA_REFUSED(data_head.raw_bytes = 4096, 3);
	DATA_REFUSED(data_head.encoded_bytes = 4096, 3);	/* plain, shorter */
	DATA_REFUSED(data_head.codec = WIRE_CODEC_ZSTD, 3);	/* does not pay */
	DATA_REFUSED(data_head.codec = WIRE_CODEC_ZSTD;
		     data_head.encoded_bytes = 0, 3);
	reset_data();
	data_head.codec = WIRE_CODEC_ZSTD;
	data_head.encoded_bytes = 8191;
	check_eq(check_data_of(3, 0), 0);
}

static void data_extents_are_within(void)
{
	DATA_REFUSED(data_extents[0].length_bytes = 0, 3);
	DATA_REFUSED(data_extents[0].length_bytes = 4095, 3);
	DATA_REFUSED(data_extents[0].offset_bytes = 1, 3);
	DATA_REFUSED(data_extents[1].offset_bytes = DEVICE_BYTES, 3);
	DATA_REFUSED(data_extents[1].offset_bytes = DEVICE_BYTES - 3584, 3);
	DATA_REFUSED(data_extents[1].offset_bytes = UINT64_MAX - 511, 3);
	DATA_REFUSED(data_extents[1].length_bytes = UINT64_MAX - 511, 3);
	DATA_REFUSED(data_extents[2].length_bytes = DEVICE_BYTES, 3);
	reset_data();
	data_extents[1].offset_bytes = DEVICE_BYTES - 4096;
	check_eq(check_data_of(3, 0), 0);
}

static void data_extents_are_disjoint(void)
{
	DATA_REFUSED(data_extents[1].offset_bytes = 0, 3);	/* twice */
	DATA_REFUSED(data_extents[1].offset_bytes = 3584, 3);	/* overlap */
	DATA_REFUSED(data_extents[0].offset_bytes = 12288, 3);	/* descending */
	DATA_REFUSED(data_extents[2].offset_bytes = 0, 3);	/* data and zero */
	DATA_REFUSED(data_extents[2].offset_bytes = 7680, 3);
	DATA_REFUSED(data_extents[2].length_bytes = 8192, 3);
	reset_data();
	data_extents[2].offset_bytes = 12288;			/* touching */
	check_eq(check_data_of(3, 0), 0);
}

static void data_counts_are_limited(void)
{
	reset_data();
	data_head.nr_data = WIRE_EXTENTS_MAX;
	data_head.nr_zero = 0;
	data_head.raw_bytes = data_head.encoded_bytes = WIRE_EXTENTS_MAX * 512;
	for (size_t i = 0; i <= WIRE_EXTENTS_MAX; i++)
		data_extents[i] = (struct wire_extent){ i * 1024, 512 };
	check_eq(check_data_of(WIRE_EXTENTS_MAX, 0), 0);
	data_head.nr_zero = 1;
	check_eq(check_data_of(WIRE_EXTENTS_MAX + 1, 0), -EPROTO);
	data_head.nr_data = data_head.nr_zero = UINT16_MAX;
	check_eq(check_data_of(WIRE_EXTENTS_MAX, 0), -EPROTO);
	reset_data();
	data_head.nr_data = 1;
	data_head.nr_zero = 0;
	data_head.raw_bytes = data_head.encoded_bytes = WIRE_RAW_MAX;
	data_extents[0].length_bytes = WIRE_RAW_MAX;
	check_eq(check_data_of(1, 0), 0);
	data_head.raw_bytes = data_head.encoded_bytes = WIRE_RAW_MAX + 512;
	data_extents[0].length_bytes = WIRE_RAW_MAX + 512;
	check_eq(check_data_of(1, 0), -EPROTO);
}

static void a_data_sum_cannot_wrap(void)
{
	reset_data();
	data_head.nr_zero = 0;
	data_extents[0].length_bytes = (1ull << 32) + 4096;	/* wraps in 32 bits */
	data_extents[1].offset_bytes = 1ull << 33;
	check_eq(check_data_of(2, 0), -EPROTO);
}

/* --- the others -------------------------------------------------------------------- */

static int check_barrier_of(struct wire_barrier m, struct wire_progress *p,
			    size_t nr, uint32_t nr_disks)
{
	struct wire_progress out[4];
	struct wire_barrier got;
	struct bf_frame f;

	bf_wire_swap_barrier(&m);
	memcpy(bytes, &m, sizeof(m));
	for (size_t i = 0; i < nr; i++) {
		struct wire_progress one = p[i];

		bf_wire_swap_progress(&one);
		memcpy(bytes + sizeof(m) + i * sizeof(one), &one, sizeof(one));
	}
	f = frame_of(WIRE_BARRIER, bytes, sizeof(m) + nr * sizeof(*p));
	return bf_check_barrier(&f, &got, nr_disks, out, &err);
}

static void barriers(void)
{
	struct wire_barrier m = { .sequence = 1, .nr_disks = 2 };
	struct wire_progress p[2] = {
		{ .generation = 1, .through_bytes = 512, .disk = 0 },
		{ .generation = 2, .disk = 1, .flags = WIRE_PROGRESS_END },
	};

	check_eq(check_barrier_of(m, p, 2, 2), 0);
	check_eq(check_barrier_of(m, p, 1, 2), -EPROTO);
	check_eq(check_barrier_of(m, p, 2, 1), -EPROTO);
	p[1].disk = 0;					/* twice */
	check_eq(check_barrier_of(m, p, 2, 2), -EPROTO);
	p[1].disk = 2;					/* not opened */
	check_eq(check_barrier_of(m, p, 2, 2), -EPROTO);
	p[1].disk = 1;
	p[1].flags = WIRE_PROGRESS_COMPLETE;		/* without END */
	check_eq(check_barrier_of(m, p, 2, 2), -EPROTO);
	p[1].flags = WIRE_PROGRESS_COMPLETE | WIRE_PROGRESS_END;
	check_eq(check_barrier_of(m, p, 2, 2), 0);
	p[1].flags |= 4;
	check_eq(check_barrier_of(m, p, 2, 2), -EPROTO);
	p[1].flags = 0;
	p[1].through_bytes = UINT64_MAX;
	check_eq(check_barrier_of(m, p, 2, 2), -EPROTO);
	m.nr_disks = UINT32_MAX;
	check_eq(check_barrier_of(m, p, 2, 2), -EPROTO);
	m.nr_disks = 0;
	check_eq(check_barrier_of(m, p, 0, 2), 0);
}

static void durables(void)
{
	struct {
		struct wire_durable head;
		struct wire_totals totals[2];
	} m = { { .sequence = 5, .nr_disks = 2 },
		{ { .frames = 7 }, { .checksum_sum = UINT64_MAX } } };
	struct wire_totals totals[2];
	struct wire_durable out;
	struct bf_frame f;

	bf_wire_swap_durable(&m.head);
	f = frame_of(WIRE_DURABLE, &m, sizeof(m));
	check_eq(bf_check_durable(&f, &out, 2, totals, &err), 0);
	check_eq(out.sequence, 5);
	check_eq(bf_check_durable(&f, &out, 1, totals, &err), -EPROTO);
	f.length -= 40;
	check_eq(bf_check_durable(&f, &out, 2, totals, &err), -EPROTO);
}

static void cutovers(void)
{
	struct wire_cutover good = { .epoch = 3 };
	struct wire_cutover_done done = { .epoch = 3 };

	check_eq(CHECK_MESSAGE(cutover, WIRE_CUTOVER, good), 0);
	REFUSED(cutover, WIRE_CUTOVER, good, epoch, 0);
	REFUSED(cutover, WIRE_CUTOVER, good, epoch, UINT64_MAX);
	REFUSED(cutover, WIRE_CUTOVER, good, reserved, 1);
	check_eq(CHECK_MESSAGE(cutover_done, WIRE_CUTOVER_DONE, done), 0);
	REFUSED(cutover_done, WIRE_CUTOVER_DONE, done, epoch, 0);
	REFUSED(cutover_done, WIRE_CUTOVER_DONE, done, reserved, 1);
}

static int check_digest_of(uint64_t offset, uint64_t length, uint32_t block)
{
	struct wire_digest out, m = { .offset_bytes = offset,
		.length_bytes = length, .block_bytes = block };
	struct bf_frame f;

	bf_wire_swap_digest(&m);
	f = frame_of(WIRE_DIGEST, &m, sizeof(m));
	return bf_check_digest(&f, DEVICE_BYTES, &out, &err);
}

static void digest_ranges(void)
{
	check_eq(check_digest_of(0, 4096, 4096), 0);
	check_eq(check_digest_of(0, DEVICE_BYTES, 1 << 20), 0);
	check_eq(check_digest_of(0, 4096ull * WIRE_DIGESTS_MAX, 4096), 0);
	check_eq(check_digest_of(DEVICE_BYTES - 512, 512, 4096), 0);
	check_eq(check_digest_of(0, 4096ull * WIRE_DIGESTS_MAX + 512, 4096), -EPROTO);
	check_eq(check_digest_of(0, 4096, 2048), -EPROTO);
	check_eq(check_digest_of(0, 4096, 2 << 20), -EPROTO);
	check_eq(check_digest_of(0, 4096, 4097), -EPROTO);
	check_eq(check_digest_of(0, 0, 4096), -EPROTO);
	check_eq(check_digest_of(0, 100, 4096), -EPROTO);
	check_eq(check_digest_of(1, 4096, 4096), -EPROTO);
	check_eq(check_digest_of(DEVICE_BYTES, 512, 4096), -EPROTO);
	check_eq(check_digest_of(UINT64_MAX - 511, 1024, 4096), -EPROTO);
}

static void digest_answers(void)
{
	struct wire_digests m = { .nr_digests = 2, .block_bytes = 4096 }, out;
	const uint8_t *at;
	struct bf_frame f;

	bf_wire_swap_digests(&m);
	f = frame_of(WIRE_DIGESTS, &m, sizeof(m));
	f.length += 32;
	check_eq(bf_check_digests(&f, &out, &at, &err), 0);
	check(at == payload + 16);
	f.length -= 1;
	check_eq(bf_check_digests(&f, &out, &at, &err), -EPROTO);
	m.nr_digests = 0;
	f = frame_of(WIRE_DIGESTS, &m, sizeof(m));
	check_eq(bf_check_digests(&f, &out, &at, &err), -EPROTO);
}

static int check_error_of(uint32_t code, const char *text, size_t stated)
{
	struct wire_error m = { .code = code, .text_bytes = (uint16_t)stated };
	struct bf_frame f;

	bf_wire_swap_error(&m);
	f = frame_of(WIRE_ERROR, &m, sizeof(m));
	memcpy(payload + sizeof(m), text, strlen(text));
	f.length += (uint32_t)strlen(text);
	memset(&err, 0, sizeof(err));
	return bf_check_error(&f, &err);
}

static void errors(void)
{
	check(check_error_of(BF_E_TOO_SMALL, "too small", 9) < 0);
	check_eq(err.code, BF_E_TOO_SMALL);
	check(!strcmp(err.text, "too small"));
	check(check_error_of(99999, "what\33[2J\n", 9) < 0);
	check_eq(err.code, BF_E_SYSTEM);
	check(!strcmp(err.text, "what?[2J?"));
	check(check_error_of(BF_E_NONE, "", 0) < 0);
	check_eq(err.code, BF_E_PROTOCOL);
	check(check_error_of(BF_E_KEY, "abc", 4) < 0);
	check_eq(err.code, BF_E_PROTOCOL);
}

int main(void)
{
	tap_run("bytes one by one", bytes_one_by_one);
	tap_run("many frames in one piece", many_frames_in_one_piece);
	tap_run("limits come before payloads", limits_come_before_payloads);
	tap_run("unknown types are refused", unknown_types_are_refused);
	tap_run("disks are limited", disks_are_limited);
	tap_run("a DATA frame lies where it is written from",
		data_lies_where_it_is_written_from);
	tap_run("reading on after an error is harmless",
		reading_on_after_an_error_is_harmless);
	tap_run("DATA: its head", data_heads);
	tap_run("DATA: extents within the device", data_extents_are_within);
	tap_run("DATA: extents disjoint", data_extents_are_disjoint);
	tap_run("DATA: counts", data_counts_are_limited);
	tap_run("DATA: a sum cannot wrap", a_data_sum_cannot_wrap);
	tap_run("BARRIER", barriers);
	tap_run("DURABLE", durables);
	tap_run("CUTOVER and CUTOVER_DONE", cutovers);
	tap_run("DIGEST", digest_ranges);
	tap_run("DIGESTS", digest_answers);
	tap_run("ERROR: known codes, clean words", errors);
	return tap_done();
}
