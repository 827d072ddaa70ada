// SPDX-License-Identifier: Apache-2.0
/*
 * Transport. Policy: only TLS 1.3 between two keys gets through, and each side
 * then knows the other's; what ends without a farewell is a lost connection,
 * never an orderly end; every wait ends; a dead peer raises no signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/identity_private.h"
#include "lib/transport_private.h"
#include "tap.h"
#include "tls_pair.h"

#define BULK_BYTES (3 << 20)

static uint8_t bulk[BULK_BYTES], back[BULK_BYTES];

static void each_side_knows_the_other(void)
{
	connect_both();
	check(!strcmp(bf_transport_peer(ends[0]), bf_identity_fingerprint(ids[1])));
	check(!strcmp(bf_transport_peer(ends[1]), bf_identity_fingerprint(ids[0])));
	check(!strcmp(SSL_get_version(ends[0]->ssl), "TLSv1.3"));
	check(!SSL_session_reused(ends[0]->ssl));
	close_both();
}

static void *read_bulk(void *end)
{
	return (void *)(intptr_t)bf_transport_read_all(end, back, BULK_BYTES,
						       soon(), NULL);
}

static void move_bulk(int from, int to)
{
	pthread_t thread;
	void *ret;

	memset(back, 0, sizeof(back));
	check_eq(pthread_create(&thread, NULL, read_bulk, ends[to]), 0);
	check_eq(bf_transport_write_all(ends[from], bulk, BULK_BYTES, soon(),
					&errors[0]), 0);
	pthread_join(thread, &ret);
	check_eq((intptr_t)ret, 0);
	check(!memcmp(bulk, back, BULK_BYTES));
}

static void bytes_move_both_ways(void)
{
	connect_both();
	move_bulk(0, 1);
	move_bulk(1, 0);
	check(bf_transport_sent_bytes(ends[0]) > BULK_BYTES);
	check(bf_transport_sent_bytes(ends[0]) < BULK_BYTES + BULK_BYTES / 50);
	check_eq(bf_transport_sent_bytes(ends[0]),
		 bf_transport_received_bytes(ends[1]));
	close_both();
}

static void pairs_move_bytes_too(void)
{
	check_eq(bf_transport_pair(ends, &errors[0]), 0);
	check_eq(bf_transport_handshake(ends[0], soon(), &errors[0]), 0);
	check(!strcmp(bf_transport_peer(ends[1]), "local"));
	move_bulk(0, 1);
	move_bulk(1, 0);
	check_eq(bf_transport_sent_bytes(ends[0]), BULK_BYTES);
	check_eq(bf_transport_read(ends[0], back, 1), -EAGAIN);
	bf_transport_close(ends[1]);
	check_eq(bf_transport_read(ends[0], back, 1), 0);
	bf_transport_close(ends[0]);
}

static void nothing_to_read_does_not_block(void)
{
	connect_both();
	check_eq(bf_transport_read(ends[0], back, 1), -EAGAIN);
	check_eq(bf_transport_read_events(ends[0]), POLLIN);
	close_both();
}

static void what_is_pending_is_said(void)
{
	connect_both();
	check_eq(bf_transport_write_all(ends[0], "ab", 2, soon(), NULL), 0);
	check_eq(bf_transport_read_all(ends[1], back, 1, soon(), NULL), 0);
	check(bf_transport_pending(ends[1]) > 0);
	check_eq(bf_transport_read(ends[1], back, 1), 1);
	check_eq(back[0], 'b');
	close_both();
}

static void an_orderly_end_is_told_from_a_lost_line(void)
{
	connect_both();
	bf_transport_close(ends[0]);
	check_eq(bf_wait_fd(ends[1]->fd, POLLIN, soon()), 0);
	check_eq(bf_transport_read(ends[1], back, 1), 0);
	bf_transport_close(ends[1]);

	connect_both();
	shutdown(ends[0]->fd, SHUT_RDWR);	/* no farewell */
	check_eq(bf_wait_fd(ends[1]->fd, POLLIN, soon()), 0);
	check_eq(bf_transport_read(ends[1], back, 1), -ECONNRESET);
	close_both();
}

