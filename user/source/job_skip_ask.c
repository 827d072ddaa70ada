// SPDX-License-Identifier: Apache-2.0
/*
 * Job, skip, asking: one mounted filesystem flows in, what it calls free flows
 * out. It is frozen by itself for that, under a guardian of its own (RULE 5),
 * and thawed when the answer has come or ASK_NS have passed. A thread of its own
 * asks, because some kernels answer only after the thaw (xfs of 5.10 asks for
 * write access first, xfs_getfsmap()): such an answer is not used.
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "lib/thread.h"
#include "source/freeze.h"
#include "source/job_state.h"
#include "source/skip.h"

#define SYNC_SHORT_NS (100 * BF_NSEC_PER_MSEC)
#define SYNC_ROUNDS 3			/* before the freeze, which syncs as well */
#define ASK_NS BF_NSEC_PER_SEC		/* of a freeze, for the answer */
#define BOUND_NS (5 * BF_NSEC_PER_SEC)	/* the guardian's */

enum step { STEP_WAIT, STEP_ASK, STEP_CALL_OFF };

struct asking {
	struct bf_job *job;
	struct bf_holders one;		/* the filesystem, lent */
	struct bf_guardian *guardian;
	const struct bf_job_skip_place *place;
	struct bf_ranges *free_space;	/* the thread's, until it is joined */
	_Atomic bool expired;

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum step step;			/* by lock */
	bool answered;			/* by lock */
	int answer;			/* by lock */
};

/* ---- the thread ---- */

static enum step await_step(struct asking *asking)
{
	enum step step;

	pthread_mutex_lock(&asking->lock);
	while (asking->step == STEP_WAIT)
		pthread_cond_wait(&asking->changed, &asking->lock);
	step = asking->step;
	pthread_mutex_unlock(&asking->lock);
	return step;
}

static void *asker(void *context)
{
	struct asking *asking = context;
	const struct bf_job_skip_place *place = asking->place;
	const struct bf_filesystem *filesystem = asking->one.filesystems;
	int answer;

	if (await_step(asking) == STEP_CALL_OFF)
		return NULL;
	answer = bf_skip_free_space(filesystem->fd, filesystem->dev,
				    place->offset_bytes, place->length_bytes,
				    place->granularity_bytes,
				    bf_now_ns() + ASK_NS, asking->free_space);
	pthread_mutex_lock(&asking->lock);
	asking->answer = answer;
	asking->answered = true;
	pthread_cond_broadcast(&asking->changed);
	pthread_mutex_unlock(&asking->lock);
	return NULL;
}

/* Before the freeze: a new thread needs memory. */
static int start_asker(struct asking *asking, struct bf_error *err)
{
	pthread_condattr_t monotonic;
	int ret;

	pthread_mutex_init(&asking->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&asking->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	ret = bf_thread_start(&asking->thread, asker, asking);
	return ret ? bf_fail(err, BF_E_SYSTEM, ret,
			     "no thread to ask for free space: %s",
			     strerror(ret)) : 0;
}

static void tell_asker(struct asking *asking, enum step step)
{
	pthread_mutex_lock(&asking->lock);
	if (asking->step == STEP_WAIT)
		asking->step = step;
	pthread_cond_broadcast(&asking->changed);
	pthread_mutex_unlock(&asking->lock);
}

/* It ends as soon as nothing is frozen any more. */
static void stop_asker(struct asking *asking)
{
	tell_asker(asking, STEP_CALL_OFF);
	pthread_join(asking->thread, NULL);
	pthread_cond_destroy(&asking->changed);
	pthread_mutex_destroy(&asking->lock);
}

/* Return: 0, what the filesystem failed with, or -ETIME if it has not answered. */
static int await_answer(struct asking *asking)
{
	uint64_t until_ns = bf_now_ns() + ASK_NS;
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / BF_NSEC_PER_SEC),
		.tv_nsec = (long)(until_ns % BF_NSEC_PER_SEC),
	};
	int ret = 0;

	pthread_mutex_lock(&asking->lock);
	while (!asking->answered && !ret)
		ret = pthread_cond_timedwait(&asking->changed, &asking->lock,
					     &until);
	ret = asking->answered ? asking->answer : -ETIME;
	pthread_mutex_unlock(&asking->lock);
	return ret;
}

/* ---- the freeze ---- */

static void on_expired(void *context)
{
	struct asking *asking = context;

	atomic_store(&asking->expired, true);
}

static bool is_over(void *context)
{
	struct asking *asking = context;

	return atomic_load(&asking->expired) || bf_job_ending(asking->job);
}

static int no_answer(const struct bf_filesystem *filesystem, int answer,
		     struct bf_error *err)
{
	return bf_fail(err, BF_E_FREEZE, -answer,
		       answer == -ETIME ?
		       "%s does not tell its free space while it is frozen, on this kernel" :
		       "%s does not tell its free space: %s",
		       filesystem->mountpoint, strerror(-answer));
}

static int freeze_and_ask(struct asking *asking, struct bf_error *err)
{
	const struct bf_filesystem *filesystem = asking->one.filesystems;
	int ret = bf_guardian_arm(asking->guardian, BOUND_NS, on_expired, asking,
				  err);
	int answer = -EOPNOTSUPP;

	if (!ret)
		ret = bf_freeze(&asking->one, asking->guardian, is_over, asking,
				err);
	if (ret)
		return ret;
	if (filesystem->state == BF_FREEZE_DONE) {
		tell_asker(asking, STEP_ASK);
		answer = await_answer(asking);
	}
	ret = bf_thaw(&asking->one, asking->guardian, err);
	return ret || !answer ? ret : no_answer(filesystem, answer, err);
}

static void set_quiet(struct bf_job *job, bool quiet)
{
	if (quiet)
		bf_log_hold();
	else
		bf_log_release();
	bf_job_monitor_quiet(job, quiet);
}

static int ask_quietly(struct asking *asking, struct bf_error *err)
{
	int ret = bf_memory_lock(err);

	if (ret)
		return ret;
	set_quiet(asking->job, true);
	ret = freeze_and_ask(asking, err);
	bf_memory_unlock();
	bf_guardian_stop(asking->guardian);
	asking->guardian = NULL;
	set_quiet(asking->job, false);
	return ret;
}

int bf_job_skip_ask(struct bf_job *job, struct bf_filesystem *filesystem,
		    const struct bf_job_skip_place *place,
		    struct bf_ranges *free_space, struct bf_error *err)
{
	struct asking asking = {
		.job = job,
		.one = { .filesystems = filesystem, .nr_filesystems = 1 },
		.place = place,
		.free_space = free_space,
	};
	int ret = bf_freeze_sync(&asking.one, SYNC_SHORT_NS, SYNC_ROUNDS, err);

	if (!ret)
		ret = bf_guardian_start(&asking.guardian, job->config->name,
					job->options->run_dir, &asking.one, err);
	if (ret)
		return ret;
	ret = start_asker(&asking, err);
	if (!ret) {
		ret = ask_quietly(&asking, err);
		/* Its thread may wait for the operator now: that is to be known. */
		if (ret && filesystem->state == BF_FREEZE_DONE)
			bf_log_error(err);
		stop_asker(&asking);
	}
	bf_guardian_stop(asking.guardian);
	return ret;
}
