/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many sources in one process, for the cost of serving them: "fan_in ADDRESS
 * KEYFILE NR BYTES" opens sessions of jobs j0, j1, ... on targets t0, t1, ... of
 * BYTES each and says "ready"; upon a line of input it sends blocks round robin,
 * a frame from each in turn, and waits until all are durable.
 */
#include "../unit/source_peer.h"
#include "lib/identity.h"

#define NR_MAX 256

static uint8_t blocks[WIRE_RAW_MAX];
static struct peer *peers[NR_MAX];

static void need(int ret, const struct bf_error *err)
{
	if (!ret)
		return;
	fprintf(stderr, "%s\n", err->text);
	exit(1);
}

static struct peer *open_session(const char *address, struct bf_tls *tls,
				 unsigned int i, uint64_t bytes)
{
	uint64_t deadline_ns = bf_now_ns() + PEER_PATIENCE_NS;
	struct bf_transport *transport;
	char job[16], target[16];
	struct bf_error err = { 0 };
	struct peer *p;
	int fd;

	need(bf_tcp_connect(address, deadline_ns, &fd, &err), &err);
	need(bf_transport_tls(&transport, tls, fd, &err), &err);
	need(bf_transport_handshake(transport, deadline_ns, &err), &err);
	p = peer_new(transport);
	snprintf(job, sizeof(job), "j%u", i);
	snprintf(target, sizeof(target), "t%u", i);
	need(peer_hello(p, job), &p->err);
	need(peer_open(p, target, bytes, 0, 1, NULL), &p->err);
	need(peer_claim(p, 1, 0, NULL), &p->err);
	need(peer_begin(p, 0, 1, WIRE_PASS_FULL), &p->err);
	return p;
}

static void send_blocks(unsigned int nr, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += WIRE_RAW_MAX)
		for (unsigned int i = 0; i < nr; i++)
			need(peer_extent(peers[i], 0, 1, at, WIRE_RAW_MAX,
					 blocks, 0), &peers[i]->err);
}

int main(int argc, char **argv)
{
	struct bf_identity *identity;
	struct bf_error err = { 0 };
	struct bf_tls *tls;
	unsigned int nr = argc == 5 ? atoi(argv[3]) : 0;
	uint64_t bytes = argc == 5 ? strtoull(argv[4], NULL, 10) : 0;

	if (!nr || nr > NR_MAX || !bytes || bytes % WIRE_RAW_MAX)
		return 2;
	for (size_t i = 0; i < sizeof(blocks); i++)
		blocks[i] = (uint8_t)(i * 2654435761u >> 24);
	need(bf_identity_load(argv[2], &identity, &err), &err);
	need(bf_tls_new(&tls, BF_ROLE_SOURCE, identity, &err), &err);
	for (unsigned int i = 0; i < nr; i++)
		peers[i] = open_session(argv[1], tls, i, bytes);
	puts("ready");
	fflush(stdout);
	getchar();
	send_blocks(nr, bytes);
	for (unsigned int i = 0; i < nr; i++)
		need(peer_finish(peers[i], 0, 1, bytes, true), &peers[i]->err);
	for (unsigned int i = 0; i < nr; i++)
		peer_free(peers[i]);
	bf_tls_free(tls);
	bf_identity_free(identity);
	return 0;
}