static void damaged_records_end_the_stream(void)
{
	connect_both();
	check_eq(send(ends[0]->fd, "not a TLS record", 16, MSG_NOSIGNAL), 16);
	check_eq(bf_wait_fd(ends[1]->fd, POLLIN, soon()), 0);
	check_eq(bf_transport_read(ends[1], back, 1), -EPROTO);
	close_both();
}

static void a_dead_peer_raises_no_signal(void)
{
	int ret = 0;

	connect_both();
	bf_transport_close(ends[1]);
	for (int i = 0; i < 100 && !ret; i++)
		ret = bf_transport_write_all(ends[0], bulk, BULK_BYTES, soon(),
					     &errors[0]);
	check(ret < 0);
	check_eq(errors[0].code, BF_E_CONNECTION);
	bf_transport_close(ends[0]);
}

static void waits_end_at_their_deadline(void)
{
	uint64_t start = bf_now_ns();

	connect_both();
	check_eq(bf_transport_read_all(ends[0], back, 1,
				       bf_now_ns() + SECOND / 20, &errors[0]),
		 -ETIMEDOUT);
	check_eq(errors[0].code, BF_E_TIMEOUT);
	do {			/* nobody reads: the buffers fill up */
		errors[0].code = BF_E_NONE;
	} while (!bf_transport_write_all(ends[0], bulk, BULK_BYTES,
					 bf_now_ns() + SECOND / 20, &errors[0]));
	check_eq(errors[0].code, BF_E_TIMEOUT);
	check(bf_now_ns() - start < 9 * SECOND);
	close_both();
}

static void last_words_arrive(void)
{
	connect_both();
	/* Unread bytes make a plain close a reset, which would eat them. */
	check_eq(bf_transport_write_all(ends[0], bulk, 60000, soon(), NULL), 0);
	check_eq(bf_transport_write_all(ends[1], "sorry", 5, soon(), NULL), 0);
	bf_transport_finish(ends[1], bf_now_ns() + SECOND / 20);
	bf_transport_close(ends[1]);
	check_eq(bf_transport_read_all(ends[0], back, 5, soon(), &errors[0]), 0);
	check(!memcmp(back, "sorry", 5));
	bf_transport_close(ends[0]);
}

/* --- strangers ---------------------------------------------------------------- */

static int target_meets(int fds[2], uint64_t deadline_ns)
{
	struct bf_transport *target;
	int ret;

	memset(&errors[1], 0, sizeof(errors[1]));
	check_eq(bf_transport_tls(&target, tls[BF_ROLE_TARGET],
				  fds[BF_ROLE_TARGET], &errors[1]), 0);
	ret = bf_transport_handshake(target, deadline_ns, &errors[1]);
	bf_transport_close(target);
	close(fds[BF_ROLE_SOURCE]);
	return ret;
}

