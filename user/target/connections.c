// SPDX-License-Identifier: Apache-2.0
/*
 * Connections: see connections.h. Keeps the order of a session whose blocks come
 * by several connections: what was sent before a sync point has been written
 * when it is passed, and nothing that was sent after it has been read.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "lib/units.h"
#include "target/connections.h"
#include "target/session.h"

#define TICK_NS (100 * BF_NSEC_PER_MSEC)
#define MEMBERS_MAX (WIRE_CONNECTIONS_MAX - 1)

struct member {
	struct bf_target_session *session;	/* NULL: free */
	struct bf_apply *apply;
	uint64_t reached;
};

/* @lock guards all below it. */
struct bf_connections {
	struct bf_target_session *control;
	uint64_t epoch;
	uint16_t max;
	uint8_t ticket[WIRE_TICKET_BYTES];

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t users;
	struct member members[MEMBERS_MAX];
	uint32_t joined, detached, left;
	bool started;				/* came to a sync point */
	uint64_t passed;			/* sync points */
	bool closed;
	int failed;
	struct bf_error failure;
	struct bf_connection_sum sum;		/* of those that left */
	bool unflushed;				/* likewise */
};

int bf_connections_new(struct bf_connections **connections,
		       struct bf_target_session *control, uint64_t epoch,
		       uint16_t max, struct bf_error *err)
{
	struct bf_connections *c = calloc(1, sizeof(*c));
	pthread_condattr_t attributes;

	if (!c)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	if (RAND_bytes(c->ticket, sizeof(c->ticket)) != 1) {
		free(c);
		return bf_fail(err, BF_E_SYSTEM, EIO,
			       "OpenSSL gives no random numbers");
	}
	c->control = control;
	c->epoch = epoch;
	c->max = max;
	c->users = 1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	*connections = c;
	return 0;
}

struct bf_connections *bf_connections_get(struct bf_connections *connections)
{
	pthread_mutex_lock(&connections->lock);
	connections->users++;
	pthread_mutex_unlock(&connections->lock);
	return connections;
}

void bf_connections_put(struct bf_connections *connections)
{
	bool last;

	if (!connections)
		return;
	pthread_mutex_lock(&connections->lock);
	last = !--connections->users;
	pthread_mutex_unlock(&connections->lock);
	if (!last)
		return;
	pthread_cond_destroy(&connections->changed);
	pthread_mutex_destroy(&connections->lock);
	free(connections);
}

const uint8_t *bf_connections_ticket(const struct bf_connections *connections)
{
	return connections->ticket;
}

struct bf_target_session *bf_connections_control(struct bf_connections *connections)
{
	return connections->control;
}

bool bf_connections_shared(struct bf_connections *connections)
{
	bool shared;

	pthread_mutex_lock(&connections->lock);
	shared = connections->joined;
	pthread_mutex_unlock(&connections->lock);
	return shared;
}

/* --- with the lock held ------------------------------------------------------- */

/* Nobody sleeps on when something has changed that it must know of. */
static void wake_all(struct bf_connections *c)
{
	pthread_cond_broadcast(&c->changed);
	if (!c->closed)		/* then it waits here */
		bf_target_session_look(c->control);
	for (uint32_t i = 0; i < MEMBERS_MAX; i++)
		if (c->members[i].session)
			bf_target_session_look(c->members[i].session);
}

static struct member *find(struct bf_connections *c,
			   const struct bf_target_session *session)
{
	for (uint32_t i = 0; i < MEMBERS_MAX; i++)
		if (c->members[i].session == session)
			return &c->members[i];
	return NULL;
}

static int state(const struct bf_connections *c, struct bf_error *err)
{
	if (c->failed && err)
		*err = c->failure;
	return c->failed;
}

static void add_sum(struct bf_connection_sum *to,
		    const struct bf_connection_sum *from)
{
	to->data_bytes += from->data_bytes;
	to->zero_bytes += from->zero_bytes;
	to->received_bytes += from->received_bytes;
}

