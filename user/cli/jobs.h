/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: requests to a running job, and words about its progress. */
#ifndef BF_CLI_JOBS_H
#define BF_CLI_JOBS_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cli.h"

#define CLI_PROGRESS_BYTES 256

/* One line on a status: "delta pass 3: 12M of 40M (30%), 10M/s raw, ...". */
void cli_progress_line(const json_t *status, char line[CLI_PROGRESS_BYTES]);

/* Shows progress on standard error as suits it: a line rewritten in place on a
 * terminal, else a line when something new began and now and then. */
struct cli_progress {
	bool quiet;
	bool terminal;
	bool line_open;			/* on the terminal */
	uint64_t said_ns;
	char phase[64];
};

void cli_progress_init(struct cli_progress *progress, bool quiet);
/* Suits bf_job_options.progress and bf_control_call: @context is the struct. */
void cli_progress_show(void *context, const json_t *status);
void cli_progress_end(struct cli_progress *progress);

/*
 * Send @request (taken) to job @name and wait for its answer, showing events
 * in between; @wait: however long it takes.
 */
int cli_job_call(const struct cli *cli, const char *name, json_t *request,
		 bool wait, json_t **answer, struct bf_error *err);
/* The whole of a subcommand that says one word to a job. */
int cli_job_command(const struct cli *cli, const char *command, bool wait,
		    const char *done, struct bf_error *err);
/* "<job> runs already" and the like need a valid name first. */
int cli_check_job_name(const char *name, struct bf_error *err);

#endif /* BF_CLI_JOBS_H */
