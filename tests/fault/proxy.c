// SPDX-License-Identifier: Apache-2.0
/*
 * A network that fails on command: connections to a port of this host are
 * passed on to an address, until a number of bytes has gone one way. In: one
 * line for each connection in the order in which they come, "up BYTES ACTION",
 * "down BYTES ACTION" or "pass"; up is towards the address. Connections beyond
 * the lines pass. ACTION: reset (RST to both), close (FIN to both), stall
 * (nothing more goes either way until one of them gives up), slow (what comes
 * goes on, 16 KiB every few milliseconds). Out: "listening on
 * 127.0.0.1:PORT", then a line for each thing that was done.
 *
 *	usage: proxy ADDRESS
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/error.h"
#include "lib/transport.h"

struct plan {
	int way;			/* 0: up, 1: down, -1: pass */
	uint64_t bytes;
	char action[16];
};

static void reset_on_close(int fd)
{
	const struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void act(const struct plan *plan, const int fds[2])
{
	struct pollfd wait[2] = { { fds[0], POLLIN, 0 }, { fds[1], POLLIN, 0 } };
	char sink[4096];

	printf("%s after %llu bytes %s\n", plan->action,
	       (unsigned long long)plan->bytes, plan->way ? "down" : "up");
	fflush(stdout);
	if (!strcmp(plan->action, "reset")) {
		reset_on_close(fds[0]);
		reset_on_close(fds[1]);
	}
	while (!strcmp(plan->action, "stall") && poll(wait, 2, -1) > 0) {
		/* What comes is taken and goes nowhere. */
		for (int i = 0; i < 2; i++)
			if (wait[i].revents &&
			    recv(fds[i], sink, sizeof(sink), 0) <= 0)
				return;
	}
}

/* Return: false at the end of either side. */
static bool forward(int from, int to, uint64_t *left)
{
	char buffer[16384];
	size_t room = *left < sizeof(buffer) ? *left : sizeof(buffer);
	ssize_t got = recv(from, buffer, room, 0), put, at = 0;

	if (got <= 0)
		return false;
	while (at < got) {
		put = send(to, buffer + at, (size_t)(got - at), MSG_NOSIGNAL);
		if (put < 0)
			return false;
		at += put;
	}
	if (*left != UINT64_MAX)
		*left -= (uint64_t)got;
	return true;
}

static bool lag(int from, int to)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	uint64_t left = UINT64_MAX;

	nanosleep(&pause, NULL);
	return forward(from, to, &left);
}

static void serve(const int fds[2], const struct plan *plan)
{
	uint64_t left[2] = { UINT64_MAX, UINT64_MAX };
	struct pollfd wait[2] = { { fds[0], POLLIN, 0 }, { fds[1], POLLIN, 0 } };

	if (plan->way >= 0)
		left[plan->way] = plan->bytes;
	while (left[0] && left[1] && poll(wait, 2, -1) > 0)
		for (int i = 0; i < 2; i++)
			if (wait[i].revents && left[i] &&
			    !forward(fds[i], fds[!i], &left[i]))
				return;
	if (plan->way < 0)
		return;
	act(plan, fds);
	while (!strcmp(plan->action, "slow") && poll(wait, 2, -1) > 0)
		for (int i = 0; i < 2; i++)
			if (wait[i].revents && !lag(fds[i], fds[!i]))
				return;
}

static void next_plan(struct plan *plan)
{
	char line[128], way[16];
	unsigned long long bytes;

	plan->way = -1;
	if (!fgets(line, sizeof(line), stdin) ||
	    sscanf(line, "%15s %llu %15s", way, &bytes, plan->action) != 3)
		return;
	plan->way = strcmp(way, "up") ? 1 : 0;
	plan->bytes = bytes;
}

int main(int argc, char **argv)
{
	struct bf_error err = { 0 };
	char name[BF_ADDRESS_BYTES];
	struct pollfd wait = { .events = POLLIN };

	signal(SIGCHLD, SIG_IGN);
	if (argc != 2 || bf_tcp_listen("127.0.0.1:0", &wait.fd, &err))
		return 2;
	bf_tcp_name(wait.fd, false, name);
	printf("listening on %s\n", name);
	fflush(stdout);
	while (poll(&wait, 1, -1) > 0) {
		struct plan plan;
		int fds[2];

		if (bf_tcp_accept(wait.fd, &fds[0]))
			continue;
		next_plan(&plan);
		if (!fork()) {
			if (bf_tcp_connect(argv[1], bf_now_ns() + 10 *
					   BF_NSEC_PER_SEC, &fds[1], &err))
				return 1;
			for (int i = 0; i < 2; i++) {
				const int flags = fcntl(fds[i], F_GETFL);

				fcntl(fds[i], F_SETFL, flags & ~O_NONBLOCK);
			}
			serve(fds, &plan);
			return 0;
		}
		close(fds[0]);
	}
	return 1;
}
