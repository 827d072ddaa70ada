// SPDX-License-Identifier: Apache-2.0
/*
 * report: the record that a job left when it ended flows in, what was copied
 * and how long it was frozen flows out, as text and JSON from the same rows.
 */
#include <stdio.h>

#include "cli/jobs.h"
#include "cli/output.h"
#include "lib/config.h"
#include "lib/record.h"
#include "source/job.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static const struct cli_column columns[] = {
	{ "job", "job", CLI_TEXT },
	{ "description", "description", CLI_TEXT },
	{ "labels", "labels", CLI_TEXT },
	{ "state", "ended as", CLI_TEXT },
	{ "started", "last started", CLI_TEXT },
	{ "ended", "ended", CLI_TEXT },
	{ "receiver", "receiver", CLI_TEXT },
	{ "mode", "mode", CLI_TEXT },
	{ "mode_reason", "because", CLI_TEXT },
	{ "passes", "passes", CLI_COUNT },
	{ "raw_bytes", "raw", CLI_SIZE },
	{ "wire_bytes", "wire", CLI_SIZE },
	{ "cutover.then", "then", CLI_TEXT },
	{ "cutover.downtime_ns", "frozen for", CLI_TIME },
	{ "cutover.dirty_bytes_at_freeze", "dirty at freeze", CLI_SIZE },
	{ "cutover.rounds", "confirm rounds", CLI_COUNT },
	{ "disks", NULL, CLI_TEXT },
	{ "cutover", NULL, CLI_TEXT },
	{ "last_pass", NULL, CLI_TEXT },
	{ 0 },
};

static const struct cli_column disk_columns[] = {
	{ "name", "disk", CLI_TEXT },
	{ "device", "device", CLI_TEXT },
	{ "target", "target", CLI_TEXT },
	{ "size_bytes", "size", CLI_SIZE },
	{ 0 },
};

static int print_report(const struct cli *cli, const json_t *body,
			struct bf_error *err)
{
	int ret;

	if (cli->json) {
		cli_print_json(cli_select_row(columns, body));
		return 0;
	}
	ret = cli_print_fields(stdout, columns, body, err);
	putchar('\n');
	return ret ? ret : cli_print_table(stdout, disk_columns,
					   json_object_get(body, "disks"), err);
}

static int run(const struct cli *cli, struct bf_error *err)
{
	const char *name = cli->arguments[0];
	char path[BF_PATH_BYTES];
	json_t *body;
	int ret = cli_check_job_name(name, err);

	if (ret)
		return ret;
	bf_job_report_path(cli->records_dir ? cli->records_dir :
			   BF_SOURCE_RECORDS_DIR, name, path);
	ret = bf_record_load(path, BF_JOB_REPORT_KIND, &body, err);
	if (ret)
		return ret;
	ret = print_report(cli, body, err);
	json_decref(body);
	return ret;
}

const struct cli_command cli_report = {
	.name = "report", .arguments = "JOB",
	.summary = "what a job that has ended copied, and how long it was frozen",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
