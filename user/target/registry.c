// SPDX-License-Identifier: Apache-2.0
/*
 * Registry: sessions ask for targets and for the right to write; what they get
 * is shared by one job and refused to all others. Keeps the promise that at
 * any moment one session at most writes for a job.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/transport.h"
#include "target/registry.h"
#include "target/session.h"

/* An old writer that does not hear is cut off from its peer after this. */
#define PATIENCE_NS BF_NSEC_PER_SEC

void bf_registry_init(struct bf_registry *registry)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&registry->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&registry->lock, NULL);
	pthread_rwlock_init(&registry->rules_lock, NULL);
}

int bf_registry_pool(struct bf_registry *registry, struct bf_pool **pool,
		     struct bf_error *err)
{
	int ret = 0;

	pthread_mutex_lock(&registry->lock);
	if (!registry->pool)
		ret = bf_pool_new(&registry->pool, err);
	*pool = registry->pool;
	pthread_mutex_unlock(&registry->lock);
	return ret;
}

/* --- rules ------------------------------------------------------------------ */

static const struct bf_peer_config *find_peer(const struct bf_registry *r,
					      const char *key)
{
	for (size_t i = 0; i < r->nr_peers; i++)
		if (!strcmp(r->peers[i].key, key))
			return &r->peers[i];
	return NULL;
}

static const struct bf_target_config *find_config(const struct bf_registry *r,
						  const char *name)
{
	for (size_t i = 0; i < r->nr_targets; i++)
		if (!strcmp(r->targets[i].name, name))
			return &r->targets[i];
	return NULL;
}

bool bf_registry_peer(struct bf_registry *registry, const char *key,
		      char name[BF_NAME_BYTES])
{
	const struct bf_peer_config *peer;

	pthread_rwlock_rdlock(&registry->rules_lock);
	peer = find_peer(registry, key);
	if (peer)
		memcpy(name, peer->name, BF_NAME_BYTES);
	pthread_rwlock_unlock(&registry->rules_lock);
	return peer;
}

static bool listed(const struct bf_peer_config *peer, const char *name)
{
	for (size_t i = 0; peer && i < peer->nr_targets; i++)
		if (!strcmp(peer->targets[i], name))
			return true;
	return false;
}

/* An unlisted target and one that does not exist look the same from outside. */
int bf_registry_target(struct bf_registry *registry, const char *key,
		       const char *name, struct bf_target_config *target,
		       struct bf_error *err)
{
	const struct bf_target_config *config = NULL;
	const struct bf_peer_config *peer = NULL;
	int ret = 0;

	pthread_rwlock_rdlock(&registry->rules_lock);
	if (key)
		peer = find_peer(registry, key);
	if (!key || listed(peer, name))
		config = find_config(registry, name);
	if (config)
		*target = *config;
	else
		ret = bf_fail(err, BF_E_NOT_LISTED, EACCES,
			      "target %s is not listed for this source's key%s%s; add it to \"targets\" of the peer, and a section [target %s], in the receiver's configuration",
			      name, peer ? ", peer " : "",
			      peer ? peer->name : "", name);
	pthread_rwlock_unlock(&registry->rules_lock);
	return ret;
}

/* --- targets ---------------------------------------------------------------- */

static struct bf_hold *find_hold(struct bf_registry *r, const char *name)
{
	for (struct bf_hold *hold = r->holds; hold; hold = hold->next)
		if (!strcmp(hold->target.name, name))
			return hold;
	return NULL;
}

static void put_writer(struct bf_registry *r, struct bf_writer *writer)
{
	struct bf_writer **at;

	if (--writer->users)
		return;
	for (at = &r->writers; *at != writer; at = &(*at)->next)
		;
	*at = writer->next;
	free(writer);
}

static void drop_hold(struct bf_registry *r, struct bf_hold *hold)
{
	struct bf_hold **at;

	for (at = &r->holds; *at != hold; at = &(*at)->next)
		;
	*at = hold->next;
	bf_target_close(&hold->target);
	put_writer(r, hold->owner);
	free(hold);
}

