/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source that knows what was promised to it. In: a receiver and the
 * dm-log-writes device under its target. Out: generations of DATA that overlap
 * earlier ones, barriers, alone, with DATA behind them or several at once; a
 * mark "barrier-N" in the device's log before each, and "ack-N" as DURABLE(N)
 * has come, before anything more is sent; the ledger of acked.h. At each
 * acknowledgement the target's totals and its record on disk must say what the
 * barrier stated.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <jansson.h>
#include <linux/dm-ioctl.h>

#include "../tests/vm/acked.h"
#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/frame.h"

#define JOB "durability"
#define BARRIERS_MAX 4096
#define FRAME_EXTENTS_MAX 12
#define WINDOW_BYTES (2u << 20)		/* of a narrow generation, at most */
#define HOT_BYTES (6u << 20)		/* where most generations are */
#define PATIENCE_NS (60 * BF_NSEC_PER_SEC)

static struct options {
	char *address, *peer, *key, *target, *records, *device, *ledger;
	char *bytes, *rounds, *seed;
} options;

static const struct {
	const char *name;
	char **value;
} option_table[] = {
	{ "address", &options.address },	/* of the receiver */
	{ "peer", &options.peer },		/* its fingerprint */
	{ "key", &options.key },		/* our key file */
	{ "target", &options.target },
	{ "records", &options.records },	/* the receiver's folder */
	{ "device", &options.device },		/* dm name that takes marks */
	{ "ledger", &options.ledger },
	{ "bytes", &options.bytes },		/* of our disk */
	{ "rounds", &options.rounds },
	{ "seed", &options.seed },
};

struct barrier {
	uint64_t nr_writes, generation, through_bytes;
	bool complete;
	struct wire_totals totals;
};

struct source {
	struct bf_transport *transport;
	struct bf_frame_reader reader;
	struct bf_codec *codec;
	uint64_t checksum_seed;
	FILE *ledger;
	int dm_fd;
	uint64_t bytes, seed, random, nr_writes;
	/* The generation that is being sent, ascending. */
	uint64_t generation, at_bytes, end_bytes;
	struct wire_totals totals;
	struct barrier barriers[BARRIERS_MAX];
	uint64_t nr_barriers, nr_acks;
	/* A frame in the making. */
	struct {
		struct wire_data head;
		struct wire_extent table[FRAME_EXTENTS_MAX];
		uint8_t blocks[WIRE_RAW_MAX];
	} payload;
	struct wire_extent zero[FRAME_EXTENTS_MAX];
	uint64_t raw[WIRE_RAW_MAX / sizeof(uint64_t)];
	uint8_t room[WIRE_RAW_MAX];
	struct bf_error err;
};

static uint64_t below(struct source *s, uint64_t limit)
{
	return acked_random(&s->random) % limit;
}

/* --- marks in the log ----------------------------------------------------------- */

static int mark(struct source *s, const char *what, uint64_t n)
{
	struct {
		struct dm_ioctl head;
		uint64_t sector;	/* a struct dm_target_msg from here */
		char text[64];
	} m = {
		.head = {
			.version = { DM_VERSION_MAJOR, 0, 0 },
			.data_size = sizeof(m),
			.data_start = offsetof(typeof(m), sector),
		},
	};

	snprintf(m.head.name, sizeof(m.head.name), "%s", options.device);
	snprintf(m.text, sizeof(m.text), "mark %s-%" PRIu64, what, n);
	if (ioctl(s->dm_fd, DM_TARGET_MSG, &m) < 0)
		return bf_fail(&s->err, BF_E_SYSTEM, errno, "no mark in the log of %s: %s",
			       options.device, strerror(errno));
	return 0;
}

/* --- what the target says ------------------------------------------------------- */

static int pong(struct source *s, const struct bf_frame *f)
{
	return bf_frame_send(s->transport, WIRE_PONG, 0, f->payload, f->length,
			     bf_now_ns() + PATIENCE_NS, &s->err);
}

static int wait_input(struct source *s)
{
	struct pollfd pollfd = {
		.fd = bf_transport_fd(s->transport),
		.events = bf_transport_read_events(s->transport),
	};

	if (poll(&pollfd, 1, PATIENCE_NS / BF_NSEC_PER_MSEC) > 0)
		return 0;
	return bf_fail(&s->err, BF_E_TIMEOUT, ETIMEDOUT, "the receiver is silent");
}

