// SPDX-License-Identifier: Apache-2.0
/*
 * Hook: the operator's commands around a cutover. Nothing is frozen while one
 * runs (RULE 5), and one that hangs is ended at its time limit.
 */
#include "source/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/transport.h"
#include "lib/units.h"

/* Between fork and exec: async-signal-safe calls only. */
static void __attribute__((noreturn)) become_hook(char *const argv[],
						  char *const envp[])
{
	sigset_t none;
	int null;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	syscall(__NR_close_range, 3, ~0u, 0);
	execve("/bin/sh", argv, envp);
	_exit(127);
}

#define VARIABLES 4
#define VARIABLE_BYTES (BF_ERROR_TEXT_BYTES + 32)

/* environ and our own; all strings stay where they are. */
static char **environment(char own[VARIABLES][VARIABLE_BYTES])
{
	size_t nr = 0;
	char **envp;

	while (environ[nr])
		nr++;
	envp = calloc(nr + VARIABLES + 1, sizeof(*envp));
	if (!envp)
		return NULL;
	memcpy(envp, environ, nr * sizeof(*envp));
	for (size_t i = 0; i < VARIABLES; i++)
		if (*own[i])
			envp[nr++] = own[i];
	return envp;
}

/* Return: 0 when it has ended by itself, -ETIME, -ECANCELED. */
static int wait_end(int pidfd, int stop_fd, uint64_t timeout_ns)
{
	uint64_t end_ns = bf_now_ns() + timeout_ns;

	for (;;) {
		struct pollfd fds[] = { { pidfd, POLLIN, 0 },
					{ stop_fd, POLLIN, 0 } };
		uint64_t now_ns = bf_now_ns();
		uint64_t left_ms;

		if (now_ns >= end_ns)
			return -ETIME;
		left_ms = (end_ns - now_ns) / BF_NSEC_PER_MSEC + 1;
		if (poll(fds, 2, left_ms < INT_MAX ? left_ms : INT_MAX) < 0)
			continue;
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			return -ECANCELED;
	}
}

static int ended(const char *what, int status, struct bf_error *err)
{
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFEXITED(status))
		return bf_fail(err, BF_E_HOOK, ECANCELED,
			       "the %s command ended with status %d: mend it, or take it out of the job's configuration",
			       what, WEXITSTATUS(status));
	return bf_fail(err, BF_E_HOOK, ECANCELED,
		       "the %s command was ended by signal %d", what,
		       WTERMSIG(status));
}

static int interrupted(const char *what, int ret, uint64_t timeout_ns,
		       struct bf_error *err)
{
	char limit[BF_UNIT_TEXT_BYTES];

	if (ret == -ECANCELED)
		return bf_fail(err, BF_E_CANCELLED, ECANCELED,
			       "the %s command was ended with the job", what);
	if (ret != -ETIME)
		return bf_fail(err, BF_E_HOOK, -ret,
			       "the %s command could not be watched (%s) and was killed: try again",
			       what, strerror(-ret));
	return bf_fail(err, BF_E_HOOK, ETIME,
		       "the %s command did not end within %s and was killed: mend it, or raise hook-timeout",
		       what, bf_format_time(timeout_ns, limit));
}

static int run(const char *what, char *const argv[], char *const envp[],
	       uint64_t timeout_ns, int stop_fd, struct bf_error *err)
{
	_cleanup_close_ int pidfd = -1;
	int ret, status = 0;
	pid_t pid = fork();

	if (!pid)
		become_hook(argv, envp);
	if (pid < 0)
		return bf_fail(err, BF_E_HOOK, errno,
			       "the %s command could not be started: %s", what,
			       strerror(errno));
	setpgid(pid, pid);		/* whoever of both comes first */
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	ret = pidfd < 0 ? -errno : wait_end(pidfd, stop_fd, timeout_ns);
	/* What it left in the background ends with it only on a failure. */
	if (ret)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return ret ? interrupted(what, ret, timeout_ns, err) :
	       ended(what, status, err);
}

int bf_hook_run(const char *what, const char *command, const char *job,
		const struct bf_error *why, uint64_t timeout_ns, int stop_fd,
		struct bf_error *err)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)command,
			       NULL };
	char own[VARIABLES][VARIABLE_BYTES] = { "" };
	_cleanup_free_ char **envp = NULL;

	if (!*command)
		return 0;
	snprintf(own[0], VARIABLE_BYTES, "BLKFERRY_JOB=%s", job);
	snprintf(own[1], VARIABLE_BYTES, "BLKFERRY_HOOK=%s", what);
	if (why) {
		snprintf(own[2], VARIABLE_BYTES, "BLKFERRY_ERROR=%s",
			 bf_code_name(why->code));
		snprintf(own[3], VARIABLE_BYTES, "BLKFERRY_TEXT=%s", why->text);
	}
	envp = environment(own);
	if (!envp)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	return run(what, argv, envp, timeout_ns, stop_fd, err);
}
