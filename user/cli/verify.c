// SPDX-License-Identifier: Apache-2.0
/* verify: the job compares both sides; "identical", or what differs, flows out. */
#include <stdio.h>

#include "cli/jobs.h"
#include "cli/output.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static const struct cli_column columns[] = {
	{ "name", "disk", CLI_TEXT },
	{ "compared_bytes", "compared", CLI_SIZE },
	{ "differing_blocks", "differing blocks", CLI_COUNT },
	{ "differing_bytes", "differing", CLI_SIZE },
	{ "skipped_ranges", "skipped ranges", CLI_COUNT },
	{ "identical", "identical", CLI_BOOL },
	{ 0 },
};

static int print_text(const char *name, const json_t *answer, bool identical,
		      struct bf_error *err)
{
	const json_t *disks = json_object_get(answer, "disks");

	printf("%s: %s\n", name, identical ? "source and target are equal" :
	       "source and target differ");
	if (json_array_size(disks))
		return cli_print_table(stdout, columns, disks, err);
	return cli_print_fields(stdout, columns, answer, err);
}

static int run(const struct cli *cli, struct bf_error *err)
{
	json_t *answer = NULL;
	bool identical;
	int ret = cli_job_call(cli, cli->arguments[0],
			       json_pack("{s:s}", "command", "verify"), true,
			       &answer, err);

	if (ret)
		return ret;
	/* An answer that does not say so is no proof. */
	identical = json_is_true(json_object_get(answer, "identical"));
	if (cli->json)
		cli_print_json(json_incref(answer));
	else
		ret = print_text(cli->arguments[0], answer, identical, err);
	json_decref(answer);
	return ret ? ret : identical ? BF_EXIT_DONE : BF_EXIT_FALSE;
}

const struct cli_command cli_verify = {
	.name = "verify", .arguments = "JOB",
	.summary = "compare digests of both sides; status 2 if they differ",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
