// SPDX-License-Identifier: Apache-2.0
/*
 * The target's step machine, driven by a hostile source: an input is a list of
 * frames, most of them well-formed and with the right secrets, so that they get
 * past the checks; some damaged, some just bytes. No write may leave the
 * device, and whatever comes ends in an answer or in words.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "lib/codec.h"
#include "target/registry.h"
#include "target/session_private.h"

#define DEVICE_BYTES (256u << 10)
#define FRAMES_MAX 64

static struct bf_target_config targets[2];
static struct bf_registry registry;
static char records[80], reports[96];
static struct bf_codec *codec;
static uint8_t payload[2 << 20];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	make_fuzz_folder();
	snprintf(records, sizeof(records), "%s/records", fuzz_folder);
	snprintf(reports, sizeof(reports), "%s/reports", records);
	for (int i = 0; i < 2; i++) {
		snprintf(targets[i].name, sizeof(targets[i].name), "%c", 'a' + i);
		write_fuzz_file(targets[i].path, targets[i].name, "", 0);
		targets[i].overwrite = i;
		if (truncate(targets[i].path, DEVICE_BYTES))
			abort();
	}
	if (bf_codec_new(&codec, NULL))
		abort();
	return 0;
}

/* ---- frames; each returns its payload's length ---- */

static size_t put_hello(struct input *in)
{
	struct wire_hello m = {
		.magic = WIRE_MAGIC, .version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION,
		.features = WIRE_FEATURE_ZSTD | WIRE_FEATURE_GMAC |
			    WIRE_FEATURE_MEASURE | WIRE_FEATURE_REPORT,
		.job = "job",
	};

	m.job[2] += take(in, 1) % 2;
	bf_wire_swap_hello(&m);
	memcpy(payload, &m, sizeof(m));
	return sizeof(m);
}

static size_t put_open(struct input *in)
{
	uint8_t how = take(in, 1);
	struct wire_open m = {
		.size_bytes = DEVICE_BYTES - (how & 2 ? 512 : 0),
		.granularity_bytes = 4096,
		.flags = how & 4 ? WIRE_OPEN_READ_ONLY : 0,
		.target = { how & 1 ? 'b' : 'a' },
	};

	bf_wire_swap_open(&m);
	memcpy(payload, &m, sizeof(m));
	return sizeof(m);
}

static size_t put_claim(struct input *in, const struct bf_target_session *s)
{
	struct wire_claim m = {
		.nr_disks = s->nr_disks,
		.flags = take(in, 1) & 1 ? WIRE_CLAIM_RESTART : 0,
		.epoch = take(in, 1),
		.connections = 1,
	};

	bf_wire_swap_claim(&m);
	memcpy(payload, &m, sizeof(m));
	return sizeof(m);
}

static size_t put_begin(struct input *in)
{
	struct wire_begin m = {
		.generation = take(in, 1),
		.kind = take(in, 1) % 5,
	};

	bf_wire_swap_begin(&m);
	memcpy(payload, &m, sizeof(m));
	return sizeof(m);
}

static size_t put_data(struct input *in, const struct bf_target_session *s)
{
	uint8_t *at = payload + sizeof(struct wire_data);
	struct wire_data m = {
		.generation = take(in, 1),
		.nr_data = take(in, 1) % 5,
		.nr_zero = take(in, 1) % 5,
	};
	size_t table = (m.nr_data + m.nr_zero) * sizeof(struct wire_extent);
	static uint8_t raw[16 * 65536];
	const void *encoded;

	for (int i = 0; i < m.nr_data + m.nr_zero; i++) {
		struct wire_extent e = {
			.offset_bytes = take(in, 2) * WIRE_BLOCK_BYTES,
			.length_bytes = take(in, 1) * WIRE_BLOCK_BYTES,
		};

		if (i < m.nr_data)
			m.raw_bytes += e.length_bytes;
		bf_wire_swap_extent(&e);
		memcpy(at + i * sizeof(e), &e, sizeof(e));
	}
	memset(raw, (int)take(in, 1), m.raw_bytes);
	m.checksum = bf_codec_checksum(codec, s->checksum_seed, at, table, raw,
				       m.raw_bytes);
	m.encoded_bytes = bf_codec_encode(codec, (int)take(in, 1) % 3, raw,
					  m.raw_bytes, at + table, m.raw_bytes,
					  &encoded, &m.codec);
	if (encoded == raw)
		memcpy(at + table, raw, m.raw_bytes);
	table += sizeof(m) + m.encoded_bytes;
	bf_wire_swap_data(&m);
	memcpy(payload, &m, sizeof(m));
	return table;
}

static size_t put_barrier(struct input *in, const struct bf_target_session *s)
{
	struct wire_barrier m = {
		.sequence = s->last_barrier + 1 + take(in, 1) / 255,
		.nr_disks = take(in, 1) % 3,
	};
	uint8_t *at = payload + sizeof(m);

	for (uint32_t i = 0; i < m.nr_disks; i++, at += sizeof(struct wire_progress)) {
		struct wire_progress p = {
			.generation = take(in, 1),
			.through_bytes = take(in, 2) * WIRE_BLOCK_BYTES,
			.disk = i, .flags = take(in, 1) % 4,
		};

		bf_wire_swap_progress(&p);
		memcpy(at, &p, sizeof(p));
	}
	bf_wire_swap_barrier(&m);
	memcpy(payload, &m, sizeof(m));
	return (size_t)(at - payload);
}