static int new_hold(struct bf_registry *r, struct bf_writer *owner,
		    const struct bf_target_config *config,
		    uint64_t source_bytes, const struct bf_ledger *ledger,
		    struct bf_hold **hold, struct bf_error *err)
{
	struct bf_hold *new = calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	ret = bf_target_open(&new->target, config, true, err);
	if (!ret)
		ret = bf_target_check_size(&new->target, source_bytes, err);
	if (!ret && !config->overwrite && !bf_ledger_find(ledger, &new->target))
		ret = bf_target_check_empty(&new->target, err);
	if (ret) {
		bf_target_close(&new->target);
		free(new);
		return ret;
	}
	owner->users++;
	new->owner = owner;
	new->next = r->holds;
	r->holds = new;
	*hold = new;
	return 0;
}

/*
 * One that is only kept is no obstacle to another job (whose ledger check has
 * shown that no record names the target any more), and is no use once its path
 * has come to name something else.
 */
static bool outlived(struct bf_hold *hold, const struct bf_writer *owner)
{
	return !hold->users &&
	       (hold->owner != owner || bf_target_refresh(&hold->target));
}

static int get_locked(struct bf_registry *r, struct bf_writer *owner,
		      const struct bf_target_config *config,
		      uint64_t source_bytes, const struct bf_ledger *ledger,
		      struct bf_hold **hold, struct bf_error *err)
{
	*hold = find_hold(r, config->name);
	if (*hold && outlived(*hold, owner)) {
		drop_hold(r, *hold);
		*hold = NULL;
	}
	if (!*hold)
		return new_hold(r, owner, config, source_bytes, ledger, hold, err);
	if ((*hold)->owner == owner)
		return bf_target_check_size(&(*hold)->target, source_bytes, err);
	return bf_fail(err, BF_E_IN_USE, EBUSY,
		       "target %s is being written by job %s; give each job targets of its own",
		       config->name, (*hold)->owner->job);
}

/* What is only kept, of targets that are configured no more. */
static void drop_unconfigured(struct bf_registry *r)
{
	struct bf_hold *hold, *next;

	pthread_mutex_lock(&r->lock);
	for (hold = r->holds; hold; hold = next) {
		next = hold->next;
		if (!hold->users && !find_config(r, hold->target.name))
			drop_hold(r, hold);
	}
	pthread_mutex_unlock(&r->lock);
}

void bf_registry_set_rules(struct bf_registry *registry,
			   const struct bf_receiver_config *config)
{
	pthread_rwlock_wrlock(&registry->rules_lock);
	registry->peers = config->peers;
	registry->nr_peers = config->nr_peers;
	registry->targets = config->targets;
	registry->nr_targets = config->nr_targets;
	drop_unconfigured(registry);
	pthread_rwlock_unlock(&registry->rules_lock);
	atomic_fetch_add(&registry->rules_version, 1);
}

int bf_hold_get(struct bf_registry *registry, struct bf_writer *owner,
		const struct bf_target_config *config, uint64_t source_bytes,
		const struct bf_ledger *ledger, struct bf_hold **hold,
		struct bf_error *err)
{
	struct bf_hold *found;
	int ret;

	pthread_mutex_lock(&registry->lock);
	ret = get_locked(registry, owner, config, source_bytes, ledger, &found,
			 err);
	if (!ret) {
		found->users++;
		*hold = found;
	}
	pthread_mutex_unlock(&registry->lock);
	return ret;
}

void bf_hold_put(struct bf_registry *registry, struct bf_hold *hold)
{
	pthread_mutex_lock(&registry->lock);
	if (!--hold->users && !hold->kept)
		drop_hold(registry, hold);
	pthread_mutex_unlock(&registry->lock);
}

void bf_hold_keep(struct bf_registry *registry, struct bf_hold *hold, bool keep)
{
	pthread_mutex_lock(&registry->lock);
	hold->kept = keep;
	pthread_mutex_unlock(&registry->lock);
}

