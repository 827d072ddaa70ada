/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass. Policy: after a pass the target holds the source's blocks, byte by
 * byte, and every count agrees; after anything else (a count that differs, an
 * answer that does not come, an error of either side, an interrupt) the pass
 * says which, and every block that was not acknowledged is dirty again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/config.h"
#include "source/pass.h"
#include "fake_target.h"
#include "tap.h"

#define M (1ull << 20)
#define DISKS FAKE_DISKS

/* One job: files, their target, a session. Made anew by each case. */
static struct job {
	struct bf_session_disk disks[DISKS];
	struct bf_session_settings settings;
	struct bf_session *session;
	struct fake_target target;
	uint64_t timeout_ns;
	bool read_only, joined;
	uint32_t nr;
	struct bf_pass_result result;
	struct bf_error err;
} *job;

enum content { RANDOM, TEXT, ZERO, MIXED };

static int temp_file(uint64_t size)
{
	char path[] = "/tmp/pass_test.XXXXXX";
	int fd = mkstemp(path);

	check(fd >= 0);
	unlink(path);
	check_eq(ftruncate(fd, size), 0);
	return fd;
}

static void fill(int fd, uint64_t from, uint64_t bytes, enum content content)
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

static void new_job(void)
{
	job = calloc(1, sizeof(*job));
	check(job);
	job->settings.level = BF_LEVEL_AUTO;
	job->timeout_ns = 30 * BF_NSEC_PER_SEC;
	job->target.features = WIRE_FEATURE_ZSTD | WIRE_FEATURE_GMAC;
}

static void add_disk(uint64_t size, enum content content)
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

static void open_session(struct bf_transport *end)
{
	struct bf_session_options options = {
		.job = "test", .transport = end,
		.timeout_ns = job->timeout_ns, .workers = 2,
		.settings = &job->settings, .disks = job->disks,
		.nr_disks = job->nr, .read_only = job->read_only,
	};

	if (bf_session_open(&job->session, &options, &job->err))
		tap_fail(__FILE__, __LINE__, "%s", job->err.text);
}

static void claim(void)
{
	if (bf_session_claim(job->session, 7, true, &job->err))
		tap_fail(__FILE__, __LINE__, "%s", job->err.text);
}

static void start(void)
{
	open_session(fake_start(&job->target));
	claim();
}

/* Close the session and wait for the target: its counts may be read now. */
static void stop(void)
{
	bf_session_close(job->session);
	job->session = NULL;
	if (!job->joined)
		fake_join(&job->target);
	job->joined = true;
}

static void end_job(void)
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

static int pass(enum wire_pass_kind kind)
{
	return bf_pass_run(job->session, kind, kind == WIRE_PASS_FULL, NULL,
			   &job->result, &job->err);
}

static void pass_well(enum wire_pass_kind kind)
{
	if (pass(kind))
		tap_fail(__FILE__, __LINE__, "%s", job->err.text);
}

static void equal(uint32_t disk)
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
static uint64_t dirty_blocks(uint32_t disk)
{
	struct bf_extents *e = job->disks[disk].extents;
	struct bf_generation g;

	check_eq(e->ops->begin(&e, 1, &g, NULL), 0);
	check_eq(e->ops->abort(e, NULL), 0);
	return g.nr_blocks;
}

static void fails_with(int ret, enum bf_code code, const char *words)
{
	check(ret < 0);
	if (job->err.code != code)
		tap_fail(__FILE__, __LINE__, "error is %s: %s",
			 bf_code_name(job->err.code), job->err.text);
	check_says(job->err.text, words);
}

/* --- what goes well ---------------------------------------------------------------- */

static void a_full_copy_is_equal(void)
{
	new_job();
	add_disk(24 * M, MIXED);
	start();
	pass_well(WIRE_PASS_FULL);
	equal(0);
	check_eq(job->result.nr_blocks, 24 * 256);
	check_eq(job->result.raw_bytes, 24 * M);
	check_eq(job->result.data_bytes, 16 * M);
	check_eq(job->result.zero_bytes, 8 * M);
	check(job->result.wire_bytes > 8 * M && job->result.wire_bytes < 9 * M);
	check_eq(bf_session_progress(job->session)->durable_bytes, 24 * M);
	check_eq(dirty_blocks(0), 0);
	stop();
	check_eq(job->target.complete, WIRE_PROGRESS_END | WIRE_PROGRESS_COMPLETE);
	check_eq(job->target.last_kind, WIRE_PASS_FULL);
	check_eq(job->target.order_errors, 0);
	end_job();
}

