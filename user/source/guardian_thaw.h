/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thawer: the guardian's filesystems and a thread for each. FITHAW of one waits
 * for a FIFREEZE of it that is still going on, or for the filesystem below it,
 * and none of that may hold up the others.
 */
#ifndef BF_SOURCE_GUARDIAN_THAW_H
#define BF_SOURCE_GUARDIAN_THAW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"

struct bf_thawer;

struct bf_guarded {
	struct bf_thawer *thawer;
	int fd;
	char mountpoint[256];
	bool announced;			/* by lock: FIFREEZE was to come */
	bool not_ours;			/* by lock: it answered EBUSY */
	bool thawed;			/* by lock: a FITHAW of ours worked */
	int error;			/* by lock: why the last one did not */
	pthread_t thread;
};

/* Nothing but memory is touched under the lock. */
struct bf_thawer {
	pthread_mutex_t lock;
	pthread_cond_t go;
	bool firing;			/* by lock: thaw, again and again */
	bool source_gone;		/* by lock: no FIFREEZE comes any more */
	bool ending;			/* by lock: nothing to thaw, just end */
	struct bf_guarded *filesystems;
	size_t nr_filesystems;
	size_t nr_workers;
};

void bf_thawer_init(struct bf_thawer *thawer);
/* Ends the threads, without a thaw if there was none. */
void bf_thawer_free(struct bf_thawer *thawer);

/* Takes @fd over if it succeeds. Only before the threads are started. */
int bf_thawer_add(struct bf_thawer *thawer, int fd, const char *mountpoint);
int bf_thawer_start(struct bf_thawer *thawer);

/* With the lock: may one be frozen, and by us? */
bool bf_guarded_may_be_ours(const struct bf_guarded *filesystem);
bool bf_thawer_has_work(const struct bf_thawer *thawer);

/* The threads thaw all that may be ours, and repeat it until ... */
void bf_thawer_fire(struct bf_thawer *thawer);
/* ... the source is gone: once more then. Returns when that is done. */
void bf_thawer_finish(struct bf_thawer *thawer);
/* Return: 0, or that one could not be thawed. Logs each that was. */
int bf_thawer_report(const struct bf_thawer *thawer, const char *job,
		     const char *why, struct bf_error *err);

#endif /* BF_SOURCE_GUARDIAN_THAW_H */
