// SPDX-License-Identifier: Apache-2.0
/*
 * status: running jobs flow in (collect.h), one block of text or one JSON
 * object for each flows out; --watch draws them on the whole terminal, or says
 * one line an event where there is none.
 */
#include <stdio.h>
#include <unistd.h>

#include "cli/collect.h"
#include "cli/jobs.h"
#include "cli/output.h"
#include "cli/watch.h"
#include "lib/cleanup.h"

static int watch_given;

static const struct poptOption options[] = {
	{ "watch", 'w', POPT_ARG_NONE, &watch_given, 0,
	  "on the whole terminal; elsewhere a line an event", NULL },
	POPT_TABLEEND
};

static const struct cli_column job_columns[] = {
	{ "description", "description", CLI_TEXT },
	{ "labels", "labels", CLI_PAIRS },
	{ "mode", "mode", CLI_TEXT },
	{ "mode_reason", "because", CLI_TEXT },
	{ "receiver", "receiver", CLI_TEXT },
	{ "passes", "passes", CLI_COUNT },
	{ "raw_bytes", "raw", CLI_SIZE },
	{ "raw_rate", "raw rate", CLI_RATE },
	{ "wire_bytes", "wire", CLI_SIZE },
	{ "wire_rate", "wire rate", CLI_RATE },
	{ "eta_ns", "ETA", CLI_TIME },
	{ "dirty_bytes", "dirty", CLI_SIZE },
	{ "lag_ns", "lag", CLI_TIME },
	{ "dirty_rate", "newly dirty", CLI_RATE },
	{ "link_rate", "the link carries", CLI_RATE },
	{ "projected_downtime_ns", "projected downtime", CLI_TIME },
	{ "max_downtime_ns", "bound", CLI_TIME },
	{ "converging", "converging", CLI_BOOL },
	{ "advice", "what helps", CLI_TEXT },
	{ "last_pass.duration_ns", "last pass took", CLI_TIME },
	{ "last_pass.raw_bytes", "last pass sent", CLI_SIZE },
	{ "cutover.downtime_ns", "last cutover froze", CLI_TIME },
	{ "poweroff_in_ns", "power off in", CLI_TIME },
	{ "reason.text", "why", CLI_TEXT },
	{ "ended", "ended", CLI_TEXT },
	{ "next_command", "go on with", CLI_TEXT },
	{ "reason.next_command", "go on with", CLI_TEXT },
	{ 0 },
};

static const struct cli_column disk_columns[] = {
	{ "name", "disk", CLI_TEXT },
	{ "device", "device", CLI_TEXT },
	{ "target", "target", CLI_TEXT },
	{ "size_bytes", "size", CLI_SIZE },
	{ "dirty_bytes", "dirty", CLI_SIZE },
	{ "lag_ns", "lag", CLI_TIME },
	{ "pass.number", "pass", CLI_COUNT },
	{ "pass.done_bytes", "done", CLI_SIZE },
	{ "pass.planned_bytes", "of", CLI_SIZE },
	{ "raw_rate", "rate", CLI_RATE },
	{ "unreadable_bytes", "unreadable", CLI_SIZE },
	{ "generation", "generation", CLI_COUNT },
	{ "reasons", "resync needed", CLI_LIST },
	{ 0 },
};

static const struct cli_column filesystem_columns[] = {
	{ "mountpoint", "filesystem", CLI_TEXT },
	{ "frozen", "frozen", CLI_BOOL },
	{ "thawed", "thawed", CLI_BOOL },
	{ 0 },
};

/* --- text --- */

static int print_job(const json_t *status, struct bf_error *err)
{
	const json_t *job = json_object_get(status, "job");
	char line[CLI_PROGRESS_BYTES];
	int ret;

	cli_progress_line(status, line);
	printf("%s: %s%s\n", json_is_string(job) ? json_string_value(job) : "?",
	       line, json_object_get(status, "guardian_only") ?
	       " (the replicator is gone, its guardian answers)" : "");
	ret = cli_print_fields(stdout, job_columns, status, err);
	if (!ret)
		ret = cli_print_part(stdout, disk_columns, status, "disks",
				     err);
	if (!ret)
		ret = cli_print_part(stdout, filesystem_columns, status,
				     "filesystems", err);
	return ret;
}

static int show_all(const struct cli *cli, struct bf_error *err)
{
	json_t *jobs = json_array(), *job;
	size_t index;
	int ret = cli_collect_jobs(cli, jobs, err);

	if (!ret && cli->json) {
		cli_print_json(json_pack("{s:O}", "jobs", jobs));
	} else if (!ret && !json_array_size(jobs)) {
		puts("no job is running");
	} else if (!ret) {
		json_array_foreach(jobs, index, job) {
			if (index)
				putchar('\n');
			if (!ret)
				ret = print_job(job, err);
		}
	}
	json_decref(jobs);
	return ret;
}

static int show_one(const struct cli *cli, const char *name, bool *over,
		    struct bf_error *err)
{
	json_t *status;
	int ret = cli_collect_job(cli, name, &status, err);

	if (ret)
		return ret;
	*over = cli_job_is_over(status);
	if (cli->json)
		cli_print_json(json_incref(status));
	else
		ret = print_job(status, err);
	json_decref(status);
	return ret;
}

/* *over: the one that was asked for will not change any more. */
static int show(const struct cli *cli, bool *over, struct bf_error *err)
{
	*over = false;
	return cli->nr_arguments ? show_one(cli, cli->arguments[0], over, err) :
		show_all(cli, err);
}

/* One line of JSON a second. */
static int watch_json(const struct cli *cli, int stop_fd, struct bf_error *err)
{
	bool over;
	int ret;

	do {
		ret = show(cli, &over, err);
	} while (!ret && !over && !fflush(stdout) && !cli_stop_wait(stop_fd));
	return ret;
}

static int watch(const struct cli *cli, struct bf_error *err)
{
	_cleanup_close_ int stop_fd = -1;
	int ret = cli_stop_fd(&stop_fd, err);

	if (ret)
		return ret;
	if (cli->json)
		return watch_json(cli, stop_fd, err);
	if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO))
		return cli_watch_screen(cli, stop_fd, err);
	return cli_watch_events(cli, stop_fd, err);
}

static int run(const struct cli *cli, struct bf_error *err)
{
	bool over;

	return watch_given ? watch(cli, err) : show(cli, &over, err);
}

const struct cli_command cli_status = {
	.name = "status", .arguments = "[JOB]",
	.summary = "passes, rates, what is dirty, projected downtime",
	.max_arguments = 1,
	.options = options, .run = run,
};
