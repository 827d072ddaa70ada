/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass. Policy: after a pass the target holds the source's blocks, byte by
 * byte, every count agrees, and what was sent is what was dirty.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "pass_job.h"

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

/* The least that a job may set, and less; and more than there is to read. */
static void any_bytes_in_flight_will_do(void)
{
	static const uint64_t bounds[] = { 1, 2 * M, 64 * M };

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		new_job();
		job->in_flight_bytes = bounds[i];
		add_disk(9 * M + 512, MIXED);
		add_disk(3 * M, TEXT);
		start();
		pass_well(WIRE_PASS_FULL);
		fill(job->disks[0].fd, M, 3 * M, RANDOM);
		mark(0, M, 3 * M);
		pass_well(WIRE_PASS_DELTA);
		equal(0);
		equal(1);
		end_job();
	}
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

static void check_progress(uint32_t disk, uint64_t pass_bytes,
			   uint64_t session_bytes)
{
	const struct bf_disk_progress *progress =
		&bf_session_progress(job->session)->disks[disk];

	check_eq(progress->planned_bytes, pass_bytes);
	check_eq(progress->done_bytes, pass_bytes);
	check_eq(progress->raw_bytes, session_bytes);
}

static void a_delta_sends_what_is_dirty_only(void)
{
	new_job();
	add_disk(8 * M, TEXT);
	add_disk(8 * M, TEXT);
	start();
	pass_well(WIRE_PASS_FULL);
	check_progress(0, 8 * M, 8 * M);
	check_progress(1, 8 * M, 8 * M);
	fill(job->disks[1].fd, 12288, 4096, RANDOM);
	fill(job->disks[1].fd, 2 * M, 100 * 1024, RANDOM);
	mark(1, 12288, 4096);
	mark(1, 2 * M, 100 * 1024);
	pass_well(WIRE_PASS_DELTA);
	equal(0);
	equal(1);
	check_progress(0, 0, 8 * M);
	check_progress(1, 104 * 1024, 8 * M + 104 * 1024);
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
	check(encoded_at(1, WIRE_FEATURE_ZSTD) < M / 8);
	/* Which one it takes is measured: see auto_level_test. */
	check(encoded_at(BF_LEVEL_AUTO, WIRE_FEATURE_ZSTD) <= 4 * M);
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
	uint64_t left_bytes;

	new_job();
	add_disk(900 * M, ZERO);
	job->target.hang_up_at_end = true;
	start();
	fails_with(pass(WIRE_PASS_FULL), BF_E_CONNECTION, "connection");
	left_bytes = dirty_blocks(0) * 4096;
	stop();
	/* One each 256 MiB, or after two seconds, which may fall anywhere. */
	check(job->target.steps >= 2);
	check_eq(900 * M - left_bytes, job->target.last_step.through_bytes);
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

	new_job();
	add_disk(6 * M, RANDOM);
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
	tap_run("any number of bytes in flight will do", any_bytes_in_flight_will_do);
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
	tap_run("verify finds what differs", verify_finds_what_differs);
	tap_run("verify refuses what makes no sense",
		verify_refuses_what_makes_no_sense);
	return tap_done();
}
