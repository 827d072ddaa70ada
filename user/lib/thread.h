/* SPDX-License-Identifier: Apache-2.0 */
/* Thread: one that takes no signal: those are for who reads them from an fd. */
#ifndef BF_LIB_THREAD_H
#define BF_LIB_THREAD_H

#include <pthread.h>

/* Return: 0 or a positive errno, as pthread_create. */
int bf_thread_start(pthread_t *thread, void *(*run)(void *context),
		    void *context);

#endif /* BF_LIB_THREAD_H */
