// SPDX-License-Identifier: Apache-2.0
/*
 * Session: a connection flows in; its frames go one by one through the ladder
 * to their handlers (receive.c, acknowledge.c). Here are the waiting, the signs
 * of life, the end and its words. Keeps the promise that every wait has an end
 * and that a cancelled session writes nothing more.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/units.h"
#include "target/session_private.h"

#define HANDSHAKE_NS (10 * BF_NSEC_PER_SEC)	/* strangers wait no longer */
#define LINGER_NS (2 * BF_NSEC_PER_SEC)
#define BUSY_PING_NS BF_NSEC_PER_SEC

int bf_target_session_new(struct bf_target_session **session,
			  struct bf_registry *registry,
			  struct bf_transport *transport, bool local,
			  struct bf_error *err)
{
	struct bf_target_session *s = calloc(1, sizeof(*s));
	int ret;

	if (!s) {
		bf_transport_close(transport);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	}
	s->registry = registry;
	s->transport = transport;
	s->local = local;
	s->job_lock_fd = -1;
	bf_frame_reader_init(&s->reader, BF_ROLE_TARGET);
	if (local)
		strcpy(s->address, "this host");
	else
		bf_tcp_name(bf_transport_fd(transport), true, s->address);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = s->wake_fd < 0 ? bf_fail(err, BF_E_SYSTEM, errno,
				       "cannot make an eventfd: %s",
				       strerror(errno)) :
			       bf_codec_new(&s->codec, err);
	if (ret) {
		bf_target_session_free(s);
		return ret;
	}
	*session = s;
	return 0;
}

void session_disk_free(struct bf_target_session *s, struct session_disk *disk)
{
	if (disk->hold)
		bf_hold_put(s->registry, disk->hold);
	bf_target_close(&disk->own);
	free(disk);
}

/* For the log, before apply is gone. */
static void keep_sum(struct bf_target_session *s)
{
	for (uint32_t i = 0; s->apply && i < s->nr_disks; i++) {
		const struct wire_totals *t = bf_apply_totals(s->apply, i);

		s->sum.data_bytes += t->data_bytes;
		s->sum.zero_bytes += t->zero_bytes;
	}
}

static void leave(struct bf_target_session *s, bool unflushed)
{
	s->sum.received_bytes = bf_transport_received_bytes(s->transport);
	s->joined = false;
	bf_connections_leave(s->connections, s, &s->sum, unflushed);
}

bool session_release(struct bf_target_session *s)
{
	bool unflushed;

	if (s->joined)
		bf_connections_detach(s->connections, s);
	unflushed = s->apply && bf_apply_unflushed(s->apply);
	keep_sum(s);
	bf_frame_reader_lend(&s->reader, NULL);
	bf_apply_free(s->apply);	/* waits out what is in flight */
	s->apply = NULL;
	if (s->joined)
		leave(s, unflushed);
	else if (s->connections && !session_is_data(s))
		unflushed |= bf_connections_close(s->connections, &s->sum);
	bf_registry_give_connections(s->registry, s->data_connections);
	s->data_connections = 0;
	if (s->job_lock_fd >= 0)
		close(s->job_lock_fd);
	s->job_lock_fd = -1;
	if (s->writer)
		bf_writer_release(s->registry, s->writer, s);
	return unflushed;
}

void bf_target_session_end(struct bf_target_session *s)
{
	bool data = session_is_data(s);

	session_release(s);
	bf_digester_free(s->digester);
	s->digester = NULL;
	if (data)
		session_return_disks(s);
	while (s->nr_disks)
		session_disk_free(s, s->disks[--s->nr_disks]);
	if (s->writer)
		bf_writer_put(s->registry, s->writer);
	s->writer = NULL;
	bf_ledger_free(s->ledger);
	s->ledger = NULL;
	bf_connections_put(s->connections);
	s->connections = NULL;
	if (s->entered)
		bf_registry_leave(s->registry, session_key(s));
	s->entered = false;
}

