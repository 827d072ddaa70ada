// SPDX-License-Identifier: Apache-2.0
/*
 * Job, facts: the words of record, kernel and target on one disk flow in; what of
 * it is true flows out, for the table in resume.c. Pure: no I/O.
 */
#include <string.h>

#include "source/job_state.h"

/*
 * The tracker has forgotten what it committed. A target that remembers less, as
 * one restored from a snapshot does, lacks just that. Each commit here follows
 * the target's record of it, so the target is otherwise never behind. Where all
 * was marked dirty and nothing committed since, it lacks nothing.
 */
static bool target_is_behind(const struct bf_job_disk *disk,
			     const struct wire_opened *opened)
{
	const struct bf_tracker *tracker = &disk->tracker;

	if (disk->whole &&
	    tracker->committed_generation == disk->whole_generation &&
	    tracker->committed_sector == disk->whole_sector)
		return false;
	if (opened->generation != tracker->committed_generation)
		return opened->generation < tracker->committed_generation;
	return opened->through_bytes / BLKFERRY_SECTOR_BYTES <
	       tracker->committed_sector;
}

struct bf_resume_facts bf_job_facts(const struct bf_job_disk *disk,
				    const struct wire_opened *opened,
				    const struct wire_welcome *welcome)
{
	static const uint8_t none[16];

	return (struct bf_resume_facts){
		.target_known = welcome->state != WIRE_JOB_NEW &&
				memcmp(opened->cookie, none, sizeof(none)),
		.recorded = disk->recorded,
		.cookie_agrees = !memcmp(disk->record_cookie, opened->cookie, 16),
		.tracker_kept =
			!memcmp(disk->tracker.uuid, opened->source_uuid, 16) &&
			!memcmp(disk->tracker.uuid, disk->record_uuid, 16),
		.target_behind = target_is_behind(disk, opened),
		.reason_stands = bf_job_standing(disk, &disk->tracker.reasons),
		.resyncing = disk->in_doubt,
		.complete = opened->flags & WIRE_OPENED_COMPLETE,
	};
}
