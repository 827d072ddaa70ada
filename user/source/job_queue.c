// SPDX-License-Identifier: Apache-2.0
/*
 * Job, queue: how many jobs of this machine copy or compare whole disks at
 * once. A slot is a lock on a file in the run directory, which the kernel gives
 * back however its holder ends; a job without one waits, its state "queued".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "source/job_state.h"

/* Return: 1 with the slot in job->slot_fd, 0 if it is taken, or an error. */
static int try_slot(struct bf_job *job, unsigned int number,
		    struct bf_error *err)
{
	_cleanup_close_ int fd = -1;
	char path[BF_PATH_BYTES];

	mkdir(job->options->run_dir, 0700);
	snprintf(path, sizeof(path), "%s/full-copy.%u", job->options->run_dir,
		 number);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot open %s: %s",
			       path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? 0 :
			bf_fail(err, BF_E_SYSTEM, errno, "cannot lock %s: %s",
				path, strerror(errno));
	job->slot_fd = bf_take_fd(fd);
	return 1;
}

static int try_slots(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < job->config->full_copies && !ret; i++)
		ret = try_slot(job, i, err);
	return ret;
}

int bf_job_take_slot(struct bf_job *job, struct bf_error *err)
{
	int ret = job->slot_fd >= 0 ? 1 : try_slots(job, err);
	struct bf_error why;

	if (!ret) {
		bf_fail(&why, BF_E_QUEUED, EBUSY,
			"%u others on this machine copy whole disks already, it waits for its turn",
			job->config->full_copies);
		bf_info("job %s: %s", job->config->name, why.text);
	}
	while (!ret) {
		bf_job_set_reason(job, BF_JOB_QUEUED, &why);
		bf_job_sleep(job, bf_now_ns() + BF_NSEC_PER_SEC);
		if (bf_job_ending(job))
			return bf_fail(err, BF_E_CANCELLED, ECANCELED,
				       "the operator ended it");
		ret = try_slots(job, err);
	}
	return ret < 0 ? ret : 0;
}

void bf_job_give_slot(struct bf_job *job)
{
	if (job->slot_fd >= 0)
		close(job->slot_fd);
	job->slot_fd = -1;
}

/* A job that has a record has begun before. */
static bool is_new(const struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (job->disks[i].recorded)
			return false;
	return true;
}

void bf_job_wait_for_start(struct bf_job *job)
{
	int64_t start_s = job->config->start_s;
	struct bf_error why;

	if (job->passes || !is_new(job) || time(NULL) >= start_s)
		return;
	bf_fail(&why, BF_E_QUEUED, EAGAIN,
		"its first pass waits for the start that its configuration names");
	bf_info("job %s: %s", job->config->name, why.text);
	bf_job_set_reason(job, BF_JOB_QUEUED, &why);
	while (!bf_job_ending(job) && time(NULL) < start_s)
		bf_job_sleep(job, bf_now_ns() + BF_NSEC_PER_SEC);
}
