/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guardian: a process of its own that ends every freeze of ours (RULE 5).
 * Filesystems and announcements flow in over a socket pair; FITHAW flows out
 * when the source of the announcements dies, falls silent or overstays.
 *
 * It is started before a cutover from /proc/self/exe with "--guardian", leaves
 * the replicator's session and control group, locks its memory and inherits
 * the socket pair alone; the source's pidfd and an fd of each filesystem come
 * over it. Messages (guardian_protocol.h): setup, filesystems, arm, then for
 * each filesystem "announce" before FIFREEZE and "result" after it or after
 * FITHAW, heartbeats in between, and disarm. An announcement needs no answer:
 * it outlives its sender in the socket's queue.
 *
 * It fires, that is kills the source, thaws until the source's pidfd says that
 * it is gone and then thaws all announced filesystems once more (those save
 * that answered EBUSY: somebody else froze them), when
 *	- the source has exited or hung up,
 *	- something is announced and no message came for
 *	  BF_GUARDIAN_SILENCE_TICKS of its own ticks,
 *	- the deadline given with an announcement has passed,
 *	- it gets SIGTERM.
 * In hold (from just before the final commit message) none of these thaws. It
 * then serves "thaw" and "status" on bf_guardian_path, and powers off at the
 * hold's deadline if it was told to.
 */
#ifndef BF_SOURCE_GUARDIAN_H
#define BF_SOURCE_GUARDIAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define BF_GUARDIAN_ARGUMENT		"--guardian"
#define BF_GUARDIAN_TICK_MS		100
#define BF_GUARDIAN_SILENCE_TICKS	20
/* What the source gets beyond its own bound to thaw by itself. */
#define BF_GUARDIAN_GRACE_NS		2000000000ull

struct bf_guardian;
struct bf_holders;

/* The process: called by main() when argv[1] is BF_GUARDIAN_ARGUMENT. */
int bf_guardian_main(int argc, char **argv);

/*
 * bf_guardian_start - start it and hand over the filesystems
 * @run_dir: where its control socket goes
 *
 * Returns when it has reached its own control group, has locked its memory and
 * is ready to fire. bf_guardian_own_group says whether the first was possible.
 */
int bf_guardian_start(struct bf_guardian **guardian, const char *job,
		      const char *run_dir, const struct bf_holders *holders,
		      struct bf_error *err);
bool bf_guardian_own_group(const struct bf_guardian *guardian);

/*
 * Heartbeats begin. @expired is called once, from another thread, @bound_ns
 * after the clock was started; it must not block.
 */
int bf_guardian_arm(struct bf_guardian *guardian, uint64_t bound_ns,
		    void (*expired)(void *context), void *context,
		    struct bf_error *err);
/* The clock of the bound starts: just before the first FIFREEZE. */
void bf_guardian_start_clock(struct bf_guardian *guardian);
/*
 * All is thawed, and another freeze is to come. Fails if the guardian has missed
 * a word: it may take something for frozen still.
 */
int bf_guardian_stop_clock(struct bf_guardian *guardian, struct bf_error *err);
/* Before FIFREEZE of filesystem @index, after the clock was started. */
int bf_guardian_announce(struct bf_guardian *guardian, size_t index);
enum bf_guardian_result {
	BF_GUARDIAN_FROZEN,		/* ours */
	BF_GUARDIAN_NOT_OURS,		/* EBUSY */
	BF_GUARDIAN_NOT_FROZEN,		/* cannot freeze, or thawed again */
};
int bf_guardian_result(struct bf_guardian *guardian, size_t index,
		       enum bf_guardian_result result);
/* CLOCK_MONOTONIC when the clock was started, 0 before it. */
uint64_t bf_guardian_since_ns(const struct bf_guardian *guardian);

/*
 * From here on it does not thaw by itself. @poweroff_ns: power off that long
 * from now (0: never). Returns when it has understood.
 */
int bf_guardian_hold(struct bf_guardian *guardian, uint64_t poweroff_ns,
		     struct bf_error *err);
/* The cutover did not happen after all: back to thawing, with no deadline. */
int bf_guardian_unhold(struct bf_guardian *guardian, struct bf_error *err);
/* True once it is gone: the operator had it thaw, or somebody killed it. */
bool bf_guardian_gone(struct bf_guardian *guardian);

/*
 * bf_guardian_stop - everything is thawed: it ends
 * bf_guardian_leave - it stays in hold when we go
 * Both free @guardian, which may be NULL.
 */
void bf_guardian_stop(struct bf_guardian *guardian);
void bf_guardian_leave(struct bf_guardian *guardian);

/*
 * bf_guardian_release - end the hold of a run before this one, if there is one
 *
 * It died after its guardian had been told to hold, so nobody else would. Only
 * for who knows that the final commit of that run was not taken, and never can
 * be: who has claimed the target since.
 */
void bf_guardian_release(const char *job, const char *run_dir);

#endif /* BF_SOURCE_GUARDIAN_H */