static void plain_text_is_refused(void)
{
	int fds[2];

	sockets(fds);
	check(send(fds[0], "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
	check(target_meets(fds, soon()) < 0);
	check_eq(errors[1].code, BF_E_PROTOCOL);
}

static void a_silent_stranger_is_not_waited_for(void)
{
	uint64_t start = bf_now_ns();
	int fds[2];

	sockets(fds);
	check_eq(target_meets(fds, start + SECOND / 10), -ETIMEDOUT);
	check_eq(errors[1].code, BF_E_TIMEOUT);
	check(bf_now_ns() - start < 5 * SECOND);
}

static void hanging_up_is_told(void)
{
	int fds[2];

	sockets(fds);
	shutdown(fds[0], SHUT_RDWR);
	check(target_meets(fds, soon()) < 0);
	check_eq(errors[1].code, BF_E_CONNECTION);
}

/* Another program's TLS client, in a thread, on a socket that blocks. */
struct stranger {
	SSL_CTX *context;
	int fd;
};

static void *stranger_connects(void *pointer)
{
	struct stranger *stranger = pointer;
	SSL *ssl = SSL_new(stranger->context);
	char byte;

	fcntl(stranger->fd, F_SETFL, 0);
	SSL_set_fd(ssl, stranger->fd);
	if (SSL_connect(ssl) == 1)
		SSL_read(ssl, &byte, 1);
	SSL_free(ssl);
	ERR_clear_error();
	return NULL;
}

/* Socket writes of OpenSSL's own BIO may meet a closed socket. */
static int target_meets_stranger(SSL_CTX *context)
{
	struct stranger stranger = { .context = context };
	pthread_t thread;
	int fds[2], ret;

	signal(SIGPIPE, SIG_IGN);
	sockets(fds);
	stranger.fd = dup(fds[0]);
	check_eq(pthread_create(&thread, NULL, stranger_connects, &stranger), 0);
	ret = target_meets(fds, soon());
	pthread_join(thread, NULL);
	close(stranger.fd);
	signal(SIGPIPE, SIG_DFL);
	return ret;
}

static void a_peer_without_a_key_is_refused(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	check(target_meets_stranger(context) < 0);
	SSL_CTX_free(context);
	check_eq(errors[1].code, BF_E_PROTOCOL);
}

static void older_tls_is_refused(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	SSL_CTX_use_certificate(context, ids[0]->certificate);
	SSL_CTX_use_PrivateKey(context, ids[0]->key);
	SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
	check(target_meets_stranger(context) < 0);
	SSL_CTX_free(context);
	check_eq(errors[1].code, BF_E_PROTOCOL);
}

static void another_programs_tls_with_a_key_gets_through(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	SSL_CTX_use_certificate(context, ids[0]->certificate);
	SSL_CTX_use_PrivateKey(context, ids[0]->key);
	check_eq(target_meets_stranger(context), 0);
	SSL_CTX_free(context);
}

/* --- addresses ------------------------------------------------------------------- */

static int try_connect(const char *address)
{
	int fd = -1, ret;

	memset(&errors[0], 0, sizeof(errors[0]));
	ret = bf_tcp_connect(address, bf_now_ns() + SECOND, &fd, &errors[0]);
	if (!ret)
		close(fd);
	return ret;
}

static void addresses_have_three_forms(void)
{
	static const char *const bad[] = {
		"", ":4712", "host:", "host:port", "host:65536", "host:-1",
		"[::1", "[::1]4712", "host:4712x",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		check(try_connect(bad[i]) < 0);
		check_eq(errors[0].code, BF_E_USAGE);
	}
}

static void listening_and_connecting(void)
{
	static const char *const forms[] = { "127.0.0.1:0", ":0", "[::]:0" };
	char address[BF_ADDRESS_BYTES], to[BF_ADDRESS_BYTES];

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		int listener, again;

		check_eq(bf_tcp_listen(forms[i], &listener, &errors[0]), 0);
		bf_tcp_name(listener, false, address);
		snprintf(to, sizeof(to), "127.0.0.1%s", strrchr(address, ':'));
		check_eq(try_connect(to), 0);
		check(bf_tcp_listen(address, &again, &errors[0]) < 0);
		check_says(errors[0].text, address);
		close(listener);
		check_eq(try_connect(to), -ECONNREFUSED);
		check_eq(errors[0].code, BF_E_UNREACHABLE);
	}
}

int main(void)
{
	if (make_identities())
		return 1;
	for (size_t i = 0; i < BULK_BYTES; i++)
		bulk[i] = (uint8_t)(i * 31 + (i >> 12));
	tap_run("each side knows the other", each_side_knows_the_other);
	tap_run("bytes move both ways", bytes_move_both_ways);
	tap_run("pairs move bytes too", pairs_move_bytes_too);
	tap_run("nothing to read does not block",
		nothing_to_read_does_not_block);
	tap_run("what is pending is said", what_is_pending_is_said);
	tap_run("an orderly end is told from a lost line",
		an_orderly_end_is_told_from_a_lost_line);
	tap_run("damaged records end the stream",
		damaged_records_end_the_stream);
	tap_run("a dead peer raises no signal", a_dead_peer_raises_no_signal);
	tap_run("waits end at their deadline", waits_end_at_their_deadline);
	tap_run("last words arrive", last_words_arrive);
	tap_run("plain text is refused", plain_text_is_refused);
	tap_run("a silent stranger is not waited for",
		a_silent_stranger_is_not_waited_for);
	tap_run("hanging up is told", hanging_up_is_told);
	tap_run("a peer without a key is refused",
		a_peer_without_a_key_is_refused);
	tap_run("older TLS is refused", older_tls_is_refused);
	tap_run("another program's TLS with a key gets through",
		another_programs_tls_with_a_key_gets_through);
	tap_run("addresses have three forms", addresses_have_three_forms);
	tap_run("listening and connecting", listening_and_connecting);
	free_identities();
	return tap_done();
}