static int broken(struct bf_error *err)
{
	return bf_fail(err, BF_E_CONNECTION, ECONNRESET,
		       "a connection of the session was closed while others were in use");
}

/* Every connection that joined is there: what it wrote can be asked for. */
static int check_whole(const struct bf_connections *c, struct bf_error *err)
{
	int ret = state(c, err);

	return !ret && c->detached ? broken(err) : ret;
}

/* Lets go of the lock for the tick, and may return for no reason. */
static int wait_tick(struct bf_connections *c, bf_apply_tick tick, void *context,
		     struct bf_error *err)
{
	uint64_t until_ns = bf_now_ns() + TICK_NS;
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / BF_NSEC_PER_SEC),
		.tv_nsec = (long)(until_ns % BF_NSEC_PER_SEC),
	};
	int ret;

	if (pthread_cond_timedwait(&c->changed, &c->lock, &until) != ETIMEDOUT)
		return state(c, err);
	pthread_mutex_unlock(&c->lock);
	ret = tick(context, err);
	pthread_mutex_lock(&c->lock);
	return ret ? ret : state(c, err);
}

static bool all_reached(const struct bf_connections *c)
{
	for (uint32_t i = 0; i < MEMBERS_MAX; i++)
		if (c->members[i].session &&
		    c->members[i].reached <= c->passed)
			return false;
	return true;
}

/* --- failure ------------------------------------------------------------------ */

int bf_connections_check(struct bf_connections *connections,
			 struct bf_error *err)
{
	int ret;

	pthread_mutex_lock(&connections->lock);
	ret = state(connections, err);
	pthread_mutex_unlock(&connections->lock);
	return ret;
}

void bf_connections_fail(struct bf_connections *connections, int error,
			 const struct bf_error *err)
{
	pthread_mutex_lock(&connections->lock);
	if (!connections->failed && !connections->closed) {
		connections->failed = error;
		connections->failure = *err;
		wake_all(connections);
	}
	pthread_mutex_unlock(&connections->lock);
}

/* --- a data connection -------------------------------------------------------- */

static int check_join(const struct bf_connections *c,
		      const struct wire_attach *attach, struct bf_error *err)
{
	if (c->closed || attach->epoch != c->epoch ||
	    CRYPTO_memcmp(attach->ticket, c->ticket, sizeof(c->ticket)))
		return bf_fail(err, BF_E_STALE_SESSION, ESTALE,
			       "a connection came for session %llu of job %s, which is not the one at work",
			       (unsigned long long)attach->epoch, attach->job);
	if (c->started || c->joined + 1 >= c->max)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "ATTACH comes %s: the peer's blkferry is faulty",
			       c->started ? "after the first BEGIN" :
					   "more often than was agreed");
	return 0;
}

int bf_connections_join(struct bf_connections *connections,
			struct bf_target_session *member,
			const struct wire_attach *attach, struct bf_error *err)
{
	int ret;

	pthread_mutex_lock(&connections->lock);
	ret = check_join(connections, attach, err);
	if (!ret) {
		*find(connections, NULL) = (struct member){ .session = member };
		connections->joined++;
	}
	pthread_mutex_unlock(&connections->lock);
	return ret;
}

void bf_connections_set_apply(struct bf_connections *connections,
			      const struct bf_target_session *member,
			      struct bf_apply *apply)
{
	pthread_mutex_lock(&connections->lock);
	find(connections, member)->apply = apply;
	pthread_mutex_unlock(&connections->lock);
}

void bf_connections_detach(struct bf_connections *connections,
			   const struct bf_target_session *member)
{
	pthread_mutex_lock(&connections->lock);
	find(connections, member)->apply = NULL;
	connections->detached++;
	pthread_cond_broadcast(&connections->changed);
	pthread_mutex_unlock(&connections->lock);
}

