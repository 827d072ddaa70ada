// SPDX-License-Identifier: Apache-2.0
/*
 * Job, report: the last status of a job that has come to its end flows in, a
 * record of the migration flows out, beside the job's own records, which are gone
 * by then, and those of earlier runs, which are not, and to the receiver. One that
 * has failed leaves its reason, for whoever looks while no process answers. None
 * is written to a disk that stays frozen.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/archive.h"
#include "lib/log.h"
#include "lib/record.h"
#include "source/job_state.h"

void bf_job_report_stem(const char *records_dir, const char *job,
			char stem[BF_PATH_BYTES])
{
	snprintf(stem, BF_PATH_BYTES, "%s/reports/%s", records_dir, job);
}

static json_t *moment(time_t at)
{
	struct tm utc;
	char text[32];

	gmtime_r(&at, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

static void add_skipped(const struct bf_job *job, json_t *report)
{
	json_t *disks = json_object_get(report, "disks");

	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const struct bf_ranges *unsent = &job->disks[i].unsent;
		json_t *disk = json_array_get(disks, i);

		json_object_set_new(disk, "skipped_ranges",
				    json_integer((json_int_t)unsent->nr));
		json_object_set_new(disk, "skipped_bytes",
			json_integer((json_int_t)bf_ranges_bytes(unsent)));
	}
}

static json_t *make_report(const struct bf_job *job, const json_t *status)
{
	json_t *report = json_deep_copy(status);

	json_object_set_new(report, "started", moment(job->started_s));
	json_object_set_new(report, "ended", moment(time(NULL)));
	json_object_set_new(report, "verified", job->verified ?
			    json_incref(job->verified) : json_null());
	add_skipped(job, report);
	return report;
}

void bf_job_note_verify(struct bf_job *job, const json_t *verify)
{
	json_decref(job->verified);
	job->verified = json_pack("{so, sO*, sO*}", "at", moment(time(NULL)),
				  "equal", json_object_get(verify, "equal"),
				  "identical",
				  json_object_get(verify, "identical"));
}

void bf_job_report_to_receiver(struct bf_job *job)
{
	json_t *status, *report;
	struct bf_error err;
	char *text;

	if (job->options->one_shot || job->state != BF_JOB_DONE || !job->session)
		return;
	status = bf_job_status(job);
	report = make_report(job, status);
	text = json_dumps(report, JSON_COMPACT);
	if (text && bf_session_report(job->session, text, &err) &&
	    !job->record_frozen)
		bf_warn("job %s: the receiver has no report of it: %s",
			job->config->name, err.text);
	free(text);
	json_decref(report);
	json_decref(status);
}

void bf_job_report(struct bf_job *job, const json_t *status)
{
	char stem[BF_PATH_BYTES];
	struct bf_error err;
	json_t *body;

	if (job->record_frozen || job->options->one_shot ||
	    (job->state != BF_JOB_DONE && job->state != BF_JOB_CANCELLED))
		return;
	body = make_report(job, status);
	bf_job_report_stem(job->options->records_dir, job->config->name, stem);
	if (bf_archive_add(stem, BF_JOB_REPORT_KIND, body, &err))
		bf_log_error(&err);
	json_decref(body);
}

/* ---- failures ---- */

void bf_job_failure_path(const char *records_dir, const char *job,
			 char path[BF_PATH_BYTES])
{
	snprintf(path, BF_PATH_BYTES, "%s/failed/%s.json", records_dir, job);
}

/* What is true as long as nobody starts it again. */
static json_t *make_failure(const json_t *status)
{
	static const char *const keys[] = {
		"format_version", "job", "state", "mode", "mode_reason",
		"receiver", "description", "labels", "reason", "next_command",
	};
	json_t *failure = json_pack("{so}", "ended", moment(time(NULL)));

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(status, keys[i]))
			json_object_set(failure, keys[i],
					json_object_get(status, keys[i]));
	return failure;
}

void bf_job_note_failure(const struct bf_job *job, const json_t *status)
{
	char path[BF_PATH_BYTES];
	struct bf_error err;
	json_t *body;

	if (job->record_frozen || job->options->one_shot)
		return;
	body = make_failure(status);
	bf_job_failure_path(job->options->records_dir, job->config->name, path);
	if (bf_record_store(path, BF_JOB_FAILURE_KIND, body, &err))
		bf_log_error(&err);
	json_decref(body);
}

void bf_job_forget_failure(const struct bf_job *job)
{
	char path[BF_PATH_BYTES];
	struct bf_error err;

	bf_job_failure_path(job->options->records_dir, job->config->name, path);
	if (!job->options->one_shot && !access(path, F_OK) &&
	    bf_record_remove(path, &err))
		bf_log_error(&err);
}
