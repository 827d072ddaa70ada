// SPDX-License-Identifier: Apache-2.0
/* Thread: see thread.h. */
#include "lib/thread.h"

#include <signal.h>

int bf_thread_start(pthread_t *thread, void *(*run)(void *context),
		    void *context)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(thread, NULL, run, context);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}
