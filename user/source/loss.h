/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loss: sessions that were lost flow in, one after the other; how long to wait
 * before the next attempt, whether to speak of it, and whether to go on at all
 * flows out. Times are those of bf_now_ns. One thread.
 */
#ifndef BF_SOURCE_LOSS_H
#define BF_SOURCE_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

/* Until a session is claimed; all 0: nothing was lost. */
struct bf_loss {
	uint64_t wait_ns;		/* before the next attempt */
	uint64_t epoch;			/* claimed before it */
	uint64_t since_ns, told_ns;
	enum bf_code code;		/* told last */
	unsigned int tries;		/* over all losses */
	unsigned int damages;		/* since a pass ended */
	uint64_t passes;		/* at the last of them */
};

/* One more attempt has failed; the first since @epoch was claimed begins anew. */
void bf_loss_note(struct bf_loss *loss, uint64_t epoch, uint64_t now_ns);

/* True the first time, when it becomes another matter, and once a minute. */
bool bf_loss_to_tell(struct bf_loss *loss, enum bf_code code, uint64_t now_ns);

/*
 * bf_loss_wait_ns - how long to wait for the next attempt
 * @queued: the receiver answers, it is not our turn
 *
 * 1/4 s after the first, then twice as long each time, 3/4 s at most; 2 s when
 * queued. Each between two thirds and four thirds of that, by chance.
 */
uint64_t bf_loss_wait_ns(struct bf_loss *loss, bool queued);

/*
 * What arrives damaged, or more or less often than it was sent, was not committed
 * and is sent again: a bit flips. Where that happens time and again, trying on
 * would hide it. Return: true for the fourth time since a pass ended.
 */
bool bf_loss_damaged_again(struct bf_loss *loss, enum bf_code code,
			   uint64_t passes);

/* For whom somebody waits: after 30 s of a loss, or 1000 attempts in all. */
bool bf_loss_patience_ends(struct bf_loss *loss, uint64_t now_ns);

#endif /* BF_SOURCE_LOSS_H */
