// SPDX-License-Identifier: Apache-2.0
/*
 * Several connections of one session. Policy: whatever order their frames come
 * in, a sync point parts what was sent before it from what was sent after it;
 * a barrier covers, counts and flushes what came by any of them; none joins
 * without the session's ticket, none outlives the others, and what an older
 * session's connections send after a newer claim is not written.
 */
#include <poll.h>
#include <sys/socket.h>

#include "session_fixture.h"
#include "target/connections.h"

#define JOB "job"
#define LANES 3
#define BLOCK 4096u

static struct peer *control, *lanes[LANES];
static uint64_t syncs;

static void set_up(uint32_t nr)
{
	fresh();
	syncs = 0;
	control = writer(JOB, 1, 0);
	for (uint32_t i = 0; i < nr; i++) {
		lanes[i] = connect_peer();
		check_eq(peer_attach(lanes[i], control, JOB), 0);
	}
}

static void sync_lanes(uint32_t nr)
{
	syncs++;
	for (uint32_t i = 0; i < nr; i++)
		check_eq(peer_sync(lanes[i], syncs), 0);
}

/* Totals are compared on the control connection. */
static void add_lane_totals(uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct wire_totals *from = &lanes[i]->sent[0];
		struct wire_totals *to = &control->sent[0];

		to->data_bytes += from->data_bytes;
		to->zero_bytes += from->zero_bytes;
		to->extents += from->extents;
		to->frames += from->frames;
		to->checksum_sum += from->checksum_sum;
		*from = (struct wire_totals){ 0 };
	}
}

static int barrier(uint32_t nr, uint64_t generation)
{
	add_lane_totals(nr);
	sync_lanes(nr);
	return peer_finish(control, 0, generation, SIZE, generation == 1);
}

static int begin(uint32_t nr, uint64_t generation)
{
	sync_lanes(nr);
	return peer_begin(control, 0, generation, WIRE_PASS_FULL);
}

/* --- order ----------------------------------------------------------------- */

static void put(struct peer *p, uint64_t generation, uint64_t at)
{
	uint8_t block[BLOCK];

	memset(block, (int)draw(256), sizeof(block));
	memcpy(model + at, block, sizeof(block));
	check_eq(peer_extent(p, 0, generation, at, BLOCK, block,
			     draw(2) ? 1 : 0), 0);
}

/* The same few blocks in every generation, each time by some other connection. */
static void newer_blocks_win(void)
{
	set_up(LANES);
	memset(model, 0, sizeof(model));
	for (uint64_t generation = 1; generation <= 40; generation++) {
		check_eq(begin(LANES, generation), 0);
		for (uint64_t at = 0; at < 32; at++) {
			uint32_t lane = (uint32_t)draw(LANES + 1);

			put(lane < LANES ? lanes[lane] : control, generation,
			    at * BLOCK);
		}
		if (!draw(4))
			check_eq(barrier(LANES, generation), 0);
	}
	check_eq(barrier(LANES, 40), 0);
	read_target(0, SIZE);
	check(!memcmp(content, model, SIZE));
	done();
}

static bool silent(struct peer *p)
{
	struct pollfd fd = { .fd = bf_transport_fd(p->transport),
			     .events = POLLIN };

	return poll(&fd, 1, 300) == 0;
}

static void barrier_waits_for_all(void)
{
	set_up(2);
	check_eq(begin(2, 1), 0);
	put(lanes[1], 1, 0);
	add_lane_totals(2);
	check_eq(peer_sync(lanes[0], 2), 0);
	check_eq(peer_barrier_send(control, ++control->sequence, NULL, 0), 0);
	check(silent(control));
	put(lanes[1], 1, BLOCK);
	add_lane_totals(2);
	check_eq(peer_sync(lanes[1], 2), 0);
	check_eq(peer_durable(control), 0);
	read_target(0, SIZE);
	check(!memcmp(content, model, 2 * BLOCK));
	done();
}

