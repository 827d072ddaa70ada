/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resync into the real target, in one process. Policy: whatever the target
 * holds, afterwards it equals the source; of what was in doubt only the blocks
 * that differ travel; what was compared is not compared again after an end in
 * between, and what changes meanwhile is not missed.
 */
#include "pass_local.h"

static void resync(void)
{
	for (uint32_t i = 0; i < nr_disks; i++)
		disks[i].in_doubt = true;
	must(bf_pass_run(session, WIRE_PASS_RESYNC, true, NULL, &result, &err));
}

static int open_target(uint32_t i)
{
	int fd = open(targets[i].path, O_RDWR | O_CLOEXEC);

	check(fd >= 0);
	return fd;
}

/* The target as a copy before left it. */
static void copy_to_target(uint32_t i)
{
	static uint8_t buffer[1 << 20];
	int fd = open_target(i);

	for (uint64_t at = 0; at < disks[i].size_bytes; at += sizeof(buffer)) {
		ssize_t n = pread(disks[i].fd, buffer, sizeof(buffer), at);

		check(n > 0);
		check_eq(pwrite(fd, buffer, n, at), n);
	}
	close(fd);
}

static void spoil(uint32_t i, uint64_t offset, uint64_t bytes)
{
	int fd = open_target(i);

	fill(fd, offset, bytes, 0);
	close(fd);
}

static void an_equal_disk_sends_nothing(void)
{
	new_job();
	add_disk(40 * M + 1536, 2);
	copy_to_target(0);
	open_job(1, true);
	resync();
	check_eq(result.compared_bytes, 40 * M + 1536);
	check_eq(result.raw_bytes, 0);
	check(result.wire_bytes < 4096);	/* questions only */
	equal();
	end_job();
}

static void only_blocks_that_differ_travel(void)
{
	static const uint64_t at[] = { 0, 4096, 1 * M - 512, 8 * M - 1, 8 * M,
				       16 * M + 700, 31 * M };

	new_job();
	add_disk(40 * M + 512, 0);
	copy_to_target(0);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		spoil(0, at[i], 1);
	spoil(0, 40 * M + 511, 1);
	spoil(0, 20 * M, 3 * M);
	open_job(1, true);
	resync();
	check_eq(result.raw_bytes, 7 * 4096 + 512 + 3 * M);
	equal();
	end_job();
}

static void nothing_in_common(void)
{
	new_job();
	add_disk(30 * M, 0);
	add_disk(9 * M + 512, 1);
	spoil(0, 0, 30 * M);
	open_job(1, true);
	resync();
	check_eq(result.compared_bytes, 39 * M + 512);
	check_eq(result.raw_bytes, 39 * M + 512);
	equal();
	pass(WIRE_PASS_LAST);
	must(bf_session_cutover(session, 1, &err));
	end_job();
}

/* A disk that is not in doubt sends what changed of it, unasked. */
static void only_the_disk_in_doubt_is_asked_about(void)
{
	struct bf_extent e = { 2 * M, 100 << 10 };

	new_job();
	add_disk(8 * M, 0);
	add_disk(8 * M, 0);
	open_job(1, true);
	pass(WIRE_PASS_FULL);
	for (uint32_t i = 0; i < 2; i++)
		check_eq(disks[i].extents->ops->mark(disks[i].extents, &e, 1,
						     NULL), 0);
	disks[1].in_doubt = true;
	must(bf_pass_run(session, WIRE_PASS_RESYNC, true, NULL, &result, &err));
	check_eq(result.compared_bytes, 100 << 10);
	check_eq(result.disks[0].data_bytes, 100 << 10);
	check_eq(result.disks[1].data_bytes, 0);
	end_job();
}

static void short_runs_are_sent_unasked(void)
{
	new_job();
	add_disk(8 * M, 0);
	open_job(1, true);
	pass(WIRE_PASS_FULL);
	for (uint64_t at = 0; at < 8 * M; at += 128 << 10) {
		struct bf_extent e = { at, 8192 };

		check_eq(disks[0].extents->ops->mark(disks[0].extents, &e, 1,
						     NULL), 0);
	}
	resync();
	check_eq(result.compared_bytes, 0);
	check_eq(result.raw_bytes, 64 * 8192);
	equal();
	end_job();
}

static struct bf_extents_ops interrupting;
static int (*commit_below)(struct bf_extents *, uint64_t, struct bf_error *);
static uint64_t committed_bytes;

/*
 * Ends at the first commit and below 2 GiB, whatever else has been compared and
 * sent by then: how much that is depends on how busy the machine is.
 */
static int commit_and_interrupt(struct bf_extents *e, uint64_t through_bytes,
				struct bf_error *error)
{
	uint64_t bytes = through_bytes < 2048 * M ? through_bytes : 2048 * M;
	int ret;

	/* Steps come though the target keeps up, and nothing is ever waited for. */
	check(through_bytes < 3072 * M);
	if (committed_bytes)
		return bf_fail(error, BF_E_CANCELLED, ECANCELED, "interrupted");
	ret = commit_below(e, bytes, error);
	if (!ret)
		committed_bytes = bytes;
	bf_session_interrupt(session);
	return ret;
}

static void an_interrupted_resync_goes_on_from_its_last_step(void)
{
	const struct bf_extents_ops *ops;
	struct bf_extent late = { 5 * M, 4096 };

	new_job();
	add_disk(3072 * M, SPARSE);
	spoil(0, 5 * M, 4096);
	spoil(0, 3000 * M, 4096);
	ops = disks[0].extents->ops;
	interrupting = *ops;
	commit_below = ops->commit;
	interrupting.commit = commit_and_interrupt;
	disks[0].extents->ops = &interrupting;
	open_job(1, true);
	disks[0].in_doubt = true;
	check(bf_pass_run(session, WIRE_PASS_RESYNC, false, NULL, &result, &err) < 0);
	check_eq(err.code, BF_E_CANCELLED);
	check(committed_bytes);
	close_session();
	disks[0].extents->ops = ops;
	/* Written meanwhile, below the watermark. */
	fill(disks[0].fd, 5 * M, 4096, 0);
	check_eq(ops->mark(disks[0].extents, &late, 1, NULL), 0);
	open_job(2, false);
	check(disks[0].opened.through_bytes >= committed_bytes);
	check(!(disks[0].opened.flags & WIRE_OPENED_COMPLETE));
	resync();
	check_eq(result.compared_bytes, 3072 * M - committed_bytes);
	/* What was written late; the other one, unless it was sent before. */
	check(result.raw_bytes == 4096 || result.raw_bytes == 2 * 4096);
	equal();
	end_job();
}

int main(void)
{
	if (fixture_start())
		return 1;
	tap_run("an equal disk sends nothing", an_equal_disk_sends_nothing);
	tap_run("only blocks that differ travel", only_blocks_that_differ_travel);
	tap_run("a target with nothing in common", nothing_in_common);
	tap_run("only the disk in doubt is asked about",
		only_the_disk_in_doubt_is_asked_about);
	tap_run("short runs are sent unasked", short_runs_are_sent_unasked);
	tap_run("an interrupted resync goes on from its last step",
		an_interrupted_resync_goes_on_from_its_last_step);
	return fixture_end();
}
