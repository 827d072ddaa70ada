// SPDX-License-Identifier: Apache-2.0
/*
 * Receiver: connections flow in and get a thread each; finished threads are
 * joined. Bounds how many strangers and how many sessions there are at once,
 * and ends all of them in order when it is told to stop.
 */
#include "target/receiver.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/ring.h"
#include "target/ledger.h"
#include "target/privileges.h"
#include "target/registry.h"
#include "target/session.h"

#define STRANGERS_MAX 32		/* connections that have shown no key yet */
#define SESSIONS_MAX 512
#define COMPLAINTS_NS BF_NSEC_PER_SEC	/* one line on refused strangers in it */

struct served {
	struct served *next;
	struct receiver *receiver;
	struct bf_target_session *session;
	pthread_t thread;
	_Atomic bool cut_off;		/* to make room */
	bool finished;			/* under the receiver's lock */
};

struct receiver {
	struct bf_registry registry;
	struct bf_tls *tls;
	const struct bf_receiver_options *options;
	struct bf_receiver_config rules;	/* read again; else empty */
	int listener;
	int finished_fd;		/* eventfd: a thread wants to be joined */
	pthread_mutex_t lock;		/* of @finished, and of @complained_* */
	struct served *served;		/* of the main thread */
	uint32_t nr_served;
	uint64_t complained_ns;
	uint32_t silent_complaints;
};

/* A port that the world can reach must not fill the log. */
static void complain(struct receiver *r, const char *text)
{
	uint64_t now_ns = bf_now_ns();
	uint32_t silent = 0;
	bool say;

	pthread_mutex_lock(&r->lock);
	say = !r->complained_ns || now_ns - r->complained_ns >= COMPLAINTS_NS;
	if (say) {
		silent = r->silent_complaints;
		r->silent_complaints = 0;
		r->complained_ns = now_ns;
	} else {
		r->silent_complaints++;
	}
	pthread_mutex_unlock(&r->lock);
	if (say && silent)
		bf_warn("%s (and %u more like it)", text, silent);
	else if (say)
		bf_warn("%s", text);
}

static void complain_of(struct receiver *r, const char *address,
			const struct bf_error *err)
{
	char text[BF_ERROR_TEXT_BYTES + BF_ADDRESS_BYTES + 64];

	snprintf(text, sizeof(text), "connection from %s refused: %s", address,
		 err->text);
	complain(r, text);
}

static void *serve(void *pointer)
{
	struct served *served = pointer;
	struct receiver *r = served->receiver;
	struct bf_error err = { 0 };
	uint64_t one = 1;
	int ret = bf_target_session_run(served->session, &err);

	if (ret && !served->cut_off &&
	    !bf_target_session_admitted(served->session))
		complain_of(r, bf_target_session_address(served->session), &err);
	pthread_mutex_lock(&r->lock);
	served->finished = true;
	pthread_mutex_unlock(&r->lock);
	if (write(r->finished_fd, &one, sizeof(one)) < 0)
		bf_warn("a finished session is joined late: %s", strerror(errno));
	return NULL;
}

/*
 * Strangers that are silent must not keep an honest source out for as long as
 * they are waited for: the one that came first makes room.
 */
static void bound_strangers(struct receiver *r)
{
	struct served *oldest = NULL;
	uint32_t nr = 0;

	for (struct served *s = r->served; s; s = s->next) {
		if (s->cut_off || bf_target_session_admitted(s->session))
			continue;
		oldest = s;		/* the list begins with the youngest */
		nr++;
	}
	if (nr < STRANGERS_MAX)
		return;
	oldest->cut_off = true;
	complain(r, "too many connections at once: one was closed");
	bf_target_session_cut_off(oldest->session);
}

static int start_session(struct receiver *r, int fd, struct bf_error *err)
{
	struct bf_transport *transport;
	struct served *served = calloc(1, sizeof(*served));
	int ret;

	if (!served) {
		close(fd);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	}
	served->receiver = r;
	ret = bf_transport_tls(&transport, r->tls, fd, err);
	if (!ret)
		ret = bf_target_session_new(&served->session, &r->registry,
					    transport, false, err);
	if (ret) {
		free(served);
		return ret;
	}
	ret = pthread_create(&served->thread, NULL, serve, served);
	if (ret) {
		bf_target_session_free(served->session);
		free(served);
		return bf_fail(err, BF_E_SYSTEM, ret,
			       "cannot start a thread: %s", strerror(ret));
	}
	served->next = r->served;
	r->served = served;
	r->nr_served++;
	return 0;
}

static void accept_one(struct receiver *r)
{
	struct bf_error err = { 0 };
	int fd, ret = bf_tcp_accept(r->listener, &fd);

	if (ret == -EAGAIN || ret == -ECONNABORTED || ret == -EINTR)
		return;
	if (ret) {
		bf_fail(&err, BF_E_SYSTEM, -ret, "cannot accept: %s",
			strerror(-ret));
		complain_of(r, "a source", &err);
		poll(NULL, 0, 100);	/* out of descriptors: let some go */
		return;
	}
	if (r->nr_served >= SESSIONS_MAX) {
		close(fd);
		complain(r, "too many connections at once: one was closed");
		return;
	}
	bound_strangers(r);
	if (start_session(r, fd, &err))
		bf_log_error(&err);
}

