// SPDX-License-Identifier: Apache-2.0
/*
 * Watch, events: the status of jobs flows in each second, one line flows out
 * whenever a job begins another pass or state, loses one or ends, and whenever
 * one of its disks gets into trouble, into another, or out of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/collect.h"
#include "cli/jobs.h"
#include "cli/watch.h"
#include "lib/units.h"

#define TROUBLE_BYTES 512

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

/* What makes a line worth it. */
static void phase_of(const json_t *status, char phase[160])
{
	snprintf(phase, 160, "%s %s %" JSON_INTEGER_FORMAT,
		 text_of(status, "state"),
		 text_of(json_object_get(status, "pass"), "kind"),
		 json_integer_value(json_object_get(status, "passes")));
}

/* What is wrong with a disk; nothing: "". */
static void trouble_of(const json_t *disk, char text[TROUBLE_BYTES])
{
	json_int_t unreadable_bytes =
		json_integer_value(json_object_get(disk, "unreadable_bytes"));
	char size[BF_UNIT_TEXT_BYTES];
	size_t index, used = 0;
	json_t *reason;

	*text = '\0';
	json_array_foreach(json_object_get(disk, "reasons"), index, reason)
		if (used < TROUBLE_BYTES && json_is_string(reason))
			used += snprintf(text + used, TROUBLE_BYTES - used,
					 "%s%s", used ? ", " : "needs a resync: ",
					 json_string_value(reason));
	if (unreadable_bytes > 0 && used < TROUBLE_BYTES)
		snprintf(text + used, TROUBLE_BYTES - used,
			 "%s%s cannot be read", used ? "; " : "",
			 bf_format_size(unreadable_bytes, size));
}

/* @seen: of this job, by the disks' names. */
static void tell_disk(json_t *seen, const char *job, const json_t *disk)
{
	const char *name = text_of(disk, "name");
	char trouble[TROUBLE_BYTES], line[TROUBLE_BYTES + 96];

	trouble_of(disk, trouble);
	if (!strcmp(text_of(seen, name), trouble))
		return;
	snprintf(line, sizeof(line), "disk %.80s: %s", name,
		 *trouble ? trouble : "nothing is wrong any more");
	json_object_set_new(seen, name, json_string(trouble));
	say(job, line);
}

/* A job's place in @seen is what was last said of it and of its disks. */
static json_t *place_of(json_t *seen, const char *job)
{
	json_t *place = json_object_get(seen, job);

	if (!place) {
		place = json_pack("{s{}}", "disks");
		json_object_set_new(seen, job, place);
	}
	return place;
}

static void tell_job(json_t *seen, const json_t *status)
{
	const char *job = text_of(status, "job");
	json_t *place = place_of(seen, job), *disk;
	char phase[160], line[CLI_PROGRESS_BYTES];
	size_t index;

	phase_of(status, phase);
	if (strcmp(text_of(place, "phase"), phase)) {
		json_object_set_new(place, "phase", json_string(phase));
		cli_progress_line(status, line);
		say(job, line);
	}
	json_array_foreach(json_object_get(status, "disks"), index, disk)
		tell_disk(json_object_get(place, "disks"), job, disk);
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
	json_t *place;
	void *next;

	json_object_foreach_safe(seen, next, job, place) {
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
