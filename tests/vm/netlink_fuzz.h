/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The netlink fuzzer's parts: what is known of trackers and drains
 * (netlink_fuzz/known.c), messages and what is wrong with them
 * (netlink_fuzz/messages.c), answers (netlink_fuzz/answers.c). netlink_fuzz.c
 * has the threads and the verdict.
 */
#ifndef BF_TESTS_NETLINK_FUZZ_H
#define BF_TESTS_NETLINK_FUZZ_H

#include <stdatomic.h>

#include "raw_netlink.h"

#define ERRNO_MAX	134
#define REASONS_MAX	256
#define DISKS_MAX	8

/* A stream of numbers of its own for each thread. */
struct draws {
	uint64_t state;
};

uint32_t draw(struct draws *d, uint32_t below);
uint64_t draw64(struct draws *d);

/* --- what is known (known.c): shared by all threads, and soon out of date ----- */

struct known_tracker {
	uint32_t id;
	uint32_t disk_fd;
	uint32_t granularity_sectors;
	uint64_t nr_sectors;
};

struct known_drain {
	int fd;
	bool ended;
	struct known_tracker tracker;
	uint64_t generation;
	uint64_t nr_blocks;
	uint32_t reasons_bytes;
	char reasons[REASONS_MAX];	/* as BEGIN gave them */
};

struct known;

struct known *known_new(const int *disks, size_t nr_disks, uint64_t sectors_max);
uint32_t known_disk(const struct known *known, struct draws *d);
/* No disk is larger. */
uint64_t known_sectors_max(const struct known *known);

void known_tracker_add(struct known *known, const struct known_tracker *tracker);
void known_tracker_gone(struct known *known, uint32_t id);
/* Any of those that are thought to exist. Return: false if there are none. */
bool known_tracker_pick(struct known *known, struct draws *d,
			struct known_tracker *tracker);
bool known_tracker_find(struct known *known, uint32_t id,
			struct known_tracker *tracker);
unsigned int known_trackers(struct known *known);

void known_drain_add(struct known *known, const struct known_drain *drain);
void known_drain_ended(struct known *known, int fd, uint64_t generation);
bool known_drain_pick(struct known *known, struct draws *d,
		      struct known_drain *drain);
/* Takes one away, for closing; one that has ended first. */
bool known_drain_take(struct known *known, struct draws *d,
		      struct known_drain *drain);
unsigned int known_drains(struct known *known);

/* --- messages (messages.c) --------------------------------------------------- */

enum kind {
	TRACK, UNTRACK, GET, DUMP, SET, MARK, BEGIN, BEGIN_SEVERAL, WALK, PEEK,
	COMMIT, COMMIT_FINAL, COMMIT_RESYNCED, ABORT, NR_KINDS,
};

enum wrong {
	NOTHING, DROPPED, DOUBLED, LENGTH, EMPTY, VALUE, FOREIGN, NEST, TYPE,
	CLAIM, CUT, HEADER_LENGTH, TAIL, NOISE, COMMAND, FLAGS, FAMILY, NR_WRONGS,
};

extern const char *const kind_names[NR_KINDS];
extern const char *const wrong_names[NR_WRONGS];

/* What was sent, and what it meant. */
struct sent {
	enum kind kind;
	uint32_t wrongs;		/* bits of enum wrong */
	struct known_tracker tracker;	/* or all 0 */
	struct known_drain drain;
	uint32_t bytes;			/* how many of wire.out to send */
};

/* A message of some kind in wire.out, sound or with up to three wrongs. */
void compose(struct wire *w, struct known *known, struct draws *d,
	     struct sent *sent);

/* --- answers (answers.c) ------------------------------------------------------ */

struct outcome {
	bool answered;
	bool overrun;			/* the socket had no room for all of it */
	int errnum;
};

struct heard {
	uint64_t events;
	uint64_t unsound;
};

/* Reads whatever has come, learns from it and checks that it is sound. */
struct outcome hear(struct wire *w, struct known *known, struct heard *heard);

#endif /* BF_TESTS_NETLINK_FUZZ_H */