/* Return: 1 with a frame, 0 if none has come and @wait is false, or an error. */
static int next_frame(struct source *s, bool wait, struct bf_frame **frame)
{
	int ret;

	for (;;) {
		ret = bf_frame_read(&s->reader, s->transport, frame, &s->err);
		if (ret == -EAGAIN && !wait)
			return 0;
		if (ret == -EAGAIN)
			ret = wait_input(s);
		else if (!ret)
			ret = bf_fail(&s->err, BF_E_CONNECTION, ECONNRESET,
				      "the receiver hung up");
		else if (ret > 0 && (*frame)->type == WIRE_PING)
			ret = pong(s, *frame);
		else if (ret > 0 && (*frame)->type == WIRE_ERROR)
			ret = bf_check_error(*frame, &s->err);
		if (ret)
			return ret;
	}
}

static int call(struct source *s, uint16_t type, const void *payload,
		uint32_t bytes, uint16_t answer, struct bf_frame **frame)
{
	int ret = bf_frame_send(s->transport, type, 0, payload, bytes,
				bf_now_ns() + PATIENCE_NS, &s->err);

	if (!ret)
		ret = next_frame(s, true, frame);
	if (ret < 0)
		return ret;
	if ((*frame)->type != answer)
		return bf_fail(&s->err, BF_E_PROTOCOL, EPROTO, "%s came instead of %s",
			       bf_frame_name((*frame)->type), bf_frame_name(answer));
	return 0;
}

/* --- acknowledgements ------------------------------------------------------------- */

static json_t *load_record(void)
{
	json_t *record = NULL;
	char pattern[4096];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/" JOB ".*.json", options.records);
	if (glob(pattern, 0, NULL, &found))
		return NULL;
	if (found.gl_pathc == 1)
		record = json_load_file(found.gl_pathv[0], 0, NULL);
	globfree(&found);
	return record;
}

static bool record_states(const json_t *record, const struct barrier *b)
{
	const json_t *disk = json_array_get(json_object_get(
		json_object_get(record, "body"), "disks"), 0);
	uint64_t generation = (uint64_t)json_integer_value(
		json_object_get(disk, "generation"));
	uint64_t through = (uint64_t)json_integer_value(
		json_object_get(disk, "through_bytes"));

	if (b->complete && !json_is_true(json_object_get(disk, "complete")))
		return false;
	return generation > b->generation ||
	       (generation == b->generation && through >= b->through_bytes);
}

static int check_record(struct source *s, uint64_t n)
{
	const struct barrier *b = &s->barriers[n];
	json_t *record = load_record();
	bool states = record_states(record, b);

	json_decref(record);
	if (states)
		return 0;
	return bf_fail(&s->err, BF_E_RECORD, EIO,
		       "DURABLE(%" PRIu64 "), but the record does not say generation %" PRIu64 " through %" PRIu64 "%s",
		       n, b->generation, b->through_bytes,
		       b->complete ? ", complete" : "");
}

static int acknowledged(struct source *s, const struct bf_frame *f)
{
	uint64_t n = s->nr_acks + 1;
	struct wire_totals totals;
	struct wire_durable m;
	int ret = mark(s, "ack", n);

	if (!ret)
		ret = bf_check_durable(f, &m, 1, &totals, &s->err);
	if (ret)
		return ret;
	if (m.sequence != n || n > s->nr_barriers)
		return bf_fail(&s->err, BF_E_PROTOCOL, EPROTO,
			       "DURABLE(%" PRIu64 ") came, %" PRIu64 " is next",
			       m.sequence, n);
	if (memcmp(&totals, &s->barriers[n].totals, sizeof(totals)))
		return bf_fail(&s->err, BF_E_TOTALS, EIO,
			       "DURABLE(%" PRIu64 ") has other totals than were sent", n);
	s->nr_acks = n;
	fprintf(s->ledger, "ack %" PRIu64 " %" PRIu64 "\n", n, s->nr_writes);
	return check_record(s, n);
}

/* Wait for DURABLE(@until); take what has come beyond it. */
static int take_acks(struct source *s, uint64_t until)
{
	struct bf_frame *frame;
	int ret;

	for (;;) {
		ret = next_frame(s, s->nr_acks < until, &frame);
		if (ret <= 0)
			return ret;
		if (frame->type != WIRE_DURABLE)
			return bf_fail(&s->err, BF_E_PROTOCOL, EPROTO,
				       "%s came out of turn", bf_frame_name(frame->type));
		ret = acknowledged(s, frame);
		if (ret)
			return ret;
	}
}

