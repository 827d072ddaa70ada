// SPDX-License-Identifier: Apache-2.0
/*
 * Job, unreadable: sectors that a disk of the source does not give flow in from
 * the reader; a durable list flows out, the figure in the status, and marks, so
 * that they are tried again: with each new session, each sync and before each
 * cutover. They are not tried in every pass: a failing disk has better to do.
 */
#include "source/job_state.h"

int bf_job_unread(void *context, struct bf_error *err)
{
	return bf_job_skip_store(context, err);
}

int bf_job_retry_unreadable(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < job->nr_disks && !ret; i++) {
		struct bf_job_disk *disk = &job->disks[i];

		if (disk->unreadable.nr)
			ret = disk->extents->ops->mark(disk->extents,
						       disk->unreadable.range,
						       disk->unreadable.nr, err);
	}
	return ret;
}

int bf_job_note_unreadable(struct bf_job *job, struct bf_error *err)
{
	bool changed = false;

	for (uint32_t i = 0; i < job->nr_disks; i++) {
		struct bf_job_disk *disk = &job->disks[i];
		uint64_t bytes = bf_ranges_bytes(&disk->unreadable);

		changed |= bytes != disk->unreadable_bytes;
		pthread_mutex_lock(&job->lock);
		disk->unreadable_bytes = bytes;
		pthread_mutex_unlock(&job->lock);
	}
	return changed ? bf_job_skip_store(job, err) : 0;
}
