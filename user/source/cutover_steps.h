/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutover, from the inside: the state of one attempt, from the first pass to
 * the thaw or the end of this machine's part.
 */
#ifndef BF_SOURCE_CUTOVER_STEPS_H
#define BF_SOURCE_CUTOVER_STEPS_H

#include "source/cutover.h"
#include "source/freeze.h"
#include "source/guardian.h"
#include "source/holders.h"
#include "source/raw_sync.h"

struct cutover {
	struct bf_job *job;
	const struct bf_cutover_options *options;
	struct bf_holders holders;
	struct bf_raw_devices raw;
	struct bf_guardian *guardian;	/* while something may be frozen */
	_Atomic bool expired;		/* the bound has passed */
	bool hooked;			/* pre-freeze ran, post-thaw has not */
	bool quiet;			/* log held, memory locked */
	bool held;			/* the guardian does not thaw by itself */
	bool unknown;			/* whether the target took the message */
	uint64_t epoch;			/* of the final commit message */
	uint64_t projected_ns;		/* just before the freeze */
	uint64_t freeze_ns;		/* all FIFREEZE together */
	uint64_t rehearsed_ns;		/* what was frozen for a moment, before */
	uint64_t downtime_ns;
	uint64_t dirty_bytes_at_freeze;
	unsigned int rounds;
	char still_written[384];	/* by the last round but the first */
	json_t *confirm;		/* the empty generations */
	const char *post_cutover;	/* "ok" or what went wrong, NULL: none */
	struct bf_error post_error;
};

/* cutover.c: the bound has passed, or the operator has ended it: in words. */
bool bf_cutover_is_over(const struct cutover *cutover);
int bf_cutover_interrupted(const struct cutover *cutover, struct bf_error *err);
/* Ends the freeze, if there is one, and what belongs to it. */
int bf_cutover_thaw(struct cutover *cutover, struct bf_error *err);
/* The hook of the thaw, if that of the freeze ran, and nothing stays frozen. */
void bf_cutover_tell_thawed(struct cutover *cutover);
/* Log, progress and memory are as before. */
void bf_cutover_unquiet(struct cutover *cutover);

/*
 * cutover_final.c: the final commit message, and what follows it. *done: the
 * target is cut over. On failure it is not, unless cutover->unknown: then a
 * source that was to stay frozen does, in the guardian's hands.
 */
int bf_cutover_commit(struct cutover *cutover, bool *done, struct bf_error *err);
void bf_cutover_finish(struct cutover *cutover);

#endif /* BF_SOURCE_CUTOVER_STEPS_H */
