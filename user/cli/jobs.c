// SPDX-License-Identifier: Apache-2.0
/*
 * Jobs: a word of the operator flows to the control socket of a running job,
 * its events and its answer flow back.
 */
#include "cli/jobs.h"

#include <errno.h>
#include <stdio.h>

#include "lib/config.h"
#include "lib/control.h"
#include "lib/transport.h"

/* A job answers such requests from memory. */
#define SHORT_TIMEOUT_NS (20 * BF_NSEC_PER_SEC)

int cli_check_job_name(const char *name, struct bf_error *err)
{
	if (bf_job_name_valid(name))
		return 0;
	return cli_usage(err, "\"%.80s\" is not a job's name: 1 to 63 letters, digits and -_. without a leading dot or dash, and no .guardian at its end",
			 name);
}

static void show_event(void *context, json_t *event)
{
	cli_progress_show(context, event);
}

int cli_job_call(const struct cli *cli, const char *name, json_t *request,
		 bool wait, json_t **answer, struct bf_error *err)
{
	struct cli_progress progress;
	char path[108];
	int ret = cli_check_job_name(name, err);

	cli_progress_init(&progress, cli->json);
	bf_control_path(path, cli->run_dir, name);
	if (!ret)
		ret = bf_control_call(path, request,
				      wait ? 0 : SHORT_TIMEOUT_NS, show_event,
				      &progress, answer, err);
	cli_progress_end(&progress);
	json_decref(request);
	return ret;
}

int cli_job_command(const struct cli *cli, const char *command, bool wait,
		    const char *done, struct bf_error *err)
{
	const char *name = cli->arguments[0];
	json_t *answer = NULL;
	int ret = cli_job_call(cli, name, json_pack("{s:s}", "command", command),
			       wait, &answer, err);

	if (ret)
		return ret;
	if (cli->json)
		cli_print_json(json_incref(answer));
	else
		printf("%s %s\n", name, done);
	json_decref(answer);
	return 0;
}
