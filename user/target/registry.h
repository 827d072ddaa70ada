/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry: what the sessions of one process share: which targets are open,
 * and which session is the writer of each job.
 *
 * Locks: @lock guards the two lists, and the writer and claimant of each job.
 * It is never held while a target is opened, looked at or closed, a ledger is
 * written or a peer is waited for: a device that hangs must not stop the jobs
 * that have nothing to do with it. Whoever works on a target marks its hold
 * busy; who wants it waits for @changed. A ledger's file locks are taken without
 * @lock held.
 */
#ifndef BF_TARGET_REGISTRY_H
#define BF_TARGET_REGISTRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/config.h"
#include "target/ledger.h"
#include "target/pool.h"
#include "target/target.h"

#define BF_LOCAL_PEER "local"

struct bf_connections;
struct bf_target_session;
struct bf_hold;
struct bf_writer;

struct bf_registry {
	/* The rules: replaced as one while sessions run; nobody keeps pointers
	 * into them. */
	pthread_rwlock_t rules_lock;
	const struct bf_peer_config *peers;
	size_t nr_peers;
	const struct bf_target_config *targets;
	size_t nr_targets;
	uint32_t full_copies;		/* jobs at once; 0: any number */
	uint32_t more_connections;	/* than one a job, over all jobs */
	_Atomic unsigned int rules_version;

	const char *records_dir;	/* NULL: nothing is kept */
	uint64_t timeout_ns;		/* of a silent peer; 0: never */

	pthread_mutex_t lock;
	pthread_cond_t changed;		/* a writer, claimant or target's work is */
	struct bf_hold *holds;
	struct bf_writer *writers;
	struct bf_pool *pool;		/* made with the first writer */
	uint32_t data_connections;	/* granted */
	struct bf_guest *guests;	/* keys that have sessions */
};

void bf_registry_init(struct bf_registry *registry);
/* When no session is left; lets go of what was kept. */
void bf_registry_destroy(struct bf_registry *registry);

/* The buffers that all sessions share; they live as long as the registry. */
int bf_registry_pool(struct bf_registry *registry, struct bf_pool **pool,
		     struct bf_error *err);

/*
 * Data connections, whose buffers are their own: there are only so many in all,
 * so that memory grows with the jobs, not with what each would like to have. No
 * job gets more than half of what is left, so that the next ones get some too.
 * Return: how many of @wanted may be used until they are given back.
 */
uint16_t bf_registry_take_connections(struct bf_registry *registry,
				      uint16_t wanted);
void bf_registry_give_connections(struct bf_registry *registry, uint16_t nr);

/* Is there a peer by that key? Its name, too. */
bool bf_registry_peer(struct bf_registry *registry, const char *key,
		      char name[BF_NAME_BYTES]);
/* How many targets it may write. */
size_t bf_registry_nr_targets(struct bf_registry *registry, const char *key);
/*
 * admission.c: one more session of this key, until it leaves. BF_E_BUSY: it has
 * more than its targets can need.
 */
int bf_registry_enter(struct bf_registry *registry, const char *key,
		      struct bf_error *err);
void bf_registry_leave(struct bf_registry *registry, const char *key);
/* The key that this peer had before; false if the operator names none. */
bool bf_registry_old_key(struct bf_registry *registry, const char *key,
			 char old_key[BF_FINGERPRINT_BYTES]);
/* The target @name if it is listed for @key (NULL: the local source). */
int bf_registry_target(struct bf_registry *registry, const char *key,
		       const char *name, struct bf_target_config *target,
		       struct bf_error *err);
/* What was there before may be freed afterwards. Sessions look again. */
void bf_registry_set_rules(struct bf_registry *registry,
			   const struct bf_receiver_config *config);

/*
 * A target opened for writing, shared by the sessions of one job: an old
 * connection may still be there when its source comes back. Once claimed it is
 * kept open and locked between sessions, until the cutover: a gap would let
 * udev, LVM or md of this host have a look, and activate what they find.
 */
struct bf_hold {
	struct bf_hold *next;
	char name[BF_NAME_BYTES];
	struct bf_writer *owner;	/* a reference */
	uint32_t users;			/* sessions */
	bool kept;
	bool busy;			/* then @target is its worker's */
	struct bf_target target;
};

/*
 * Open @config for @owner's job, or share what that job has open. Refused:
 * another job's, in use, too small, and, unless @ledger has the target or
 * overwriting is allowed, one that holds data.
 */
int bf_hold_get(struct bf_registry *registry, struct bf_writer *owner,
		const struct bf_target_config *config, uint64_t source_bytes,
		const struct bf_ledger *ledger, struct bf_hold **hold,
		struct bf_error *err);
void bf_hold_put(struct bf_registry *registry, struct bf_hold *hold);
void bf_hold_keep(struct bf_registry *registry, struct bf_hold *hold, bool keep);

/* A job in this process, while any session speaks of it. */
struct bf_writer {
	struct bf_writer *next;
	char peer[BF_FINGERPRINT_BYTES];
	char job[BF_NAME_BYTES];
	uint32_t users;			/* sessions and holds */
	bool claiming;
	bool whole;			/* its targets are copied or compared whole */
	struct bf_target_session *session;	/* may write; NULL: none may */
	struct bf_connections *connections;	/* of it: a reference */
};

int bf_writer_get(struct bf_registry *registry, const char *peer,
		  const char *job, struct bf_writer **writer,
		  struct bf_error *err);
void bf_writer_put(struct bf_registry *registry, struct bf_writer *writer);

/*
 * Become the only claimant of the job, waiting for another one. Ends with
 * bf_writer_claimed, whose @session is the new writer, with @connections, or NULL.
 */
int bf_writer_claim(struct bf_registry *registry, struct bf_writer *writer,
		    uint64_t deadline_ns, struct bf_error *err);
/* Cancel the present writer and wait until its last write has ended. */
int bf_writer_evict(struct bf_registry *registry, struct bf_writer *writer,
		    uint64_t deadline_ns, struct bf_error *err);
void bf_writer_claimed(struct bf_registry *registry, struct bf_writer *writer,
		       struct bf_target_session *session,
		       struct bf_connections *connections);
/* Of the present writer, a reference; NULL: there is none. */
struct bf_connections *bf_writer_connections(struct bf_registry *registry,
					     struct bf_writer *writer);
/*
 * Its targets are to be copied or compared whole, as so many at once are; from
 * the end of that, or of its session, the next one's turn is. BF_E_QUEUED:
 * others are at it, try again.
 */
int bf_writer_take_turn(struct bf_registry *registry, struct bf_writer *writer,
			struct bf_error *err);
void bf_writer_end_turn(struct bf_registry *registry, struct bf_writer *writer);
/* The writer has no write in flight and starts none any more. */
void bf_writer_release(struct bf_registry *registry, struct bf_writer *writer,
		       const struct bf_target_session *session);

#endif /* BF_TARGET_REGISTRY_H */
