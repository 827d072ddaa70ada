// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: a receiver that has given up its privileges starts no programs, traces
 * nobody and takes no other namespace, in no thread; it opens, writes and
 * connects as before.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "target/privileges.h"

/* What @try says, 0..255, in a process that has given them up. */
static int without_privileges(int (*try)(void))
{
	struct bf_error err;
	pid_t child = fork();
	int status;

	check(child >= 0);
	if (!child)
		_exit(bf_drop_privileges(&err) ? 255 : try());
	check_eq(waitpid(child, &status, 0), child);
	check(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int start_program(void)
{
	char *const words[] = { "true", NULL };

	execv("/bin/true", words);
	return errno;
}

static int be_traced(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? errno : 0;
}

static int other_namespace(void)
{
	return unshare(CLONE_NEWUSER) ? errno : 0;
}

static void *start_in_thread(void *result)
{
	*(int *)result = start_program();
	return NULL;
}

static int in_a_thread(void)
{
	pthread_t thread;
	int result = 0;

	if (pthread_create(&thread, NULL, start_in_thread, &result) ||
	    pthread_join(thread, NULL))
		return 255;
	return result;
}

static int work(void)
{
	int file = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int ends[2];

	if (file < 0 || write(file, "x", 1) != 1)
		return errno;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) ? errno : 0;
}

static void nothing_that_it_does_not_need(void)
{
	check_eq(without_privileges(start_program), EPERM);
	check_eq(without_privileges(be_traced), EPERM);
	check_eq(without_privileges(other_namespace), EPERM);
	check_eq(without_privileges(in_a_thread), EPERM);
}

static void its_work(void)
{
	check_eq(without_privileges(work), 0);
}

int main(void)
{
	tap_run("no programs, no tracing, no namespaces",
		nothing_that_it_does_not_need);
	tap_run("its work goes on", its_work);
	return tap_done();
}