static size_t put_cutover(struct input *in, const struct bf_target_session *s)
{
	struct wire_cutover m = { .epoch = s->epoch + take(in, 1) / 255 };

	bf_wire_swap_cutover(&m);
	memcpy(payload, &m, sizeof(m));
	return sizeof(m);
}

static size_t put_digest(struct input *in)
{
	struct wire_digest m = {
		.offset_bytes = take(in, 2) * WIRE_BLOCK_BYTES,
		.length_bytes = take(in, 2) * WIRE_BLOCK_BYTES,
		.block_bytes = 4096u << take(in, 1) % 9,
	};

	bf_wire_swap_digest(&m);
	memcpy(payload, &m, sizeof(m));
	return sizeof(m);
}

static size_t put_measure(struct input *in)
{
	struct wire_measure m = { .flags = take(in, 1) % 3 };

	bf_wire_swap_measure(&m);
	memcpy(payload, &m, sizeof(m));
	return sizeof(m) + take(in, 1);
}

/* JSON or not, with anything in it. */
static size_t put_report(struct input *in)
{
	static const char before[] = "{\"job\":\"", after[] = "\"}";
	char *text = (char *)payload + sizeof(struct wire_report), *end = text;
	uint8_t how = take(in, 1);
	struct wire_report m;

	end = stpcpy(end, before);
	end += take_bytes(in, end, how / 2);
	if (how & 1)
		end = stpcpy(end, after);
	m = (struct wire_report){ .text_bytes = end - text };
	bf_wire_swap_report(&m);
	memcpy(payload, &m, sizeof(m));
	return end - (char *)payload;
}

static size_t put(struct input *in, const struct bf_target_session *s, uint16_t type)
{
	switch (type) {
	case WIRE_HELLO:
		return put_hello(in);
	case WIRE_OPEN:
		return put_open(in);
	case WIRE_CLAIM:
		return put_claim(in, s);
	case WIRE_BEGIN:
		return put_begin(in);
	case WIRE_DATA:
		return put_data(in, s);
	case WIRE_BARRIER:
		return put_barrier(in, s);
	case WIRE_CUTOVER:
		return put_cutover(in, s);
	case WIRE_DIGEST:
		return put_digest(in);
	case WIRE_MEASURE:
		return put_measure(in);
	case WIRE_REPORT:
		return put_report(in);
	default:
		return take_bytes(in, payload, take(in, 1));
	}
}

/* ---- the session ---- */

static void drain(struct bf_transport *end)
{
	uint8_t sink[65536];

	while (bf_transport_read(end, sink, sizeof(sink)) > 0)
		;
}

/* Return: false once the session is over. */
static bool step(struct input *in, struct bf_target_session *s,
		 struct bf_transport *end)
{
	static const uint16_t types[] = {
		WIRE_HELLO, WIRE_OPEN, WIRE_CLAIM, WIRE_BEGIN, WIRE_DATA,
		WIRE_DATA, WIRE_BARRIER, WIRE_CUTOVER, WIRE_DIGEST, WIRE_PING,
		0, 0,		/* any */
		WIRE_REPORT, WIRE_MEASURE, WIRE_DATA, WIRE_DATA,
	};
	uint8_t op = take(in, 1), flaw = op / 16;
	struct bf_frame frame = { .payload = payload };
	struct bf_error err = { 0 };
	int ret;

	frame.type = types[op % 16] ? types[op % 16] : take(in, 1);
	frame.length = put(in, s, frame.type);
	frame.disk = flaw & 1 ? take(in, 1) % 3 :
		     frame.type == WIRE_OPEN ? s->nr_disks : 0;
	if (flaw == 14 && frame.length)
		payload[take(in, 2) % frame.length] ^= take(in, 1);
	/* What the reader lets through is within the limits of its type. */
	if (frame.length < bf_frame_minimum(frame.type) ||
	    frame.length > bf_frame_limit(BF_ROLE_TARGET, frame.type))
		return true;
	ret = bf_target_session_step(s, &frame, &err);
	if (ret && !err.text[0])
		abort();
	drain(end);
	return !ret;
}

static void forget(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

static void check_sizes(void)
{
	struct stat st;

	for (int i = 0; i < 2; i++)
		if (stat(targets[i].path, &st) || st.st_size != DEVICE_BYTES)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input in = { data, bytes };
	struct bf_target_session *s;
	struct bf_transport *ends[2];

	memset(&registry, 0, sizeof(registry));
	registry.targets = targets;
	registry.nr_targets = 2;
	registry.more_connections = 16;
	registry.records_dir = take(&in, 1) & 1 ? records : NULL;
	bf_registry_init(&registry);
	if (bf_transport_pair(ends, NULL) ||
	    bf_target_session_new(&s, &registry, ends[1], true, NULL))
		abort();
	for (int i = 0; i < FRAMES_MAX && in.left && step(&in, s, ends[0]); i++)
		;
	bf_target_session_free(s);
	bf_transport_close(ends[0]);
	bf_registry_destroy(&registry);
	if (registry.records_dir) {
		forget(reports);
		forget(records);
	}
	check_sizes();
	return 0;
}
