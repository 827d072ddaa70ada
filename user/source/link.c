// SPDX-License-Identifier: Apache-2.0
/*
 * Link: queued frames flow out at the rate allowed, answers flow in, both by
 * one thread, because a TLS connection belongs to one. Keeps order: frames
 * leave exactly as queued, so a BARRIER covers all that came before it.
 *
 * Time: the connection lives as long as bytes move in either direction. When
 * none have moved for a third of the time-out, a PING asks for some.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "lib/cleanup.h"
#include "lib/units.h"
#include "source/link.h"

#define CHUNK_BYTES (64u << 10)		/* handed to the transport at once */
#define QUANTUM_BYTES (512u << 10)	/* sent before answers are looked at */
#define THROTTLE_LOOK_NS (100 * BF_NSEC_PER_MSEC)
#define FINISH_NS BF_NSEC_PER_SEC	/* for the rest of a frame, at the end */

/* Frames leave by one thread; @lock guards the queue and the error. */
struct bf_link {
	struct bf_link_options options;
	struct bf_transport *transport;
	pthread_t thread;
	int kick_fd;

	pthread_mutex_t lock;
	struct bf_link_item *head, **tail;
	uint32_t backlog;		/* items in the queue */
	bool stop;
	bool failed;
	struct bf_error error;

	/* The thread's own. */
	struct bf_frame_reader reader;
	size_t sent_bytes;		/* of the head item */
	size_t chunk_bytes;		/* of it, to be tried again as it was */
	bool blocked;			/* the transport takes no more now */
	bool throttled;			/* the rate allows no more now */
	uint32_t due;			/* answers */
	bool ping_due;
	uint64_t moved_ns;		/* when bytes last moved */
	uint64_t taken_bytes;		/* out of the bucket, ... */
	uint64_t told_bytes;		/* ... and published, of those sent */
	struct sign {
		struct bf_link_item item;
		struct {
			struct wire_header header;
			struct wire_ping body;
		} frame;
	} ping, pong;
};

static void kick(struct bf_link *link)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then a kick is pending. */
	if (write(link->kick_fd, &one, sizeof(one)) < 0)
		return;
}

static void take_kicks(struct bf_link *link)
{
	uint64_t count;

	if (read(link->kick_fd, &count, sizeof(count)) < 0)
		return;
}

void bf_link_queue(struct bf_link *link, struct bf_link_item *item)
{
	bool ready;

	pthread_mutex_lock(&link->lock);
	item->next = NULL;
	*link->tail = item;
	link->tail = &item->next;
	link->backlog++;
	ready = item->ready;
	pthread_mutex_unlock(&link->lock);
	if (ready)
		kick(link);
}

void bf_link_ready(struct bf_link *link, struct bf_link_item *item)
{
	pthread_mutex_lock(&link->lock);
	item->ready = true;
	pthread_mutex_unlock(&link->lock);
	kick(link);
}

uint32_t bf_link_backlog(struct bf_link *link)
{
	uint32_t backlog;

	pthread_mutex_lock(&link->lock);
	backlog = link->backlog;
	pthread_mutex_unlock(&link->lock);
	return backlog;
}

int bf_link_check(struct bf_link *link, struct bf_error *err)
{
	int ret = 0;

	pthread_mutex_lock(&link->lock);
	if (link->failed) {
		if (err)
			*err = link->error;
		ret = link->error.errnum ? -link->error.errnum : -EIO;
	}
	pthread_mutex_unlock(&link->lock);
	return ret;
}

static struct bf_link_item *head_item(struct bf_link *link)
{
	struct bf_link_item *item;

	pthread_mutex_lock(&link->lock);
	item = link->head;
	if (item && !item->ready)
		item = NULL;
	pthread_mutex_unlock(&link->lock);
	return item;
}

static void drop_head(struct bf_link *link, struct bf_link_item *item)
{
	pthread_mutex_lock(&link->lock);
	link->head = item->next;
	if (!link->head)
		link->tail = &link->head;
	link->backlog--;
	item->ready = false;
	pthread_mutex_unlock(&link->lock);
}

