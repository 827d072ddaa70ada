// SPDX-License-Identifier: Apache-2.0
/*
 * thaw: the operator ends a hold. The guardian serves it even where the
 * replicator is gone, so it is asked first, then the job. Serves RULE 5.
 */
#include <stdio.h>

#include "cli/jobs.h"
#include "lib/control.h"
#include "lib/transport.h"

/* FITHAW waits for the superblock's lock; the guardian repeats it. */
#define THAW_TIMEOUT_NS (60 * BF_NSEC_PER_SEC)

static const struct poptOption options[] = { POPT_TABLEEND };

static int ask(const char *path, json_t **answer, struct bf_error *err)
{
	json_t *request = json_pack("{s:s}", "command", "thaw");
	int ret = bf_control_call(path, request, THAW_TIMEOUT_NS, NULL, NULL,
				  answer, err);

	json_decref(request);
	return ret;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	const char *name = cli->arguments[0];
	json_t *answer = NULL;
	char path[108];
	int ret = cli_check_job_name(name, err);

	if (ret)
		return ret;
	bf_guardian_path(path, cli->run_dir, name);
	ret = ask(path, &answer, err);
	if (ret && err->code == BF_E_NOT_RUNNING) {
		bf_control_path(path, cli->run_dir, name);
		ret = ask(path, &answer, err);
	}
	if (ret)
		return ret;
	if (cli->json)
		cli_print_json(json_incref(answer));
	else
		printf("%s: every filesystem that it froze is thawed\n", name);
	json_decref(answer);
	return 0;
}

const struct cli_command cli_thaw = {
	.name = "thaw", .arguments = "JOB",
	.summary = "thaw what a cutover holds frozen, replicator or not",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