static void begin_waits_for_all(void)
{
	set_up(1);
	check_eq(begin(1, 1), 0);
	check_eq(peer_begin(control, 0, 2, WIRE_PASS_DELTA), 0);
	put(control, 2, 0);		/* the newer one, though it is sent first */
	peer_extent(lanes[0], 0, 1, 0, BLOCK, blocks, 0);
	check_eq(peer_sync(lanes[0], 2), 0);
	syncs = 2;
	check_eq(barrier(1, 2), 0);
	read_target(0, SIZE);
	check(!memcmp(content, model, BLOCK));
	done();
}

/* --- refusals ---------------------------------------------------------------- */

static void refused_attach(struct peer *pretended, enum bf_code code,
			   const char *words)
{
	struct peer *p = connect_peer();

	check(peer_attach(p, pretended, JOB) < 0);
	ended_with(p, code, words);
}

static void only_with_the_ticket(void)
{
	struct peer forged;

	set_up(0);
	forged = *control;
	forged.claimed.ticket[15] ^= 1;
	refused_attach(&forged, BF_E_STALE_SESSION, "not the one at work");
	forged = *control;
	forged.claimed.epoch = 2;
	refused_attach(&forged, BF_E_STALE_SESSION, "not the one at work");
	full_copy(control, 1);		/* the session has not noticed */
	refused_attach(control, BF_E_PROTOCOL, "after the first BEGIN");
	done();
}

/* The control connection has come to the first one and waits for another. */
static void none_at_the_first_sync_point(void)
{
	set_up(1);
	check_eq(peer_barrier_send(control, ++control->sequence, NULL, 0), 0);
	check(silent(control));
	refused_attach(control, BF_E_PROTOCOL, "after the first BEGIN");
	check_eq(peer_sync(lanes[0], 1), 0);
	check_eq(peer_durable(control), 0);
	done();
}

static void only_while_it_is_there(void)
{
	struct peer gone;

	set_up(0);
	gone = *control;
	hang_up();
	refused_attach(&gone, BF_E_STALE_SESSION, "which has ended");
	done();
}

static void only_as_many_as_agreed(void)
{
	set_up(0);
	for (uint16_t i = 1; i < control->claimed.connections; i++)
		check_eq(peer_attach(connect_peer(), control, JOB), 0);
	refused_attach(control, BF_E_PROTOCOL, "more often than was agreed");
	done();
}

static uint16_t granted(const char *job, const char *target, uint64_t bytes,
			uint64_t epoch)
{
	struct peer *p = introduced(job);

	check_eq(peer_open(p, target, bytes, 0, 1, NULL), 0);
	check_eq(peer_claim(p, epoch, 0, NULL), 0);
	return p->claimed.connections;
}

/* Of 16 no more than half of what is left, and one in any case. */
static void fewer_while_there_are_many(void)
{
	fresh();
	check_eq(granted("one", "a", SIZE, 1), 1 + 7);
	check_eq(granted("two", "b", SIZE, 1), 1 + 5);
	check_eq(granted("three", "small", SIZE - 512, 1), 1 + 2);
	hang_up();
	check_eq(granted("one", "a", SIZE, 2), 1 + 7);	/* they came back */
	done();
}

static void none_where_none_are_allowed(void)
{
	fresh();
	registry.more_connections = 0;
	check_eq(granted("one", "a", SIZE, 1), 1);
	done();
}

/* Both of a session's connections say why it has ended. */
static void both_ended_with(enum bf_code code, const char *words)
{
	ended_with(lanes[0], code, words);
	control->err.code = 0;
	ended_with(control, code, words);
	done();
}

static void sync_out_of_order(void)
{
	set_up(1);
	check_eq(peer_sync(lanes[0], 2), 0);
	both_ended_with(BF_E_PROTOCOL, "SYNC 2 came where 1 is next");
}

