// SPDX-License-Identifier: Apache-2.0
/*
 * cutover: the operator's chosen moment flows to the job; the outcome of the
 * freeze flows back: done, or rolled back and going on with passes.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/collect.h"
#include "cli/jobs.h"
#include "cli/output.h"
#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/moment.h"
#include "lib/units.h"

static char *max_downtime_given, *then_given, *at_given;

static const struct poptOption options[] = {
	{ "max-downtime", 'd', POPT_ARG_STRING, &max_downtime_given, 0,
	  "roll back when the freeze lasts longer (default: the job's)", "TIME" },
	{ "then", 't', POPT_ARG_STRING, &then_given, 0,
	  "what becomes of this machine (default: the job's)",
	  "hold|poweroff|thaw" },
	{ "at", 'a', POPT_ARG_STRING, &at_given, 0,
	  "wait for this moment: 02:00, 2026-11-22 02:00, or +30m", "TIME" },
	POPT_TABLEEND
};

static const struct cli_column columns[] = {
	{ "cutover.then", "then", CLI_TEXT },
	{ "cutover.downtime_ns", "downtime", CLI_TIME },
	{ "cutover.freeze_ns", "of it, to freeze", CLI_TIME },
	{ "cutover.dirty_bytes_at_freeze", "dirty at freeze", CLI_SIZE },
	{ "cutover.rounds", "confirm rounds", CLI_COUNT },
	{ "cutover.post_cutover", "post-cutover hook", CLI_TEXT },
	{ "passes", "passes", CLI_COUNT },
	{ "raw_bytes", "raw", CLI_SIZE },
	{ "wire_bytes", "wire", CLI_SIZE },
	{ 0 },
};

static int make_request(json_t *request, struct bf_error *err)
{
	enum bf_then then;
	uint64_t ns;
	int ret = 0;

	if (max_downtime_given) {
		ret = bf_parse_time(max_downtime_given, &ns, err);
		if (!ret && (!ns || ns > BF_TIME_MAX_NS))
			return cli_usage(err, "--max-downtime %s is out of range: more than 0, 30d at most",
					 max_downtime_given);
		json_object_set_new(request, "max_downtime_ns",
				    json_integer((json_int_t)ns));
	}
	if (!ret && then_given) {
		ret = bf_parse_then(then_given, &then, err);
		json_object_set_new(request, "then", json_string(then_given));
	}
	return ret;
}

static int print_answer(const struct cli *cli, json_t *answer,
			struct bf_error *err)
{
	if (cli->json) {
		cli_print_json(json_incref(answer));
		return 0;
	}
	printf("%s is cut over: the target holds the same, and refuses further writers\n",
	       cli->arguments[0]);
	return cli_print_fields(stdout, columns, answer, err);
}

/* The job must be there now, not only then. */
static int wait_for_moment(const struct cli *cli, struct bf_error *err)
{
	_cleanup_close_ int stop_fd = -1;
	json_t *status = NULL;
	char text[64];
	time_t at;
	int ret = bf_parse_moment(at_given, time(NULL), &at, err);

	if (!ret && at < time(NULL))
		return cli_usage(err, "--at %s has passed", at_given);
	if (!ret)
		ret = cli_collect_running(cli, cli->arguments[0], &status,
					  err);
	if (!ret)
		ret = cli_stop_fd(&stop_fd, err);
	json_decref(status);
	if (ret)
		return ret;
	strftime(text, sizeof(text), "%F %T %Z", localtime(&at));
	fprintf(stderr, "waiting until %s; interrupt it to call the cutover off\n",
		text);
	while (time(NULL) < at)
		if (cli_stop_wait(stop_fd))
			return bf_fail(err, BF_E_CANCELLED, ECANCELED,
				       "the cutover was called off before its time");
	return 0;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	json_t *request = json_pack("{s:s}", "command", "cutover");
	json_t *answer = NULL;
	int ret = make_request(request, err);

	if (!ret && at_given)
		ret = wait_for_moment(cli, err);
	if (ret) {
		json_decref(request);
		return ret;
	}
	ret = cli_job_call(cli, cli->arguments[0], request, true, &answer, err);
	if (!ret)
		ret = print_answer(cli, answer, err);
	json_decref(answer);
	return ret;
}

const struct cli_command cli_cutover = {
	.name = "cutover", .arguments = "JOB",
	.summary = "freeze, send the rest, confirm, switch over",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
