// SPDX-License-Identifier: Apache-2.0
/*
 * TLS: plain bytes flow in, TLS 1.3 records flow out to the socket, and back.
 * Both sides show a certificate; its chain, names and dates are not looked at:
 * the fingerprint of its public key is the peer's name, TLS proves that the
 * peer holds the private half, and the caller decides whom it lets in. Without
 * resumption, so that this proof is given on every connection.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "lib/cleanup.h"
#include "lib/identity_private.h"
#include "lib/transport_private.h"

#define CIPHERS \
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH

struct bf_tls {
	SSL_CTX *context;
	BIO_METHOD *socket;
	enum bf_role role;
};

/* What was read ahead first, then the socket. */
static ssize_t read_record(struct bf_transport *transport, char *buffer,
			   size_t bytes)
{
	size_t ahead = transport->nr_ahead;

	if (!ahead)
		return bf_socket_read_ahead(transport, buffer, bytes);
	if (ahead > bytes)
		ahead = bytes;
	memcpy(buffer, transport->ahead, ahead);
	transport->nr_ahead -= ahead;
	memmove(transport->ahead, transport->ahead + ahead, transport->nr_ahead);
	return (ssize_t)ahead;
}

/*
 * A BIO over our own sockets: OpenSSL's own uses write(2), which would raise
 * SIGPIPE in a library. OpenSSL asks for the header of a record and then for the
 * rest; the next header comes along with the rest, so that a record costs one
 * call. Its own reading ahead moves all that it holds with each record.
 */
static int socket_read(BIO *bio, char *buffer, int bytes)
{
	ssize_t got = read_record(BIO_get_data(bio), buffer, (size_t)bytes);

	BIO_clear_retry_flags(bio);
	if (got == -EAGAIN)
		BIO_set_retry_read(bio);
	if (got >= 0)
		return (int)got;
	errno = (int)-got;
	return -1;
}

static int socket_write(BIO *bio, const char *buffer, int bytes)
{
	ssize_t put = bf_socket_write(BIO_get_data(bio), buffer, (size_t)bytes);

	BIO_clear_retry_flags(bio);
	if (put == -EAGAIN)
		BIO_set_retry_write(bio);
	if (put >= 0)
		return (int)put;
	errno = (int)-put;
	return -1;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH;
}

static int socket_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *make_socket_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() |
					  BIO_TYPE_SOURCE_SINK, "blkferry socket");

	if (method && BIO_meth_set_read(method, socket_read) &&
	    BIO_meth_set_write(method, socket_write) &&
	    BIO_meth_set_ctrl(method, socket_control) &&
	    BIO_meth_set_create(method, socket_create))
		return method;
	BIO_meth_free(method);
	return NULL;
}

/* Says yes to every certificate: see above. TLS still checks the signature. */
static int accept_certificate(X509_STORE_CTX *store, void *context)
{
	return 1;
}

static bool set_up(SSL_CTX *context, const struct bf_identity *identity)
{
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER |
			   SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(context, accept_certificate, NULL);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
	       SSL_CTX_set_ciphersuites(context, CIPHERS) &&
	       SSL_CTX_set1_sigalgs_list(context, "ed25519") &&
	       SSL_CTX_set_num_tickets(context, 0) &&
	       SSL_CTX_use_certificate(context, identity->certificate) == 1 &&
	       SSL_CTX_use_PrivateKey(context, identity->key) == 1;
}

int bf_tls_new(struct bf_tls **tls, enum bf_role role,
	       const struct bf_identity *identity, struct bf_error *err)
{
	struct bf_tls *new = calloc(1, sizeof(*new));
	char reason[256];

	if (!new)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	new->role = role;
	new->socket = make_socket_method();
	new->context = SSL_CTX_new(role == BF_ROLE_TARGET ? TLS_server_method() :
							    TLS_client_method());
	if (new->socket && new->context && set_up(new->context, identity)) {
		*tls = new;
		return 0;
	}
	bf_tls_free(new);
	return bf_fail(err, BF_E_SYSTEM, EIO, "TLS 1.3 cannot be set up: %s",
		       bf_openssl_reason(reason));
}

void bf_tls_free(struct bf_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	BIO_meth_free(tls->socket);
	free(tls);
}

