/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a TLS connection over loopback, each with a key of its own. */
#ifndef BF_TESTS_TLS_PAIR_H
#define BF_TESTS_TLS_PAIR_H

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/identity_private.h"
#include "lib/transport_private.h"
#include "tap.h"

#define SECOND BF_NSEC_PER_SEC

static struct bf_identity *ids[2];
static struct bf_tls *tls[2];
static struct bf_transport *ends[2];	/* by role */
static struct bf_error errors[2];

static inline uint64_t soon(void)
{
	return bf_now_ns() + 10 * SECOND;
}

static inline void sockets(int fds[2])
{
	char address[BF_ADDRESS_BYTES];
	struct pollfd pollfd = { .events = POLLIN };
	int ret;

	check_eq(bf_tcp_listen("127.0.0.1:0", &pollfd.fd, &errors[0]), 0);
	bf_tcp_name(pollfd.fd, false, address);
	check_eq(bf_tcp_connect(address, soon(), &fds[BF_ROLE_SOURCE],
				&errors[0]), 0);
	check_eq(poll(&pollfd, 1, 10000), 1);
	ret = bf_tcp_accept(pollfd.fd, &fds[BF_ROLE_TARGET]);
	close(pollfd.fd);
	check_eq(ret, 0);
}

static inline void *shake(void *role)
{
	int r = (int)(intptr_t)role;

	return (void *)(intptr_t)bf_transport_handshake(ends[r], soon(),
							&errors[r]);
}

static inline int shake_both(void)
{
	pthread_t thread;
	void *ret;
	int source;

	check_eq(pthread_create(&thread, NULL, shake,
				(void *)(intptr_t)BF_ROLE_TARGET), 0);
	source = (int)(intptr_t)shake((void *)(intptr_t)BF_ROLE_SOURCE);
	pthread_join(thread, &ret);
	return source ? source : (int)(intptr_t)ret;
}

static inline void connect_both(void)
{
	int fds[2];

	sockets(fds);
	for (int role = 0; role < 2; role++)
		check_eq(bf_transport_tls(&ends[role], tls[role], fds[role],
					  &errors[role]), 0);
	check_eq(shake_both(), 0);
}

static inline void close_both(void)
{
	bf_transport_close(ends[0]);
	bf_transport_close(ends[1]);
	ends[0] = ends[1] = NULL;
}

static inline int make_identity(const char *folder, int i)
{
	char path[128];
	int ret;

	snprintf(path, sizeof(path), "%s/key", folder);
	ret = bf_identity_generate(path, NULL) ||
	      bf_identity_load(path, &ids[i], NULL) ||
	      bf_tls_new(&tls[i], i, ids[i], NULL);
	unlink(path);
	return ret;
}

static inline int make_identities(void)
{
	char folder[] = "/tmp/blkferry-test-XXXXXX";
	int ret;

	if (!mkdtemp(folder))
		return -1;
	ret = make_identity(folder, 0) || make_identity(folder, 1);
	rmdir(folder);
	return ret;
}

static inline void free_identities(void)
{
	for (int i = 0; i < 2; i++) {
		bf_tls_free(tls[i]);
		bf_identity_free(ids[i]);
	}
}

#endif /* BF_TESTS_TLS_PAIR_H */
