// SPDX-License-Identifier: Apache-2.0
/* cancel: end the job; the target stays as it is. */
#include "cli/jobs.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static int run(const struct cli *cli, struct bf_error *err)
{
	return cli_job_command(cli, "cancel", true, "is cancelled", err);
}

const struct cli_command cli_cancel = {
	.name = "cancel", .arguments = "JOB",
	.summary = "end the job; the target stays as it is",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
