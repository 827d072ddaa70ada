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

#include "lib/cleanup.h"
#include "lib/transport.h"
#include "target/connections.h"
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

uint16_t bf_registry_take_connections(struct bf_registry *registry,
				      uint16_t wanted)
{
	uint32_t max, nr = 0;

	pthread_rwlock_rdlock(&registry->rules_lock);
	max = registry->more_connections;
	pthread_rwlock_unlock(&registry->rules_lock);
	pthread_mutex_lock(&registry->lock);
	if (max > registry->data_connections)
		nr = (max - registry->data_connections + 1) / 2;
	if (nr > wanted)
		nr = wanted;
	registry->data_connections += nr;
	pthread_mutex_unlock(&registry->lock);
	return nr;
}

void bf_registry_give_connections(struct bf_registry *registry, uint16_t nr)
{
	pthread_mutex_lock(&registry->lock);
	registry->data_connections -= nr;
	pthread_mutex_unlock(&registry->lock);
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

size_t bf_registry_nr_targets(struct bf_registry *registry, const char *key)
{
	const struct bf_peer_config *peer;
	size_t nr;

	pthread_rwlock_rdlock(&registry->rules_lock);
	peer = find_peer(registry, key);
	nr = peer ? peer->nr_targets : 0;
	pthread_rwlock_unlock(&registry->rules_lock);
	return nr;
}

bool bf_registry_old_key(struct bf_registry *registry, const char *key,
			 char old_key[BF_FINGERPRINT_BYTES])
{
	const struct bf_peer_config *peer;

	*old_key = '\0';
	pthread_rwlock_rdlock(&registry->rules_lock);
	peer = find_peer(registry, key);
	if (peer)
		memcpy(old_key, peer->old_key, BF_FINGERPRINT_BYTES);
	pthread_rwlock_unlock(&registry->rules_lock);
	return *old_key;
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

/* With the lock held. Return: false when @deadline_ns has passed. */
static bool wait_changed(struct bf_registry *r, uint64_t deadline_ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / BF_NSEC_PER_SEC),
		.tv_nsec = (long)(deadline_ns % BF_NSEC_PER_SEC),
	};

	return pthread_cond_timedwait(&r->changed, &r->lock, &until) != ETIMEDOUT;
}

/* --- targets ---------------------------------------------------------------- */

static struct bf_hold *find_hold(struct bf_registry *r, const char *name)
{
	for (struct bf_hold *hold = r->holds; hold; hold = hold->next)
		if (!strcmp(hold->name, name))
			return hold;
	return NULL;
}

/* Return: -ETIMEDOUT if somebody works on it all the time; *hold may be NULL. */
static int find_idle(struct bf_registry *r, const char *name,
		     struct bf_hold **hold)
{
	uint64_t deadline_ns = r->timeout_ns ? bf_now_ns() + r->timeout_ns :
					       UINT64_MAX;

	while ((*hold = find_hold(r, name)) && (*hold)->busy)
		if (!wait_changed(r, deadline_ns))
			return -ETIMEDOUT;
	return 0;
}

static void begin_work(struct bf_registry *r, struct bf_hold *hold)
{
	hold->busy = true;
	pthread_mutex_unlock(&r->lock);
}