static bool is_finished(struct receiver *r, const struct served *served)
{
	bool finished;

	pthread_mutex_lock(&r->lock);
	finished = served->finished;
	pthread_mutex_unlock(&r->lock);
	return finished;
}

/* @all: wait for those that are not finished yet, too. */
static void join_sessions(struct receiver *r, bool all)
{
	struct served **at = &r->served;

	while (*at) {
		struct served *served = *at;

		if (!all && !is_finished(r, served)) {
			at = &served->next;
			continue;
		}
		pthread_join(served->thread, NULL);
		bf_target_session_free(served->session);
		*at = served->next;
		free(served);
		r->nr_served--;
	}
}

/* A disk may come later; a slip of the pen should not wait for a source. */
static void tell_missing(const struct bf_receiver_config *config)
{
	for (size_t i = 0; i < config->nr_targets; i++)
		if (access(config->targets[i].path, F_OK))
			bf_warn("target %s: %s: %s; a source that asks for it is refused until it is there",
				config->targets[i].name,
				config->targets[i].path, strerror(errno));
}

/* Sessions whose key or target is gone from it end by themselves. */
static void reload(struct receiver *r)
{
	struct bf_receiver_config config, old = r->rules;
	struct bf_error err = { 0 };

	if (r->options->reload(r->options->context, &config, &err)) {
		bf_log_error(&err);
		bf_warn("the configuration stays as it was");
		return;
	}
	bf_registry_set_rules(&r->registry, &config);
	r->rules = config;
	bf_receiver_config_free(&old);
	for (struct served *s = r->served; s; s = s->next)
		bf_target_session_look(s->session);
	tell_missing(&config);
	bf_audit("the configuration was read again: %zu peers, %zu targets",
		 config.nr_peers, config.nr_targets);
}

static int loop(struct receiver *r, struct bf_error *err)
{
	struct pollfd fds[] = {
		{ .fd = r->options->stop_fd, .events = POLLIN },
		{ .fd = r->listener, .events = POLLIN },
		{ .fd = r->finished_fd, .events = POLLIN },
		{ .fd = r->options->reload_fd, .events = POLLIN },
	};
	uint64_t count;

	for (;;) {
		if (r->options->alive)
			r->options->alive(r->options->context);
		if (poll(fds, 4, BF_RECEIVER_ALIVE_MS) < 0 && errno != EINTR)
			return bf_fail(err, BF_E_SYSTEM, errno, "poll failed: %s",
				       strerror(errno));
		if (fds[0].revents)
			return 0;
		if (read(r->finished_fd, &count, sizeof(count)) > 0)
			join_sessions(r, false);
		if (fds[3].revents)
			reload(r);
		if (fds[1].revents)
			accept_one(r);
	}
}

static void stop_sessions(struct receiver *r)
{
	for (struct served *s = r->served; s; s = s->next)
		bf_target_session_cancel(s->session, BF_CANCEL_STOPPING);
	join_sessions(r, true);
}

/* A session of one disk has seven; the soft limit is made for select(). */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void tell_engine(void)
{
	struct bf_error why;

	if (bf_ring_probe(&why))
		bf_warn("%s; until then threads read and write blocks, which costs more processor time",
			why.text);
}

static int set_up(struct receiver *r, const struct bf_receiver_config *config,
		  struct bf_error *err)
{
	struct bf_identity *identity;
	int ret = bf_identity_load(config->key_path, &identity, err);

	if (ret)
		return ret;
	ret = bf_tls_new(&r->tls, BF_ROLE_TARGET, identity, err);
	if (!ret)
		ret = bf_tcp_listen(config->listen, &r->listener, err);
	if (!ret)
		bf_info("this receiver's key is %s",
			bf_identity_fingerprint(identity));
	bf_identity_free(identity);
	if (ret)
		return ret;
	r->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->finished_fd < 0)
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "cannot make an eventfd: %s", strerror(errno));
	return 0;
}

static void tear_down(struct receiver *r)
{
	if (r->listener >= 0)
		close(r->listener);
	if (r->finished_fd >= 0)
		close(r->finished_fd);
	bf_tls_free(r->tls);
	bf_registry_destroy(&r->registry);
	bf_receiver_config_free(&r->rules);
	pthread_mutex_destroy(&r->lock);
}

int bf_receiver_run(const struct bf_receiver_config *config,
		    const struct bf_receiver_options *options,
		    struct bf_error *err)
{
	struct receiver r = {
		.registry = {
			.records_dir = config->records_dir,
			.timeout_ns = config->timeout_ns,
		},
		.options = options, .listener = -1, .finished_fd = -1,
	};
	char address[BF_ADDRESS_BYTES];
	int ret;

	bf_registry_init(&r.registry);
	bf_registry_set_rules(&r.registry, config);
	pthread_mutex_init(&r.lock, NULL);
	tell_missing(config);
	raise_descriptor_limit();
	ret = set_up(&r, config, err);
	if (!ret)
		ret = bf_drop_privileges(err);
	if (!ret) {
		tell_engine();	/* what this process is still allowed */
		bf_tcp_name(r.listener, false, address);
		if (options->ready)
			options->ready(options->context, address);
		ret = loop(&r, err);
	}
	stop_sessions(&r);
	tear_down(&r);
	return ret;
}
