// SPDX-License-Identifier: Apache-2.0
/*
 * Service: a job's options flow in, the job runs in this process; progress
 * flows to the person and to systemd, the outcome to standard output.
 */
#include "cli/service.h"

#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "cli/jobs.h"
#include "cli/output.h"
#include "lib/cleanup.h"
#include "lib/log.h"

static const struct cli_column columns[] = {
	{ "mode", "mode", CLI_TEXT },
	{ "passes", "passes", CLI_COUNT },
	{ "raw_bytes", "raw", CLI_SIZE },
	{ "wire_bytes", "wire", CLI_SIZE },
	{ "cutover.downtime_ns", "downtime", CLI_TIME },
	{ "cutover.dirty_bytes_at_freeze", "dirty at freeze", CLI_SIZE },
	{ 0 },
};

struct service {
	struct cli_progress progress;
	bool ready;
};

static void on_progress(void *context, const json_t *status)
{
	struct service *service = context;
	char line[CLI_PROGRESS_BYTES];

	cli_progress_line(status, line);
	sd_notifyf(0, "%sSTATUS=%s", service->ready ? "" : "READY=1\n", line);
	service->ready = true;
	cli_progress_show(&service->progress, status);
}

static void on_alive(void *context)
{
	sd_notify(0, "WATCHDOG=1");
}

static int print_outcome(const struct cli *cli, const char *job, json_t *outcome,
			 struct bf_error *err)
{
	const char *state;

	if (cli->json) {
		cli_print_json(json_incref(outcome));
		return 0;
	}
	state = json_string_value(json_object_get(outcome, "state"));
	printf("%s: %s\n", job, state ? state : "ended");
	return cli_print_fields(stdout, columns, outcome, err);
}

/* Has a copy that a person waits for zeroes where blocks should be? */
static bool is_partial(const struct cli *cli,
		       const struct bf_job_options *options,
		       const json_t *outcome)
{
	json_int_t bytes = json_integer_value(json_object_get(outcome,
							"unreadable_bytes"));

	if (!options->one_shot || bytes <= 0)
		return false;
	if (!cli->json)
		printf("zeroes stand for %lld sectors that cannot be read; the log names them\n",
		       (long long)bytes / 512);
	return true;
}

int cli_run_job(const struct cli *cli, struct bf_job_options *options,
		struct bf_error *err)
{
	struct service service = { .ready = false };
	_cleanup_close_ int stop_fd = -1;
	json_t *outcome = NULL;
	int ret = cli_stop_fd(&stop_fd, err);

	if (ret)
		return ret;
	cli_progress_init(&service.progress, cli->json);
	bf_log_set_job(options->config->name);
	options->stop_fd = stop_fd;
	options->progress = on_progress;
	options->alive = on_alive;
	options->progress_context = &service;
	ret = bf_job_run(options, &outcome, err);
	sd_notify(0, "STOPPING=1");
	cli_progress_end(&service.progress);
	if (!ret && outcome)
		ret = print_outcome(cli, options->config->name, outcome, err);
	if (!ret && outcome && is_partial(cli, options, outcome))
		ret = BF_EXIT_PARTIAL;
	json_decref(outcome);
	return ret;
}
