// SPDX-License-Identifier: Apache-2.0
/*
 * report: the records that a job left each time it ended, at its source or, by
 * the cutover, at its receiver, flow in; what was copied and how long it was
 * frozen flows out, as text and JSON from the same rows: of the last, or of all.
 */
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/jobs.h"
#include "cli/output.h"
#include "lib/archive.h"
#include "lib/config.h"
#include "lib/record.h"
#include "source/job.h"

static char *config_given;
static int all_given;

static const struct poptOption options[] = {
	{ "all", 'a', POPT_ARG_NONE, &all_given, 0,
	  "of every time that it ended, the last one last", NULL },
	{ "config", 'c', POPT_ARG_STRING, &config_given, 0,
	  "the receiver's file (default " BF_RECEIVER_CONF ")", "FILE" },
	POPT_TABLEEND
};

static const struct cli_column columns[] = {
	{ "job", "job", CLI_TEXT },
	{ "description", "description", CLI_TEXT },
	{ "labels", "labels", CLI_PAIRS },
	{ "state", "ended as", CLI_TEXT },
	{ "started", "last started", CLI_TEXT },
	{ "ended", "ended", CLI_TEXT },
	{ "peer", "from", CLI_TEXT },
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
	{ "verified.at", "last verified", CLI_TEXT },
	{ "verified.equal", "equal then", CLI_BOOL },
	{ "disks", NULL, CLI_TEXT },
	{ "cutover", NULL, CLI_TEXT },
	{ "last_pass", NULL, CLI_TEXT },
	{ "verified", NULL, CLI_TEXT },
	{ 0 },
};

static const struct cli_column disk_columns[] = {
	{ "name", "disk", CLI_TEXT },
	{ "device", "device", CLI_TEXT },
	{ "target", "target", CLI_TEXT },
	{ "size_bytes", "size", CLI_SIZE },
	{ "skipped_bytes", "skipped", CLI_SIZE },
	{ "unreadable_bytes", "unreadable", CLI_SIZE },
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
	return ret ? ret : cli_print_part(stdout, disk_columns, body, "disks",
					  err);
}

static int print_file(const struct cli *cli, const char *path, bool first,
		      struct bf_error *err)
{
	json_t *body;
	int ret = bf_record_load(path, BF_JOB_REPORT_KIND, &body, err);

	if (ret)
		return ret;
	if (!first && !cli->json)
		putchar('\n');
	ret = print_report(cli, body, err);
	json_decref(body);
	return ret;
}

/* Where a receiver on this host, if there is one, keeps its records. */
static void receiver_records(const struct cli *cli, char path[BF_PATH_BYTES])
{
	const char *file = config_given ? config_given : BF_RECEIVER_CONF;
	struct bf_receiver_config config;
	struct bf_error err;

	snprintf(path, BF_PATH_BYTES, "%s", cli->records_dir ? cli->records_dir :
		 BF_TARGET_RECORDS_DIR);
	if (cli->records_dir || bf_receiver_config_load(file, &config, &err))
		return;
	snprintf(path, BF_PATH_BYTES, "%s", config.records_dir);
	bf_receiver_config_free(&config);
}

/* @next: the path behind it in their order; the same but for its number? */
static bool is_last(const char *path, const char *next)
{
	return !next || strncmp(path, next, strrchr(path, '@') - path + 1);
}

/* Those of @job here that --all or its absence asks for; *nr: how many. */
static int print_own(const struct cli *cli, const char *stem, unsigned int *nr,
		     struct bf_error *err)
{
	char path[PATH_MAX];
	unsigned int number;
	int ret = bf_archive_newest(stem, &number, err);

	*nr = 0;
	for (unsigned int i = all_given ? 1 : number; i && i <= number && !ret;
	     i++) {
		bf_archive_path(stem, i, path);
		/* The operator has moved it away. */
		if (i < number && access(path, F_OK))
			continue;
		ret = print_file(cli, path, !*nr, err);
		(*nr)++;
	}
	return ret;
}

/* Each source that had a job of this name; that letters are all it has of a
 * pattern was checked. */
static int print_received(const struct cli *cli, const char *name,
			  struct bf_error *err)
{
	char records[BF_PATH_BYTES], pattern[PATH_MAX];
	glob_t found = { 0 };
	int ret = 0;

	receiver_records(cli, records);
	snprintf(pattern, sizeof(pattern),
		 "%s/reports/%s.????????????????@????.json", records, name);
	if (glob(pattern, 0, NULL, &found))
		ret = bf_fail(err, BF_E_NOT_FOUND, ENOENT,
			      "no job %s has left a report here: look on the other host, or is it running still (`blkferry status %s`)?",
			      name, name);
	for (size_t i = 0, nr = 0; !ret && i < found.gl_pathc; i++)
		if (all_given || is_last(found.gl_pathv[i],
					 found.gl_pathv[i + 1]))
			ret = print_file(cli, found.gl_pathv[i], !nr++, err);
	globfree(&found);
	return ret;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	const char *name = cli->arguments[0];
	char stem[BF_PATH_BYTES];
	unsigned int nr;
	int ret = cli_check_job_name(name, err);

	if (ret)
		return ret;
	bf_job_report_stem(cli->records_dir ? cli->records_dir :
			   BF_SOURCE_RECORDS_DIR, name, stem);
	ret = print_own(cli, stem, &nr, err);
	return ret || nr ? ret : print_received(cli, name, err);
}

const struct cli_command cli_report = {
	.name = "report", .arguments = "JOB",
	.summary = "what a job that has ended copied, and how long it was frozen",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
