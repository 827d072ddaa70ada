/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job: a set of disks that cut over together. Owns the states: plan -> full ->
 * delta -> ready -> cutover -> done; from any: paused, resyncing, failed.
 * Runs in the calling thread until it is done, cancelled or failed; the control
 * socket's thread asks it through requests.
 *
 * Status as JSON (answer of "status", line of `status --json`):
 *	format_version, job, state, mode ("full", "delta", "resume", "resync"),
 *	mode_reason, reason (when failed: error code and text, and next_command),
 *	passes, pass {number, kind, planned_bytes, done_bytes, running_ns},
 *	disks [{name, device, target, size_bytes, dirty_bytes, generation,
 *		passthrough..., reasons [names], raw_rate, lag_ns,
 *		pass {number, kind, planned_bytes, done_bytes} (null: none)}],
 *	raw_bytes, wire_bytes, raw_rate, wire_rate, eta_ns (null: unknown),
 *	dirty_bytes, lag_ns (null: unknown), dirty_rate, projected_downtime_ns (null: unknown),
 *	max_downtime_ns, converging (true, false, null), epoch, receiver,
 *	last_pass {...}, cutover {...} once one was tried,
 *	description (as configured, "" if not), labels {KEY: "VALUE"}
 */
#ifndef BF_SOURCE_JOB_H
#define BF_SOURCE_JOB_H

#include <stdbool.h>

#include <jansson.h>
#include <linux/blkferry.h>

#include "lib/config.h"
#include "lib/error.h"

struct bf_job_options {
	const struct bf_job_config *config;
	const char *run_dir;		/* BF_RUN_DIR */
	const char *records_dir;	/* BF_SOURCE_RECORDS_DIR */
	bool one_shot;			/* copy: cut over as soon as ready */
	const char *extents_path;	/* copy --extents; no tracker */
	bool insecure_torn;		/* copy a mounted disk untracked */
	bool rehearsal;			/* ends after the first pass */
	bool no_tracker;		/* copy of a file or an unmounted disk */
	bool resync;			/* compare all first, whatever is known */
	int stop_fd;			/* readable: stop cleanly (signalfd) */
	/* One line a second on progress for a person; NULL: none. */
	void (*progress)(void *context, const json_t *status);
	/* Once a second, in a freeze as well, so it must not touch a disk: the
	 * job's threads are no longer waiting for one another. */
	void (*alive)(void *context);
	void *progress_context;		/* of both */
};

/*
 * Return: 0 when the job is done (or was stopped or cancelled, unless it is
 * one_shot: that was to be done); a negative errno with @err otherwise.
 * *outcome is a new reference: a report with what the last status and the
 * cutover said.
 */
int bf_job_run(const struct bf_job_options *options, json_t **outcome,
	       struct bf_error *err);

/*
 * The tracker of a job's disk: "JOB:DISK". Neither of the two names can have a
 * colon in it, nor has any that the operator gives to a tracker, so that no
 * tracker is taken for another one's. -ENAMETOOLONG with @err.
 */
int bf_job_tracker_name(const char *job, const char *disk,
			char name[BLKFERRY_NAME_MAX + 1], struct bf_error *err);

/* What a job that came to its end leaves: its last status, started, ended; one
 * more each time (lib/archive.h). */
#define BF_JOB_REPORT_KIND "job-report"
void bf_job_report_stem(const char *records_dir, const char *job,
			char stem[BF_PATH_BYTES]);
/* What one leaves that has failed, until its next start: a status without
 * figures, ended. */
#define BF_JOB_FAILURE_KIND "job-failure"
void bf_job_failure_path(const char *records_dir, const char *job,
			 char path[BF_PATH_BYTES]);

/*
 * The end, on this machine, of a job that does not run: its trackers, records
 * and failure are removed. *found: there were any. Nobody can start the job
 * meanwhile. -EBUSY with BF_E_BUSY where somebody does, or where its guardian
 * holds filesystems frozen.
 */
int bf_job_drop_leftovers(const char *name, const char *run_dir,
			  const char *records_dir, bool *found,
			  struct bf_error *err);

#endif /* BF_SOURCE_JOB_H */
