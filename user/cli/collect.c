// SPDX-License-Identifier: Apache-2.0
/*
 * Collect: the control sockets of running jobs and the module's trackers flow
 * in, rows flow out. Where only a guardian is left, holding what its job froze,
 * it answers instead.
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
#include "lib/transport.h"

#define STATUS_TIMEOUT_NS (5 * BF_NSEC_PER_SEC)
#define SOCKET_SUFFIX ".sock"

static int ask(const char *path, json_t **status, struct bf_error *err)
{
	json_t *request = json_pack("{s:s}", "command", "status");
	int ret = bf_control_call(path, request, STATUS_TIMEOUT_NS, NULL, NULL,
				  status, err);

	json_decref(request);
	return ret;
}

int cli_collect_job(const struct cli *cli, const char *name, json_t **status,
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
	int ret = cli_collect_job(cli, name, &status, err);

	if (!ret)
		json_array_append_new(jobs, status);
	return ret && err->code != BF_E_NOT_RUNNING ? ret : 0;
}

int cli_collect_jobs(const struct cli *cli, json_t *jobs, struct bf_error *err)
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