static void control_frames_by_a_data_connection(void)
{
	set_up(1);
	check_eq(peer_barrier_send(lanes[0], 1, NULL, 0), 0);
	both_ended_with(BF_E_PROTOCOL, "on a data connection");
}

static void data_before_begin(void)
{
	set_up(1);
	peer_extent(lanes[0], 0, 1, 0, BLOCK, blocks, 0);
	both_ended_with(BF_E_PROTOCOL, "was not begun");
}

static void blocks_that_share_a_page(void)
{
	set_up(1);
	check_eq(begin(1, 1), 0);
	peer_extent(lanes[0], 0, 1, 512, 512, blocks, 0);
	both_ended_with(BF_E_PROTOCOL, "another connection could write");
}

static void blocks_that_share_a_page_by_control(void)
{
	set_up(1);
	check_eq(begin(1, 1), 0);
	peer_extent(control, 0, 1, 0, 512, blocks, 0);
	ended_with(control, BF_E_PROTOCOL, "another connection could write");
	lanes[0]->err.code = 0;
	ended_with(lanes[0], BF_E_PROTOCOL, "another connection could write");
	done();
}

/* --- ends --------------------------------------------------------------------- */

static void damage_ends_both(void)
{
	struct wire_extent e = { 0, BLOCK };
	struct peer_data d = { .generation = 1, .extents = &e, .nr_data = 1,
			       .blocks = blocks, .checksum_flip = 1 };

	set_up(1);
	check_eq(begin(1, 1), 0);
	check_eq(peer_data(lanes[0], 0, &d), 0);
	both_ended_with(BF_E_CORRUPT, "blocks arrived damaged");
}

/* Gone between two frames, and in the middle of one. */
static void broken_data_connection(bool within)
{
	struct wire_header header;

	set_up(2);
	check_eq(begin(2, 1), 0);
	bf_frame_header(&header, WIRE_SYNC, 0, sizeof(struct wire_sync));
	if (within)
		check_eq(peer_send_raw(lanes[0], &header, sizeof(header)), 0);
	shutdown(bf_transport_fd(lanes[0]->transport), SHUT_RDWR);
	check_eq(peer_sync(lanes[1], 2), 0);
	peer_barrier_send(control, 1, NULL, 0);
	ended_with(control, BF_E_CONNECTION, "");
	done();
}

static void data_connection_gone(void) { broken_data_connection(false); }
static void data_connection_cut(void) { broken_data_connection(true); }

static int no_tick(void *context, struct bf_error *err) { return 0; }

/* It came to the barrier, and has gone before it was asked what it wrote. */
static void gone_within_a_barrier(void)
{
	struct bf_target_session *member = (void *)blocks;	/* an address */
	struct wire_attach attach = { .epoch = 1 };
	struct bf_connections *connections;
	struct wire_totals totals = { 0 };
	struct bf_error err = { 0 };

	check_eq(bf_connections_new(&connections, NULL, 1, 2, &err), 0);
	memcpy(attach.ticket, bf_connections_ticket(connections),
	       sizeof(attach.ticket));
	check_eq(bf_connections_join(connections, member, &attach, &err), 0);
	bf_connections_detach(connections, member);
	check(bf_connections_gather(connections, no_tick, NULL, &err) < 0);
	check(bf_connections_hand_over(connections, NULL, &err) < 0);
	check(bf_connections_totals(connections, 0, &totals, &err) < 0);
	check_eq(err.code, BF_E_CONNECTION);
	bf_connections_leave(connections, member,
			     &(struct bf_connection_sum){ 0 }, false);
	bf_connections_put(connections);
}

static void control_connection_gone(void)
{
	struct bf_frame *frame;

	set_up(2);
	check_eq(begin(2, 1), 0);
	shutdown(bf_transport_fd(control->transport), SHUT_RDWR);
	check_eq(peer_next(lanes[0], &frame), 0);
	check_eq(peer_next(lanes[1], &frame), 0);
	done();
}

