/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport: an ordered, authenticated stream of bytes between a source and a
 * target: TLS 1.3 over TCP, or a socket pair inside one process (a local
 * copy), which never leaves it and so needs no TLS.
 *
 * Nothing blocks save the functions that take a deadline (bf_tcp_connect and
 * bf_tcp_listen also resolve names). A transport belongs to one thread. Writing
 * to a dead peer gives an error, never SIGPIPE.
 */
#ifndef BF_LIB_TRANSPORT_H
#define BF_LIB_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "identity.h"

struct bf_tls;			/* TLS settings of one role, shared, read-only */
struct bf_transport;

enum bf_role { BF_ROLE_SOURCE, BF_ROLE_TARGET };

int bf_tls_new(struct bf_tls **tls, enum bf_role role,
	       const struct bf_identity *identity, struct bf_error *err);
void bf_tls_free(struct bf_tls *tls);

/* Takes over @fd, a connected TCP socket, also on failure. */
int bf_transport_tls(struct bf_transport **transport, struct bf_tls *tls, int fd,
		     struct bf_error *err);
/* Both ends of an in-process stream. */
int bf_transport_pair(struct bf_transport *ends[2], struct bf_error *err);
void bf_transport_close(struct bf_transport *transport);
/*
 * Blocks until the peer has hung up or @deadline_ns, after saying that nothing
 * more follows: without this, what was just written may be lost to a reset.
 */
void bf_transport_finish(struct bf_transport *transport, uint64_t deadline_ns);

/* Blocks, until @deadline_ns (CLOCK_MONOTONIC), for TLS and the peer's key. */
int bf_transport_handshake(struct bf_transport *transport, uint64_t deadline_ns,
			   struct bf_error *err);
/* The peer's fingerprint; "local" for a pair. */
const char *bf_transport_peer(const struct bf_transport *transport);

/*
 * Return: bytes moved, 0 at the peer's orderly end (read only), -EAGAIN when
 * poll(2) must be waited for, another negative errno when the stream is dead.
 */
ssize_t bf_transport_read(struct bf_transport *transport, void *buffer,
			  size_t bytes);
ssize_t bf_transport_write(struct bf_transport *transport, const void *buffer,
			   size_t bytes);
int bf_transport_fd(const struct bf_transport *transport);
/* poll(2) events that the last -EAGAIN of read and of write waits for. */
short bf_transport_read_events(const struct bf_transport *transport);
short bf_transport_write_events(const struct bf_transport *transport);
/*
 * More than 0: a read may give something without asking the socket, so do not
 * poll before it was tried. After -EAGAIN poll, whatever this says.
 */
size_t bf_transport_pending(const struct bf_transport *transport);

/* Socket bytes, TLS included. */
uint64_t bf_transport_sent_bytes(const struct bf_transport *transport);
uint64_t bf_transport_received_bytes(const struct bf_transport *transport);

/* Blocking helpers: move all of it or fail by @deadline_ns. */
int bf_transport_read_all(struct bf_transport *transport, void *buffer,
			  size_t bytes, uint64_t deadline_ns,
			  struct bf_error *err);
int bf_transport_write_all(struct bf_transport *transport, const void *buffer,
			   size_t bytes, uint64_t deadline_ns,
			   struct bf_error *err);

/* TCP: connect to "HOST:PORT", "[V6]:PORT" or "HOST"; listen likewise. */
int bf_tcp_connect(const char *address, uint64_t deadline_ns, int *fd,
		   struct bf_error *err);
/* @from: an address of this host or the name of an interface; NULL or "": any. */
int bf_tcp_connect_from(const char *address, const char *from,
			uint64_t deadline_ns, int *fd, struct bf_error *err);
int bf_tcp_listen(const char *address, int *fd, struct bf_error *err);
/* Return: 0 and a connection, -EAGAIN if none waits, or a negative errno. */
int bf_tcp_accept(int listener, int *fd);
#define BF_ADDRESS_BYTES 64
/* "127.0.0.1:4712" or "[::1]:4712", of this end or of the peer's. */
void bf_tcp_name(int fd, bool peer, char text[BF_ADDRESS_BYTES]);

uint64_t bf_now_ns(void);		/* CLOCK_MONOTONIC */
#define BF_NSEC_PER_SEC 1000000000ull
#define BF_NSEC_PER_MSEC 1000000ull

#endif /* BF_LIB_TRANSPORT_H */
