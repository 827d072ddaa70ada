// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: a hook that succeeds is silent, one that fails says with which
 * status, one that hangs is killed at its limit together with its children,
 * and the end of the job ends it.
 */
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "lib/transport.h"
#include "source/hook.h"
#include "tap.h"

static struct bf_error err;

static void succeeds(void)
{
	check_eq(bf_hook_run("pre-freeze", "test \"$BLKFERRY_JOB\" = web", "web", NULL,
			     10 * BF_NSEC_PER_SEC, -1, &err), 0);
}

static void knows_why(void)
{
	struct bf_error why;

	bf_fail(&why, BF_E_DOWNTIME, ETIME, "30 s have \"passed\"");
	check_eq(bf_hook_run("on-failure",
			     "test \"$BLKFERRY_HOOK $BLKFERRY_ERROR\" = 'on-failure downtime-exceeded' &&"
			     "test \"$BLKFERRY_TEXT\" = '30 s have \"passed\"'",
			     "web", &why, 10 * BF_NSEC_PER_SEC, -1, &err), 0);
}

static void empty_is_success(void)
{
	check_eq(bf_hook_run("pre-freeze", "", "web", NULL, 0, -1, &err), 0);
}

static void fails(void)
{
	check(bf_hook_run("pre-freeze", "exit 3", "web", NULL, 10 * BF_NSEC_PER_SEC,
			  -1, &err) < 0);
	check_eq(err.code, BF_E_HOOK);
	check_says(err.text, "pre-freeze");
	check_says(err.text, "status 3");
}

static void ended_by_signal(void)
{
	check(bf_hook_run("pre-freeze", "kill -TERM $$", "web", NULL,
			  10 * BF_NSEC_PER_SEC, -1, &err) < 0);
	check_eq(err.code, BF_E_HOOK);
	check_says(err.text, "signal 15");
}

/* The child of the shell keeps the pipe open as long as it lives. */
static void hangs(void)
{
	uint64_t start_ns = bf_now_ns();
	char command[64], byte;
	int ends[2];

	check(!pipe(ends));
	snprintf(command, sizeof(command),
		 "tail -f /dev/null 2>/proc/%d/fd/%d & wait", getpid(), ends[1]);
	check_eq(bf_hook_run("pre-freeze", command, "web", NULL,
			     200 * BF_NSEC_PER_MSEC, -1, &err), -ETIME);
	check_eq(err.code, BF_E_HOOK);
	check_says(err.text, "200ms");
	check(bf_now_ns() - start_ns < 20 * BF_NSEC_PER_SEC);
	close(ends[1]);
	check_eq(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

static void ends_with_the_job(void)
{
	int stop = eventfd(1, 0);

	check_eq(bf_hook_run("pre-freeze", "tail -f /dev/null", "web", NULL,
			     100 * BF_NSEC_PER_SEC, stop, &err), -ECANCELED);
	check_eq(err.code, BF_E_CANCELLED);
	close(stop);
}

int main(void)
{
	tap_run("a command that succeeds", succeeds);
	tap_run("a command on a failure knows which", knows_why);
	tap_run("no command is success", empty_is_success);
	tap_run("a failing command tells its status", fails);
	tap_run("a killed command tells the signal", ended_by_signal);
	tap_run("a hanging command is killed with its children", hangs);
	tap_run("the end of the job ends it", ends_with_the_job);
	return tap_done();
}
