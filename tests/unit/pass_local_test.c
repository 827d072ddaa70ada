/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass into the real target, in one process. Policy: what the two halves make
 * together is a copy that compares equal, whatever the content, and a session
 * that ended early is gone on with by the next one from the last step.
 */
#include "pass_local.h"

static void one_disk_arrives(void)
{
	new_job();
	add_disk(40 * M, 2);
	open_job(1, true);
	pass(WIRE_PASS_FULL);
	equal();
	end_job();
}

static void three_disks_arrive_and_are_cut_over(void)
{
	struct bf_verify_result verified;

	new_job();
	add_disk(33 * M, 0);
	add_disk(20 * M + 512, 1);
	add_disk(7 * M + 1536, 2);
	open_job(1, true);
	pass(WIRE_PASS_FULL);
	equal();
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 3; i++) {
			struct bf_extent e = { (round + 1) * 400 * 4096, 300000 };

			fill(disks[i].fd, e.offset_bytes, e.length_bytes, round);
			disks[i].extents->ops->mark(disks[i].extents, &e, 1, NULL);
		}
		pass(WIRE_PASS_DELTA);
		check_eq(result.nr_blocks, 3 * 74);
		equal();
	}
	must(bf_session_verify(session, 1, NULL, 0, 65536, NULL, NULL, &verified,
			       &err));
	check_eq(verified.compared_bytes, 20 * M + 512);
	check_eq(verified.differing_blocks, 0);
	pass(WIRE_PASS_LAST);
	check_eq(result.nr_blocks, 0);
	must(bf_session_cutover(session, 1, &err));
	end_job();
}

static void scattered_blocks_arrive(void)
{
	struct bf_extents *e;

	new_job();
	add_disk(160 * M, 1);
	open_job(1, true);
	pass(WIRE_PASS_FULL);
	e = disks[0].extents;
	for (int i = 0; i < 10000; i++) {
		struct bf_extent x = { i * 16384ull, 4096 };

		fill(disks[0].fd, x.offset_bytes, 4096, 0);
		check_eq(e->ops->mark(e, &x, 1, NULL), 0);
	}
	pass(WIRE_PASS_DELTA);
	check_eq(result.nr_blocks, 10000);
	check_eq(result.data_bytes, 10000 * 4096);
	check(result.wire_bytes < 10000ull * 4096 * 106 / 100);
	equal();
	end_job();
}

static struct bf_extents_ops interrupting;
static int (*commit_below)(struct bf_extents *, uint64_t, struct bf_error *);
static uint64_t committed_bytes;

static int commit_and_interrupt(struct bf_extents *e, uint64_t through_bytes,
				struct bf_error *error)
{
	int ret = commit_below(e, through_bytes, error);

	if (!ret)
		committed_bytes = through_bytes;
	if (committed_bytes >= 512 * M)
		bf_session_interrupt(session);
	return ret;
}

static void an_interrupted_copy_goes_on_from_its_last_step(void)
{
	const struct bf_extents_ops *ops;

	new_job();
	add_disk(2048 * M, SPARSE);
	fill(disks[0].fd, 500 * M, 30 * M, 2);
	fill(disks[0].fd, 2040 * M, 3 * M, 0);
	ops = disks[0].extents->ops;
	interrupting = *ops;
	commit_below = ops->commit;
	interrupting.commit = commit_and_interrupt;
	disks[0].extents->ops = &interrupting;
	open_job(1, true);
	check(bf_pass_run(session, WIRE_PASS_FULL, true, NULL, &result, &err) < 0);
	check_eq(err.code, BF_E_CANCELLED);
	close_session();
	disks[0].extents->ops = ops;
	open_job(2, false);
	check(disks[0].opened.through_bytes >= committed_bytes);
	pass(WIRE_PASS_FULL);
	check_eq(result.raw_bytes, 2048 * M - committed_bytes);
	equal();
	end_job();
}

int main(void)
{
	if (fixture_start())
		return 1;
	tap_run("one disk arrives", one_disk_arrives);
	tap_run("three disks arrive and are cut over",
		three_disks_arrive_and_are_cut_over);
	tap_run("scattered blocks arrive", scattered_blocks_arrive);
	tap_run("an interrupted copy goes on from its last step",
		an_interrupted_copy_goes_on_from_its_last_step);
	return fixture_end();
}
