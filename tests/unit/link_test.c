// SPDX-License-Identifier: Apache-2.0
/*
 * Link. Policy: a sign of life goes between two frames and never into one, not
 * even into one of which TLS holds a record that the socket did not take; and
 * every frame arrives once, whole and in its order.
 */
#include <errno.h>
#include <string.h>

#include "lib/frame.h"
#include "source/link.h"
#include "tap.h"
#include "tls_pair.h"

#define NR_FRAMES 4000u
/* One record of TLS each, and one of the link's writes. */
#define PAYLOAD_BYTES 8000u

struct frame {
	struct wire_header header;
	struct wire_measure body;
	uint32_t number;
	uint8_t filling[PAYLOAD_BYTES - sizeof(struct wire_measure) - 4];
};

static struct frame *frames;
static struct bf_link_item *items;
static struct bf_link *sender;
static struct bf_frame_reader reader;

static int no_frame(void *context, const struct bf_frame *frame,
		    struct bf_error *err)
{
	return bf_fail(err, BF_E_PROTOCOL, EPROTO, "nobody asked for a frame");
}

static void failed(void *context)
{
}

static void start(void)
{
	const struct bf_link_options options = {
		.handler = { no_frame, failed, NULL },
	};

	connect_both();
	check_eq(bf_link_start(&sender, ends[BF_ROLE_SOURCE], &options,
			       &errors[0]), 0);
	bf_frame_reader_init(&reader, BF_ROLE_TARGET);
}

static void stop(void)
{
	bf_link_stop(sender);
	bf_frame_reader_free(&reader);
	bf_transport_close(ends[BF_ROLE_TARGET]);
	free(frames);
	free(items);
}

static void queue_frames(void)
{
	frames = calloc(NR_FRAMES, sizeof(*frames));
	items = calloc(NR_FRAMES, sizeof(*items));
	for (uint32_t i = 0; i < NR_FRAMES; i++) {
		bf_frame_header(&frames[i].header, WIRE_MEASURE, 0,
				sizeof(frames[i]) - sizeof(frames[i].header));
		frames[i].number = i;
		memset(frames[i].filling, (int)i, sizeof(frames[i].filling));
		items[i] = (struct bf_link_item){
			.frame = (const uint8_t *)&frames[i],
			.bytes = sizeof(frames[i]),
			.ready = true,
		};
		bf_link_queue(sender, &items[i]);
	}
}

/* Nobody reads: until the sockets are full, and that by whole records. */
static uint32_t wait_blocked(void)
{
	uint32_t before, now = bf_link_backlog(sender);

	do {
		before = now;
		usleep(200000);
		now = bf_link_backlog(sender);
	} while (now != before);
	check(now > 0);
	return now;
}

/* The PONG is queued; frames may have followed it, as the PING brought news of
 * room at this end. */
static void wait_queued(uint32_t backlog)
{
	uint64_t deadline_ns = soon();

	while (bf_link_backlog(sender) == backlog && bf_now_ns() < deadline_ns)
		usleep(1000);
	check(bf_link_backlog(sender) != backlog);
}

static void send_ping(uint64_t cookie)
{
	struct wire_ping ping = { .cookie = cookie };

	bf_wire_swap_ping(&ping);
	check_eq(bf_frame_send(ends[BF_ROLE_TARGET], WIRE_PING, 0, &ping,
			       sizeof(ping), soon(), &errors[1]), 0);
}

static struct bf_frame *next_frame(void)
{
	struct bf_transport *end = ends[BF_ROLE_TARGET];
	struct bf_frame *frame;
	int ret;

	while ((ret = bf_frame_read(&reader, end, &frame, &errors[1])) == -EAGAIN)
		check_eq(bf_wait_fd(bf_transport_fd(end), POLLIN, soon()), 0);
	check_eq(ret, 1);
	return frame;
}

static void check_frame(const struct bf_frame *frame, uint32_t number)
{
	const struct frame *wanted = &frames[number];

	check_eq(frame->type, WIRE_MEASURE);
	check_eq(frame->length, sizeof(*wanted) - sizeof(wanted->header));
	check(!memcmp(frame->payload, &wanted->body, frame->length));
}

/* Return: the number of frames that came before the PONG. */
static uint32_t take_all(uint64_t cookie)
{
	uint32_t number = 0, pong_at = UINT32_MAX;

	while (number < NR_FRAMES || pong_at == UINT32_MAX) {
		const struct bf_frame *frame = next_frame();
		struct wire_ping pong;

		if (frame->type != WIRE_PONG) {
			check(number < NR_FRAMES);
			check_frame(frame, number++);
			continue;
		}
		check_eq(pong_at, UINT32_MAX);
		pong_at = number;
		check_eq(bf_check_ping(frame, &pong, &errors[1]), 0);
		check_eq(pong.cookie, cookie);
	}
	return pong_at;
}

/* The one that is blocked has begun: the PONG comes right behind it. */
static void a_sign_of_life_leaves_a_blocked_frame_whole(void)
{
	uint32_t backlog;

	start();
	queue_frames();
	backlog = wait_blocked();
	send_ping(4711);
	wait_queued(backlog);
	check_eq(take_all(4711), NR_FRAMES - backlog + 1);
	check_eq(bf_link_check(sender, &errors[0]), 0);
	stop();
}

int main(void)
{
	if (make_identities())
		return 1;
	tap_run("a sign of life leaves a blocked frame whole",
		a_sign_of_life_leaves_a_blocked_frame_whole);
	free_identities();
	return tap_done();
}
