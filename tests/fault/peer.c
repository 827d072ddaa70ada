// SPDX-License-Identifier: Apache-2.0
/*
 * A source that misbehaves on command, over real TLS or without it. In:
 * commands, one a line. Out: one line for each, "ok ...", or "error CODE: words"
 * when the receiver says so or the connection ends.
 *
 *	usage: peer [--plain] ADDRESS KEYFILE
 *
 *	hello JOB			open TARGET SIZE [ro]
 *	claim EPOCH [restart]		begin DISK GENERATION
 *	data DISK GENERATION OFFSET LENGTH BYTE LEVEL [flip]
 *	zero DISK GENERATION OFFSET LENGTH
 *	barrier [DISK GENERATION THROUGH [end | complete]]
 *	cutover EPOCH			digest DISK OFFSET LENGTH BYTE
 *	measure				(three frames of 64 KiB and a question)
 *	report TEXT
 *	header TYPE DISK LENGTH		(and nothing behind it)
 *	bytes COUNT BYTE		(as they are)
 *	wait				(for the next frame or the end)
 *	deaf				(answer no PING from now on)
 *	shut				(close without a farewell)
 */
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/source_peer.h"
#include "lib/identity.h"

static uint8_t fill[WIRE_RAW_MAX];

static int do_open(struct peer *p, char **w)
{
	return peer_open(p, w[1], strtoull(w[2], NULL, 0),
			 w[3] ? WIRE_OPEN_READ_ONLY : 0, 1, NULL);
}

static int do_data(struct peer *p, char **w)
{
	struct wire_extent e = { strtoull(w[3], NULL, 0), strtoull(w[4], NULL, 0) };
	struct peer_data d = {
		.generation = strtoull(w[2], NULL, 0), .extents = &e,
		.nr_data = 1, .blocks = fill, .level = atoi(w[6]),
		.checksum_flip = w[7] ? 1 : 0,
	};

	if (e.length_bytes > sizeof(fill))
		return -EINVAL;
	memset(fill, (int)strtol(w[5], NULL, 0), sizeof(fill));
	return peer_data(p, (uint16_t)atoi(w[1]), &d);
}

static int do_zero(struct peer *p, char **w)
{
	return peer_extent(p, (uint16_t)atoi(w[1]), strtoull(w[2], NULL, 0),
			   strtoull(w[3], NULL, 0), strtoull(w[4], NULL, 0),
			   NULL, 0);
}

static int do_barrier(struct peer *p, char **w)
{
	struct wire_progress progress = { 0 };

	if (!w[1])
		return peer_barrier(p, NULL, 0);
	progress.disk = (uint16_t)atoi(w[1]);
	progress.generation = strtoull(w[2], NULL, 0);
	progress.through_bytes = strtoull(w[3], NULL, 0);
	if (w[4])
		progress.flags = WIRE_PROGRESS_END;
	if (w[4] && !strcmp(w[4], "complete"))
		progress.flags |= WIRE_PROGRESS_COMPLETE;
	return peer_barrier(p, &progress, 1);
}

static int do_digest(struct peer *p, char **w)
{
	uint64_t length = strtoull(w[3], NULL, 0);

	if (length > sizeof(fill))
		return -EINVAL;
	memset(fill, (int)strtol(w[4], NULL, 0), sizeof(fill));
	return peer_digest(p, (uint16_t)atoi(w[1]), strtoull(w[2], NULL, 0),
			   length, 4096, fill);
}

static int do_measure(struct peer *p, char **w)
{
	struct wire_measure m = { 0 };
	struct wire_measured done;
	struct bf_frame *frame;
	int ret = 0;

	memset(fill, 0, sizeof(m) + WIRE_MEASURE_MAX);
	for (int i = 0; i < 3 && !ret; i++)
		ret = peer_send(p, WIRE_MEASURE, 0, fill,
				sizeof(m) + WIRE_MEASURE_MAX);
	m.flags = WIRE_MEASURE_ANSWER;
	bf_wire_swap_measure(&m);
	if (!ret)
		ret = peer_send(p, WIRE_MEASURE, 0, &m, sizeof(m));
	if (!ret)
		ret = peer_expect(p, WIRE_MEASURED, &frame);
	if (!ret)
		ret = bf_check_measured(frame, &done, &p->err);
	if (!ret && (done.bytes != 3 * sizeof(m) + 2 * WIRE_MEASURE_MAX ||
		     !done.time_ns))
		ret = bf_fail(&p->err, BF_E_DIFFERS, EBADMSG,
			      "%llu bytes were measured",
			      (unsigned long long)done.bytes);
	return ret;
}

static int do_report(struct peer *p, char **w)
{
	struct wire_report m = { .text_bytes = (uint32_t)strlen(w[1]) };
	struct bf_frame *frame;
	int ret;

	bf_wire_swap_report(&m);
	memcpy(fill, &m, sizeof(m));
	memcpy(fill + sizeof(m), w[1], strlen(w[1]));
	ret = peer_send(p, WIRE_REPORT, 0, fill, sizeof(m) + strlen(w[1]));
	return ret ? ret : peer_expect(p, WIRE_REPORTED, &frame);
}

static int do_header(struct peer *p, char **w)
{
	struct wire_header header;

	bf_frame_header(&header, (uint16_t)atoi(w[1]), (uint16_t)atoi(w[2]),
			(uint32_t)strtoul(w[3], NULL, 0));
	return peer_send_raw(p, &header, sizeof(header));
}

