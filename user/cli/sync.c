// SPDX-License-Identifier: Apache-2.0
/* sync: one pass now, wait until it is durable at the target. */
#include "cli/jobs.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static int run(const struct cli *cli, struct bf_error *err)
{
	return cli_job_command(cli, "sync", true, "is in sync up to this moment", err);
}

const struct cli_command cli_sync = {
	.name = "sync", .arguments = "JOB",
	.summary = "one pass now, wait until it is durable at the target",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
