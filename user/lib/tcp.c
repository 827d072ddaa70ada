// SPDX-License-Identifier: Apache-2.0
/*
 * TCP: "HOST:PORT", "[V6]:PORT", "HOST" or ":PORT" flows in, a connected or
 * listening non-blocking socket flows out. Every address of a name is tried,
 * within one deadline.
 */
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <wire.h>

#include "lib/cleanup.h"
#include "lib/transport_private.h"

/*
 * For one address. Whoever does not answer may be asked again at once, while
 * the kernel's own pauses between two SYNs grow to many seconds.
 */
#define CONNECT_NS (2 * BF_NSEC_PER_SEC)
#define HOST_BYTES 256
#define STRINGIFY(x) #x
#define PORT_TEXT(port) STRINGIFY(port)
#define BACKLOG 128

struct address {
	char host[HOST_BYTES];		/* empty: any */
	char port[8];
};

static void cleanup_addrinfo(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

static int bad_address(const char *text, struct bf_error *err)
{
	return bf_fail(err, BF_E_USAGE, EINVAL,
		       "\"%s\" is no address: HOST, HOST:PORT or [IPV6]:PORT is",
		       text);
}

static bool port_valid(const char *port)
{
	char *end;
	unsigned long value;

	if (*port < '0' || *port > '9')
		return false;
	value = strtoul(port, &end, 10);
	return !*end && value <= 65535;
}

/* Where the host ends and where the port begins, NULL if there is none. */
static bool split(const char *text, const char **host, size_t *host_bytes,
		  const char **port)
{
	const char *colon = strchr(text, ':');

	*host = text;
	*port = NULL;
	if (*text == '[') {
		const char *bracket = strchr(text, ']');

		if (!bracket || (bracket[1] && bracket[1] != ':'))
			return false;
		*host = text + 1;
		*host_bytes = (size_t)(bracket - *host);
		*port = bracket[1] ? bracket + 2 : NULL;
		return true;
	}
	if (colon && strchr(colon + 1, ':')) {	/* a bare IPv6 address */
		*host_bytes = strlen(text);
		return true;
	}
	*host_bytes = colon ? (size_t)(colon - text) : strlen(text);
	*port = colon ? colon + 1 : NULL;
	return true;
}

static int parse_address(const char *text, struct address *address,
			 struct bf_error *err)
{
	const char *host, *port;
	size_t host_bytes;

	if (!split(text, &host, &host_bytes, &port) ||
	    host_bytes >= sizeof(address->host))
		return bad_address(text, err);
	if (!port)
		port = PORT_TEXT(WIRE_DEFAULT_PORT);
	if (strlen(port) >= sizeof(address->port) || !port_valid(port))
		return bad_address(text, err);
	memcpy(address->host, host, host_bytes);
	address->host[host_bytes] = '\0';
	strcpy(address->port, port);
	return 0;
}

static int resolve(const char *text, int flags, struct addrinfo **list,
		   struct bf_error *err)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags | AI_NUMERICSERV,
	};
	struct address address;
	int ret = parse_address(text, &address, err);

	if (ret)
		return ret;
	if (!address.host[0] && !(flags & AI_PASSIVE))
		return bad_address(text, err);
	ret = getaddrinfo(address.host[0] ? address.host : NULL, address.port,
			  &hints, list);
	if (ret)
		return bf_fail(err, BF_E_UNREACHABLE, EHOSTUNREACH,
			       "cannot resolve %s: %s", text, gai_strerror(ret));
	return 0;
}