static int connection_lost(struct bf_link *link, int error, struct bf_error *err)
{
	return bf_fail(err, BF_E_CONNECTION, error,
		       "the connection to %s broke: %s; the target's log says more if it ended it",
		       bf_transport_peer(link->transport), strerror(error));
}

/*
 * A frame whose first write was blocked has begun as well: TLS has made a record
 * of it, which the next write sends whatever it is given.
 */
static bool head_begun(const struct bf_link *link)
{
	return link->sent_bytes || link->chunk_bytes;
}

/*
 * A sign of life goes before all that is queued, between two frames: what is
 * queued may not be ready for long, because the source reads slowly or waits
 * for the same answer.
 */
static void queue_sign(struct bf_link *link, struct sign *sign, uint16_t type,
		       uint64_t cookie)
{
	struct bf_link_item *item = &sign->item, **at = &link->head;

	bf_frame_header(&sign->frame.header, type, 0, sizeof(sign->frame.body));
	sign->frame.body.cookie = cookie;
	bf_wire_swap_ping(&sign->frame.body);
	item->frame = (const uint8_t *)&sign->frame;
	item->bytes = sizeof(sign->frame);
	pthread_mutex_lock(&link->lock);
	if (head_begun(link))
		at = &link->head->next;
	item->ready = true;
	item->next = *at;
	*at = item;
	link->backlog++;
	if (!item->next)
		link->tail = &item->next;
	pthread_mutex_unlock(&link->lock);
}

/* One that waits to be sent answers all that have come so far. */
static int answer_ping(struct bf_link *link, const struct bf_frame *frame,
		       struct bf_error *err)
{
	struct wire_ping ping;
	int ret = bf_check_ping(frame, &ping, err);

	if (!ret && !link->pong.item.ready)
		queue_sign(link, &link->pong, WIRE_PONG, ping.cookie);
	return ret;
}

/* Return: 0, or the error that ends the link. */
static int dispatch(struct bf_link *link, const struct bf_frame *frame,
		    struct bf_error *err)
{
	switch (frame->type) {
	case WIRE_PING:
		return answer_ping(link, frame, err);
	case WIRE_PONG:
		link->ping_due = false;
		return 0;
	case WIRE_ERROR:
		return bf_check_error(frame, err);
	default:
		if (!link->due)
			return bf_fail(err, BF_E_PROTOCOL, EPROTO,
				       "the target sent %s, which nobody asked for",
				       bf_frame_name(frame->type));
		link->due--;
		return link->options.handler.frame(link->options.handler.context,
						   frame, err);
	}
}

/* Everything that has arrived. Return: 0, or the error that ends the link. */
static int receive(struct bf_link *link, struct bf_error *err)
{
	struct bf_frame *frame;
	uint64_t before = bf_transport_received_bytes(link->transport);
	int ret;

	for (;;) {
		ret = bf_frame_read(&link->reader, link->transport, &frame, err);
		if (ret <= 0)
			break;
		ret = dispatch(link, frame, err);
		if (ret)
			return ret;
	}
	if (bf_transport_received_bytes(link->transport) != before)
		link->moved_ns = bf_now_ns();
	if (ret == 0)
		return bf_fail(err, BF_E_CONNECTION, ECONNRESET,
			       "%s closed the connection; the target's log says why",
			       bf_transport_peer(link->transport));
	return ret == -EAGAIN ? 0 : ret;
}

/* Return: ns until bytes may be sent again, 0: now, *may_bytes of them. */
static uint64_t throttle_ns(struct bf_link *link, uint64_t *may_bytes)
{
	uint64_t sent = bf_transport_sent_bytes(link->transport);
	uint64_t new_bytes = sent - link->taken_bytes;

	link->taken_bytes = sent;
	*may_bytes = UINT64_MAX;
	return link->options.bucket ?
		bf_bucket_take(link->options.bucket, new_bytes, may_bytes) : 0;
}

static size_t chunk(const struct bf_link *link, uint64_t may_bytes, size_t left)
{
	size_t bytes = CHUNK_BYTES;

	if (link->chunk_bytes)	/* TLS wants a blocked write repeated as it was */
		return link->chunk_bytes;
	if (may_bytes < bytes)
		bytes = may_bytes;
	if (bytes < BF_BUCKET_MIN_BYTES)
		bytes = BF_BUCKET_MIN_BYTES;
	return bytes < left ? bytes : left;
}

