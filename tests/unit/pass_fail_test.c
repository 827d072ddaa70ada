/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass, when something goes wrong. Policy: a count that differs, an answer that
 * does not come, an error of either side and an interrupt each end the pass
 * with words that say which, and every block that was not acknowledged is dirty
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "pass_job.h"

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

/* A faulty target: what it answers was not offered. */
static int answer_later_version(struct fake_target *t, uint16_t type,
				uint16_t disk, const void *payload, uint32_t bytes)
{
	struct wire_welcome welcome;

	if (type != WIRE_WELCOME)
		return -1;
	memcpy(&welcome, payload, sizeof(welcome));
	welcome.version = htole16(WIRE_VERSION + 1);
	return bf_frame_send(t->end, type, disk, &welcome, bytes,
			     bf_now_ns() + FAKE_DEADLINE_NS, NULL);
}

/* A target of a later release, which no longer knows our version. */
static int answer_refusal(struct fake_target *t, uint16_t type, uint16_t disk,
			  const void *payload, uint32_t bytes)
{
	struct bf_error why;

	bf_fail(&why, BF_E_VERSION, EPROTONOSUPPORT,
		"this source speaks versions 1 to 1 of the protocol, this target 3 to 4");
	bf_frame_send_error(t->end, &why, bf_now_ns() + FAKE_DEADLINE_NS);
	return -1;
}

static void versions_that_do_not_meet(void)
{
	small_job();
	job->target.answer = answer_refusal;
	fails_with(try_open(fake_start(&job->target)), BF_E_VERSION,
		   "this target 3 to 4");
	fake_join(&job->target);
	job->target.answer = answer_later_version;
	fails_with(try_open(fake_start(&job->target)), BF_E_PROTOCOL,
		   "a version that was not offered");
	fake_join(&job->target);
	end_job();
}

int main(void)
{
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
	tap_run("versions that do not meet are refused",
		versions_that_do_not_meet);
	return tap_done();
}