void bf_connections_leave(struct bf_connections *connections,
			  const struct bf_target_session *member,
			  const struct bf_connection_sum *sum, bool unflushed)
{
	struct bf_connections *c = connections;

	pthread_mutex_lock(&c->lock);
	*find(c, member) = (struct member){ 0 };
	c->left++;
	add_sum(&c->sum, sum);
	c->unflushed |= unflushed;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

int bf_connections_reach(struct bf_connections *connections,
			 const struct bf_target_session *member,
			 uint64_t number, bf_apply_tick tick, void *context,
			 struct bf_error *err)
{
	struct bf_connections *c = connections;
	struct member *m;
	int ret;

	pthread_mutex_lock(&c->lock);
	m = find(c, member);
	ret = state(c, err);
	if (!ret && number != m->reached + 1)
		ret = bf_fail(err, BF_E_PROTOCOL, EPROTO,
			      "SYNC %llu came where %llu is next: the peer's blkferry is faulty",
			      (unsigned long long)number,
			      (unsigned long long)m->reached + 1);
	if (!ret) {
		m->reached = number;
		pthread_cond_broadcast(&c->changed);
	}
	while (!ret && c->passed < number)
		ret = c->closed ? broken(err) : wait_tick(c, tick, context, err);
	pthread_mutex_unlock(&c->lock);
	return ret;
}

bool bf_connections_ended(struct bf_connections *connections)
{
	bool ended;

	pthread_mutex_lock(&connections->lock);
	ended = connections->closed && !connections->failed;
	pthread_mutex_unlock(&connections->lock);
	return ended;
}

/* --- the control connection ---------------------------------------------------- */

int bf_connections_gather(struct bf_connections *connections,
			  bf_apply_tick tick, void *context,
			  struct bf_error *err)
{
	struct bf_connections *c = connections;
	int ret;

	pthread_mutex_lock(&c->lock);
	c->started = true;
	ret = state(c, err);
	while (!ret && !c->detached && !all_reached(c))
		ret = wait_tick(c, tick, context, err);
	if (!ret)
		ret = check_whole(c, err);
	pthread_mutex_unlock(&c->lock);
	return ret;
}

int bf_connections_totals(struct bf_connections *connections, uint32_t disk,
			  struct wire_totals *totals, struct bf_error *err)
{
	int ret;

	pthread_mutex_lock(&connections->lock);
	ret = check_whole(connections, err);
	for (uint32_t i = 0; i < MEMBERS_MAX && !ret; i++)
		if (connections->members[i].session)
			bf_apply_add_totals(connections->members[i].apply, disk,
					    totals);
	pthread_mutex_unlock(&connections->lock);
	return ret;
}

int bf_connections_hand_over(struct bf_connections *connections,
			     struct bf_apply *apply, struct bf_error *err)
{
	int ret;

	pthread_mutex_lock(&connections->lock);
	ret = check_whole(connections, err);
	for (uint32_t i = 0; i < MEMBERS_MAX && !ret; i++)
		if (connections->members[i].session)
			bf_apply_take_unflushed(apply,
						connections->members[i].apply);
	pthread_mutex_unlock(&connections->lock);
	return ret;
}

void bf_connections_pass(struct bf_connections *connections)
{
	pthread_mutex_lock(&connections->lock);
	connections->passed++;
	pthread_cond_broadcast(&connections->changed);
	pthread_mutex_unlock(&connections->lock);
}

bool bf_connections_close(struct bf_connections *connections,
			  struct bf_connection_sum *sum)
{
	struct bf_connections *c = connections;
	bool unflushed;

	pthread_mutex_lock(&c->lock);
	c->closed = true;
	wake_all(c);
	while (c->left < c->joined)
		pthread_cond_wait(&c->changed, &c->lock);
	add_sum(sum, &c->sum);
	c->sum = (struct bf_connection_sum){ 0 };
	unflushed = c->unflushed;
	pthread_mutex_unlock(&c->lock);
	return unflushed;
}

void bf_connections_cut_off(struct bf_connections *connections)
{
	pthread_mutex_lock(&connections->lock);
	for (uint32_t i = 0; i < MEMBERS_MAX; i++)
		if (connections->members[i].session)
			bf_target_session_cut_off(connections->members[i].session);
	pthread_mutex_unlock(&connections->lock);
}
