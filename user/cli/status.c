// SPDX-License-Identifier: Apache-2.0
/*
 * status: running jobs flow in through their sockets, one block of text or one
 * JSON object for each flows out. Where only the guardian is left, holding
 * what the job froze, it answers instead.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/jobs.h"
#include "cli/output.h"
#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/control.h"
#include "lib/transport.h"

#define STATUS_TIMEOUT_NS (5 * BF_NSEC_PER_SEC)
#define SOCKET_SUFFIX ".sock"

static int watch_given;

static const struct poptOption options[] = {
	{ "watch", 'w', POPT_ARG_NONE, &watch_given, 0,
	  "again each second until interrupted", NULL },
	POPT_TABLEEND
};

static const struct cli_column job_columns[] = {
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
	{ "dirty_rate", "newly dirty", CLI_RATE },
	{ "projected_downtime_ns", "projected downtime", CLI_TIME },
	{ "max_downtime_ns", "bound", CLI_TIME },
	{ "converging", "converging", CLI_BOOL },
	{ "last_pass.duration_ns", "last pass took", CLI_TIME },
	{ "last_pass.raw_bytes", "last pass sent", CLI_SIZE },
	{ "cutover.downtime_ns", "downtime", CLI_TIME },
	{ "poweroff_in_ns", "power off in", CLI_TIME },
	{ "reason.text", "failed", CLI_TEXT },
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

static int ask(const char *path, json_t **status, struct bf_error *err)
{
	json_t *request = json_pack("{s:s}", "command", "status");
	int ret = bf_control_call(path, request, STATUS_TIMEOUT_NS, NULL, NULL,
				  status, err);

	json_decref(request);
	return ret;
}

static int ask_job(const struct cli *cli, const char *name, json_t **status,
		   struct bf_error *err)
{
	struct bf_error guardian_err;
	char path[108];
	int ret = cli_check_job_name(name, err);

	if (ret)
		return ret;
	bf_control_path(path, cli->run_dir, name);
	ret = ask(path, status, err);
	if (ret && err->code == BF_E_NOT_RUNNING) {
		bf_guardian_path(path, cli->run_dir, name);
		if (!ask(path, status, &guardian_err)) {
			json_object_set_new(*status, "guardian_only",
					    json_true());
			ret = 0;
		}
	}
	return ret;
}

/* --- text --- */

static int print_part(const json_t *status, const char *key,
		      const struct cli_column *columns, struct bf_error *err)
{
	const json_t *rows = json_object_get(status, key);

	if (!json_array_size(rows))
		return 0;
	putchar('\n');
	return cli_print_table(stdout, columns, rows, err);
}

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
		ret = print_part(status, "disks", disk_columns, err);
	if (!ret)
		ret = print_part(status, "filesystems", filesystem_columns, err);
	return ret;
}

/* --- all jobs --- */

static int is_socket(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name), suffix = strlen(SOCKET_SUFFIX);

	return length > suffix &&
	       !strcmp(entry->d_name + length - suffix, SOCKET_SUFFIX);
}

/* "web1.sock" and "web1.guardian.sock" both belong to job "web1". */
static void cut_suffix(char *name)
{
	static const char *const suffixes[] = { SOCKET_SUFFIX, ".guardian" };

	for (size_t i = 0; i < CLI_NR(suffixes); i++) {
		size_t length = strlen(name), suffix = strlen(suffixes[i]);

		if (length > suffix &&
		    !strcmp(name + length - suffix, suffixes[i]))
			name[length - suffix] = '\0';
	}
}

/* A socket that nobody serves is no job; any other failure is told. */
static int add_job(const struct cli *cli, const char *name, json_t *jobs,
		   struct bf_error *err)
{
	json_t *status;
	int ret = ask_job(cli, name, &status, err);

	if (!ret)
		json_array_append_new(jobs, status);
	return ret && err->code != BF_E_NOT_RUNNING ? ret : 0;
}

static int collect_jobs(const struct cli *cli, json_t *jobs, struct bf_error *err)
{
	char last[256] = "";
	struct dirent **entries;
	int nr = scandir(cli->run_dir, &entries, is_socket, alphasort);
	int ret = 0;

	if (nr < 0)
		return errno == ENOENT ? 0 :
			bf_fail(err, errno == EACCES ? BF_E_PERMISSION :
				BF_E_SYSTEM, errno, "cannot list %s: %s",
				cli->run_dir, strerror(errno));
	for (int i = 0; i < nr; i++) {
		cut_suffix(entries[i]->d_name);
		if (!ret && strcmp(entries[i]->d_name, last))
			ret = add_job(cli, entries[i]->d_name, jobs, err);
		snprintf(last, sizeof(last), "%s", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return ret;
}

static int show_all(const struct cli *cli, struct bf_error *err)
{
	json_t *jobs = json_array(), *job;
	size_t index;
	int ret = collect_jobs(cli, jobs, err);

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

static int show_one(const struct cli *cli, const char *name,
		    struct bf_error *err)
{
	json_t *status;
	int ret = ask_job(cli, name, &status, err);

	if (ret)
		return ret;
	if (cli->json)
		cli_print_json(json_incref(status));
	else
		ret = print_job(status, err);
	json_decref(status);
	return ret;
}

static int show(const struct cli *cli, struct bf_error *err)
{
	return cli->nr_arguments ? show_one(cli, cli->arguments[0], err) :
		show_all(cli, err);
}

static int watch(const struct cli *cli, struct bf_error *err)
{
	bool redraw = !cli->json && isatty(STDOUT_FILENO), first = true;
	_cleanup_close_ int stop_fd = -1;
	int ret = cli_stop_fd(&stop_fd, err);

	while (!ret) {
		if (redraw)
			fputs("\033[H\033[2J", stdout);
		else if (!cli->json && !first)
			putchar('\n');
		first = false;
		ret = show(cli, err);
		if (!ret && (fflush(stdout) || cli_stop_wait(stop_fd)))
			return 0;
	}
	return ret;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	return watch_given ? watch(cli, err) : show(cli, err);
}

const struct cli_command cli_status = {
	.name = "status", .arguments = "[JOB]",
	.summary = "passes, rates, what is dirty, projected downtime",
	.max_arguments = 1,
	.options = options, .run = run,
};
