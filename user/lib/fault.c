// SPDX-License-Identifier: Apache-2.0
/*
 * Fault points: a word of the environment flows in; at the place it names the
 * process dies, or an error flows out. Empty but in builds for tests. What is
 * asked for is one for the process, as its environment is.
 */
#include "fault.h"

#ifdef BF_FAULTS
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static const char *const names[] = {
#define BF_FAULT_NAME(constant, name) [constant] = (name),
	BF_FAULT_TABLE(BF_FAULT_NAME)
#undef BF_FAULT_NAME
};

static struct {
	pthread_once_t once;
	char point[64];
	int errnum;			/* 0: die */
	_Atomic int left;		/* times to go by */
} asked = { .once = PTHREAD_ONCE_INIT };

static void read_environment(void)
{
	const char *text = getenv("BLKFERRY_FAULT");
	int nth = 0;

	if (!text)
		return;
	if (sscanf(text, "%63[^:]:%d:%d", asked.point, &nth, &asked.errnum) < 2)
		asked.point[0] = '\0';
	atomic_store(&asked.left, nth);
}

int bf_fault(enum bf_fault point, struct bf_error *err)
{
	pthread_once(&asked.once, read_environment);
	if (strcmp(asked.point, names[point]) ||
	    atomic_fetch_sub(&asked.left, 1) != 1)
		return 0;
	bf_log(BF_LOG_NOTICE, "fault point %s is reached", names[point]);
	if (!asked.errnum)
		kill(getpid(), SIGKILL);
	return bf_fail(err, BF_E_SYSTEM, asked.errnum,
		       "the fault that was asked for at %s", names[point]);
}
#endif
