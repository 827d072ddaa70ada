// SPDX-License-Identifier: Apache-2.0
/*
 * plan: a job's configuration or a device flows in; findings, worst first, each
 * with its cure, and a forecast flow out. Exit code 7 if a critical one stands.
 */
#include "source/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/jobs.h"
#include "cli/output.h"

static char *config_given, *override_given;
static int fast_given;

static const struct poptOption options[] = {
	{ "config", 'c', POPT_ARG_STRING, &config_given, 0,
	  "the job's file (default " BF_JOBS_DIR "/JOB.conf)", "FILE" },
	{ "override", '\0', POPT_ARG_STRING, &override_given, 0,
	  "go on in spite of these critical findings", "CHECK,..." },
	{ "fast", '\0', POPT_ARG_NONE, &fast_given, 0,
	  "measure nothing and ask no receiver", NULL },
	POPT_TABLEEND
};

static const struct cli_column columns[] = {
	{ "severity", "severity", CLI_TEXT },
	{ "check", "check", CLI_TEXT },
	{ "subject", "about", CLI_TEXT },
	{ "text", NULL, CLI_TEXT },
	{ "cure", NULL, CLI_TEXT },
	{ "overridden", NULL, CLI_BOOL },
	{ 0 },
};

static const char *const order[] = { "critical", "warning", "info" };

static const char *text_of(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

/* A device by its path is a job of one disk without a target. */
static int config_of(const char *argument, struct bf_job_config *config,
		     struct bf_error *err)
{
	char path[BF_PATH_BYTES];
	int ret;

	if (strchr(argument, '/')) {
		bf_job_config_defaults(config, "plan");
		config->disks = calloc(1, sizeof(*config->disks));
		if (!config->disks)
			return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
		config->nr_disks = 1;
		snprintf(config->disks[0].name, BF_NAME_BYTES, "disk");
		snprintf(config->disks[0].device, BF_PATH_BYTES, "%s", argument);
		return 0;
	}
	ret = cli_check_job_name(argument, err);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "%s/%s.conf", BF_JOBS_DIR, argument);
	return bf_job_config_load(config_given ? config_given : path, argument,
				  config, err);
}

static void print_row(const json_t *row)
{
	const char *cure = text_of(row, "cure");

	printf("%-8s %s [%s]%s\n         %s\n", text_of(row, "severity"),
	       text_of(row, "subject"), text_of(row, "check"),
	       json_is_true(json_object_get(row, "overridden")) ?
	       " overridden" : "", text_of(row, "text"));
	if (cure)
		printf("         cure: %s\n", cure);
}

static json_t *sorted(const struct bf_plan *plan)
{
	json_t *rows = json_array(), *row;
	size_t index;

	for (size_t i = 0; i < CLI_NR(order); i++)
		json_array_foreach(plan->rows, index, row)
			if (!strcmp(text_of(row, "severity"), order[i]))
				json_array_append(rows, row);
	return rows;
}

static void print_plan(const struct cli *cli, const struct bf_plan *plan,
		       bool stands)
{
	json_t *rows = sorted(plan), *row;
	size_t index;

	if (cli->json) {
		cli_print_json(json_pack("{so, sO, sb}", "findings",
					 cli_select_rows(columns, rows),
					 "figures", plan->figures, "go",
					 !stands));
	} else {
		json_array_foreach(rows, index, row)
			print_row(row);
		puts(stands ? "a critical finding stands: the job would not start" :
		     "the job can start");
	}
	json_decref(rows);
}

static int run(const struct cli *cli, struct bf_error *err)
{
	struct bf_job_config config = { .nr_disks = 0 };
	struct bf_plan plan = { .rows = NULL };
	struct bf_error critical;
	int ret = config_of(cli->arguments[0], &config, err);

	if (!ret && override_given)
		snprintf(config.override, sizeof(config.override), "%s",
			 override_given);
	if (!ret)
		ret = bf_plan_make(&plan, &config, fast_given ?
				   BF_PLAN_START : BF_PLAN_MEASURE, err);
	if (!ret) {
		bool stands = bf_plan_refuse(&plan, &critical);

		print_plan(cli, &plan, stands);
		ret = stands ? BF_EXIT_REFUSED : BF_EXIT_DONE;
	}
	bf_plan_free(&plan);
	bf_job_config_free(&config);
	return ret;
}

const struct cli_command cli_plan = {
	.name = "plan", .arguments = "JOB|DEVICE",
	.summary = "what speaks against a job, and what it will cost",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
