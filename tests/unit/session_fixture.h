/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of a receiver in this process, each served by a thread over a
 * transport pair as the real one is, with files as targets.
 */
#ifndef BF_TESTS_SESSION_FIXTURE_H
#define BF_TESTS_SESSION_FIXTURE_H

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "source_peer.h"
#include "tap.h"
#include "target/session.h"

#define MIB (1ull << 20)
#define SIZE (8 * MIB)

struct served {
	struct bf_target_session *session;
	pthread_t thread;
	struct bf_error err;
	int ret;
};

static char folder[] = "/tmp/blkferry-session-XXXXXX";
static char records[64];
static struct bf_target_config targets[3];	/* a, b, small */
static struct bf_registry registry;
static struct served served[10];
static struct peer *peers[10];
static int nr_served;
static uint8_t blocks[SIZE], model[SIZE], content[SIZE];
static uint64_t seed;

static inline uint64_t draw(uint64_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

static inline void shell(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	check_eq(system(command), 0);
}

static inline void target_file(int i, const char *name, uint64_t bytes)
{
	snprintf(targets[i].name, sizeof(targets[i].name), "%s", name);
	snprintf(targets[i].path, sizeof(targets[i].path), "%s/%s.img", folder,
		 name);
	targets[i].overwrite = false;
	unlink(targets[i].path);
	shell("truncate -s %llu %s", (unsigned long long)bytes, targets[i].path);
}

static inline void fresh(void)
{
	shell("rm -rf %s", records);
	target_file(0, "a", SIZE);
	target_file(1, "b", SIZE);
	target_file(2, "small", SIZE - 512);
	memset(&registry, 0, sizeof(registry));
	registry.targets = targets;
	registry.nr_targets = 3;
	registry.more_connections = 16;
	registry.records_dir = records;
	bf_registry_init(&registry);
	nr_served = 0;
	seed = 4711;
	for (size_t i = 0; i < SIZE; i++)
		blocks[i] = i % 8192 < 4096 ? (uint8_t)draw(256) :
					      (uint8_t)(i >> 12);
}

static inline void *serve(void *pointer)
{
	struct served *s = pointer;

	s->ret = bf_target_session_run(s->session, &s->err);
	return NULL;
}

static inline struct peer *connect_peer(void)
{
	struct served *s = &served[nr_served];
	struct bf_transport *ends[2];

	memset(s, 0, sizeof(*s));
	check_eq(bf_transport_pair(ends, &s->err), 0);
	check_eq(bf_target_session_new(&s->session, &registry, ends[1], true,
				       &s->err), 0);
	check_eq(pthread_create(&s->thread, NULL, serve, s), 0);
	return peers[nr_served++] = peer_new(ends[0]);
}

/* Every peer hangs up, every session ends. */
static inline void hang_up(void)
{
	for (int i = 0; i < nr_served; i++) {
		peer_free(peers[i]);
		peers[i] = NULL;
		pthread_join(served[i].thread, NULL);
		bf_target_session_free(served[i].session);
	}
	nr_served = 0;
}

static inline void done(void)
{
	hang_up();
	bf_registry_destroy(&registry);
	check(!registry.holds && !registry.writers);
}

static inline struct peer *introduced(const char *job)
{
	struct peer *p = connect_peer();

	check_eq(peer_hello(p, job), 0);
	return p;
}

/* A writer of target a. */
static inline struct peer *writer(const char *job, uint64_t epoch, uint32_t flags)
{
	struct peer *p = introduced(job);

	check_eq(peer_open(p, "a", SIZE, 0, 1, NULL), 0);
	check_eq(peer_claim(p, epoch, flags, NULL), 0);
	return p;
}

static inline void read_target(int i, uint64_t bytes)
{
	FILE *file = fopen(targets[i].path, "r");

	check(file && fread(content, 1, bytes, file) == bytes);
	fclose(file);
}

static inline void write_target(int i, uint64_t offset, const void *data, size_t bytes)
{
	int fd = open(targets[i].path, O_WRONLY);

	check(fd >= 0 && pwrite(fd, data, bytes, (off_t)offset) == (ssize_t)bytes);
	close(fd);
}

/* The session must have ended by telling @p so. */
static inline void ended_with(struct peer *p, enum bf_code code, const char *words)
{
	struct bf_frame *frame;

	if (!p->err.code || p->err.code == BF_E_CONNECTION)
		check(peer_expect(p, WIRE_ERROR, &frame) < 0);
	if (p->err.code != code)
		tap_fail(__FILE__, __LINE__, "%s instead of %s: %s",
			 bf_code_name(p->err.code), bf_code_name(code),
			 p->err.text);
	check_says(p->err.text, words);
}

static inline void full_copy(struct peer *p, uint64_t generation)
{
	check_eq(peer_begin(p, 0, generation, WIRE_PASS_FULL), 0);
	for (uint64_t at = 0; at < SIZE; at += MIB)
		check_eq(peer_extent(p, 0, generation, at, MIB, blocks + at,
				     at % (2 * MIB) ? 1 : 0), 0);
	check_eq(peer_finish(p, 0, generation, SIZE, true), 0);
}

static inline int fixture_start(void)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(records, sizeof(records), "%s/records", folder);
	bf_log_set_level(BF_LOG_ERROR);
	return 0;
}

static inline int fixture_end(void)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) ? 1 : tap_done();
}

#endif /* BF_TESTS_SESSION_FIXTURE_H */