static void disks_of_odd_sizes_are_equal(void)
{
	new_job();
	add_disk(512, RANDOM);
	add_disk(5 * M + 512, RANDOM);
	add_disk(3 * M + 4096 + 1536, MIXED);
	start();
	check_eq(job->disks[2].cookie[0], 'c');
	check_eq(job->disks[1].opened.generation, 3);
	pass_well(WIRE_PASS_FULL);
	for (uint32_t i = 0; i < 3; i++) {
		equal(i);
		check_eq(dirty_blocks(i), 0);
	}
	check_eq(job->result.disks[1].data_bytes, 5 * M + 512);
	check_eq(job->result.raw_bytes, 8 * M + 512 + 512 + 4096 + 1536);
	stop();
	check_eq(job->target.begins, 3);
	end_job();
}

static void direct_reads_of_odd_sizes_work(void)
{
	new_job();
	add_disk(2 * M + 512, RANDOM);
	fcntl(job->disks[0].fd, F_SETFL, O_DIRECT);	/* some refuse: then not */
	start();
	pass_well(WIRE_PASS_FULL);
	equal(0);
	end_job();
}

static void mark(uint32_t disk, uint64_t offset, uint64_t length)
{
	struct bf_extents *e = job->disks[disk].extents;
	struct bf_extent what = { offset, length };

	check_eq(e->ops->mark(e, &what, 1, NULL), 0);
}

static void a_delta_sends_what_is_dirty_only(void)
{
	new_job();
	add_disk(8 * M, TEXT);
	add_disk(8 * M, TEXT);
	start();
	pass_well(WIRE_PASS_FULL);
	fill(job->disks[1].fd, 12288, 4096, RANDOM);
	fill(job->disks[1].fd, 2 * M, 100 * 1024, RANDOM);
	mark(1, 12288, 4096);
	mark(1, 2 * M, 100 * 1024);
	pass_well(WIRE_PASS_DELTA);
	equal(0);
	equal(1);
	check_eq(job->result.raw_bytes, 104 * 1024);
	check_eq(job->result.nr_blocks, 26);
	check_eq(job->result.disks[0].nr_blocks, 0);
	check_eq(job->result.disks[1].nr_still_written, 2);
	check_eq(job->result.disks[1].still_written[1].offset_bytes, 2 * M);
	check_eq(job->result.disks[1].still_written[1].length_bytes, 100 * 1024);
	check(job->result.disks[1].generation > 1);
	stop();
	check_eq(job->target.complete, WIRE_PROGRESS_END);
	check_eq(job->target.frames, 16 + 1);
	end_job();
}

static void an_empty_pass_is_proven_too(void)
{
	new_job();
	add_disk(M, TEXT);
	start();
	pass_well(WIRE_PASS_FULL);
	pass_well(WIRE_PASS_LAST);
	check_eq(job->result.nr_blocks, 0);
	check_eq(job->result.raw_bytes, 0);
	check_eq(job->result.disks[0].generation, 2);
	check(!job->result.reasons_stand);
	stop();
	check_eq(job->target.barriers, 2);
	check_eq(job->target.begins, 2);
	check_eq(job->target.complete, WIRE_PROGRESS_END);
	end_job();
}

static void zeroes_travel_as_ranges(void)
{
	new_job();
	add_disk(64 * M, ZERO);
	start();
	pass_well(WIRE_PASS_FULL);
	equal(0);
	check_eq(job->result.zero_bytes, 64 * M);
	check_eq(job->result.data_bytes, 0);
	check(job->result.wire_bytes < 64 * 100);
	end_job();
}

