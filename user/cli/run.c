// SPDX-License-Identifier: Apache-2.0
/*
 * run: a job's configuration flows in; the replicator runs in the foreground
 * until it is done, stopped or failed.
 */
#include <stdio.h>

#include "cli/jobs.h"
#include "cli/service.h"
#include "lib/config.h"
#include "lib/log.h"

static int whole_disk_given, resync_given, rehearse_given;
static char *config_given, *override_given;

static const struct poptOption options[] = {
	{ "whole-disk", 'w', POPT_ARG_NONE, &whole_disk_given, 0,
	  "copy free space and swap as well", NULL },
	{ "resync", '\0', POPT_ARG_NONE, &resync_given, 0,
	  "compare all with the target by digests first, whatever is known of it",
	  NULL },
	{ "rehearse", '\0', POPT_ARG_NONE, &rehearse_given, 0,
	  "the plan and a first pass, then end; the next run goes on from there",
	  NULL },
	{ "override", '\0', POPT_ARG_STRING, &override_given, 0,
	  "go on in spite of these critical findings of the plan", "CHECK,..." },
	{ "config", 'c', POPT_ARG_STRING, &config_given, 0,
	  "the job's file (default " BF_JOBS_DIR "/JOB.conf)", "FILE" },
	POPT_TABLEEND
};

static int run(const struct cli *cli, struct bf_error *err)
{
	const char *name = cli->arguments[0];
	char path[BF_PATH_BYTES];
	struct bf_job_config config;
	struct bf_job_options job = {
		.config = &config,
		.run_dir = cli->run_dir,
		.records_dir = cli->records_dir ? cli->records_dir :
			BF_SOURCE_RECORDS_DIR,
		.resync = resync_given,
	};
	int ret = cli_check_job_name(name, err);

	if (ret)
		return ret;
	bf_log_set_job(name);
	snprintf(path, sizeof(path), "%s/%s.conf", BF_JOBS_DIR, name);
	ret = bf_job_config_load(config_given ? config_given : path, name,
				 &config, err);
	if (ret)
		return ret;
	config.whole_disk |= whole_disk_given;
	job.rehearsal = rehearse_given;
	if (override_given)
		snprintf(config.override, sizeof(config.override), "%s",
			 override_given);
	ret = cli_run_job(cli, &job, err);
	bf_job_config_free(&config);
	return ret;
}

const struct cli_command cli_run = {
	.name = "run", .arguments = "JOB",
	.summary = "the replicator of a job, in the foreground",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
