// SPDX-License-Identifier: Apache-2.0
/*
 * Collect: the control sockets of running jobs and the module's trackers flow
 * in, rows flow out. Where only a guardian is left, holding what its job froze,
 * it answers instead; where nobody is, because the job has failed, what it left
 * says so.
 */
#include "cli/collect.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/jobs.h"
#include "cli/trackers.h"
#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/control.h"
#include "lib/netlink.h"
#include "lib/record.h"
#include "lib/transport.h"
#include "source/job.h"

#define STATUS_TIMEOUT_NS (5 * BF_NSEC_PER_SEC)
#define SOCKET_SUFFIX ".sock"
#define RECORD_SUFFIX ".json"
#define GUARDIAN_SUFFIX ".guardian"

static int ask(const char *path, json_t **status, struct bf_error *err)
{
	json_t *request = json_pack("{s:s}", "command", "status");
	int ret = bf_control_call(path, request, STATUS_TIMEOUT_NS, NULL, NULL,
				  status, err);

	json_decref(request);
	return ret;
}

int cli_collect_running(const struct cli *cli, const char *name,
			json_t **status, struct bf_error *err)
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

static const char *records_dir(const struct cli *cli)
{
	return cli->records_dir ? cli->records_dir : BF_SOURCE_RECORDS_DIR;
}

int cli_collect_job(const struct cli *cli, const char *name, json_t **status,
		    struct bf_error *err)
{
	struct bf_error none;
	char path[BF_PATH_BYTES];
	int ret = cli_collect_running(cli, name, status, err);

	if (!ret || err->code != BF_E_NOT_RUNNING)
		return ret;
	bf_job_failure_path(records_dir(cli), name, path);
	return bf_record_load(path, BF_JOB_FAILURE_KIND, status, &none) ?
		ret : 0;
}

bool cli_job_is_over(const json_t *status)
{
	return json_object_get(status, "ended");
}

/* --- all jobs --- */

static bool ends_with(const char *name, const char *suffix)
{
	size_t length = strlen(name), suffix_length = strlen(suffix);

	return length > suffix_length &&
	       !strcmp(name + length - suffix_length, suffix);
}

/* "web1.sock" and "web1.guardian.sock" both belong to job "web1". */
static bool cut_suffix(char *name, const char *suffix)
{
	if (!ends_with(name, suffix))
		return false;
	name[strlen(name) - strlen(suffix)] = '\0';
	if (ends_with(name, GUARDIAN_SUFFIX))
		name[strlen(name) - strlen(GUARDIAN_SUFFIX)] = '\0';
	return true;
}

/* It hides none of the others. */
static json_t *silent_job(const char *name, const struct bf_error *why)
{
	return json_pack("{ss, ss, s{ss, ss}}", "job", name, "state", "silent",
			 "reason", "code", bf_code_name(why->code), "text",
			 why->text);
}

/* A socket that nobody serves is no job; any other failure is told. */
static int add_job(const struct cli *cli, const char *name, json_t *jobs,
		   struct bf_error *err)
{
	json_t *status;
	int ret = cli_collect_job(cli, name, &status, err);

	if (!ret || err->code == BF_E_TIMEOUT)
		json_array_append_new(jobs, ret ? silent_job(name, err) :
						  status);
	return ret && err->code != BF_E_NOT_RUNNING &&
	       err->code != BF_E_TIMEOUT ? ret : 0;
}

static bool is_listed(const json_t *jobs, const char *name)
{
	json_t *job;
	size_t index;

	json_array_foreach(jobs, index, job) {
		const char *other =
			json_string_value(json_object_get(job, "job"));

		if (other && !strcmp(name, other))
			return true;
	}
	return false;
}

/* The job of each name in @folder that ends with @suffix, once. */
static int add_folder(const struct cli *cli, const char *folder,
		      const char *suffix, json_t *jobs, struct bf_error *err)
{
	struct dirent **entries;
	int nr = scandir(folder, &entries, NULL, alphasort);
	int ret = 0;

	if (nr < 0)
		return errno == ENOENT ? 0 :
			bf_fail(err, errno == EACCES ? BF_E_PERMISSION :
				BF_E_SYSTEM, errno, "cannot list %s: %s",
				folder, strerror(errno));
	for (int i = 0; i < nr; i++) {
		char *name = entries[i]->d_name;

		if (!ret && cut_suffix(name, suffix) && !is_listed(jobs, name))
			ret = add_job(cli, name, jobs, err);
		free(entries[i]);
	}
	free(entries);
	return ret;
}

int cli_collect_jobs(const struct cli *cli, json_t *jobs, struct bf_error *err)
{
	char failed[BF_PATH_BYTES];
	int ret = add_folder(cli, cli->run_dir, SOCKET_SUFFIX, jobs, err);

	snprintf(failed, sizeof(failed), "%s/failed", records_dir(cli));
	return ret ? ret : add_folder(cli, failed, RECORD_SUFFIX, jobs, err);
}

/* --- trackers --- */

int cli_collect_trackers(json_t *rows, struct bf_error *err)
{
	_cleanup_free_ struct bf_tracker *trackers = NULL;
	struct bf_netlink *nl;
	size_t nr = 0;
	int ret = bf_netlink_open(&nl, err);

	if (ret)
		return err->code == BF_E_NO_MODULE ? 0 : ret;
	ret = bf_tracker_list(nl, &trackers, &nr, err);
	for (size_t i = 0; i < nr && !ret; i++)
		json_array_append_new(rows, cli_tracker_row(&trackers[i]));
	bf_netlink_close(nl);
	return ret;
}
