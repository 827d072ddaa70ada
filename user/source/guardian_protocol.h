/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a replicator and its guardian: one struct a message, over a
 * SOCK_SEQPACKET pair. Both are the same binary, so the struct travels as it
 * is. A message of another size, type or order makes the guardian fire.
 *
 *	source					guardian
 *	SETUP (pidfd of the source)		ANSWER: flags, once in its group
 *	FILESYSTEM (fd, mountpoint) ...
 *	ARM					ANSWER: memory locked, ready
 *	ANNOUNCE, RESULT, HEARTBEAT ...
 *	HOLD, UNHOLD				ANSWER
 *	DISARM					exits
 */
#ifndef BF_SOURCE_GUARDIAN_PROTOCOL_H
#define BF_SOURCE_GUARDIAN_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

#define BF_GUARDIAN_FILESYSTEMS_MAX 1024

enum bf_guardian_type {
	BF_GUARDIAN_SETUP = 1,
	BF_GUARDIAN_FILESYSTEM,
	BF_GUARDIAN_ARM,
	BF_GUARDIAN_ANNOUNCE,
	BF_GUARDIAN_RESULT,
	BF_GUARDIAN_HEARTBEAT,
	BF_GUARDIAN_HOLD,
	BF_GUARDIAN_UNHOLD,
	BF_GUARDIAN_DISARM,
	BF_GUARDIAN_ANSWER,
};

/* ANSWER to SETUP: */
#define BF_GUARDIAN_OWN_GROUP	(1u << 0)

struct bf_guardian_message {
	uint32_t type;
	uint32_t index;			/* of the filesystem */
	int32_t result;			/* of RESULT; ANSWER: negative errno */
	uint32_t flags;
	uint64_t deadline_ns;		/* ANNOUNCE, HOLD: CLOCK_MONOTONIC */
	char text[256];			/* mountpoint; words of a failed ANSWER */
};

/* guardian_group.c: leave the replicator's control group; false if there is
 * one and it could not be left. */
bool bf_guardian_join_group(const char *job);
/* Back to the root group, ours removed; a scope ends by itself. */
void bf_guardian_leave_group(const char *job);

#endif /* BF_SOURCE_GUARDIAN_PROTOCOL_H */
