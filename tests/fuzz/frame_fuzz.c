// SPDX-License-Identifier: Apache-2.0
/*
 * Frames: bytes as they come from a peer, cut anywhere, through the reader with
 * and without lent room, and what it lets through, through its validator.
 */
#include <errno.h>

#include "fuzz.h"
#include "lib/frame.h"
#include "lib/transport.h"

#define DEVICE_BYTES (64ull << 20)

static struct bf_data_view view;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	bf_log_set_level((enum bf_log_level)0);
	return 0;
}

static void validate_source_side(const struct bf_frame *f, struct bf_error *err)
{
	static struct wire_totals totals[WIRE_DISKS_MAX];
	const uint8_t (*cookies)[16], *digests;
	union {
		struct wire_welcome welcome;
		struct wire_opened opened;
		struct wire_claimed claimed;
		struct wire_attached attached;
		struct wire_durable durable;
		struct wire_cutover_done cutover_done;
		struct wire_digests digests;
		struct wire_measured measured;
	} m;

	switch (f->type) {
	case WIRE_WELCOME:
		bf_check_welcome(f, &m.welcome, err);
		break;
	case WIRE_OPENED:
		bf_check_opened(f, &m.opened, err);
		break;
	case WIRE_CLAIMED:
		bf_check_claimed(f, &m.claimed, 3, &cookies, err);
		break;
	case WIRE_ATTACHED:
		bf_check_attached(f, &m.attached, err);
		break;
	case WIRE_DURABLE:
		bf_check_durable(f, &m.durable, 3, totals, err);
		break;
	case WIRE_CUTOVER_DONE:
		bf_check_cutover_done(f, &m.cutover_done, err);
		break;
	case WIRE_DIGESTS:
		bf_check_digests(f, &m.digests, &digests, err);
		break;
	case WIRE_MEASURED:
		bf_check_measured(f, &m.measured, err);
		break;
	}
}

static void validate_target_side(const struct bf_frame *f, struct bf_error *err)
{
	static struct wire_progress progress[WIRE_DISKS_MAX];
	union {
		struct wire_hello hello;
		struct wire_open open;
		struct wire_claim claim;
		struct wire_attach attach;
		struct wire_sync sync;
		struct wire_begin begin;
		struct wire_barrier barrier;
		struct wire_cutover cutover;
		struct wire_digest digest;
		struct wire_ping ping;
		struct wire_measure measure;
		struct wire_report report;
	} m;
	static char report[WIRE_REPORT_TEXT_MAX];
	const char *text;

	switch (f->type) {
	case WIRE_HELLO:
		bf_check_hello(f, &m.hello, err);
		break;
	case WIRE_OPEN:
		bf_check_open(f, &m.open, err);
		break;
	case WIRE_CLAIM:
		bf_check_claim(f, &m.claim, err);
		break;
	case WIRE_ATTACH:
		bf_check_attach(f, &m.attach, err);
		break;
	case WIRE_SYNC:
		bf_check_sync(f, &m.sync, err);
		break;
	case WIRE_BEGIN:
		bf_check_begin(f, &m.begin, err);
		break;
	case WIRE_DATA:
		bf_check_data(f, DEVICE_BYTES, &view, err);
		break;
	case WIRE_BARRIER:
		bf_check_barrier(f, &m.barrier, 3, progress, err);
		break;
	case WIRE_CUTOVER:
		bf_check_cutover(f, &m.cutover, err);
		break;
	case WIRE_DIGEST:
		bf_check_digest(f, DEVICE_BYTES, &m.digest, err);
		break;
	case WIRE_PING:
		bf_check_ping(f, &m.ping, err);
		break;
	case WIRE_MEASURE:
		bf_check_measure(f, &m.measure, err);
		break;
	case WIRE_REPORT:
		if (!bf_check_report(f, &m.report, &text, err))
			memcpy(report, text, m.report.text_bytes);
		break;
	case WIRE_ERROR:
		bf_check_error(f, err);
		break;
	}
}

/* Until the reader wants more. Return: false once it has given up. */
static bool read_frames(struct bf_frame_reader *reader, struct bf_transport *end)
{
	struct bf_error err = { 0 };
	struct bf_frame *frame;
	int ret;

	while ((ret = bf_frame_read(reader, end, &frame, &err)) > 0) {
		if (frame->length > bf_frame_limit(reader->role, frame->type))
			abort();
		if (reader->role == BF_ROLE_SOURCE)
			validate_source_side(frame, &err);
		else
			validate_target_side(frame, &err);
	}
	return ret == -EAGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static uint8_t room[BF_FRAME_ROOM_BYTES] __attribute__((aligned(4096)));
	struct input in = { data, bytes };
	uint8_t how = take(&in, 1);
	struct bf_transport *ends[2];
	struct bf_frame_reader reader;
	bool going = true;

	if (bf_transport_pair(ends, NULL))
		abort();
	bf_frame_reader_init(&reader, how & 1 ? BF_ROLE_SOURCE : BF_ROLE_TARGET);
	if (how & 2)
		bf_frame_reader_lend(&reader, room);
	while (going && in.left) {
		size_t piece = how & 4 ? take(&in, 1) + 1 : 65536;
		uint8_t buffer[65536];

		piece = take_bytes(&in, buffer, piece);
		if (bf_transport_write(ends[0], buffer, piece) != (ssize_t)piece)
			abort();
		going = read_frames(&reader, ends[1]);
	}
	bf_transport_close(ends[0]);
	if (going)
		read_frames(&reader, ends[1]);
	bf_transport_close(ends[1]);
	bf_frame_reader_free(&reader);
	return 0;
}
