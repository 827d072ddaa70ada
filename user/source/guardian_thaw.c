// SPDX-License-Identifier: Apache-2.0
/*
 * Guardian, thawing: the word that the source must end flows in, FITHAW flows
 * out (RULE 5). While something may be frozen no file is opened and no line
 * written here.
 */
#include "source/guardian_thaw.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/transport.h"

#define THAW_AGAIN_NS (20 * BF_NSEC_PER_MSEC)
#define WORKER_STACK_BYTES (256u << 10)

void bf_thawer_init(struct bf_thawer *thawer)
{
	pthread_condattr_t monotonic;

	*thawer = (struct bf_thawer){ .filesystems = NULL };
	pthread_mutex_init(&thawer->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&thawer->go, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int bf_thawer_add(struct bf_thawer *thawer, int fd, const char *mountpoint)
{
	struct bf_guarded *grown;

	if (thawer->nr_workers)
		return -EPROTO;		/* its thread would be missing */
	grown = reallocarray(thawer->filesystems, thawer->nr_filesystems + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	thawer->filesystems = grown;
	grown = &grown[thawer->nr_filesystems++];
	*grown = (struct bf_guarded){ .thawer = thawer, .fd = fd };
	snprintf(grown->mountpoint, sizeof(grown->mountpoint), "%s",
		 mountpoint);
	return 0;
}

bool bf_guarded_may_be_ours(const struct bf_guarded *filesystem)
{
	return filesystem->announced && !filesystem->not_ours;
}

bool bf_thawer_has_work(const struct bf_thawer *thawer)
{
	for (size_t i = 0; i < thawer->nr_filesystems; i++)
		if (bf_guarded_may_be_ours(&thawer->filesystems[i]))
			return true;
	return false;
}

/* ---- the threads ---- */

/* With the lock, which it lets go of meanwhile. */
static void thaw_once(struct bf_guarded *filesystem)
{
	struct bf_thawer *thawer = filesystem->thawer;
	int error;

	if (!bf_guarded_may_be_ours(filesystem))
		return;
	pthread_mutex_unlock(&thawer->lock);
	error = ioctl(filesystem->fd, FITHAW, 0) ? errno : 0;
	pthread_mutex_lock(&thawer->lock);
	if (!error)
		filesystem->thawed = true;
	/* EINVAL: it is not frozen, which is what we want. */
	filesystem->error = error == EINVAL ? 0 : error;
}

static void wait_again(struct bf_thawer *thawer)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += THAW_AGAIN_NS;
	if (until.tv_nsec >= (long)BF_NSEC_PER_SEC) {
		until.tv_nsec -= BF_NSEC_PER_SEC;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&thawer->go, &thawer->lock, &until);
}

static void *worker(void *context)
{
	struct bf_guarded *filesystem = context;
	struct bf_thawer *thawer = filesystem->thawer;
	bool last;

	pthread_mutex_lock(&thawer->lock);
	while (!thawer->firing && !thawer->ending)
		pthread_cond_wait(&thawer->go, &thawer->lock);
	last = thawer->ending;
	while (!last) {
		/* Read before the thaw: one more follows the source's exit. */
		last = thawer->source_gone;
		thaw_once(filesystem);
		if (!last && !thawer->source_gone)
			wait_again(thawer);
	}
	pthread_mutex_unlock(&thawer->lock);
	return NULL;
}

static int start_worker(struct bf_guarded *filesystem)
{
	pthread_attr_t attributes;
	int ret;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, WORKER_STACK_BYTES);
	ret = pthread_create(&filesystem->thread, &attributes, worker,
			     filesystem);
	pthread_attr_destroy(&attributes);
	return -ret;
}

int bf_thawer_start(struct bf_thawer *thawer)
{
	for (size_t i = 0; i < thawer->nr_filesystems; i++) {
		int ret = start_worker(&thawer->filesystems[i]);

		if (ret)
			return ret;
		thawer->nr_workers++;
	}
	return 0;
}

static void join_workers(struct bf_thawer *thawer)
{
	for (size_t i = 0; i < thawer->nr_workers; i++)
		pthread_join(thawer->filesystems[i].thread, NULL);
	thawer->nr_workers = 0;
}

static void set(struct bf_thawer *thawer, bool *flag)
{
	pthread_mutex_lock(&thawer->lock);
	*flag = true;
	pthread_cond_broadcast(&thawer->go);
	pthread_mutex_unlock(&thawer->lock);
}

void bf_thawer_fire(struct bf_thawer *thawer)
{
	set(thawer, &thawer->firing);
}

void bf_thawer_finish(struct bf_thawer *thawer)
{
	set(thawer, &thawer->source_gone);
	join_workers(thawer);
}

void bf_thawer_free(struct bf_thawer *thawer)
{
	set(thawer, &thawer->ending);
	join_workers(thawer);
	for (size_t i = 0; i < thawer->nr_filesystems; i++)
		close(thawer->filesystems[i].fd);
	free(thawer->filesystems);
	pthread_cond_destroy(&thawer->go);
	pthread_mutex_destroy(&thawer->lock);
}

/* ---- afterwards ---- */

static int thaw_failed(const struct bf_guarded *filesystem, struct bf_error *err)
{
	return bf_fail(err, BF_E_FREEZE, filesystem->error,
		       "thawing %s failed: %s; `fsfreeze -u %s` thaws it by hand",
		       filesystem->mountpoint, strerror(filesystem->error),
		       filesystem->mountpoint);
}

int bf_thawer_report(const struct bf_thawer *thawer, const char *job,
		     const char *why, struct bf_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < thawer->nr_filesystems; i++) {
		const struct bf_guarded *filesystem = &thawer->filesystems[i];

		if (filesystem->error) {
			ret = thaw_failed(filesystem, err);
			bf_log_error(err);
		} else if (filesystem->thawed) {
			bf_warn("job %s: %s: thawed %s", job, why,
				filesystem->mountpoint);
		}
	}
	return ret;
}
