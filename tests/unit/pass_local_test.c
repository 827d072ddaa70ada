/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass into the real target, in one process. Policy: what the two halves make
 * together is a copy that compares equal, whatever the content, and a session
 * that ended early is gone on with by the next one from the last step.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/config.h"
#include "source/pass.h"
#include "target/receiver.h"
#include "tap.h"

#define M (1ull << 20)
#define DISKS 3
#define SPARSE -1

static char folder[] = "/tmp/pass_local.XXXXXX";
static struct bf_session_settings settings = { .level = BF_LEVEL_AUTO };
static struct bf_session_disk disks[DISKS];
static struct bf_target_config targets[DISKS];
static char names[DISKS][8];
static uint32_t nr_disks;
static struct bf_local_target *local;
static struct bf_session *session;
static struct bf_pass_result result;
static struct bf_error err;
static unsigned int job_number;

static void must(int ret)
{
	if (ret)
		tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static int new_file(char path[BF_PATH_BYTES], const char *what, uint64_t size)
{
	int fd;

	snprintf(path, BF_PATH_BYTES, "%s/%u-%u-%s", folder, job_number,
		 nr_disks, what);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(fd >= 0);
	check_eq(ftruncate(fd, size), 0);
	return fd;
}

static void fill(int fd, uint64_t from, uint64_t bytes, int kind)
{
	static uint64_t seed = 0x9e3779b97f4a7c15ull;
	static uint64_t block[8192];

	for (uint64_t at = 0; at < bytes; at += sizeof(block)) {
		uint64_t n = bytes - at < sizeof(block) ? bytes - at : sizeof(block);

		for (size_t i = 0; i < 8192; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			block[i] = kind == 0 ? seed : kind == 1 ? seed % 7 :
				   (at >> 16) % 3 ? seed : 0;
		}
		check_eq(pwrite(fd, block, n, from + at), n);
	}
}

static void add_disk(uint64_t size, int kind)
{
	struct bf_session_disk *d = &disks[nr_disks];
	struct bf_target_config *t = &targets[nr_disks];
	char path[BF_PATH_BYTES];

	snprintf(names[nr_disks], sizeof(names[0]), "disk%u", nr_disks);
	*d = (struct bf_session_disk){
		.name = names[nr_disks], .target = names[nr_disks],
		.fd = new_file(path, "source", size), .size_bytes = size,
	};
	if (kind != SPARSE)
		fill(d->fd, 0, size, kind);
	must(bf_extents_whole(&d->extents, size, 4096, &err));
	memset(t, 0, sizeof(*t));
	strcpy(t->name, d->target);
	close(new_file(t->path, "target", size));
	nr_disks++;
}

static void open_job(uint64_t epoch, bool restart)
{
	struct bf_transport *ends[2];
	char records[64];
	struct bf_session_options options = {
		.job = "job", .timeout_ns = 60 * BF_NSEC_PER_SEC,
		.settings = &settings, .disks = disks, .nr_disks = nr_disks,
	};

	snprintf(records, sizeof(records), "%s/records-%u", folder, job_number);
	must(bf_transport_pair(ends, &err));
	must(bf_local_target_start(&local, ends[1], targets, nr_disks, records,
				   &err));
	options.transport = ends[0];
	must(bf_session_open(&session, &options, &err));
	must(bf_session_claim(session, epoch, restart, &err));
}

static void close_session(void)
{
	bf_session_close(session);
	bf_local_target_join(local);
}

static void end_job(void)
{
	close_session();
	for (uint32_t i = 0; i < nr_disks; i++) {
		disks[i].extents->ops->close(disks[i].extents);
		close(disks[i].fd);
		unlink(targets[i].path);
	}
}

/* Also after a case that failed half-way. */
static void new_job(void)
{
	nr_disks = 0;
	job_number++;
}

static void pass(enum wire_pass_kind kind)
{
	must(bf_pass_run(session, kind, kind == WIRE_PASS_FULL, NULL, &result,
			 &err));
}

static void equal(void)
{
	static uint8_t a[1 << 20], b[1 << 20];

	for (uint32_t i = 0; i < nr_disks; i++) {
		int fd = open(targets[i].path, O_RDONLY | O_CLOEXEC);

		check(fd >= 0);
		for (uint64_t at = 0; at < disks[i].size_bytes; at += M) {
			ssize_t n = pread(disks[i].fd, a, M, at);

			check(n > 0);
			check_eq(pread(fd, b, M, at), n);
			if (memcmp(a, b, n))
				tap_fail(__FILE__, __LINE__,
					 "disk %u differs near %llu", i,
					 (unsigned long long)at);
		}
		close(fd);
	}
}

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

static int remove_one(const char *path, const struct stat *st, int kind,
		      struct FTW *at)
{
	return remove(path);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	tap_run("one disk arrives", one_disk_arrives);
	tap_run("three disks arrive and are cut over",
		three_disks_arrive_and_are_cut_over);
	tap_run("scattered blocks arrive", scattered_blocks_arrive);
	tap_run("an interrupted copy goes on from its last step",
		an_interrupted_copy_goes_on_from_its_last_step);
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