static void newer_session_ends_all(void)
{
	struct peer *newer;

	set_up(2);
	check_eq(begin(2, 1), 0);
	check_eq(barrier(2, 1), 0);
	newer = introduced(JOB);
	check_eq(peer_open(newer, "a", SIZE, 0, 1, NULL), 0);
	check_eq(peer_claim(newer, 2, 0, NULL), 0);
	/* Late, and by a connection that may not have noticed. */
	peer_extent(lanes[0], 0, 1, 0, BLOCK, blocks, 0);
	peer_extent(lanes[1], 0, 1, MIB, BLOCK, blocks, 0);
	lanes[1]->err.code = 0;
	ended_with(lanes[1], BF_E_STALE_SESSION, "");
	hang_up();
	read_target(0, SIZE);
	memset(model, 0, sizeof(model));
	check(!memcmp(content, model, SIZE));
	done();
}

static void cutover_ends_in_order(void)
{
	struct bf_frame *frame;

	set_up(2);
	check_eq(begin(2, 1), 0);
	for (uint64_t at = 0; at < SIZE; at += MIB)
		check_eq(peer_extent(lanes[at / MIB % 2], 0, 1, at, MIB,
				     blocks + at, 1), 0);
	check_eq(barrier(2, 1), 0);
	check_eq(peer_cutover(control, 1), 0);
	check_eq(peer_next(lanes[0], &frame), 0);
	check_eq(peer_next(lanes[1], &frame), 0);
	check_eq(peer_digest(control, 0, 0, MIB, BLOCK, blocks), 0);
	read_target(0, SIZE);
	check(!memcmp(content, blocks, SIZE));
	done();
}

/* Written by another connection after the last barrier. */
static void cutover_wants_all_flushed(void)
{
	set_up(1);
	check_eq(begin(1, 1), 0);
	check_eq(barrier(1, 1), 0);
	peer_extent(lanes[0], 0, 1, 0, BLOCK, blocks, 0);
	for (bool there = false; !there; there = !memcmp(content, blocks, BLOCK))
		read_target(0, SIZE);
	check(peer_cutover(control, 1) < 0);
	ended_with(control, BF_E_STATE, "after the last barrier");
	done();
}

int main(void)
{
	if (fixture_start())
		return 1;
	tap_run("newer blocks win, whichever way they come", newer_blocks_win);
	tap_run("a barrier waits for all", barrier_waits_for_all);
	tap_run("a BEGIN waits for all", begin_waits_for_all);
	tap_run("none joins without ticket and epoch", only_with_the_ticket);
	tap_run("none joins at the first sync point", none_at_the_first_sync_point);
	tap_run("none joins a session that has ended", only_while_it_is_there);
	tap_run("no more than were agreed", only_as_many_as_agreed);
	tap_run("fewer are granted while there are many",
		fewer_while_there_are_many);
	tap_run("a receiver that allows one for each job",
		none_where_none_are_allowed);
	tap_run("SYNC out of order", sync_out_of_order);
	tap_run("BARRIER by a data connection", control_frames_by_a_data_connection);
	tap_run("DATA before BEGIN", data_before_begin);
	tap_run("blocks that share a page", blocks_that_share_a_page);
	tap_run("the same by the control connection",
		blocks_that_share_a_page_by_control);
	tap_run("damage ends both", damage_ends_both);
	tap_run("a data connection goes", data_connection_gone);
	tap_run("a data connection breaks within a frame", data_connection_cut);
	tap_run("a data connection goes within a barrier", gone_within_a_barrier);
	tap_run("the control connection goes", control_connection_gone);
	tap_run("a newer session ends all", newer_session_ends_all);
	tap_run("a cutover ends them in order", cutover_ends_in_order);
	tap_run("a cutover wants all flushed", cutover_wants_all_flushed);
	return fixture_end();
}