/* --- what we say ------------------------------------------------------------------ */

/* The first generation is the whole disk, later ones a window of it. */
static int begin(struct source *s)
{
	bool full = !s->generation;
	uint64_t window = full ? s->bytes :
			  (1 + below(s, WINDOW_BYTES / 4096)) * 4096;
	uint64_t start = full ? 0 :
			 below(s, ((below(s, 4) ? HOT_BYTES : s->bytes) - window) / 4096) * 4096;
	struct wire_begin m = {
		.generation = ++s->generation,
		.nr_blocks = window / 4096,
		.kind = full ? WIRE_PASS_FULL : WIRE_PASS_DELTA,
	};

	s->at_bytes = start;
	s->end_bytes = start + window;
	bf_wire_swap_begin(&m);
	return bf_frame_send(s->transport, WIRE_BEGIN, 0, &m, sizeof(m),
			     bf_now_ns() + PATIENCE_NS, &s->err);
}

/* Of whole 4096 bytes mostly; zeroes may be long. False: the frame is full. */
static bool next_extent(struct source *s, uint64_t room_bytes,
			struct wire_extent *e, bool *zero)
{
	uint64_t unit = below(s, 4) ? 4096 : SECTOR_BYTES;
	uint64_t limit = s->generation == 1 ? 128 : 24;

	if (s->generation > 1)
		s->at_bytes += below(s, 8) * unit;
	*zero = !below(s, 5);
	e->offset_bytes = s->at_bytes;
	e->length_bytes = (1 + below(s, *zero ? 2 * limit : limit)) * unit;
	if (s->at_bytes >= s->end_bytes)
		return false;
	if (e->length_bytes > s->end_bytes - s->at_bytes)
		e->length_bytes = s->end_bytes - s->at_bytes;
	if (!*zero && e->length_bytes > room_bytes)
		return false;
	s->at_bytes += e->length_bytes;
	return true;
}

static void record_write(struct source *s, const struct wire_extent *e, bool zero)
{
	fprintf(s->ledger, "write %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n",
		++s->nr_writes, e->offset_bytes, e->length_bytes,
		zero ? "zero" : "data");
	s->totals.extents++;
	*(zero ? &s->totals.zero_bytes : &s->totals.data_bytes) += e->length_bytes;
}

static void fill(struct source *s, uint32_t at_bytes, const struct wire_extent *e)
{
	uint64_t *words = s->raw + at_bytes / sizeof(uint64_t);
	uint64_t first = e->offset_bytes / SECTOR_BYTES;

	for (uint64_t i = 0; i < e->length_bytes / SECTOR_BYTES; i++)
		acked_fill(words + i * SECTOR_WORDS, s->seed, s->nr_writes, first + i);
}

static void collect(struct source *s, struct wire_data *head)
{
	struct wire_extent e;
	bool zero;

	while (head->nr_data + head->nr_zero < FRAME_EXTENTS_MAX &&
	       next_extent(s, WIRE_RAW_MAX - head->raw_bytes, &e, &zero)) {
		record_write(s, &e, zero);
		if (!zero) {
			fill(s, head->raw_bytes, &e);
			head->raw_bytes += (uint32_t)e.length_bytes;
		}
		bf_wire_swap_extent(&e);
		if (zero)
			s->zero[head->nr_zero++] = e;
		else
			s->payload.table[head->nr_data++] = e;
	}
	memcpy(&s->payload.table[head->nr_data], s->zero,
	       head->nr_zero * sizeof(s->zero[0]));
}

static int send_frame(struct source *s, struct wire_data *head)
{
	uint32_t table_bytes = (head->nr_data + head->nr_zero) *
			       (uint32_t)sizeof(struct wire_extent);
	const void *encoded;

	head->checksum = bf_codec_checksum(s->codec, s->checksum_seed,
					   s->payload.table, table_bytes, s->raw,
					   head->raw_bytes);
	head->encoded_bytes = (uint32_t)bf_codec_encode(s->codec,
		(int)below(s, 2), s->raw, head->raw_bytes, s->room,
		sizeof(s->room), &encoded, &head->codec);
	s->totals.frames++;
	s->totals.checksum_sum += head->checksum;
	s->payload.head = *head;
	bf_wire_swap_data(&s->payload.head);
	memcpy((uint8_t *)s->payload.table + table_bytes, encoded,
	       head->encoded_bytes);
	return bf_frame_send(s->transport, WIRE_DATA, 0, &s->payload,
			     (uint32_t)sizeof(*head) + table_bytes +
			     head->encoded_bytes, bf_now_ns() + PATIENCE_NS, &s->err);
}