static void advance(struct bf_link *link, struct bf_link_item *item, size_t bytes)
{
	link->moved_ns = bf_now_ns();
	link->sent_bytes += bytes;
	if (link->sent_bytes < item->bytes)
		return;
	link->sent_bytes = 0;
	drop_head(link, item);
	if (item->answered)
		link->due++;
	if (item->sent)
		item->sent(item);
}

static void publish_wire_bytes(struct bf_link *link)
{
	uint64_t sent = bf_transport_sent_bytes(link->transport);

	if (link->options.wire_bytes)
		atomic_fetch_add_explicit(link->options.wire_bytes,
					  sent - link->told_bytes,
					  memory_order_relaxed);
	link->told_bytes = sent;
}

/* A dead stream may still hold the ERROR frame that says why it died. */
static int write_failed(struct bf_link *link, int error, struct bf_error *err)
{
	int ret = receive(link, err);

	return ret && err->code != BF_E_CONNECTION ? ret :
		connection_lost(link, error, err);
}

/*
 * Send what is ready, a quantum at most. *wait_ns: until going on makes sense
 * (0: at once, UINT64_MAX: not before something happens).
 */
static int transmit(struct bf_link *link, uint64_t *wait_ns, struct bf_error *err)
{
	size_t moved = 0;

	*wait_ns = UINT64_MAX;
	link->blocked = link->throttled = false;
	while (moved < QUANTUM_BYTES) {
		struct bf_link_item *item = head_item(link);
		uint64_t may_bytes, pause_ns;
		ssize_t n;

		if (!item)
			return 0;
		pause_ns = throttle_ns(link, &may_bytes);
		if (pause_ns) {
			link->moved_ns = bf_now_ns();	/* our choice */
			link->throttled = true;
			*wait_ns = pause_ns < THROTTLE_LOOK_NS ? pause_ns :
								 THROTTLE_LOOK_NS;
			return 0;
		}
		link->chunk_bytes = chunk(link, may_bytes,
					  item->bytes - link->sent_bytes);
		n = bf_transport_write(link->transport,
				       item->frame + link->sent_bytes,
				       link->chunk_bytes);
		if (n == -EAGAIN) {
			link->blocked = true;
			return 0;
		}
		if (n < 0)
			return write_failed(link, -n, err);
		link->chunk_bytes = 0;
		moved += n;
		/* Progress is told before sent() tells of the frame itself. */
		publish_wire_bytes(link);
		advance(link, item, n);
	}
	*wait_ns = 0;
	return 0;
}

/*
 * Judge the silence. After a third of the time-out the target is asked for a
 * sign of life, which it gives while it still works on an answer.
 * *wait_ns is shortened to the next judgement.
 */
static int watch(struct bf_link *link, uint64_t *wait_ns, struct bf_error *err)
{
	uint64_t limit = link->options.timeout_ns, silent;
	char text[BF_UNIT_TEXT_BYTES];

	if (!limit)
		return 0;
	silent = bf_now_ns() - link->moved_ns;
	if (silent >= limit)
		return bf_fail(err, BF_E_TIMEOUT, ETIMEDOUT,
			       "%s has been silent for %s; check the network and the receiver",
			       bf_transport_peer(link->transport),
			       bf_format_time(limit, text));
	if (silent >= limit / 3 && !link->ping_due) {
		queue_sign(link, &link->ping, WIRE_PING, 0);
		link->ping_due = true;
		*wait_ns = 0;
		return 0;
	}
	if (!link->ping_due)
		limit /= 3;
	if (*wait_ns > limit - silent)
		*wait_ns = limit - silent;
	return 0;
}

static void wait_events(struct bf_link *link, uint64_t wait_ns)
{
	struct pollfd fds[] = {
		{ .fd = bf_transport_fd(link->transport),
		  .events = bf_transport_read_events(link->transport) },
		{ .fd = link->kick_fd, .events = POLLIN },
	};
	struct timespec ts = {
		.tv_sec = wait_ns / BF_NSEC_PER_SEC,
		.tv_nsec = wait_ns % BF_NSEC_PER_SEC,
	};

	if (!wait_ns)
		return;
	if (link->blocked)
		fds[0].events |= bf_transport_write_events(link->transport);
	if (ppoll(fds, 2, wait_ns == UINT64_MAX ? NULL : &ts, NULL) > 0 &&
	    fds[1].revents)
		take_kicks(link);
}

