/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job for tests of passes: temporary files as disks, a session over them, and
 * a fake target at its other end. Made anew by each case.
 */
#ifndef BF_TESTS_PASS_JOB_H
#define BF_TESTS_PASS_JOB_H

#include "lib/cleanup.h"
#include "lib/config.h"
#include "source/pass.h"
#include "fake_target.h"
#include "tap.h"

#define M (1ull << 20)
#define DISKS FAKE_DISKS

struct job {
	struct bf_session_disk disks[DISKS];
	struct bf_session_settings settings;
	struct bf_session *session;
	struct fake_target target;
	uint64_t timeout_ns, in_flight_bytes;
	bool read_only, joined;
	uint32_t nr;
	struct bf_pass_result result;
	struct bf_error err;
};

static struct job *job;

enum content { RANDOM, TEXT, ZERO, MIXED };

static inline int temp_file(uint64_t size)
{
	char path[] = "/tmp/pass_test.XXXXXX";
	int fd = mkstemp(path);

	check(fd >= 0);
	unlink(path);
	check_eq(ftruncate(fd, size), 0);
	return fd;
}

static inline void fill(int fd, uint64_t from, uint64_t bytes, enum content content)
{
	static uint64_t seed = 88172645463325252ull;
	static uint8_t block[64 << 10];

	for (uint64_t at = 0; at < bytes; at += sizeof(block)) {
		uint64_t n = bytes - at < sizeof(block) ? bytes - at : sizeof(block);
		enum content c = content == MIXED ? at / sizeof(block) % 3 : content;

		if (c == ZERO)
			memset(block, 0, sizeof(block));
		for (size_t i = 0; c != ZERO && i < sizeof(block); i += 8) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			memcpy(block + i, c == RANDOM ? (void *)&seed : "blkferry", 8);
		}
		check_eq(pwrite(fd, block, n, from + at), n);
	}
}

static inline void new_job(void)
{
	job = calloc(1, sizeof(*job));
	check(job);
	job->settings.level = 1;
	job->timeout_ns = 30 * BF_NSEC_PER_SEC;
	job->target.features = WIRE_FEATURE_ZSTD | WIRE_FEATURE_GMAC;
}

static inline void add_disk(uint64_t size, enum content content)
{
	static const char *names[] = { "vda", "vdb", "vdc", "vdd" };
	struct bf_session_disk *d = &job->disks[job->nr];

	d->name = names[job->nr];
	d->target = names[job->nr];
	d->size_bytes = size;
	d->fd = temp_file(size);
	if (content != ZERO)
		fill(d->fd, 0, size, content);
	job->target.fds[job->nr] = temp_file(size);
	fill(job->target.fds[job->nr], 0, size < M ? size : M, RANDOM);
	job->target.sizes[job->nr] = size;
	check_eq(bf_extents_whole(&d->extents, size, 4096, NULL), 0);
	job->nr++;
}

static inline void open_session(struct bf_transport *end)
{
	struct bf_session_options options = {
		.job = "test", .transport = end,
		.timeout_ns = job->timeout_ns, .workers = 2,
		.in_flight_bytes = job->in_flight_bytes,
		.settings = &job->settings, .disks = job->disks,
		.nr_disks = job->nr, .read_only = job->read_only,
	};

	if (bf_session_open(&job->session, &options, &job->err))
		tap_fail(__FILE__, __LINE__, "%s", job->err.text);
}

static inline void claim(void)
{
	if (bf_session_claim(job->session, 7, true, &job->err))
		tap_fail(__FILE__, __LINE__, "%s", job->err.text);
}

static inline void start(void)
{
	open_session(fake_start(&job->target));
	claim();
}

/* Close the session and wait for the target: its counts may be read now. */
static inline void stop(void)
{
	bf_session_close(job->session);
	job->session = NULL;
	if (!job->joined)
		fake_join(&job->target);
	job->joined = true;
}

static inline void end_job(void)
{
	if (job->session)
		stop();
	for (uint32_t i = 0; i < job->nr; i++) {
		job->disks[i].extents->ops->close(job->disks[i].extents);
		close(job->disks[i].fd);
		close(job->target.fds[i]);
	}
	free(job);
	job = NULL;
}

static inline int pass(enum wire_pass_kind kind)
{
	return bf_pass_run(job->session, kind, kind == WIRE_PASS_FULL, NULL,
			   &job->result, &job->err);
}

static inline void pass_well(enum wire_pass_kind kind)
{
	if (pass(kind))
		tap_fail(__FILE__, __LINE__, "%s", job->err.text);
}

static inline void equal(uint32_t disk)
{
	static uint8_t a[64 << 10], b[64 << 10];

	for (uint64_t at = 0; at < job->disks[disk].size_bytes; at += sizeof(a)) {
		ssize_t n = pread(job->disks[disk].fd, a, sizeof(a), at);

		check(n > 0);
		check_eq(pread(job->target.fds[disk], b, n, at), n);
		if (memcmp(a, b, n))
			tap_fail(__FILE__, __LINE__, "disk %u differs near %llu",
				 disk, (unsigned long long)at);
	}
}

/* What the next begin would take over. */
static inline uint64_t dirty_blocks(uint32_t disk)
{
	struct bf_extents *e = job->disks[disk].extents;
	struct bf_generation g;

	check_eq(e->ops->begin(&e, 1, &g, NULL), 0);
	check_eq(e->ops->abort(e, NULL), 0);
	return g.nr_blocks;
}

static inline void fails_with(int ret, enum bf_code code, const char *words)
{
	check(ret < 0);
	if (job->err.code != code)
		tap_fail(__FILE__, __LINE__, "error is %s: %s",
			 bf_code_name(job->err.code), job->err.text);
	check_says(job->err.text, words);
}

static inline void mark(uint32_t disk, uint64_t offset, uint64_t length)
{
	struct bf_extents *e = job->disks[disk].extents;
	struct bf_extent what = { offset, length };

	check_eq(e->ops->mark(e, &what, 1, NULL), 0);
}

#endif /* BF_TESTS_PASS_JOB_H */
