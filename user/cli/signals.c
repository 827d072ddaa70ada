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

static int signal_fd(const sigset_t *signals, int *fd, struct bf_error *err)
{
	sigprocmask(SIG_BLOCK, signals, NULL);
	*fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*fd < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "signalfd: %s",
			       strerror(errno));
	return 0;
}

int cli_stop_fd(int *fd, struct bf_error *err)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	return signal_fd(&stop, fd, err);
}

int cli_reload_fd(int *fd, struct bf_error *err)
{
	sigset_t reload;

	sigemptyset(&reload);
	sigaddset(&reload, SIGHUP);
	return signal_fd(&reload, fd, err);
}

bool cli_stop_wait(int stop_fd)
{
	struct pollfd fd = { stop_fd, POLLIN, 0 };

	return poll(&fd, 1, 1000) > 0;
}