static void end_work(struct bf_registry *r, struct bf_hold *hold)
{
	pthread_mutex_lock(&r->lock);
	hold->busy = false;
	pthread_cond_broadcast(&r->changed);
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

/* Lets go of the lock meanwhile. */
static void drop_hold(struct bf_registry *r, struct bf_hold *hold)
{
	struct bf_hold **at;

	begin_work(r, hold);
	bf_target_close(&hold->target);
	end_work(r, hold);
	for (at = &r->holds; *at != hold; at = &(*at)->next)
		;
	*at = hold->next;
	put_writer(r, hold->owner);
	free(hold);
}

static struct bf_hold *add_hold(struct bf_registry *r, struct bf_writer *owner,
				const char *name)
{
	struct bf_hold *new = calloc(1, sizeof(*new));

	if (!new)
		return NULL;
	bf_target_init(&new->target);
	snprintf(new->name, sizeof(new->name), "%s", name);
	owner->users++;
	new->owner = owner;
	new->next = r->holds;
	r->holds = new;
	return new;
}

static int open_target(const struct bf_registry *r, struct bf_target *target,
		       const struct bf_target_config *config,
		       uint64_t source_bytes, const struct bf_ledger *ledger,
		       struct bf_error *err)
{
	int ret = bf_target_open(target, config, true, err);

	if (!ret)
		ret = bf_ledger_check_owner(r->records_dir, ledger, NULL, target,
					    err);
	if (!ret)
		ret = bf_target_check_size(target, source_bytes, err);
	if (!ret && !config->overwrite && !bf_ledger_find(ledger, target))
		ret = bf_target_check_empty(target, err);
	return ret;
}

static int new_hold(struct bf_registry *r, struct bf_writer *owner,
		    const struct bf_target_config *config,
		    uint64_t source_bytes, const struct bf_ledger *ledger,
		    struct bf_hold **hold, struct bf_error *err)
{
	int ret;

	*hold = add_hold(r, owner, config->name);
	if (!*hold)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	begin_work(r, *hold);
	ret = open_target(r, &(*hold)->target, config, source_bytes, ledger, err);
	end_work(r, *hold);
	if (ret)
		drop_hold(r, *hold);
	return ret;
}

static bool is_stale(struct bf_registry *r, struct bf_hold *hold)
{
	int ret;

	begin_work(r, hold);
	ret = bf_target_refresh(&hold->target);
	end_work(r, hold);
	return ret;
}

/*
 * One that is only kept is no obstacle to another job (whose ledger check has
 * shown that no record names the target any more), and is no use once its name
 * is configured for, or its path has come to name, something else.
 */
static bool outlived(struct bf_registry *r, struct bf_hold *hold,
		     const struct bf_writer *owner,
		     const struct bf_target_config *config)
{
	return !hold->users &&
	       (hold->owner != owner ||
		strcmp(hold->target.path, config->path) || is_stale(r, hold));
}

static int share(const struct bf_hold *hold, const struct bf_writer *owner,
		 const struct bf_target_config *config, uint64_t source_bytes,
		 struct bf_error *err)
{
	if (hold->owner != owner)
		return bf_fail(err, BF_E_IN_USE, EBUSY,
			       "target %s is being written by job %s; give each job targets of its own",
			       config->name, hold->owner->job);
	if (strcmp(hold->target.path, config->path))
		return bf_fail(err, BF_E_BUSY, EBUSY,
			       "a session still writes target %s to %s, which is %s now; it is about to end, try again",
			       config->name, hold->target.path, config->path);
	return bf_target_check_size(&hold->target, source_bytes, err);
}

static int get_locked(struct bf_registry *r, struct bf_writer *owner,
		      const struct bf_target_config *config,
		      uint64_t source_bytes, const struct bf_ledger *ledger,
		      struct bf_hold **hold, struct bf_error *err)
{
	for (;;) {
		if (find_idle(r, config->name, hold))
			return bf_fail(err, BF_E_BUSY, EBUSY,
				       "another session opens or closes target %s and does not come to an end; does %s still answer?",
				       config->name, config->path);
		if (!*hold)
			return new_hold(r, owner, config, source_bytes, ledger,
					hold, err);
		if (!outlived(r, *hold, owner, config))
			return share(*hold, owner, config, source_bytes, err);
		drop_hold(r, *hold);
	}
}

/* What is only kept, and is configured no more or for another path. */
static struct bf_hold *find_unconfigured(struct bf_registry *r)
{
	for (struct bf_hold *hold = r->holds; hold; hold = hold->next) {
		const struct bf_target_config *config = find_config(r, hold->name);

		if (!hold->users && !hold->busy &&
		    (!config || strcmp(config->path, hold->target.path)))
			return hold;
	}
	return NULL;
}

/* Only the caller changes the rules, so it may read them as they are. */
static void drop_unconfigured(struct bf_registry *r)
{
	struct bf_hold *hold;

	pthread_mutex_lock(&r->lock);
	while ((hold = find_unconfigured(r)))
		drop_hold(r, hold);
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
	registry->full_copies = config->full_copies;
	registry->more_connections = config->more_connections;
	pthread_rwlock_unlock(&registry->rules_lock);
	atomic_fetch_add(&registry->rules_version, 1);
	drop_unconfigured(registry);
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
	if (writer->session) {
		bf_target_session_cut_off(writer->session);
		bf_connections_cut_off(writer->connections);
	}
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
		       struct bf_target_session *session,
		       struct bf_connections *connections)
{
	pthread_mutex_lock(&registry->lock);
	writer->claiming = false;
	if (session) {
		writer->session = session;
		writer->connections = bf_connections_get(connections);
	} else if (!writer->session) {
		writer->whole = false;
	}
	pthread_cond_broadcast(&registry->changed);
	pthread_mutex_unlock(&registry->lock);
}

struct bf_connections *bf_writer_connections(struct bf_registry *registry,
					     struct bf_writer *writer)
{
	struct bf_connections *connections = NULL;

	pthread_mutex_lock(&registry->lock);
	if (writer->session)
		connections = bf_connections_get(writer->connections);
	pthread_mutex_unlock(&registry->lock);
	return connections;
}

static uint32_t full_copies_max(struct bf_registry *registry)
{
	uint32_t max;

	pthread_rwlock_rdlock(&registry->rules_lock);
	max = registry->full_copies;
	pthread_rwlock_unlock(&registry->rules_lock);
	return max;
}

int bf_writer_take_turn(struct bf_registry *registry, struct bf_writer *writer,
			struct bf_error *err)
{
	uint32_t max = full_copies_max(registry), nr = 0;
	bool taken;

	pthread_mutex_lock(&registry->lock);
	for (const struct bf_writer *w = registry->writers; w; w = w->next)
		nr += w->whole && w != writer;
	taken = !max || nr < max;
	writer->whole |= taken;
	pthread_mutex_unlock(&registry->lock);
	if (taken)
		return 0;
	return bf_fail(err, BF_E_QUEUED, EAGAIN,
		       "the receiver copies %u jobs whole already, as its full-copies allows: job %s waits for its turn",
		       nr, writer->job);
}

void bf_writer_end_turn(struct bf_registry *registry, struct bf_writer *writer)
{
	pthread_mutex_lock(&registry->lock);
	writer->whole = false;
	pthread_mutex_unlock(&registry->lock);
}

void bf_writer_release(struct bf_registry *registry, struct bf_writer *writer,
		       const struct bf_target_session *session)
{
	pthread_mutex_lock(&registry->lock);
	if (writer->session == session) {
		writer->session = NULL;
		bf_connections_put(bf_take_pointer(writer->connections));
		writer->whole = false;
	}
	pthread_cond_broadcast(&registry->changed);
	pthread_mutex_unlock(&registry->lock);
}