static int data(struct source *s)
{
	struct wire_data head = { 0 };
	int ret = take_acks(s, 0);

	while (!ret && !head.nr_data && !head.nr_zero) {
		if (s->at_bytes >= s->end_bytes)
			ret = begin(s);
		if (ret)
			break;
		head.generation = s->generation;
		collect(s, &head);
	}
	return ret ? ret : send_frame(s, &head);
}

static int frames(struct source *s, uint64_t nr)
{
	int ret = 0;

	while (!ret && nr--)
		ret = data(s);
	return ret;
}

static int barrier(struct source *s)
{
	bool end = s->at_bytes >= s->end_bytes;
	struct {
		struct wire_barrier head;
		struct wire_progress progress;
	} m = {
		.head = { .sequence = ++s->nr_barriers, .nr_disks = 1 },
		.progress = {
			.generation = s->generation,
			.through_bytes = end ? s->bytes : s->at_bytes,
			.flags = !end ? 0 : s->generation > 1 ? WIRE_PROGRESS_END :
				 WIRE_PROGRESS_END | WIRE_PROGRESS_COMPLETE,
		},
	};
	int ret;

	s->barriers[s->nr_barriers] = (struct barrier){
		.nr_writes = s->nr_writes,
		.generation = s->generation,
		.through_bytes = m.progress.through_bytes,
		.complete = m.progress.flags & WIRE_PROGRESS_COMPLETE,
		.totals = s->totals,
	};
	fprintf(s->ledger, "barrier %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		s->nr_barriers, s->nr_writes, s->generation,
		m.progress.through_bytes);
	ret = mark(s, "barrier", s->nr_barriers);
	if (ret)
		return ret;
	bf_wire_swap_progress(&m.progress);
	bf_wire_swap_barrier(&m.head);
	return bf_frame_send(s->transport, WIRE_BARRIER, 0, &m, sizeof(m),
			     bf_now_ns() + PATIENCE_NS, &s->err);
}

/* By turns: a barrier alone; DATA behind it; several of them at once. */
static int a_round(struct source *s, uint64_t round)
{
	int ret = frames(s, 1 + below(s, 8));

	if (!ret)
		ret = barrier(s);
	for (int i = 0; i < 2 && round % 3 == 2 && !ret; i++) {
		ret = frames(s, 1 + below(s, 3));
		if (!ret)
			ret = barrier(s);
	}
	if (!ret && round % 3)
		ret = frames(s, 1 + below(s, 6));
	return ret ? ret : take_acks(s, s->nr_barriers);
}

/* The last DATA is never covered. */
static int rounds(struct source *s)
{
	uint64_t nr = strtoull(options.rounds, NULL, 0);
	int ret = 0;

	if (nr > BARRIERS_MAX / 3 - 1)
		return bf_fail(&s->err, BF_E_USAGE, EINVAL, "too many rounds");
	for (uint64_t i = 0; i < nr && !ret; i++)
		ret = a_round(s, i);
	return ret ? ret : frames(s, 3);
}

/* --- the session -------------------------------------------------------------------- */

static int connect_receiver(struct source *s)
{
	uint64_t deadline_ns = bf_now_ns() + PATIENCE_NS;
	struct bf_identity *identity;
	struct bf_tls *tls = NULL;
	int fd, ret = bf_identity_load(options.key, &identity, &s->err);

	if (ret)
		return ret;
	ret = bf_tls_new(&tls, BF_ROLE_SOURCE, identity, &s->err);
	bf_identity_free(identity);
	if (!ret)
		ret = bf_tcp_connect(options.address, deadline_ns, &fd, &s->err);
	if (!ret)
		ret = bf_transport_tls(&s->transport, tls, fd, &s->err);
	if (!ret)
		ret = bf_transport_handshake(s->transport, deadline_ns, &s->err);
	bf_tls_free(tls);
	if (!ret && strcmp(bf_transport_peer(s->transport), options.peer))
		ret = bf_fail(&s->err, BF_E_UNKNOWN_PEER, EACCES, "a stranger answers");
	return ret;
}

