// SPDX-License-Identifier: Apache-2.0
/*
 * Job, plan: what is refused before anything is begun: disks named twice, a
 * filesystem in use that nobody tracks, targets of two kinds, and whatever the
 * plan (plan.h) finds critical. Its warnings go to the log.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "source/job_state.h"
#include "source/plan.h"

int bf_job_find_holders(const struct bf_job *job, struct bf_holders *holders,
			struct bf_error *err)
{
	_cleanup_free_ dev_t *disks = calloc(job->nr_disks + 1, sizeof(*disks));
	size_t nr = 0;

	if (!disks)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (job->disks[i].dev)
			disks[nr++] = job->disks[i].dev;
	return bf_holders_find(holders, disks, nr, err);
}

static int check_twice(const struct bf_job *job, struct bf_error *err)
{
	for (uint32_t i = 0; i < job->nr_disks; i++)
		for (uint32_t k = 0; k < i; k++)
			if (job->disks[i].dev &&
			    job->disks[i].dev == job->disks[k].dev)
				return bf_fail(err, BF_E_CONFIG, EINVAL,
					       "disks %s and %s are the same device, %s: name it once",
					       job->disks[k].config->name,
					       job->disks[i].config->name,
					       job->disks[i].config->device);
	return 0;
}

static int check_targets(const struct bf_job *job, struct bf_error *err)
{
	uint32_t nr_local = 0;
	int ret = 0;

	for (uint32_t i = 0; i < job->nr_disks && !ret; i++) {
		const struct bf_disk_config *config = job->disks[i].config;

		if (!config->target_is_path)
			continue;
		nr_local++;
		ret = bf_local_target_check(config->target, job->disks[i].fd,
					    err);
	}
	if (!ret && nr_local && nr_local != job->nr_disks)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "job %s has local targets and targets at a receiver: all of its disks cut over together, so let all be of one kind",
			       job->config->name);
	if (!ret && !nr_local && !*job->config->receiver)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "job %s names no receiver: add receiver = HOST[:PORT] and peer = SHA256:...",
			       job->config->name);
	return ret;
}

/* What is written while nobody tracks it is a copy of no one moment. */
static int check_untracked(const struct bf_job *job,
			   const struct bf_holders *holders,
			   struct bf_error *err)
{
	for (size_t i = 0; i < holders->nr_filesystems; i++) {
		if (holders->filesystems[i].read_only)
			continue;
		if (!job->options->insecure_torn)
			return bf_fail(err, BF_E_MOUNTED, EBUSY,
				       "%s of the source is mounted and nothing tracks its changes: unmount it, or load the module blkferry",
				       holders->filesystems[i].mountpoint);
		bf_warn("%s is mounted and copied without tracking: the copy will be of no one moment",
			holders->filesystems[i].mountpoint);
	}
	return 0;
}

static const char *word(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

static void tell_findings(const struct bf_plan *plan)
{
	json_t *row;
	size_t index;

	json_array_foreach(plan->rows, index, row)
		if (strcmp(word(row, "severity"), "info"))
			bf_warn("%s: %s: %s [%s]", word(row, "subject"),
				word(row, "text"), word(row, "cure"),
				word(row, "check"));
}

static bool is_first_time(const struct bf_job *job)
{
	char path[BF_PATH_BYTES];

	bf_job_record_path(job->options->records_dir, job->config->name, path);
	return access(path, F_OK);
}

/* What takes long is left to `blkferry plan`. */
static int check_plan(struct bf_job *job, struct bf_error *err)
{
	struct bf_plan plan;
	int ret = bf_plan_make(&plan, job->config, is_first_time(job) ?
			       BF_PLAN_FIRST : BF_PLAN_START, err);

	if (!ret) {
		tell_findings(&plan);
		ret = bf_plan_refuse(&plan, err);
		if (plan.holders.nr_filesystems)
			bf_converge_freeze(&job->converge,
					   BF_CONVERGE_FREEZE_NS);
	}
	bf_plan_free(&plan);
	return ret;
}

int bf_job_plan(struct bf_job *job, struct bf_error *err)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };
	int ret = check_twice(job, err);

	if (!ret)
		ret = check_targets(job, err);
	if (!ret && job->tracked)
		return check_plan(job, err);
	if (!ret)
		ret = bf_job_find_holders(job, &holders, err);
	return ret ? ret : check_untracked(job, &holders, err);
}
