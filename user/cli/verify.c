// SPDX-License-Identifier: Apache-2.0
/*
 * verify: the job compares both sides; "equal", or what differs, flows out.
 * "Identical" is said only of disks that were copied whole.
 */
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
	{ "skipped_bytes", "skipped", CLI_SIZE },
	{ "unreadable_bytes", "unreadable", CLI_SIZE },
	{ "identical", "identical", CLI_BOOL },
	{ 0 },
};

static long long sum(const json_t *disks, const char *key)
{
	long long nr = 0;
	json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
		nr += json_integer_value(json_object_get(disk, key));
	return nr;
}

static int print_text(const char *name, const json_t *answer, bool equal,
		      struct bf_error *err)
{
	const json_t *disks = json_object_get(answer, "disks");
	long long skipped = sum(disks, "skipped_ranges");
	long long unreadable = sum(disks, "unreadable_bytes");

	printf("%s: source and target %s", name,
	       !equal ? "differ" : skipped || unreadable ? "are equal" :
	       "are identical");
	if (equal && skipped)
		printf(" except %lld skipped ranges", skipped);
	if (equal && unreadable)
		printf("%s %lld sectors that cannot be read",
		       skipped ? " and" : " except", unreadable / 512);
	printf("\n");
	if (json_array_size(disks))
		return cli_print_table(stdout, columns, disks, err);
	return cli_print_fields(stdout, columns, answer, err);
}

static int run(const struct cli *cli, struct bf_error *err)
{
	json_t *answer = NULL;
	bool equal;
	int ret = cli_job_call(cli, cli->arguments[0],
			       json_pack("{s:s}", "command", "verify"), true,
			       &answer, err);

	if (ret)
		return ret;
	/* An answer that does not say so is no proof. */
	equal = json_is_true(json_object_get(answer, "equal"));
	if (cli->json)
		cli_print_json(json_incref(answer));
	else
		ret = print_text(cli->arguments[0], answer, equal, err);
	json_decref(answer);
	return ret ? ret : equal ? BF_EXIT_DONE : BF_EXIT_FALSE;
}

const struct cli_command cli_verify = {
	.name = "verify", .arguments = "JOB",
	.summary = "compare digests of both sides; status 2 if they differ",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