static int hello(struct source *s)
{
	struct wire_hello m = {
		.magic = WIRE_MAGIC,
		.version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION,
		.features = WIRE_FEATURE_ZSTD,
		.job = JOB,
	};
	struct wire_welcome welcome;
	struct bf_frame *frame;
	int ret;

	bf_wire_swap_hello(&m);
	ret = call(s, WIRE_HELLO, &m, sizeof(m), WIRE_WELCOME, &frame);
	if (!ret)
		ret = bf_check_welcome(frame, &welcome, &s->err);
	if (!ret)
		s->checksum_seed = welcome.checksum_seed;
	return ret;
}

static int open_and_claim(struct source *s)
{
	struct wire_open open = { .size_bytes = s->bytes, .granularity_bytes = 4096 };
	struct wire_claim claim = {
		.epoch = 1, .nr_disks = 1, .flags = WIRE_CLAIM_RESTART,
		.connections = 1,
	};
	struct bf_frame *frame;
	int ret;

	snprintf(open.target, sizeof(open.target), "%s", options.target);
	bf_wire_swap_open(&open);
	bf_wire_swap_claim(&claim);
	ret = call(s, WIRE_OPEN, &open, sizeof(open), WIRE_OPENED, &frame);
	if (!ret)
		ret = call(s, WIRE_CLAIM, &claim, sizeof(claim), WIRE_CLAIMED, &frame);
	return ret;
}

static int prepare(struct source *s)
{
	s->bytes = strtoull(options.bytes, NULL, 0);
	s->seed = s->random = strtoull(options.seed, NULL, 0);
	s->ledger = fopen(options.ledger, "w");
	s->dm_fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (!s->ledger || s->dm_fd < 0 || !s->random ||
	    s->bytes < HOT_BYTES)
		return bf_fail(&s->err, BF_E_USAGE, EINVAL,
			       "no ledger, no device mapper, no seed or a disk of less than %u bytes",
			       HOT_BYTES);
	fprintf(s->ledger, "seed %" PRIu64 "\nbytes %" PRIu64 "\n", s->seed, s->bytes);
	bf_frame_reader_init(&s->reader, BF_ROLE_SOURCE);
	return bf_codec_new(&s->codec, &s->err);
}

static int run(struct source *s)
{
	int ret = prepare(s);

	if (!ret)
		ret = connect_receiver(s);
	if (!ret)
		ret = hello(s);
	if (!ret)
		ret = open_and_claim(s);
	if (!ret)
		ret = rounds(s);
	if (!ret)
		bf_transport_finish(s->transport, bf_now_ns() + PATIENCE_NS);
	if (s->ledger && fclose(s->ledger) && !ret)
		ret = bf_fail(&s->err, BF_E_SYSTEM, errno, "the ledger is not whole");
	return ret;
}

static bool parse(int argc, char **argv)
{
	size_t nr = sizeof(option_table) / sizeof(option_table[0]), given = 0;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		for (size_t k = 0; value && k < nr; k++) {
			size_t length = strlen(option_table[k].name);

			if (value != argv[i] + length ||
			    strncmp(argv[i], option_table[k].name, length))
				continue;
			given += !*option_table[k].value;
			*option_table[k].value = value + 1;
		}
	}
	return given == nr && argc == (int)nr + 1;
}

int main(int argc, char **argv)
{
	static struct source source;
	int ret;

	if (!parse(argc, argv)) {
		fprintf(stderr, "acked_source: NAME=VALUE for each of its options\n");
		return 2;
	}
	ret = run(&source);
	if (ret)
		fprintf(stderr, "acked_source: %s\n", source.err.text);
	printf("%" PRIu64 " writes, %" PRIu64 " data bytes, %" PRIu64 " zero bytes, %" PRIu64 " generations, %" PRIu64 " barriers, %" PRIu64 " acknowledged\n",
	       source.nr_writes, source.totals.data_bytes,
	       source.totals.zero_bytes, source.generation, source.nr_barriers,
	       source.nr_acks);
	bf_transport_close(source.transport);
	bf_frame_reader_free(&source.reader);
	bf_codec_free(source.codec);
	return ret ? 1 : 0;
}
