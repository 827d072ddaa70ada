// SPDX-License-Identifier: Apache-2.0
/*
 * targets: the receiver's configuration and its records flow in, a line for
 * each target with its job, its state and what the job says of itself flows out.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/cli.h"
#include "lib/archive.h"
#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/record.h"
#include "source/job.h"
#include "target/ledger.h"

static char *config_given;

static const struct poptOption options[] = {
	{ "config", 'c', POPT_ARG_STRING, &config_given, 0,
	  "the receiver's file (default " BF_RECEIVER_CONF ")", "FILE" },
	POPT_TABLEEND
};

static const struct cli_column columns[] = {
	{ "target", "target", CLI_TEXT },
	{ "path", "path", CLI_TEXT },
	{ "state", "state", CLI_TEXT },
	{ "job", "job", CLI_TEXT },
	{ "peer", "peer", CLI_TEXT },
	{ "source_bytes", "of", CLI_SIZE },
	{ "description", "description", CLI_TEXT },
	{ "labels", "labels", CLI_PAIRS },
	{ "generation", NULL, CLI_COUNT },
	{ "through_bytes", NULL, CLI_SIZE },
	{ 0 },
};

/* "partial" until a first full copy is durable. */
static const char *state_of(const struct bf_ledger *ledger,
			    const struct bf_ledger_disk *disk)
{
	if (ledger->state == WIRE_JOB_CUT_OVER)
		return "cut-over";
	return disk->complete ? "syncing" : "partial";
}

static const char *peer_name(const struct bf_receiver_config *config,
			     const char *key)
{
	for (size_t i = 0; i < config->nr_peers; i++)
		if (!strcmp(config->peers[i].key, key))
			return config->peers[i].name;
	return key;
}

/* What its job's report says of it, once there is one: with the cutover. */
static void add_words(json_t *row, const struct bf_receiver_config *config,
		      const struct bf_ledger *ledger)
{
	static const char *const keys[] = { "description", "labels" };
	char stem[PATH_MAX], path[PATH_MAX];
	unsigned int number;
	json_t *report;

	bf_ledger_report_stem(stem, config->records_dir, ledger->peer,
			      ledger->job);
	if (ledger->state != WIRE_JOB_CUT_OVER ||
	    bf_archive_newest(stem, &number, NULL) || !number)
		return;
	bf_archive_path(stem, number, path);
	if (bf_record_load(path, BF_JOB_REPORT_KIND, &report, NULL))
		return;
	for (size_t i = 0; i < CLI_NR(keys); i++)
		if (json_object_get(report, keys[i]))
			json_object_set(row, keys[i],
					json_object_get(report, keys[i]));
	json_decref(report);
}

static void add_ledger(json_t *row, const struct bf_receiver_config *config,
		       const struct bf_ledger *ledger, const char *target)
{
	for (uint32_t i = 0; i < ledger->nr_disks; i++) {
		const struct bf_ledger_disk *disk = &ledger->disks[i];
		json_t *more;

		if (strcmp(disk->target, target))
			continue;
		more = json_pack("{ss, ss, ss, sI, sI, sI}", "state",
				 state_of(ledger, disk), "job", ledger->job,
				 "peer", peer_name(config, ledger->peer),
				 "source_bytes", (json_int_t)disk->source_bytes,
				 "generation", (json_int_t)disk->generation,
				 "through_bytes",
				 (json_int_t)disk->through_bytes);
		json_object_update(row, more);
		json_decref(more);
		add_words(row, config, ledger);
	}
}

static int add_target(json_t *rows, const struct bf_receiver_config *config,
		      const struct bf_target_config *target,
		      struct bf_error *err)
{
	struct bf_ledger *ledger = NULL;
	json_t *row = json_pack("{ss, ss, ss}", "target", target->name, "path",
				target->path, "state",
				access(target->path, F_OK) ? "missing" : "free");
	int ret = bf_ledger_of_target(config->records_dir, target->name,
				      &ledger, err);

	json_array_append_new(rows, row);
	if (ret)
		return err->code == BF_E_NOT_FOUND ? 0 : ret;
	add_ledger(row, config, ledger, target->name);
	bf_ledger_free(ledger);
	return 0;
}

static int collect(const struct bf_receiver_config *config, json_t *rows,
		   struct bf_error *err)
{
	_cleanup_close_ int lock = -1;
	int ret = bf_ledger_lock(config->records_dir, &lock, err);

	for (size_t i = 0; i < config->nr_targets && !ret; i++)
		ret = add_target(rows, config, &config->targets[i], err);
	return ret;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	struct bf_receiver_config config;
	json_t *rows = json_array();
	int ret = bf_receiver_config_load(config_given ? config_given :
					  BF_RECEIVER_CONF, &config, err);

	if (!ret && cli->records_dir)
		snprintf(config.records_dir, sizeof(config.records_dir), "%s",
			 cli->records_dir);
	if (!ret) {
		ret = collect(&config, rows, err);
		bf_receiver_config_free(&config);
	}
	if (!ret && cli->json)
		cli_print_json(json_pack("{s:o}", "targets",
					 cli_select_rows(columns, rows)));
	else if (!ret)
		ret = cli_print_table(stdout, columns, rows, err);
	json_decref(rows);
	return ret;
}

const struct cli_command cli_targets = {
	.name = "targets", .arguments = "",
	.summary = "the receiver's targets, with their jobs and states",
	.options = options, .run = run,
};