/* Runs of 32 KiB leave, shorter ones stay, unless they are all of an extent. */
static void only_long_runs_of_zeroes_leave(void)
{
	new_job();
	add_disk(4 * M, RANDOM);
	fill(job->disks[0].fd, 64 * 1024, 28 * 1024, ZERO);
	fill(job->disks[0].fd, 1 * M + 512, 40 * 1024, ZERO);	/* 9 whole steps */
	fill(job->disks[0].fd, 2 * M - 16384, 32 * 1024, ZERO);	/* over a cut */
	fill(job->disks[0].fd, 3 * M, 1 * M, ZERO);
	start();
	pass_well(WIRE_PASS_FULL);
	equal(0);
	check_eq(job->result.zero_bytes, 36 * 1024 + 1 * M);
	mark(0, 64 * 1024, 4096);
	pass_well(WIRE_PASS_DELTA);
	equal(0);
	check_eq(job->result.zero_bytes, 4096);
	check_eq(job->result.data_bytes, 0);
	end_job();
}

/* Every zero run cuts its extent: the table must hold the most there can be. */
static void a_slot_full_of_small_extents_fits_its_table(void)
{
	new_job();
	add_disk(16 * M, RANDOM);
	for (uint64_t at = 36 * 1024; at < 8 * M; at += 36 * 1024)
		fill(job->disks[0].fd, at, 32 * 1024, ZERO);
	start();
	pass_well(WIRE_PASS_FULL);
	equal(0);
	for (uint64_t at = 0; at < 16 * M; at += 8192)
		mark(0, at, 4096);
	pass_well(WIRE_PASS_DELTA);
	check_eq(job->result.raw_bytes, 8 * M);
	equal(0);
	end_job();
}

static void scattered_blocks_from_a_file(void)
{
	char path[] = "/tmp/pass_extents.XXXXXX";
	uint64_t size = 160 * M, seed = 1, sum = 0;
	struct bf_extents *list;
	FILE *file;

	new_job();
	add_disk(size, ZERO);
	start();
	pass_well(WIRE_PASS_FULL);
	file = fdopen(mkstemp(path), "w");
	check(file);
	for (int i = 0; i < 10000; i++) {	/* each in a slot of four blocks */
		uint64_t at = i * 16384ull + 4096 * (seed >> 33) % 12288;

		seed = seed * 6364136223846793005ull + 1;
		fill(job->disks[0].fd, at, 4096, RANDOM);
		fprintf(file, "%llu 4K\n", (unsigned long long)at);
	}
	fclose(file);
	check_eq(bf_extents_file(&list, path, size, 4096, &job->err), 0);
	unlink(path);
	job->disks[0].extents->ops->close(job->disks[0].extents);
	job->disks[0].extents = list;
	sum = bf_session_progress(job->session)->durable_bytes;
	pass_well(WIRE_PASS_DELTA);
	equal(0);
	check_eq(job->result.nr_blocks, 10000);
	check_eq(job->result.data_bytes, 10000 * 4096);
	check_eq(bf_session_progress(job->session)->durable_bytes - sum,
		 10000 * 4096);
	check(job->result.wire_bytes < 10000ull * 4096 * 102 / 100);
	stop();
	check_eq(job->target.frames, 160 + 40);	/* 256 blocks share a frame */
	check_eq(job->target.order_errors, 0);
	end_job();
}

static uint64_t encoded_at(int level, uint64_t features)
{
	uint64_t bytes;

	new_job();
	add_disk(4 * M, TEXT);
	job->settings.level = level;
	job->target.features = features;
	start();
	pass_well(WIRE_PASS_FULL);
	equal(0);
	stop();
	bytes = job->target.encoded_bytes;
	end_job();
	return bytes;
}

static void levels_are_obeyed(void)
{
	check_eq(encoded_at(0, WIRE_FEATURE_ZSTD), 4 * M);
	check(encoded_at(BF_LEVEL_AUTO, WIRE_FEATURE_ZSTD) < M / 8);
	check(encoded_at(19, WIRE_FEATURE_ZSTD) < M / 8);
	check_eq(encoded_at(3, 0), 4 * M);	/* a target without zstd */
}

