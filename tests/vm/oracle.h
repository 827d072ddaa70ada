/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle's two halves: threads that change a disk (oracle/changes.c) and
 * the drain that must find every change (oracle.c). The drain says which state
 * it is in; an operation is counted for every state that it met.
 */
#ifndef BF_TESTS_ORACLE_H
#define BF_TESTS_ORACLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/netlink.h"

#define BLOCK_BYTES 4096u

enum state { IDLE, AT_SWAP, OWNED, ENDING, NR_STATES };

struct writers;

struct oracle {
	uint64_t size_bytes;
	_Atomic int state;		/* enum state */
	_Atomic int left_of_pass;	/* operations that may meet it while owned */
	struct writers *writers;
};

void __attribute__((noreturn)) stop(const char *what, const struct bf_error *err);

struct oracle *oracle_new(const char *path, unsigned int seed,
			  unsigned int nr_operations);
int open_disk(const char *path, int more_flags);
void start_changes(struct oracle *oracle);
/* False when every thread has made its last one. */
bool changes_go_on(struct oracle *oracle);
/* Until an operation is under way that will change the disk. */
void wait_for_changes(struct oracle *oracle);
/* A pass begins, which has its share of the operations to meet. */
void share_changes(struct oracle *oracle);
/* Until an operation of every kind has met this state, now or before. */
void wait_for_cells(struct oracle *oracle);
void join_changes(struct oracle *oracle);
/*
 * What may be marked, a bit a block. Around a begin: what was changed before it
 * is taken out with take_touched(), what was changed while it ran is added with
 * add_touched(). A change that is under way stays in for the next begin.
 */
void take_touched(struct oracle *oracle, uint64_t *bits);
void add_touched(struct oracle *oracle, uint64_t *bits);
size_t touched_words(const struct oracle *oracle);
/* Return: true if every cell that should be filled is. */
bool print_cells(const struct oracle *oracle);
/* Who wrote a sector, as words. */
void print_stamp(const char *sector);

#endif /* BF_TESTS_ORACLE_H */
