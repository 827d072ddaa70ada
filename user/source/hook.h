/* SPDX-License-Identifier: Apache-2.0 */
/* Hook: a command of the operator flows in, its success or a reason flows out. */
#ifndef BF_SOURCE_HOOK_H
#define BF_SOURCE_HOOK_H

#include <stdint.h>

#include "lib/error.h"

/*
 * bf_hook_run - run @command by /bin/sh -c and wait for it
 * @what: its name in the configuration, for words
 * @why: what went wrong, for those that run on a failure; may be NULL
 * @timeout_ns: then its whole process group is killed
 * @stop_fd: readable: killed as well (BF_E_CANCELLED); -1: none
 *
 * It runs in a process group of its own with BLKFERRY_JOB and BLKFERRY_HOOK
 * set, with @why BLKFERRY_ERROR (its code) and BLKFERRY_TEXT as well, no input,
 * and our standard error for both outputs. An empty command is success.
 */
int bf_hook_run(const char *what, const char *command, const char *job,
		const struct bf_error *why, uint64_t timeout_ns, int stop_fd,
		struct bf_error *err);

#endif /* BF_SOURCE_HOOK_H */