void bf_target_session_free(struct bf_target_session *s)
{
	if (!s)
		return;
	bf_target_session_end(s);
	bf_transport_close(s->transport);
	bf_frame_reader_free(&s->reader);
	bf_codec_free(s->codec);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	free(s);
}

const char *bf_target_session_address(const struct bf_target_session *s)
{
	return s->address;
}

bool bf_target_session_admitted(const struct bf_target_session *s)
{
	return atomic_load(&s->admitted);
}

void bf_target_session_cancel(struct bf_target_session *s, enum bf_cancel why)
{
	int none = BF_CANCEL_NONE;
	uint64_t one = 1;

	atomic_compare_exchange_strong(&s->cancel, &none, why);
	if (write(s->wake_fd, &one, sizeof(one)) < 0 || !s->admitted)
		bf_target_session_cut_off(s);	/* nothing else wakes it */
}

void bf_target_session_look(struct bf_target_session *s)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then it looks anyway. */
	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void bf_target_session_cut_off(struct bf_target_session *s)
{
	shutdown(bf_transport_fd(s->transport), SHUT_RDWR);
}

const char *session_key(const struct bf_target_session *s)
{
	return s->local ? NULL : bf_transport_peer(s->transport);
}

const char *session_target_name(const struct bf_target_session *s,
				const char *name)
{
	return s->local ? NULL : name;
}

/* --- time ------------------------------------------------------------------ */

static uint64_t after(uint64_t from_ns, uint64_t timeout_ns)
{
	return timeout_ns ? from_ns + timeout_ns : UINT64_MAX;
}

uint64_t session_deadline(const struct bf_target_session *s)
{
	return after(bf_now_ns(), s->registry->timeout_ns);
}

/*
 * The rules were read again: a key or target that is gone from them ends the
 * session, before it writes anything more.
 */
static int check_rules(struct bf_target_session *s, struct bf_error *err)
{
	unsigned int version = atomic_load(&s->registry->rules_version);
	struct bf_target_config config;
	int ret = 0;

	if (version == s->rules_seen || s->local)
		return 0;
	s->rules_seen = version;
	if (!bf_registry_peer(s->registry, session_key(s), s->peer_name))
		return bf_fail(err, BF_E_UNKNOWN_PEER, EACCES,
			       "the key of peer %s was taken from the receiver's configuration while its session ran",
			       s->peer_name);
	for (uint32_t i = 0; i < s->nr_disks && !ret; i++) {
		const struct bf_target *target = s->disks[i]->target;

		ret = bf_registry_target(s->registry, session_key(s),
					 s->disks[i]->open.target, &config, err);
		if (!ret && strcmp(target->path, config.path))
			ret = bf_fail(err, BF_E_CONNECTION, ESHUTDOWN,
				      "target %s is %s no more in the receiver's configuration; connect again",
				      config.name, target->path);
	}
	return ret;
}

/* One connection of a session does not outlive the others. */
static int check_others(struct bf_target_session *s, struct bf_error *err)
{
	int ret = s->connections ? bf_connections_check(s->connections, err) : 0;

	if (ret || !s->joined || !bf_connections_ended(s->connections))
		return ret;
	return bf_fail(err, BF_E_CONNECTION, ECONNRESET,
		       "the session's control connection was closed");
}

static int check_cancelled(struct bf_target_session *s, struct bf_error *err)
{
	int ret;

	switch (atomic_load(&s->cancel)) {
	case BF_CANCEL_STALE:
		return bf_fail(err, BF_E_STALE_SESSION, ESTALE,
			       "a newer session of job %s has taken over; this one (epoch %llu) writes nothing more",
			       s->job, (unsigned long long)s->epoch);
	case BF_CANCEL_STOPPING:
		return bf_fail(err, BF_E_CONNECTION, ESHUTDOWN,
			       "the receiver is stopping; start it again and the job goes on");
	default:
		break;
	}
	ret = check_others(s, err);
	return ret ? ret : check_rules(s, err);
}

