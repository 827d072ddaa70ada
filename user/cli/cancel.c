// SPDX-License-Identifier: Apache-2.0
/*
 * cancel: end the job; the target stays as it is. Of one that does not run, such
 * as one that cannot start any more, goes what it has left here.
 */
#include <stdio.h>

#include "cli/jobs.h"
#include "lib/transport.h"
#include "source/job.h"

static const struct poptOption options[] = { POPT_TABLEEND };

/* @not_running: what is said where nothing is left of it either. */
static int cancel_dead(const struct cli *cli, const struct bf_error *not_running,
		       struct bf_error *err)
{
	const char *name = cli->arguments[0];
	bool found;
	int ret = bf_job_drop_leftovers(name, cli->run_dir, cli->records_dir ?
					cli->records_dir : BF_SOURCE_RECORDS_DIR,
					&found, err);

	if (ret)
		return ret;
	if (!found) {
		*err = *not_running;
		return -err->errnum;
	}
	if (cli->json)
		cli_print_json(json_pack("{ss}", "state", "cancelled"));
	else
		printf("%s did not run; its trackers and records are removed, the target stays as it is\n",
		       name);
	return 0;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	int ret = cli_job_command(cli, "cancel", true, "is cancelled", err);
	struct bf_error not_running;

	if (!ret || err->code != BF_E_NOT_RUNNING)
		return ret;
	not_running = *err;
	return cancel_dead(cli, &not_running, err);
}

const struct cli_command cli_cancel = {
	.name = "cancel", .arguments = "JOB",
	.summary = "end the job; the target stays as it is",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
