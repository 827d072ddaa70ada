// SPDX-License-Identifier: Apache-2.0
/*
 * cut_link LISTEN_PORT TARGET_PORT message|answer|silence|none [end]: a TCP
 * proxy that ends the first connection at its CUTOVER frame, before it
 * ("message") or after the target has answered it ("answer"), or leaves both
 * sides waiting there ("silence"), and carries later connections unharmed, or
 * ends with it ("end").
 *
 * It sees TLS records only: a frame of 24 bytes makes one of 41 (content type
 * and tag added). CLAIM is the first of that size, CUTOVER the second.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TLS_HEADER 5
#define TLS_DATA 23
#define FRAME_RECORD 41

/* Follows the records of one direction, byte by byte as they come. */
struct records {
	uint8_t header[TLS_HEADER];
	size_t have;			/* of the header */
	size_t left;			/* of the record's body */
	unsigned int nr_frames;		/* of the size looked for */
};

static void fail(const char *what)
{
	fprintf(stderr, "cut_link: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Return: where in @bytes the second frame's record begins, or @bytes. */
static size_t find_cutover(struct records *r, const uint8_t *data, size_t bytes)
{
	for (size_t at = 0; at < bytes;) {
		if (r->left) {
			size_t step = r->left < bytes - at ? r->left : bytes - at;

			r->left -= step;
			at += step;
			continue;
		}
		r->header[r->have++] = data[at++];
		if (r->have < TLS_HEADER)
			continue;
		r->have = 0;
		r->left = r->header[3] << 8 | r->header[4];
		if (r->header[0] != TLS_DATA || r->left != FRAME_RECORD)
			continue;
		if (++r->nr_frames == 2)
			return at - TLS_HEADER;
	}
	return bytes;
}

static void send_all(int fd, const uint8_t *data, size_t bytes)
{
	while (bytes) {
		ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);

		if (sent <= 0)
			return;		/* the other direction will see it */
		data += sent;
		bytes -= sent;
	}
}

/* Return: false when the connection is over. */
static bool carry(int from, int to)
{
	uint8_t data[65536];
	ssize_t bytes = recv(from, data, sizeof(data), 0);

	if (bytes <= 0)
		return false;
	send_all(to, data, bytes);
	return true;
}

/* The answer comes, and goes nowhere. */
static void swallow_answer(int target)
{
	uint8_t data[65536];

	if (recv(target, data, sizeof(data), 0) > 0)
		puts("the answer is lost");
}

/* Return: false when the connection is over. */
static bool carry_up(int source, int target, struct records *records,
		     const char *how)
{
	uint8_t data[65536];
	ssize_t bytes = recv(source, data, sizeof(data), 0);
	size_t before;

	if (bytes <= 0)
		return false;
	before = find_cutover(records, data, bytes);
	send_all(target, data, before);
	if (before == (size_t)bytes)
		return true;
	if (strcmp(how, "answer")) {
		puts("the message is lost");
		return false;
	}
	send_all(target, data + before, bytes - before);
	swallow_answer(target);
	return false;
}

/* @how: NULL: unharmed. */
static void serve(int source, int target, const char *how)
{
	struct pollfd fds[] = { { source, POLLIN, 0 }, { target, POLLIN, 0 } };
	struct records records = { .have = 0 };
	bool up = true;

	while (up && poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			up = how ? carry_up(source, target, &records, how) :
				   carry(source, target);
		if (up && fds[1].revents)
			up = carry(target, source);
	}
	fflush(stdout);
	if (how && !strcmp(how, "silence"))
		return;			/* both stay open, to our end */
	close(source);
	close(target);
}

static struct sockaddr_in loopback(const char *port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

int main(int argc, char **argv)
{
	struct sockaddr_in here, there;
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	const char *how = argv[3];

	if (argc != 4 && argc != 5)
		return 3;
	if (!strcmp(how, "none"))
		how = NULL;
	here = loopback(argv[1]);
	there = loopback(argv[2]);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) ||
	    listen(listener, 4))
		fail("listen");
	for (;;) {
		int source = accept(listener, NULL, NULL);
		int target = socket(AF_INET, SOCK_STREAM, 0);

		if (source < 0)
			fail("accept");
		if (connect(target, (struct sockaddr *)&there, sizeof(there))) {
			close(source);
			close(target);
			continue;
		}
		serve(source, target, how);
		if (argc == 5)
			return 0;
		how = NULL;
	}
}