/* A lower bound that no scheduler can undercut. */
static void the_rate_is_a_bound(void)
{
	new_job();
	add_disk(4 * M, RANDOM);
	job->settings.rate_bytes = 8 * M;
	start();
	pass_well(WIRE_PASS_FULL);
	equal(0);
	check(job->result.duration_ns >= 400 * BF_NSEC_PER_MSEC);
	end_job();
}

static void long_generations_commit_in_steps(void)
{
	new_job();
	add_disk(900 * M, ZERO);
	job->target.hang_up_at = 4;	/* the END */
	start();
	fails_with(pass(WIRE_PASS_FULL), BF_E_CONNECTION, "closed the connection");
	check_eq(dirty_blocks(0), (900 - 768) * 256);
	stop();
	check_eq(job->target.steps, 3);
	check_eq(job->target.last_step.through_bytes, 768 * M);
	end_job();
}

static void a_quiet_session_is_kept_alive(void)
{
	uint64_t n;

	new_job();
	add_disk(M, TEXT);
	job->timeout_ns = 1500 * BF_NSEC_PER_MSEC;
	job->target.notify_fd = eventfd(0, EFD_CLOEXEC);
	start();
	for (int i = 0; i < 4; i++)	/* longer than the time-out */
		check_eq(read(job->target.notify_fd, &n, sizeof(n)), sizeof(n));
	pass_well(WIRE_PASS_FULL);
	equal(0);
	close(job->target.notify_fd);
	stop();
	check(job->target.pings >= 4);
	check(job->target.pongs >= 3);	/* it asked as often; the last may be under way */
	end_job();
}

static void cutover_is_answered(void)
{
	new_job();
	add_disk(M, TEXT);
	start();
	pass_well(WIRE_PASS_FULL);
	check_eq(bf_session_cutover(job->session, 7, &job->err), 0);
	stop();
	check(job->target.cut_over);
	end_job();
}

/* --- what goes wrong --------------------------------------------------------------- */

static void small_job(void)
{
	new_job();
	add_disk(6 * M, RANDOM);
	add_disk(2 * M, RANDOM);
}

static void gives_all_back(void)
{
	check_eq(dirty_blocks(0), 6 * 256);
	check_eq(dirty_blocks(1), 2 * 256);
	/* And the session is spent. */
	fails_with(pass(WIRE_PASS_FULL), BF_E_STATE, "open a new one");
}

static void other_totals_commit_nothing(void)
{
	small_job();
	job->target.totals_wrong_at = 1;
	start();
	fails_with(pass(WIRE_PASS_FULL), BF_E_TOTALS, "disk vdb");
	gives_all_back();
	end_job();
}

static void another_barriers_durable_is_refused(void)
{
	small_job();
	job->target.wrong_sequence_at = 1;
	start();
	fails_with(pass(WIRE_PASS_FULL), BF_E_PROTOCOL, "barrier 2 instead of 1");
	gives_all_back();
	end_job();
}

static void the_targets_error_is_told(void)
{
	small_job();
	job->target.error_at = 1;
	start();
	fails_with(pass(WIRE_PASS_FULL), BF_E_TARGET_IO, "full of sand");
	gives_all_back();
	end_job();
}

static void a_lost_connection_is_told(void)
{
	small_job();
	job->target.hang_up_at = 1;
	start();
	fails_with(pass(WIRE_PASS_FULL), BF_E_CONNECTION, "connection");
	gives_all_back();
	end_job();
}

static void a_silent_target_times_out(void)
{
	small_job();
	job->timeout_ns = 300 * BF_NSEC_PER_MSEC;
	job->target.silent_at_frame = 2;
	start();
	fails_with(pass(WIRE_PASS_FULL), BF_E_TIMEOUT, "silent for 300");
	gives_all_back();
	end_job();
}

static void *interrupt_main(void *argument)
{
	uint64_t n;

	if (read(job->target.notify_fd, &n, sizeof(n)) < 0)
		return NULL;
	bf_session_interrupt(job->session);
	return NULL;
}