static int new_socket(const struct addrinfo *at)
{
	int fd = socket(at->ai_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* Frames are written whole; waiting for more only costs time. */
static void set_no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int bind_address(int fd, const struct addrinfo *peer, const char *from)
{
	_cleanup_(cleanup_addrinfo) struct addrinfo *own = NULL;
	const struct addrinfo hints = {
		.ai_family = peer->ai_family,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST,
	};

	if (getaddrinfo(from, NULL, &hints, &own))
		return -EADDRNOTAVAIL;
	return bind(fd, own->ai_addr, own->ai_addrlen) < 0 ? -errno : 0;
}

/* An interface by its name, else an address. */
static int bind_from(int fd, const struct addrinfo *peer, const char *from)
{
	if (!from || !*from)
		return 0;
	if (!if_nametoindex(from))
		return bind_address(fd, peer, from);
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, from,
			  strlen(from) + 1) < 0 ? -errno : 0;
}

static int connect_one(const struct addrinfo *at, const char *from,
		       uint64_t deadline_ns)
{
	_cleanup_close_ int fd = new_socket(at);
	int error = 0, ret;
	socklen_t bytes = sizeof(error);

	if (fd < 0)
		return fd;
	ret = bind_from(fd, at, from);
	if (ret)
		return ret;
	if (connect(fd, at->ai_addr, at->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		ret = bf_wait_fd(fd, POLLOUT, deadline_ns);
		if (ret)
			return ret;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
			return -errno;
		if (error)
			return -error;
	}
	set_no_delay(fd);
	return bf_take_fd(fd);
}

int bf_tcp_connect(const char *address, uint64_t deadline_ns, int *fd,
		   struct bf_error *err)
{
	return bf_tcp_connect_from(address, NULL, deadline_ns, fd, err);
}

static int cannot_connect(const char *address, const char *from, int error,
			  struct bf_error *err)
{
	if (from && *from && (error == EADDRNOTAVAIL || error == ENODEV ||
			      error == EPERM))
		return bf_fail(err, BF_E_UNREACHABLE, error,
			       "cannot connect from %s to %s: %s; source-address must be an address or interface of this host, of the receiver's family",
			       from, address, strerror(error));
	return bf_fail(err, BF_E_UNREACHABLE, error,
		       "cannot connect to %s: %s; is `blkferry receive` running there, and does the firewall let the port through?",
		       address, strerror(error));
}

int bf_tcp_connect_from(const char *address, const char *from,
			uint64_t deadline_ns, int *fd, struct bf_error *err)
{
	_cleanup_(cleanup_addrinfo) struct addrinfo *list = NULL;
	int ret = resolve(address, 0, &list, err);

	if (ret)
		return ret;
	for (struct addrinfo *at = list; at; at = at->ai_next) {
		uint64_t end_ns = bf_now_ns() + CONNECT_NS;

		ret = connect_one(at, from, end_ns < deadline_ns ?
				  end_ns : deadline_ns);
		if (ret >= 0) {
			*fd = ret;
			return 0;
		}
	}
	return cannot_connect(address, from, -ret, err);
}

static int listen_one(const struct addrinfo *at)
{
	_cleanup_close_ int fd = new_socket(at);
	int one = 1, zero = 0;

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (at->ai_family == AF_INET6)	/* [::] means IPv4 as well */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return bf_take_fd(fd);
}

int bf_tcp_listen(const char *address, int *fd, struct bf_error *err)
{
	static const int order[] = { AF_INET6, AF_INET };
	_cleanup_(cleanup_addrinfo) struct addrinfo *list = NULL;
	int ret = resolve(address, AI_PASSIVE, &list, err);

	if (ret)
		return ret;
	ret = -EADDRNOTAVAIL;
	for (size_t i = 0; i < 2; i++) {
		for (struct addrinfo *at = list; at; at = at->ai_next) {
			if (at->ai_family != order[i])
				continue;
			ret = listen_one(at);
			if (ret < 0)
				continue;
			*fd = ret;
			return 0;
		}
	}
	return bf_fail(err, BF_E_SYSTEM, -ret, "cannot listen on %s: %s", address,
		       strerror(-ret));
}

int bf_tcp_accept(int listener, int *fd)
{
	int accepted = accept4(listener, NULL, NULL,
			       SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (accepted < 0)
		return -errno;
	set_no_delay(accepted);
	*fd = accepted;
	return 0;
}

void bf_tcp_name(int fd, bool peer, char text[BF_ADDRESS_BYTES])
{
	struct sockaddr_storage at;
	socklen_t bytes = sizeof(at);
	char host[HOST_BYTES], port[8];
	int ret = peer ? getpeername(fd, (struct sockaddr *)&at, &bytes) :
			 getsockname(fd, (struct sockaddr *)&at, &bytes);

	if (ret < 0 || getnameinfo((struct sockaddr *)&at, bytes, host,
				   sizeof(host), port, sizeof(port),
				   NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(text, BF_ADDRESS_BYTES, "unknown");
	else
		snprintf(text, BF_ADDRESS_BYTES,
			 at.ss_family == AF_INET6 ? "[%.48s]:%s" : "%.48s:%s",
			 host, port);
}