static int do_bytes(struct peer *p, char **w)
{
	size_t n = strtoul(w[1], NULL, 0);

	if (n > sizeof(fill))
		return -EINVAL;
	memset(fill, (int)strtol(w[2], NULL, 0), sizeof(fill));
	return peer_send_raw(p, fill, n);
}

static int do_wait(struct peer *p, char **w)
{
	struct bf_frame *frame;
	int ret;

	memset(&p->err, 0, sizeof(p->err));
	ret = peer_next(p, &frame);
	if (ret == 0)
		return bf_fail(&p->err, BF_E_CONNECTION, EPIPE, "orderly end");
	if (ret < 0)
		return p->err.code ? ret :
		       bf_fail(&p->err, BF_E_TIMEOUT, -ret, "nothing came");
	if (frame->type == WIRE_ERROR)
		return bf_check_error(frame, &p->err);
	return 0;
}

static int do_hello(struct peer *p, char **w)
{
	return peer_hello(p, w[1]);
}

static int do_claim(struct peer *p, char **w)
{
	return peer_claim(p, strtoull(w[1], NULL, 0),
			  w[2] ? WIRE_CLAIM_RESTART : 0, NULL);
}

static int do_begin(struct peer *p, char **w)
{
	return peer_begin(p, (uint16_t)atoi(w[1]), strtoull(w[2], NULL, 0),
			  WIRE_PASS_DELTA);
}

static int do_cutover(struct peer *p, char **w)
{
	return peer_cutover(p, strtoull(w[1], NULL, 0));
}

static int do_deaf(struct peer *p, char **w)
{
	p->deaf = true;
	return 0;
}

static int do_shut(struct peer *p, char **w)
{
	return shutdown(p->transport->fd, SHUT_RDWR) < 0 ? -errno : 0;
}

static const struct {
	const char *name;
	int words;
	int (*run)(struct peer *p, char **words);
} commands[] = {
	{ "hello", 2, do_hello }, { "open", 3, do_open },
	{ "claim", 2, do_claim }, { "begin", 3, do_begin },
	{ "data", 7, do_data }, { "zero", 5, do_zero },
	{ "barrier", 1, do_barrier }, { "cutover", 2, do_cutover },
	{ "digest", 5, do_digest }, { "header", 4, do_header },
	{ "measure", 1, do_measure }, { "report", 2, do_report },
	{ "bytes", 3, do_bytes }, { "wait", 1, do_wait },
	{ "deaf", 1, do_deaf }, { "shut", 1, do_shut },
};

static int run_line(struct peer *p, char *line)
{
	char *words[10] = { NULL }, *at = line;
	int nr = 0;

	while (nr < 9 && (words[nr] = strtok_r(nr ? NULL : line, " \n", &at)))
		nr++;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (nr && !strcmp(commands[i].name, words[0]) &&
		    nr >= commands[i].words)
			return commands[i].run(p, words);
	}
	return bf_fail(&p->err, BF_E_USAGE, EINVAL, "what is \"%s\"?", line);
}

/* The words of an ERROR frame that came before the line broke count more. */
static void look_for_words(struct peer *p)
{
	struct bf_error broken = p->err;
	struct bf_frame *frame;

	if (broken.code != BF_E_CONNECTION)
		return;
	while (peer_next(p, &frame) == 1)
		if (frame->type == WIRE_ERROR && bf_check_error(frame, &p->err))
			return;
	p->err = broken;
}

static int connect_peer(int argc, char **argv, struct peer **peer,
			struct bf_error *err)
{
	bool plain = argc == 4 && !strcmp(argv[1], "--plain");
	uint64_t deadline_ns = bf_now_ns() + PEER_PATIENCE_NS;
	struct bf_transport *pair[2], *transport;
	static struct bf_identity *identity;
	static struct bf_tls *tls;
	int fd, ret;

	if (argc != 3 + plain)
		return bf_fail(err, BF_E_USAGE, EINVAL, "usage: peer [--plain] ADDRESS KEYFILE");
	ret = bf_tcp_connect(argv[1 + plain], deadline_ns, &fd, err);
	if (ret)
		return ret;
	if (plain) {		/* a pair's end, with the socket put under it */
		ret = bf_transport_pair(pair, err);
		if (ret)
			return ret;
		bf_transport_close(pair[1]);
		dup2(fd, pair[0]->fd);
		*peer = peer_new(pair[0]);
		return 0;
	}
	ret = bf_identity_load(argv[2], &identity, err);
	if (!ret)
		ret = bf_tls_new(&tls, BF_ROLE_SOURCE, identity, err);
	if (!ret)
		ret = bf_transport_tls(&transport, tls, fd, err);
	if (!ret)
		ret = bf_transport_handshake(transport, deadline_ns, err);
	if (!ret)
		*peer = peer_new(transport);
	return ret;
}

int main(int argc, char **argv)
{
	struct bf_error err = { 0 };
	struct peer *p = NULL;
	char line[256];
	int ret = connect_peer(argc, argv, &p, &err);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ret) {
		printf("error %s: %s\n", bf_code_name(err.code), err.text);
		return 1;
	}
	printf("ok connected\n");
	while (fgets(line, sizeof(line), stdin)) {
		memset(&p->err, 0, sizeof(p->err));
		ret = run_line(p, line);
		if (ret < 0)
			look_for_words(p);
		if (ret < 0)
			printf("error %s: %s\n", bf_code_name(p->err.code),
			       p->err.text);
		else
			printf("ok\n");
	}
	peer_free(p);
	return 0;
}
