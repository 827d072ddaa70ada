// SPDX-License-Identifier: Apache-2.0
/*
 * Watch, events: the status of jobs flows in each second, one line flows out
 * whenever a job begins another pass or state, loses one or ends.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/collect.h"
#include "cli/jobs.h"
#include "cli/watch.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void say(const char *job, const char *line)
{
	time_t now = time(NULL);
	struct tm local;
	char at[32];

	localtime_r(&now, &local);
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S%z", &local);
	printf("%s %s: %s\n", at, job, line);
}

/* What makes a line worth it. Its place in @seen is the job's. */
static void phase_of(const json_t *status, char phase[160])
{
	snprintf(phase, 160, "%s %s %" JSON_INTEGER_FORMAT " %zu",
		 text_of(status, "state"),
		 text_of(json_object_get(status, "pass"), "kind"),
		 json_integer_value(json_object_get(status, "passes")),
		 json_array_size(json_object_get(json_array_get(
			json_object_get(status, "disks"), 0), "reasons")));
}

static void tell_job(json_t *seen, const json_t *status)
{
	const char *job = text_of(status, "job");
	char phase[160], line[CLI_PROGRESS_BYTES];

	phase_of(status, phase);
	if (!strcmp(text_of(seen, job), phase))
		return;
	json_object_set_new(seen, job, json_string(phase));
	cli_progress_line(status, line);
	say(job, line);
}

static bool is_among(const json_t *jobs, const char *name)
{
	json_t *status;
	size_t index;

	json_array_foreach(jobs, index, status)
		if (!strcmp(text_of(status, "job"), name))
			return true;
	return false;
}

static void tell_ended(json_t *seen, const json_t *jobs)
{
	const char *job;
	json_t *phase;
	void *next;

	json_object_foreach_safe(seen, next, job, phase) {
		if (is_among(jobs, job))
			continue;
		say(job, "has ended");
		json_object_del(seen, job);
	}
}

static int look(const struct cli *cli, json_t *jobs, struct bf_error *err)
{
	json_t *status;
	int ret;

	if (!cli->nr_arguments)
		return cli_collect_jobs(cli, jobs, err);
	ret = cli_collect_job(cli, cli->arguments[0], &status, err);
	if (!ret)
		json_array_append_new(jobs, status);
	return ret;
}

int cli_watch_events(const struct cli *cli, int stop_fd, struct bf_error *err)
{
	json_t *seen = json_object(), *status;
	size_t index;
	int ret = 0;

	do {
		bool over = false;
		json_t *jobs = json_array();

		ret = look(cli, jobs, err);
		/* The job that was asked for by name was there, and is not. */
		if (ret && err->code == BF_E_NOT_RUNNING && json_object_size(seen))
			ret = 1;
		json_array_foreach(jobs, index, status) {
			tell_job(seen, status);
			over = cli->nr_arguments && cli_job_is_over(status);
		}
		tell_ended(seen, jobs);
		json_decref(jobs);
		if (over)
			break;
	} while (!ret && !fflush(stdout) && !cli_stop_wait(stop_fd));
	json_decref(seen);
	return ret == 1 ? 0 : ret;
}
