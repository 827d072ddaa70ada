/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freeze: filesystems flow in topmost first, frozen ones flow out; the thaw
 * goes the other way. Keeps RULE 5: each FIFREEZE is announced to the guardian
 * before it is made, and what somebody else froze is never thawed by us.
 */
#ifndef BF_SOURCE_FREEZE_H
#define BF_SOURCE_FREEZE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "source/guardian.h"
#include "source/holders.h"

/* Everything that runs from here on is in memory, no page comes from a disk. */
int bf_memory_lock(struct bf_error *err);
void bf_memory_unlock(void);

/*
 * bf_freeze_sync - syncfs until it is short
 * @short_ns: a round of all filesystems that takes no longer ends it
 * @rounds: at most
 */
int bf_freeze_sync(const struct bf_holders *holders, uint64_t short_ns,
		   unsigned int rounds, struct bf_error *err);

/*
 * Freezes what can be, in order; the state of each goes to @holders. What
 * cannot is synced. On failure, and when @cancelled says so between two of
 * them, all that it froze is thawed again.
 */
int bf_freeze(struct bf_holders *holders, struct bf_guardian *guardian,
	      bool (*cancelled)(void *context), void *context,
	      struct bf_error *err);
/* Thaws what we froze, bottom first; nothing else. Goes on past a failure. */
int bf_thaw(struct bf_holders *holders, struct bf_guardian *guardian,
	    struct bf_error *err);

#endif /* BF_SOURCE_FREEZE_H */