int session_reply(struct bf_target_session *s, uint16_t type, uint16_t disk,
		  const void *payload, uint32_t length, struct bf_error *err)
{
	int ret = bf_frame_send(s->transport, type, disk, payload, length,
				session_deadline(s), err);

	s->spoke_ns = bf_now_ns();
	return ret;
}

static uint64_t last_sign(const struct bf_target_session *s)
{
	return s->heard_ns > s->spoke_ns ? s->heard_ns : s->spoke_ns;
}

static uint64_t next_ping(const struct bf_target_session *s)
{
	if (s->ladder == BF_LADDER_HELLO || !s->registry->timeout_ns)
		return UINT64_MAX;
	return last_sign(s) + s->registry->timeout_ns / 3;
}

static int ping_if_due(struct bf_target_session *s, uint64_t last_ns,
		       uint64_t pause_ns, struct bf_error *err)
{
	struct wire_ping ping = { .cookie = bf_now_ns() };

	if (!s->registry->timeout_ns || ping.cookie - last_ns < pause_ns)
		return 0;
	bf_wire_swap_ping(&ping);
	return session_reply(s, WIRE_PING, 0, &ping, sizeof(ping), err);
}

/* Busy with writes or digests: the peer hears of us all the same. */
int session_tick(void *session, struct bf_error *err)
{
	struct bf_target_session *s = session;
	uint64_t pause_ns = s->registry->timeout_ns / 3;
	int ret = check_cancelled(s, err);

	if (pause_ns > BUSY_PING_NS)	/* the peer's time-out may be shorter */
		pause_ns = BUSY_PING_NS;
	return ret ? ret : ping_if_due(s, s->spoke_ns, pause_ns, err);
}

static void heard(struct bf_target_session *s)
{
	uint64_t bytes = bf_transport_received_bytes(s->transport);

	if (bytes == s->heard_bytes)
		return;
	s->heard_bytes = bytes;
	s->heard_ns = bf_now_ns();
}

static int silent(const struct bf_target_session *s, struct bf_error *err)
{
	char timeout[BF_UNIT_TEXT_BYTES];

	bf_format_time(s->registry->timeout_ns, timeout);
	return bf_fail(err, BF_E_TIMEOUT, ETIMEDOUT,
		       "the source said nothing for %s%s; is its host or the network down?",
		       timeout, bf_frame_reader_idle(&s->reader) ? "" :
		       ", in the middle of a frame");
}

static void take_wake(const struct bf_target_session *s)
{
	uint64_t count;

	if (read(s->wake_fd, &count, sizeof(count)) < 0)
		return;			/* somebody else's look took it */
}

/* Until there may be something to read, or a reason to end. */
static int wait_input(struct bf_target_session *s, struct bf_error *err)
{
	struct pollfd fds[2] = {
		{ .fd = bf_transport_fd(s->transport),
		  .events = bf_transport_read_events(s->transport) },
		{ .fd = s->wake_fd, .events = POLLIN },
	};
	uint64_t end_ns = after(s->heard_ns, s->registry->timeout_ns);
	uint64_t wake_ns = next_ping(s) < end_ns ? next_ping(s) : end_ns;
	uint64_t now_ns = bf_now_ns();
	int timeout_ms = -1, ret;

	if (now_ns >= end_ns)
		return silent(s, err);
	if (wake_ns != UINT64_MAX)
		timeout_ms = wake_ns <= now_ns ? 0 :
			     (int)((wake_ns - now_ns) / BF_NSEC_PER_MSEC) + 1;
	ret = poll(fds, 2, timeout_ms);
	if (ret < 0 && errno != EINTR)
		return bf_fail(err, BF_E_SYSTEM, errno, "poll failed: %s",
			       strerror(errno));
	if (ret > 0 && fds[1].revents)
		take_wake(s);
	if (ret != 0 || s->ladder == BF_LADDER_HELLO)
		return 0;
	return ping_if_due(s, last_sign(s), s->registry->timeout_ns / 3, err);
}

