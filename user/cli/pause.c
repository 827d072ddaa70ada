// SPDX-License-Identifier: Apache-2.0
/* pause: stop sending; changes are still recorded. */
#include "cli/jobs.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static int run(const struct cli *cli, struct bf_error *err)
{
	return cli_job_command(cli, "pause", false, "is paused", err);
}

const struct cli_command cli_pause = {
	.name = "pause", .arguments = "JOB",
	.summary = "stop sending; changes are still recorded",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
