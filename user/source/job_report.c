// SPDX-License-Identifier: Apache-2.0
/*
 * Job, report: the last status of a job that has come to its end flows in, a
 * record of the migration flows out beside the job's own records, which are
 * gone by then. None is written to a disk that stays frozen.
 */
#include <stdio.h>
#include <time.h>

#include "lib/log.h"
#include "lib/record.h"
#include "source/job_state.h"

void bf_job_report_path(const char *records_dir, const char *job,
			char path[BF_PATH_BYTES])
{
	snprintf(path, BF_PATH_BYTES, "%s/reports/%s.json", records_dir, job);
}

static json_t *moment(time_t at)
{
	struct tm utc;
	char text[32];

	gmtime_r(&at, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

void bf_job_report(struct bf_job *job, const json_t *status)
{
	char path[BF_PATH_BYTES];
	struct bf_error err;
	json_t *body;

	if (job->record_frozen || job->options->one_shot ||
	    (job->state != BF_JOB_DONE && job->state != BF_JOB_CANCELLED))
		return;
	body = json_copy((json_t *)status);
	json_object_set_new(body, "started", moment(job->started_s));
	json_object_set_new(body, "ended", moment(time(NULL)));
	bf_job_report_path(job->options->records_dir, job->config->name, path);
	if (bf_record_store(path, BF_JOB_REPORT_KIND, body, &err))
		bf_log_error(&err);
	json_decref(body);
}
