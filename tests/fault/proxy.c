// SPDX-License-Identifier: Apache-2.0
/*
 * A network that fails on command: connections to a port of this host are
 * passed on to an address, until so much has gone one way. In: one line for each
 * connection in the order in which they come, "up AMOUNT ACTION", "down AMOUNT
 * ACTION" or "pass"; up is towards the address. Connections beyond the lines
 * pass. AMOUNT: BYTES, or RECORDSr+BYTES, of TLS; a frame begins with a record.
 * ACTION: reset (RST to both), close (FIN to both), stall
 * (nothing more goes either way until one of them gives up), slow (what comes
 * goes on, 16 KiB every few milliseconds). Out: "listening on
 * 127.0.0.1:PORT", then a line for each thing that was done, or for a connection
 * that ended before it could be.
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

#define RECORD_HEADER 5			/* type, version, length of the rest */
#define RECORD_MAX (RECORD_HEADER + 16384 + 256)

/* What may still pass. */
struct amount {
	uint64_t records, bytes;	/* bytes after the records */
};

struct plan {
	int way;			/* 0: up, 1: down, -1: pass */
	struct amount amount;
	char text[32], action[16];
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

	printf("%s after %s %s\n", plan->action, plan->text,
	       plan->way ? "down" : "up");
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

static bool put_all(int to, const uint8_t *data, size_t bytes)
{
	for (size_t at = 0; at < bytes;) {
		ssize_t put = send(to, data + at, bytes - at, MSG_NOSIGNAL);

		if (put < 0)
			return false;
		at += (size_t)put;
	}
	return true;
}

/* Return: false at the end of either side. */
static bool forward_record(int from, int to)
{
	uint8_t record[RECORD_MAX];
	size_t rest;

	if (recv(from, record, RECORD_HEADER, MSG_WAITALL) != RECORD_HEADER)
		return false;
	rest = (size_t)record[3] << 8 | record[4];
	if (rest > sizeof(record) - RECORD_HEADER ||
	    recv(from, record + RECORD_HEADER, rest, MSG_WAITALL) !=
	    (ssize_t)rest)
		return false;
	return put_all(to, record, RECORD_HEADER + rest);
}

/* Return: false at the end of either side. */
static bool forward(int from, int to, struct amount *left)
{
	uint8_t buffer[16384];
	size_t room = left->bytes < sizeof(buffer) ? left->bytes : sizeof(buffer);
	ssize_t got;

	if (left->records) {
		if (!forward_record(from, to))
			return false;
		left->records--;
		return true;
	}
	got = recv(from, buffer, room, 0);
	if (got <= 0)
		return false;
	if (left->bytes != UINT64_MAX)
		left->bytes -= (uint64_t)got;
	return put_all(to, buffer, (size_t)got);
}

static bool is_over(const struct amount *left)
{
	return !left->records && !left->bytes;
}

static bool lag(int from, int to)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	struct amount left = { .bytes = UINT64_MAX };

	nanosleep(&pause, NULL);
	return forward(from, to, &left);
}

/* It ended by itself before its time had come. */
static void tell_end(const struct plan *plan, const struct amount left[2])
{
	if (plan->way < 0)
		return;
	printf("ended after %llu records %s\n",
	       (unsigned long long)(plan->amount.records -
				    left[plan->way].records),
	       plan->way ? "down" : "up");
	fflush(stdout);
}

static void serve(const int fds[2], const struct plan *plan)
{
	struct amount left[2] = { { 0, UINT64_MAX }, { 0, UINT64_MAX } };
	struct pollfd wait[2] = { { fds[0], POLLIN, 0 }, { fds[1], POLLIN, 0 } };

	if (plan->way >= 0)
		left[plan->way] = plan->amount;
	while (!is_over(&left[0]) && !is_over(&left[1]) && poll(wait, 2, -1) > 0)
		for (int i = 0; i < 2; i++)
			if (wait[i].revents && !is_over(&left[i]) &&
			    !forward(fds[i], fds[!i], &left[i])) {
				tell_end(plan, left);
				return;
			}
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
	unsigned long long number, more = 0;

	plan->way = -1;
	if (!fgets(line, sizeof(line), stdin) ||
	    sscanf(line, "%15s %31s %15s", way, plan->text, plan->action) != 3)
		return;
	plan->way = strcmp(way, "up") ? 1 : 0;
	plan->amount = sscanf(plan->text, "%llur+%llu", &number, &more) == 2 ?
		(struct amount){ number, more } : (struct amount){ 0, number };
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