/* The blocks of the next frame are to come to where they are written from. */
static int lend_room(struct bf_target_session *s, struct bf_error *err)
{
	uint8_t *room;
	int ret;

	if (!s->apply)
		return 0;
	ret = bf_apply_room(s->apply, &room, err);
	if (!ret)
		bf_frame_reader_lend(&s->reader, room);
	return ret;
}

/* Return: 1 with a frame, 0 when the source has hung up, or an error. */
static int next_frame(struct bf_target_session *s, struct bf_frame **frame,
		      struct bf_error *err)
{
	int ret = lend_room(s, err);

	if (ret)
		return ret;
	for (;;) {
		if (s->joined && bf_connections_ended(s->connections))
			return 0;
		ret = check_cancelled(s, err);
		if (ret)
			return ret;
		ret = bf_frame_read(&s->reader, s->transport, frame, err);
		heard(s);
		if (ret != -EAGAIN)
			return ret;
		ret = s->apply ? bf_apply_poll(s->apply, err) : 0;
		if (!ret)
			ret = wait_input(s, err);
		if (ret)
			return ret;
	}
}

/* --- frames ----------------------------------------------------------------- */

int session_disk(const struct bf_target_session *s, const struct bf_frame *frame,
		 struct session_disk **disk, struct bf_error *err)
{
	if (frame->disk >= s->nr_disks)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "%s names disk %u, %u were opened: the peer's blkferry is faulty",
			       bf_frame_name(frame->type), frame->disk,
			       s->nr_disks);
	*disk = s->disks[frame->disk];
	return 0;
}

static int answer_ping(struct bf_target_session *s, const struct bf_frame *f,
		       struct bf_error *err)
{
	struct wire_ping ping;
	int ret = bf_check_ping(f, &ping, err);

	if (ret)
		return ret;
	bf_wire_swap_ping(&ping);
	return session_reply(s, WIRE_PONG, 0, &ping, sizeof(ping), err);
}

int bf_target_session_step(struct bf_target_session *s,
			   const struct bf_frame *frame, struct bf_error *err)
{
	int ret = bf_ladder_step(&s->ladder, frame->type, err);

	if (ret)
		return ret;
	switch (frame->type) {
	case WIRE_HELLO:
		return session_hello(s, frame, err);
	case WIRE_OPEN:
		return session_open(s, frame, err);
	case WIRE_CLAIM:
		return session_claim(s, frame, err);
	case WIRE_BEGIN:
		return session_begin(s, frame, err);
	case WIRE_DATA:
		return session_data(s, frame, err);
	case WIRE_BARRIER:
		return session_barrier(s, frame, err);
	case WIRE_CUTOVER:
		return session_cutover(s, frame, err);
	case WIRE_DIGEST:
		return session_digest(s, frame, err);
	case WIRE_ATTACH:
		return session_attach(s, frame, err);
	case WIRE_SYNC:
		return session_sync(s, frame, err);
	case WIRE_MEASURE:
		return session_measure(s, frame, err);
	case WIRE_REPORT:
		return session_report(s, frame, err);
	case WIRE_PING:
		return answer_ping(s, frame, err);
	case WIRE_ERROR:
		return bf_check_error(frame, err);
	default:			/* PONG: it was heard, no more is needed */
		return 0;
	}
}

/* --- a whole connection ------------------------------------------------------ */

static uint64_t handshake_deadline(const struct bf_target_session *s)
{
	uint64_t timeout_ns = s->registry->timeout_ns;

	if (!timeout_ns || timeout_ns > HANDSHAKE_NS)
		timeout_ns = HANDSHAKE_NS;
	return bf_now_ns() + timeout_ns;
}

static int stranger(const struct bf_target_session *s, struct bf_error *err)
{
	return bf_fail(err, BF_E_UNKNOWN_PEER, EACCES,
		       "the source's key %s is not known here; add it as a [peer NAME] section with \"key = %s\" to the receiver's configuration",
		       session_key(s), session_key(s));
}

