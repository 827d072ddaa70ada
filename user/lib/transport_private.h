/* SPDX-License-Identifier: Apache-2.0 */
/* What transport.c and tls.c share. */
#ifndef BF_LIB_TRANSPORT_PRIVATE_H
#define BF_LIB_TRANSPORT_PRIVATE_H

#include <openssl/ssl.h>

#include "lib/transport.h"

struct bf_transport {
	int fd;
	SSL *ssl;			/* NULL: an end of a pair */
	short read_events, write_events;
	uint64_t sent_bytes, received_bytes;	/* of the socket */
	bool dead;			/* no farewell may be said any more */
	bool more;			/* the next write follows at once */
	uint8_t nr_ahead;		/* read beyond what TLS asked for */
	uint8_t ahead[SSL3_RT_HEADER_LENGTH];
	char peer[BF_FINGERPRINT_BYTES];
};

/* Non-blocking socket I/O that counts and never raises SIGPIPE. */
ssize_t bf_socket_read(struct bf_transport *transport, void *buffer, size_t bytes);
ssize_t bf_socket_write(struct bf_transport *transport, const void *buffer,
			size_t bytes);
/* What follows @buffer, a record's header at most, goes to @ahead. */
ssize_t bf_socket_read_ahead(struct bf_transport *transport, void *buffer,
			     size_t bytes);

/* The same through TLS. */
ssize_t bf_tls_read(struct bf_transport *transport, void *buffer, size_t bytes);
ssize_t bf_tls_write(struct bf_transport *transport, const void *buffer,
		     size_t bytes);

/* poll(2) until @deadline_ns. Return: 0, -ETIMEDOUT or another negative errno. */
int bf_wait_fd(int fd, short events, uint64_t deadline_ns);

#endif /* BF_LIB_TRANSPORT_PRIVATE_H */