int bf_transport_tls(struct bf_transport **transport, struct bf_tls *tls, int fd,
		     struct bf_error *err)
{
	struct bf_transport *new = calloc(1, sizeof(*new));
	BIO *bio = BIO_new(tls->socket);

	if (new)
		new->ssl = SSL_new(tls->context);
	if (!new || !bio || !new->ssl) {
		if (new)
			SSL_free(new->ssl);
		free(new);
		BIO_free(bio);
		close(fd);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	}
	new->fd = fd;
	new->read_events = POLLIN;
	new->write_events = POLLOUT;
	BIO_set_data(bio, new);
	SSL_set_bio(new->ssl, bio, bio);
	if (tls->role == BF_ROLE_TARGET)
		SSL_set_accept_state(new->ssl);
	else
		SSL_set_connect_state(new->ssl);
	*transport = new;
	return 0;
}

/*
 * What a failed SSL call means. A stream that ends without a farewell was cut
 * off: an attacker or a broken line must not look like an orderly end.
 */
static ssize_t tls_result(struct bf_transport *transport, int ret, int saved,
			  short *events)
{
	switch (SSL_get_error(transport->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		*events = POLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		*events = POLLOUT;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		transport->dead = true;
		return saved ? -saved : -ECONNRESET;
	default:
		transport->dead = true;
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
		if (ERR_GET_REASON(ERR_peek_error()) ==
		    SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return -ECONNRESET;
#endif
		return -EPROTO;
	}
}

ssize_t bf_tls_read(struct bf_transport *transport, void *buffer, size_t bytes)
{
	size_t got;
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_read_ex(transport->ssl, buffer, bytes, &got);
	if (ret > 0)
		return (ssize_t)got;
	return tls_result(transport, ret, errno, &transport->read_events);
}

ssize_t bf_tls_write(struct bf_transport *transport, const void *buffer,
		     size_t bytes)
{
	ssize_t result;
	size_t put;
	int ret;

	ERR_clear_error();
	errno = 0;
	transport->more = bytes > RECORD_BYTES;
	ret = SSL_write_ex(transport->ssl, buffer, bytes, &put);
	transport->more = false;
	if (ret > 0)
		return (ssize_t)put;
	result = tls_result(transport, ret, errno, &transport->write_events);
	return result ? result : -EPIPE;
}

static int handshake_failed(struct bf_error *err, ssize_t result)
{
	char reason[256];

	if (result == -ETIMEDOUT)
		return bf_fail(err, BF_E_TIMEOUT, ETIMEDOUT,
			       "the peer does not answer the TLS handshake; is it blkferry that listens there?");
	if (result == -EPROTO)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the TLS handshake failed (%s); is it blkferry that speaks there?",
			       bf_openssl_reason(reason));
	return bf_fail(err, BF_E_CONNECTION, result ? (int)-result : ECONNRESET,
		       "the peer hung up during the TLS handshake: %s",
		       strerror(result ? (int)-result : ECONNRESET));
}

static int take_peer(struct bf_transport *transport, struct bf_error *err)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	X509 *certificate = SSL_get1_peer_certificate(transport->ssl);
#else
	X509 *certificate = SSL_get_peer_certificate(transport->ssl);
#endif
	int ret;

	if (!certificate)
		return bf_fail(err, BF_E_UNKNOWN_PEER, EACCES,
			       "the peer shows no key; is it blkferry?");
	ret = bf_fingerprint_of(certificate, transport->peer, err);
	X509_free(certificate);
	return ret;
}

int bf_transport_handshake(struct bf_transport *transport, uint64_t deadline_ns,
			   struct bf_error *err)
{
	short events = POLLIN;
	ssize_t result;
	int ret;

	if (!transport->ssl)
		return 0;
	for (;;) {
		ERR_clear_error();
		errno = 0;
		ret = SSL_do_handshake(transport->ssl);
		if (ret == 1)
			return take_peer(transport, err);
		result = tls_result(transport, ret, errno, &events);
		if (result == -EAGAIN)
			result = bf_wait_fd(transport->fd, events, deadline_ns);
		else if (result == 0)
			result = -ECONNRESET;
		if (result)
			return handshake_failed(err, result);
	}
}