/* Who is it? Nothing a stranger sends is read beyond the handshake. */
static int admit(struct bf_target_session *s, struct bf_error *err)
{
	int ret;

	s->rules_seen = atomic_load(&s->registry->rules_version);
	if (s->local) {
		strcpy(s->peer_name, BF_LOCAL_PEER);
	} else {
		ret = bf_transport_handshake(s->transport,
					     handshake_deadline(s), err);
		if (ret)
			return ret;
		if (!bf_registry_peer(s->registry, session_key(s), s->peer_name))
			return stranger(s, err);
		ret = bf_registry_enter(s->registry, session_key(s), err);
		if (ret)
			return ret;
		s->entered = true;
	}
	atomic_store(&s->admitted, true);
	return 0;
}

static int serve(struct bf_target_session *s, struct bf_error *err)
{
	struct bf_frame *frame;
	int ret;

	s->heard_ns = s->spoke_ns = bf_now_ns();
	for (;;) {
		ret = next_frame(s, &frame, err);
		if (ret <= 0)
			return ret;
		ret = bf_target_session_step(s, frame, err);
		if (ret)
			return ret;
		s->heard_ns = bf_now_ns();	/* our own work was no silence */
	}
}

static void log_end(const struct bf_target_session *s, int ret,
		    const struct bf_error *err)
{
	char data[BF_UNIT_TEXT_BYTES], zero[BF_UNIT_TEXT_BYTES];
	char wire[BF_UNIT_TEXT_BYTES];

	bf_format_size(s->sum.data_bytes, data);
	bf_format_size(s->sum.zero_bytes, zero);
	bf_format_size(s->sum.received_bytes +
		       bf_transport_received_bytes(s->transport), wire);
	bf_log(ret ? BF_LOG_WARNING : s->local ? BF_LOG_INFO : BF_LOG_NOTICE,
	       "%ssession of %s (%s) from %s ended: job %s, epoch %llu, %s written, %s zeroed, %s received, %s%s%s",
	       s->local ? "" : "audit: ", s->peer_name, bf_transport_peer(s->transport), s->address,
	       s->job, (unsigned long long)s->epoch, data, zero, wire,
	       ret ? bf_code_name(err->code) : s->cut_over ? "cut over" : "done",
	       ret ? ": " : "", ret ? err->text : "");
}

/* The peer's own ERROR needs no echo, and a dead connection no words. */
static void say_error(struct bf_target_session *s, const struct bf_error *err)
{
	uint64_t deadline_ns = bf_now_ns() + LINGER_NS;

	if (err->errnum != EREMOTEIO && err->errnum != ECONNRESET)
		bf_frame_send_error(s->transport, err, deadline_ns);
	bf_transport_finish(s->transport, deadline_ns);
}

/* One that was refused is no part of the session that it wanted to join. */
static void fail_others(struct bf_target_session *s, int error,
			const struct bf_error *err)
{
	if (s->joined || (s->connections && !session_is_data(s)))
		bf_connections_fail(s->connections, error, err);
}

int bf_target_session_run(struct bf_target_session *s, struct bf_error *err)
{
	int ret = admit(s, err);

	if (ret && err->code != BF_E_UNKNOWN_PEER && err->code != BF_E_BUSY) {
		bf_target_session_end(s);	/* TLS itself told the peer */
		return ret;
	}
	if (!ret)
		ret = serve(s, err);
	if (ret)
		fail_others(s, ret, err);
	bf_target_session_end(s);
	if (s->job[0] && !session_is_data(s))	/* the control one speaks for it */
		log_end(s, ret, err);
	if (ret)
		say_error(s, err);
	else if (session_is_data(s))	/* its peer may still wait for frames */
		bf_transport_finish(s->transport, bf_now_ns() + LINGER_NS);
	return ret;
}
