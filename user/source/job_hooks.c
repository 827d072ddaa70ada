// SPDX-License-Identifier: Apache-2.0
/*
 * Job, hooks: a moment of the job flows in, the operator's command for it runs
 * with the job's limits. Those before a freeze decide; those after one are told
 * of in the log.
 */
#include "lib/log.h"
#include "source/hook.h"
#include "source/job_state.h"

int bf_job_hook(struct bf_job *job, const char *what, const char *command,
		struct bf_error *err)
{
	return bf_hook_run(what, command, job->config->name, NULL,
			   job->config->hook_timeout_ns, job->end_fd, err);
}

/* Not ended with the job: it may be what tells that the job has ended. */
void bf_job_hook_tell(struct bf_job *job, const char *what,
		      const char *command, const struct bf_error *why)
{
	struct bf_error err;

	if (bf_hook_run(what, command, job->config->name, why,
			job->config->hook_timeout_ns, -1, &err))
		bf_log_error(&err);
}
