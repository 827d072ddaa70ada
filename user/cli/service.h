/* SPDX-License-Identifier: Apache-2.0 */
/* Service: what run, copy and receive share as long-running processes. */
#ifndef BF_CLI_SERVICE_H
#define BF_CLI_SERVICE_H

#include <jansson.h>

#include "cli/cli.h"
#include "source/job.h"

/*
 * Runs the job in the foreground: signals stop it, progress is shown and told
 * to systemd, its outcome is printed.
 */
int cli_run_job(const struct cli *cli, struct bf_job_options *options,
		struct bf_error *err);

#endif /* BF_CLI_SERVICE_H */
