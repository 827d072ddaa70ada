// SPDX-License-Identifier: Apache-2.0
/*
 * Transport: bytes flow in and out of a socket, through TLS (tls.c) or, between
 * the two ends of a pair in one process, as they are. Nothing here blocks but
 * the helpers that take a deadline, and a deadline always ends them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "lib/transport_private.h"

#define PAIR_BUFFER_BYTES (4 << 20)

uint64_t bf_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * BF_NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

int bf_wait_fd(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	struct timespec left;
	uint64_t now;
	int ret;

	do {
		now = bf_now_ns();
		if (now >= deadline_ns)
			return -ETIMEDOUT;
		left.tv_sec = (time_t)((deadline_ns - now) / BF_NSEC_PER_SEC);
		left.tv_nsec = (long)((deadline_ns - now) % BF_NSEC_PER_SEC);
		ret = ppoll(&pollfd, 1, &left, NULL);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return ret ? 0 : -ETIMEDOUT;
}

ssize_t bf_socket_read(struct bf_transport *transport, void *buffer, size_t bytes)
{
	ssize_t got;

	do {
		got = recv(transport->fd, buffer, bytes, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	transport->received_bytes += (uint64_t)got;
	return got;
}

ssize_t bf_socket_read_ahead(struct bf_transport *transport, void *buffer,
			     size_t bytes)
{
	struct iovec rooms[2] = {
		{ buffer, bytes },
		{ transport->ahead, sizeof(transport->ahead) },
	};
	struct msghdr message = { .msg_iov = rooms, .msg_iovlen = 2 };
	ssize_t got;

	do {
		got = recvmsg(transport->fd, &message, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	transport->received_bytes += (uint64_t)got;
	if ((size_t)got <= bytes)
		return got;
	transport->nr_ahead = (size_t)got - bytes;
	return (ssize_t)bytes;
}

ssize_t bf_socket_write(struct bf_transport *transport, const void *buffer,
			size_t bytes)
{
	ssize_t put;

	do {
		put = send(transport->fd, buffer, bytes, MSG_NOSIGNAL |
			   (transport->more ? MSG_MORE : 0));
	} while (put < 0 && errno == EINTR);
	if (put < 0)
		return -errno;
	transport->sent_bytes += (uint64_t)put;
	return put;
}

static struct bf_transport *new_end(int fd)
{
	struct bf_transport *end = calloc(1, sizeof(*end));

	if (!end)
		return NULL;
	end->fd = fd;
	end->read_events = POLLIN;
	end->write_events = POLLOUT;
	strcpy(end->peer, "local");
	return end;
}

/* More than the default is a matter of speed: refusal does not count. */
static void enlarge_buffers(int fd)
{
	int bytes = PAIR_BUFFER_BYTES;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
}

int bf_transport_pair(struct bf_transport *ends[2], struct bf_error *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fds) < 0)
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "cannot make a socket pair: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		enlarge_buffers(fds[i]);
		ends[i] = new_end(fds[i]);
	}
	if (ends[0] && ends[1])
		return 0;
	for (int i = 0; i < 2; i++) {
		free(ends[i]);
		close(fds[i]);
	}
	return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
}

const char *bf_transport_peer(const struct bf_transport *transport)
{
	return transport->peer;
}

ssize_t bf_transport_read(struct bf_transport *transport, void *buffer,
			  size_t bytes)
{
	if (transport->ssl)
		return bf_tls_read(transport, buffer, bytes);
	return bf_socket_read(transport, buffer, bytes);
}

ssize_t bf_transport_write(struct bf_transport *transport, const void *buffer,
			   size_t bytes)
{
	if (transport->ssl)
		return bf_tls_write(transport, buffer, bytes);
	return bf_socket_write(transport, buffer, bytes);
}

int bf_transport_fd(const struct bf_transport *transport)
{
	return transport->fd;
}

short bf_transport_read_events(const struct bf_transport *transport)
{
	return transport->read_events;
}

short bf_transport_write_events(const struct bf_transport *transport)
{
	return transport->write_events;
}

size_t bf_transport_pending(const struct bf_transport *transport)
{
	int decrypted;

	if (!transport->ssl)
		return 0;
	decrypted = SSL_pending(transport->ssl);
	if (decrypted > 0)
		return (size_t)decrypted;
	return transport->nr_ahead || SSL_has_pending(transport->ssl) ? 1 : 0;
}

uint64_t bf_transport_sent_bytes(const struct bf_transport *transport)
{
	return transport->sent_bytes;
}

uint64_t bf_transport_received_bytes(const struct bf_transport *transport)
{
	return transport->received_bytes;
}

static int lost(struct bf_error *err, ssize_t ret)
{
	if (ret == 0)
		return bf_fail(err, BF_E_CONNECTION, ECONNRESET,
			       "the peer closed the connection");
	if (ret == -ETIMEDOUT)
		return bf_fail(err, BF_E_TIMEOUT, ETIMEDOUT,
			       "the peer does not answer within the time-out; is it running, and is the network up?");
	return bf_fail(err, BF_E_CONNECTION, (int)-ret,
		       "the connection was lost: %s", strerror((int)-ret));
}

int bf_transport_read_all(struct bf_transport *transport, void *buffer,
			  size_t bytes, uint64_t deadline_ns,
			  struct bf_error *err)
{
	uint8_t *to = buffer;
	ssize_t got;
	int ret;

	while (bytes) {
		got = bf_transport_read(transport, to, bytes);
		if (got == -EAGAIN) {
			ret = bf_wait_fd(transport->fd, transport->read_events,
					 deadline_ns);
			if (ret)
				return lost(err, ret);
			continue;
		}
		if (got <= 0)
			return lost(err, got);
		to += got;
		bytes -= (size_t)got;
	}
	return 0;
}

int bf_transport_write_all(struct bf_transport *transport, const void *buffer,
			   size_t bytes, uint64_t deadline_ns,
			   struct bf_error *err)
{
	const uint8_t *from = buffer;
	ssize_t put;
	int ret;

	while (bytes) {
		put = bf_transport_write(transport, from, bytes);
		if (put == -EAGAIN) {
			ret = bf_wait_fd(transport->fd, transport->write_events,
					 deadline_ns);
			if (ret)
				return lost(err, ret);
			continue;
		}
		if (put <= 0)
			return lost(err, put);
		from += put;
		bytes -= (size_t)put;
	}
	return 0;
}

static void say_goodbye(struct bf_transport *transport)
{
	if (transport->ssl && !transport->dead)
		SSL_shutdown(transport->ssl);	/* one try, does not block */
	ERR_clear_error();
}

void bf_transport_finish(struct bf_transport *transport, uint64_t deadline_ns)
{
	char sink[4096];
	ssize_t got;

	say_goodbye(transport);
	shutdown(transport->fd, SHUT_WR);
	do {
		got = bf_socket_read(transport, sink, sizeof(sink));
		if (got == -EAGAIN)
			got = bf_wait_fd(transport->fd, POLLIN, deadline_ns) ?
			      0 : 1;
		if (bf_now_ns() >= deadline_ns)
			return;
	} while (got > 0);
}

void bf_transport_close(struct bf_transport *transport)
{
	if (!transport)
		return;
	say_goodbye(transport);
	SSL_free(transport->ssl);
	close(transport->fd);
	free(transport);
}
