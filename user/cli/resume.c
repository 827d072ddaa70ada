// SPDX-License-Identifier: Apache-2.0
/* resume: go on after a pause. */
#include "cli/jobs.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static int run(const struct cli *cli, struct bf_error *err)
{
	return cli_job_command(cli, "resume", false, "goes on", err);
}

const struct cli_command cli_resume = {
	.name = "resume", .arguments = "JOB",
	.summary = "go on after a pause",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