static void an_interrupt_gives_all_back(void)
{
	uint64_t one = 1;
	pthread_t thread;

	small_job();
	job->target.notify_fd = eventfd(0, EFD_CLOEXEC);
	job->target.release_fd = eventfd(0, EFD_CLOEXEC);
	job->target.hold_at_frame = 3;	/* in the middle */
	start();
	check_eq(pthread_create(&thread, NULL, interrupt_main, NULL), 0);
	fails_with(pass(WIRE_PASS_FULL), BF_E_CANCELLED, "interrupted");
	pthread_join(thread, NULL);
	gives_all_back();
	check_eq(write(job->target.release_fd, &one, sizeof(one)), sizeof(one));
	stop();
	close(job->target.release_fd);
	close(job->target.notify_fd);
	end_job();
}

static void a_read_error_names_disk_and_sector(void)
{
	small_job();
	start();
	check_eq(ftruncate(job->disks[1].fd, M), 0);
	fails_with(pass(WIRE_PASS_FULL), BF_E_SOURCE_IO,
		   "disk vdb: reading 2048 sectors from sector 2048");
	gives_all_back();
	end_job();
}

static void a_failed_begin_on_one_disk_is_none_on_all(void)
{
	struct bf_extents *e;
	struct bf_generation g;

	small_job();
	start();
	e = job->disks[1].extents;
	check_eq(e->ops->begin(&e, 1, &g, NULL), 0);
	fails_with(pass(WIRE_PASS_FULL), BF_E_BUSY, "owned");
	check_eq(dirty_blocks(0), 6 * 256);
	check_eq(e->ops->abort(e, NULL), 0);
	gives_all_back();
	end_job();
}

static void a_pass_needs_a_claim(void)
{
	small_job();
	open_session(fake_start(&job->target));
	fails_with(pass(WIRE_PASS_FULL), BF_E_STATE, "no claim");
	end_job();
}

static int try_open(struct bf_transport *end)
{
	struct bf_session_options options = {
		.job = "test", .transport = end, .timeout_ns = job->timeout_ns,
		.settings = &job->settings, .disks = job->disks,
		.nr_disks = job->nr,
	};

	return bf_session_open(&job->session, &options, &job->err);
}

static void too_small_a_target_is_refused(void)
{
	small_job();
	job->target.sizes[1] = 2 * M - 512;
	fails_with(try_open(fake_start(&job->target)), BF_E_TOO_SMALL, "vdb");
	fake_join(&job->target);
	end_job();
}

static void impossible_disks_are_refused(void)
{
	struct bf_transport *ends[2];

	small_job();
	job->disks[0].size_bytes += 100;
	check_eq(bf_transport_pair(ends, NULL), 0);
	fails_with(try_open(ends[0]), BF_E_USAGE, "multiple of 512");
	bf_transport_close(ends[1]);
	job->disks[0].size_bytes += 412;
	check_eq(bf_transport_pair(ends, NULL), 0);
	fails_with(try_open(ends[0]), BF_E_TRACKER, "track it anew");
	bf_transport_close(ends[1]);
	end_job();
}

static void a_peer_that_is_no_target_is_told(void)
{
	struct bf_transport *ends[2];

	small_job();
	check_eq(bf_transport_pair(ends, NULL), 0);
	check_eq(bf_transport_write(ends[1], "220 smtp ready\r\n", 16), 16);
	fails_with(try_open(ends[0]), BF_E_PROTOCOL, "does not speak blkferry");
	bf_transport_close(ends[1]);
	end_job();
}

/* --- verify ------------------------------------------------------------------------- */

static struct bf_verify_result verified;
static uint64_t told_blocks;

static int tell(void *context, uint64_t offset, uint64_t length)
{
	told_blocks++;
	return 0;
}

static void verify(uint32_t disk, const struct bf_extent *what, size_t nr,
		   uint32_t block)
{
	told_blocks = 0;
	if (bf_session_verify(job->session, disk, what, nr, block, tell, NULL,
			      &verified, &job->err))
		tap_fail(__FILE__, __LINE__, "%s", job->err.text);
}

