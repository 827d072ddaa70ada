/* SPDX-License-Identifier: Apache-2.0 */
/* Collect: what runs on this machine, for status, metrics and diag. */
#ifndef BF_CLI_COLLECT_H
#define BF_CLI_COLLECT_H

#include <jansson.h>

#include "cli/cli.h"

/* A job's status, or its guardian's ("guardian_only") where only that is left. */
int cli_collect_running(const struct cli *cli, const char *name,
			json_t **status, struct bf_error *err);
/* The same, or what it left when it failed. */
int cli_collect_job(const struct cli *cli, const char *name, json_t **status,
		    struct bf_error *err);
/* It is only what a job left that has failed. */
bool cli_job_is_over(const json_t *status);
/* The status of every job that runs or has failed is appended to @jobs. */
int cli_collect_jobs(const struct cli *cli, json_t *jobs, struct bf_error *err);
/* Every tracker's row is appended to @rows; none if the module is not loaded. */
int cli_collect_trackers(json_t *rows, struct bf_error *err);

#endif /* BF_CLI_COLLECT_H */
