// SPDX-License-Identifier: Apache-2.0
/*
 * Signals: SIGTERM and SIGINT flow in, a readable descriptor flows out, so
 * that a long-running subcommand stops at a place of its own choice. To be
 * called before the first thread: threads inherit the mask.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "cli/cli.h"

int cli_stop_fd(int *fd, struct bf_error *err)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	*fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*fd < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "signalfd: %s",
			       strerror(errno));
	return 0;
}

bool cli_stop_wait(int stop_fd)
{
	struct pollfd fd = { stop_fd, POLLIN, 0 };

	return poll(&fd, 1, 1000) > 0;
}