void bf_registry_destroy(struct bf_registry *registry)
{
	pthread_mutex_lock(&registry->lock);
	while (registry->holds)
		drop_hold(registry, registry->holds);
	pthread_mutex_unlock(&registry->lock);
	bf_pool_free(registry->pool);
	pthread_cond_destroy(&registry->changed);
	pthread_mutex_destroy(&registry->lock);
	pthread_rwlock_destroy(&registry->rules_lock);
}

/* --- writers ---------------------------------------------------------------- */

int bf_writer_get(struct bf_registry *registry, const char *peer,
		  const char *job, struct bf_writer **writer,
		  struct bf_error *err)
{
	struct bf_writer *w;

	pthread_mutex_lock(&registry->lock);
	for (w = registry->writers; w; w = w->next)
		if (!strcmp(w->peer, peer) && !strcmp(w->job, job))
			break;
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (w) {
			snprintf(w->peer, sizeof(w->peer), "%s", peer);
			snprintf(w->job, sizeof(w->job), "%s", job);
			w->next = registry->writers;
			registry->writers = w;
		}
	}
	if (w)
		w->users++;
	pthread_mutex_unlock(&registry->lock);
	*writer = w;
	return w ? 0 : bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
}

void bf_writer_put(struct bf_registry *registry, struct bf_writer *writer)
{
	pthread_mutex_lock(&registry->lock);
	put_writer(registry, writer);
	pthread_mutex_unlock(&registry->lock);
}

/* With the lock held. Return: false when @deadline_ns has passed. */
static bool wait_changed(struct bf_registry *r, uint64_t deadline_ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / BF_NSEC_PER_SEC),
		.tv_nsec = (long)(deadline_ns % BF_NSEC_PER_SEC),
	};

	return pthread_cond_timedwait(&r->changed, &r->lock, &until) != ETIMEDOUT;
}

int bf_writer_claim(struct bf_registry *registry, struct bf_writer *writer,
		    uint64_t deadline_ns, struct bf_error *err)
{
	bool mine;

	pthread_mutex_lock(&registry->lock);
	while (writer->claiming && wait_changed(registry, deadline_ns))
		;
	mine = !writer->claiming;
	writer->claiming = true;
	pthread_mutex_unlock(&registry->lock);
	if (mine)
		return 0;
	return bf_fail(err, BF_E_BUSY, EBUSY,
		       "another session of job %s is being set up and does not come to an end; try again later",
		       writer->job);
}

int bf_writer_evict(struct bf_registry *registry, struct bf_writer *writer,
		    uint64_t deadline_ns, struct bf_error *err)
{
	uint64_t patience_ns = bf_now_ns() + PATIENCE_NS;
	bool gone;

	pthread_mutex_lock(&registry->lock);
	if (writer->session)
		bf_target_session_cancel(writer->session, BF_CANCEL_STALE);
	while (writer->session && wait_changed(registry, patience_ns))
		;
	if (writer->session)
		bf_target_session_cut_off(writer->session);
	while (writer->session && wait_changed(registry, deadline_ns))
		;
	gone = !writer->session;
	pthread_mutex_unlock(&registry->lock);
	if (gone)
		return 0;
	return bf_fail(err, BF_E_BUSY, EBUSY,
		       "the writes of the last session of job %s do not end; does its target still answer? look in the receiver's kernel log",
		       writer->job);
}

void bf_writer_claimed(struct bf_registry *registry, struct bf_writer *writer,
		       struct bf_target_session *session)
{
	pthread_mutex_lock(&registry->lock);
	writer->claiming = false;
	if (session)
		writer->session = session;
	pthread_cond_broadcast(&registry->changed);
	pthread_mutex_unlock(&registry->lock);
}

void bf_writer_release(struct bf_registry *registry, struct bf_writer *writer,
		       const struct bf_target_session *session)
{
	pthread_mutex_lock(&registry->lock);
	if (writer->session == session)
		writer->session = NULL;
	pthread_cond_broadcast(&registry->changed);
	pthread_mutex_unlock(&registry->lock);
}