static void verify_finds_what_differs(void)
{
	struct bf_extent part = { 4 * M, 4096 };

	new_job();
	job->read_only = true;
	add_disk(20 * M + 512, MIXED);
	open_session(fake_start(&job->target));
	verify(0, NULL, 0, 65536);
	check(verified.differing_blocks > 0);
	bf_session_close(job->session);
	fake_join(&job->target);

	job->read_only = false;
	start();
	pass_well(WIRE_PASS_FULL);
	verify(0, NULL, 0, 4096);
	check_eq(verified.compared_bytes, 20 * M + 512);
	check_eq(verified.differing_blocks, 0);
	fill(job->disks[0].fd, 4 * M + 100, 1, TEXT);
	fill(job->disks[0].fd, 4 * M + 4097, 1, TEXT);
	fill(job->disks[0].fd, 20 * M, 512, TEXT);
	verify(0, NULL, 0, 4096);
	check_eq(verified.differing_blocks, 3);
	check_eq(told_blocks, 3);
	check_eq(verified.nr_first, 2);
	check_eq(verified.first[0].offset_bytes, 4 * M);
	check_eq(verified.first[0].length_bytes, 8192);
	check_eq(verified.first[1].length_bytes, 512);
	verify(0, &part, 1, 1 << 20);
	check_eq(verified.differing_blocks, 1);
	check_eq(verified.compared_bytes, 4096);
	end_job();
}

static void verify_refuses_what_makes_no_sense(void)
{
	struct bf_extent beyond = { 6 * M - 4096, 8192 };

	small_job();
	start();
	fails_with(bf_session_verify(job->session, 0, NULL, 0, 5000, NULL, NULL,
				     &verified, &job->err),
		   BF_E_USAGE, "power of two");
	fails_with(bf_session_verify(job->session, 0, &beyond, 1, 4096, NULL,
				     NULL, &verified, &job->err),
		   BF_E_USAGE, "beyond its end");
	pass_well(WIRE_PASS_FULL);	/* neither spent the session */
	end_job();
}

int main(void)
{
	tap_run("a full copy is equal", a_full_copy_is_equal);
	tap_run("disks of odd sizes are equal", disks_of_odd_sizes_are_equal);
	tap_run("direct reads of odd sizes work", direct_reads_of_odd_sizes_work);
	tap_run("a delta sends what is dirty only",
		a_delta_sends_what_is_dirty_only);
	tap_run("an empty pass is proven too", an_empty_pass_is_proven_too);
	tap_run("zeroes travel as ranges", zeroes_travel_as_ranges);
	tap_run("only long runs of zeroes leave", only_long_runs_of_zeroes_leave);
	tap_run("a slot full of small extents fits its table",
		a_slot_full_of_small_extents_fits_its_table);
	tap_run("scattered blocks from a file", scattered_blocks_from_a_file);
	tap_run("levels are obeyed", levels_are_obeyed);
	tap_run("the rate is a bound", the_rate_is_a_bound);
	tap_run("long generations commit in steps",
		long_generations_commit_in_steps);
	tap_run("a quiet session is kept alive", a_quiet_session_is_kept_alive);
	tap_run("a cutover is answered", cutover_is_answered);
	tap_run("other totals commit nothing", other_totals_commit_nothing);
	tap_run("another barrier's durable is refused",
		another_barriers_durable_is_refused);
	tap_run("the target's error is told", the_targets_error_is_told);
	tap_run("a lost connection is told", a_lost_connection_is_told);
	tap_run("a silent target times out", a_silent_target_times_out);
	tap_run("an interrupt gives all back", an_interrupt_gives_all_back);
	tap_run("a read error names disk and sector",
		a_read_error_names_disk_and_sector);
	tap_run("a failed begin on one disk is none on all",
		a_failed_begin_on_one_disk_is_none_on_all);
	tap_run("a pass needs a claim", a_pass_needs_a_claim);
	tap_run("too small a target is refused", too_small_a_target_is_refused);
	tap_run("impossible disks are refused", impossible_disks_are_refused);
	tap_run("a peer that is no target is told",
		a_peer_that_is_no_target_is_told);
	tap_run("verify finds what differs", verify_finds_what_differs);
	tap_run("verify refuses what makes no sense",
		verify_refuses_what_makes_no_sense);
	return tap_done();
}
