/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job of files whose session's other end is the real target, in one process.
 * Each case starts with new_job.
 */
#ifndef BF_TESTS_PASS_LOCAL_H
#define BF_TESTS_PASS_LOCAL_H

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

static char folder[] = "/tmp/blkferry-pass.XXXXXX";
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

static inline void must(int ret)
{
	if (ret)
		tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static inline int new_file(char path[BF_PATH_BYTES], const char *what, uint64_t size)
{
	int fd;

	snprintf(path, BF_PATH_BYTES, "%s/%u-%u-%s", folder, job_number,
		 nr_disks, what);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(fd >= 0);
	check_eq(ftruncate(fd, size), 0);
	return fd;
}

static inline void fill(int fd, uint64_t from, uint64_t bytes, int kind)
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

static inline void add_disk(uint64_t size, int kind)
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

static inline void open_job(uint64_t epoch, bool restart)
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

static inline void close_session(void)
{
	bf_session_close(session);
	bf_local_target_join(local);
}

static inline void end_job(void)
{
	close_session();
	for (uint32_t i = 0; i < nr_disks; i++) {
		disks[i].extents->ops->close(disks[i].extents);
		close(disks[i].fd);
		unlink(targets[i].path);
	}
}

/* Also after a case that failed half-way. */
static inline void new_job(void)
{
	nr_disks = 0;
	job_number++;
}

static inline void pass(enum wire_pass_kind kind)
{
	must(bf_pass_run(session, kind, kind == WIRE_PASS_FULL, NULL, &result,
			 &err));
}

static inline void equal(void)
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

static inline int remove_one(const char *path, const struct stat *st, int kind,
		      struct FTW *at)
{
	return remove(path);
}

static inline int fixture_start(void)
{
	return mkdtemp(folder) ? 0 : -1;
}

static inline int fixture_end(void)
{
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}

#endif /* BF_TESTS_PASS_LOCAL_H */
