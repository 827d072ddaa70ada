// SPDX-License-Identifier: Apache-2.0
/*
 * The source's step machine, against a hostile target: a session makes a full
 * copy, a delta, a resync, a comparison and a cutover, and the input decides
 * which answers are honest, damaged, cut, doubled, of another type, or missing.
 * Each of these calls ends, well or with words, and nothing is lost: what was
 * not committed is dirty again.
 */
#include <sys/mman.h>

#include "fuzz.h"
#include "lib/config.h"
#include "source/pass.h"
#include "../unit/fake_target.h"

#define DISK_BYTES (96u << 10)
#define TIMEOUT_NS (60 * BF_NSEC_PER_MSEC)
#define MEASURE_NS (BF_NSEC_PER_MSEC / 10)

static struct input in;			/* the target's thread's, once it runs */
static int fds[2];

static int memory_file(uint64_t bytes)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	uint8_t block[4096];

	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		abort();
	for (uint64_t at = 0; at < bytes; at += sizeof(block)) {
		memset(block, (int)(at >> 12), sizeof(block));
		if (pwrite(fd, block, sizeof(block), (off_t)at) != sizeof(block))
			abort();
	}
	return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	bf_log_set_level((enum bf_log_level)0);
	fds[0] = memory_file(DISK_BYTES);
	fds[1] = memory_file(DISK_BYTES);
	return 0;
}

static int send_as_it_is(struct fake_target *t, uint16_t type, uint16_t disk,
			 const void *payload, uint32_t bytes)
{
	return bf_frame_send(t->end, type, disk, payload, bytes,
			     bf_now_ns() + FAKE_DEADLINE_NS, NULL);
}

/* An answer that says it is longer than it is makes the source wait: rare. */
static int dishonest(struct fake_target *t, uint16_t type, uint16_t disk,
		     const void *payload, uint32_t bytes)
{
	uint8_t copy[sizeof(struct wire_digests) +
		     WIRE_DIGESTS_MAX * WIRE_DIGEST_BYTES];
	uint8_t how = in.left ? take(&in, 1) : 0;

	if (bytes > sizeof(copy))
		return -1;
	memcpy(copy, payload, bytes);
	switch (how % 12) {
	case 1:
	case 2:
		copy[take(&in, 2) % bytes] ^= take(&in, 1);
		return send_as_it_is(t, type, disk, copy, bytes);
	case 3:
		return send_as_it_is(t, type, disk, copy, take(&in, 2) % bytes);
	case 4:
		return send_as_it_is(t, take(&in, 1) % 20, disk, copy, bytes);
	case 5:
		return send_as_it_is(t, type, take(&in, 1), copy, bytes);
	case 6:
		return send_as_it_is(t, type, disk, copy, bytes) ||
		       send_as_it_is(t, type, disk, copy, bytes);
	case 7:
		take_bytes(&in, copy, bytes);
		return send_as_it_is(t, type, disk, copy, bytes);
	case 8:
		take_bytes(&in, copy, 16);
		return bf_transport_write_all(t->end, copy, 16, bf_now_ns() +
					      FAKE_DEADLINE_NS, NULL);
	case 9:
		return -1;
	default:
		return send_as_it_is(t, type, disk, copy, bytes);
	}
}

static int run(struct bf_session *s, struct bf_session_disk *disk,
	       struct bf_pass_result *result, struct bf_error *err)
{
	const struct bf_extent some = { 8192, 70000 / 4096 * 4096 };
	struct bf_verify_result verified;
	uint64_t round_ns;
	double rate;
	int ret = bf_session_claim(s, 7, true, err);

	if (!ret)
		ret = bf_pass_run(s, WIRE_PASS_FULL, true, NULL, result, err);
	if (!ret)
		ret = disk->extents->ops->mark(disk->extents, &some, 1, err);
	if (!ret)
		ret = bf_pass_run(s, WIRE_PASS_DELTA, false, NULL, result, err);
	if (!ret)
		ret = disk->extents->ops->mark(disk->extents, &some, 1, err);
	if (!ret)
		ret = bf_pass_run(s, WIRE_PASS_RESYNC, true, NULL, result, err);
	if (!ret)
		ret = bf_session_verify(s, 0, NULL, 0, 4096, NULL, NULL,
					&verified, err);
	if (!ret)
		ret = bf_session_cutover(s, 7, err);
	if (!ret)
		ret = bf_session_report(s, "{}", err);
	return ret ? ret : bf_session_measure(s, MEASURE_NS, &rate, &round_ns,
					      err);
}

/* What was begun and not finished can be begun again. */
static void check_given_back(struct bf_extents *extents)
{
	struct bf_generation generation;

	if (extents->ops->begin(&extents, 1, &generation, NULL) ||
	    extents->ops->abort(extents, NULL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct bf_session_settings settings = { .level = 1 };
	static struct bf_pass_result result;
	static struct fake_target target;
	struct bf_session_disk disk = { .name = "vda", .target = "vda",
		.fd = fds[0], .size_bytes = DISK_BYTES, .in_doubt = true };
	struct bf_session_options options = {
		.job = "fuzz", .timeout_ns = TIMEOUT_NS, .workers = 1,
		.settings = &settings, .disks = &disk, .nr_disks = 1,
	};
	struct bf_session *session = NULL;
	struct bf_error err = { 0 };

	in = (struct input){ data, bytes };
	memset(&target, 0, sizeof(target));
	target.fds[0] = fds[1];
	target.sizes[0] = DISK_BYTES;
	target.features = WIRE_FEATURE_ZSTD | WIRE_FEATURE_GMAC |
			  WIRE_FEATURE_MEASURE | WIRE_FEATURE_REPORT;
	target.answer = dishonest;
	if (bf_extents_whole(&disk.extents, DISK_BYTES, 4096, NULL))
		abort();
	options.transport = fake_start(&target);
	if ((bf_session_open(&session, &options, &err) ||
	     run(session, &disk, &result, &err)) && !err.text[0])
		abort();
	if (!bytes && err.text[0])
		abort();		/* an honest target is content */
	bf_session_close(session);
	fake_join(&target);
	check_given_back(disk.extents);
	disk.extents->ops->close(disk.extents);
	return 0;
}