/* NULL: nobody counts. */
static void add(_Atomic uint64_t *sum, uint64_t ns)
{
	if (sum)
		atomic_fetch_add_explicit(sum, ns, memory_order_relaxed);
}

/* The clock would count what other threads took from this one meanwhile. */
static uint64_t processor_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * BF_NSEC_PER_SEC + ts.tv_nsec;
}

static int transmit_and_count(struct bf_link *link, uint64_t *wait_ns,
			      struct bf_error *err)
{
	uint64_t before = bf_transport_sent_bytes(link->transport);
	uint64_t start_ns = processor_ns();
	int ret = transmit(link, wait_ns, err);

	if (bf_transport_sent_bytes(link->transport) != before)
		add(link->options.send_ns, processor_ns() - start_ns);
	return ret;
}

static void wait_and_count(struct bf_link *link, uint64_t wait_ns)
{
	bool full = link->blocked || link->throttled;
	uint64_t start_ns = bf_now_ns();

	wait_events(link, wait_ns);
	if (full)
		add(link->options.full_ns, bf_now_ns() - start_ns);
}

static bool stopped(struct bf_link *link)
{
	bool stop;

	pthread_mutex_lock(&link->lock);
	stop = link->stop;
	pthread_mutex_unlock(&link->lock);
	return stop;
}

static void fail_link(struct bf_link *link, const struct bf_error *err)
{
	pthread_mutex_lock(&link->lock);
	link->failed = true;
	link->error = *err;
	pthread_mutex_unlock(&link->lock);
	link->options.handler.failed(link->options.handler.context);
}

/* The target logs an end between two frames as what it is: an end. */
static void finish_frame(struct bf_link *link)
{
	if (head_begun(link))
		bf_transport_write_all(link->transport,
				       link->head->frame + link->sent_bytes,
				       link->head->bytes - link->sent_bytes,
				       bf_now_ns() + FINISH_NS, NULL);
}

static void *link_main(void *argument)
{
	struct bf_link *link = argument;
	struct bf_error err = { 0 };

	link->moved_ns = bf_now_ns();
	while (!stopped(link)) {
		uint64_t wait_ns;

		if (receive(link, &err) ||
		    transmit_and_count(link, &wait_ns, &err) ||
		    watch(link, &wait_ns, &err)) {
			fail_link(link, &err);
			return NULL;
		}
		wait_and_count(link, wait_ns);
	}
	finish_frame(link);
	return NULL;
}

static void release(struct bf_link *link)
{
	bf_transport_close(link->transport);
	bf_frame_reader_free(&link->reader);
	if (link->kick_fd >= 0)
		close(link->kick_fd);
	pthread_mutex_destroy(&link->lock);
	free(link);
}

int bf_link_start(struct bf_link **link, struct bf_transport *transport,
		  const struct bf_link_options *options, struct bf_error *err)
{
	struct bf_link *l = calloc(1, sizeof(*l));
	int ret;

	if (!l) {
		bf_transport_close(transport);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory for a link");
	}
	l->options = *options;
	l->transport = transport;
	l->tail = &l->head;
	pthread_mutex_init(&l->lock, NULL);
	bf_frame_reader_init(&l->reader, BF_ROLE_SOURCE);
	l->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = l->kick_fd < 0 ? errno : pthread_create(&l->thread, NULL, link_main, l);
	if (ret) {
		release(l);
		return bf_fail(err, BF_E_SYSTEM, ret,
			       "cannot start the link's thread: %s", strerror(ret));
	}
	*link = l;
	return 0;
}

void bf_link_stop(struct bf_link *link)
{
	if (!link)
		return;
	pthread_mutex_lock(&link->lock);
	link->stop = true;
	pthread_mutex_unlock(&link->lock);
	kick(link);
	pthread_join(link->thread, NULL);
	release(link);
}
