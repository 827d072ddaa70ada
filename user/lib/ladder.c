// SPDX-License-Identifier: Apache-2.0
/*
 * Ladder: the types of the frames that a target receives flow in, in the order
 * in which they come; out flows whether the protocol allows that order. Pure:
 * no I/O, no memory, so that tests and fuzzers drive the shipped source.
 */
#include <errno.h>

#include "lib/frame.h"

#define BIT(type) (1u << (type))

/* A source may say these whenever the connection is introduced. */
#define ALWAYS (BIT(WIRE_PING) | BIT(WIRE_PONG) | BIT(WIRE_ERROR))

static const struct {
	const char *name;
	uint32_t allowed;
} states[] = {
	[BF_LADDER_HELLO] = {
		"before HELLO",
		BIT(WIRE_HELLO) | BIT(WIRE_ATTACH) | BIT(WIRE_ERROR),
	},
	[BF_LADDER_OPEN] = {
		"before CLAIM",
		BIT(WIRE_OPEN) | BIT(WIRE_DIGEST) | BIT(WIRE_CLAIM) |
		BIT(WIRE_MEASURE) | ALWAYS,
	},
	[BF_LADDER_CLAIMED] = {
		"after CLAIM",
		BIT(WIRE_BEGIN) | BIT(WIRE_DATA) | BIT(WIRE_BARRIER) |
		BIT(WIRE_CUTOVER) | BIT(WIRE_DIGEST) | ALWAYS,
	},
	[BF_LADDER_CUT_OVER] = {
		"after CUTOVER",
		BIT(WIRE_DIGEST) | BIT(WIRE_REPORT) | ALWAYS,
	},
	[BF_LADDER_ATTACHED] = {
		"on a data connection",
		BIT(WIRE_DATA) | BIT(WIRE_SYNC) | ALWAYS,
	},
};

static enum bf_ladder_state next_state(enum bf_ladder_state state, uint16_t type)
{
	switch (type) {
	case WIRE_HELLO:
		return BF_LADDER_OPEN;
	case WIRE_ATTACH:
		return BF_LADDER_ATTACHED;
	case WIRE_CLAIM:
		return BF_LADDER_CLAIMED;
	case WIRE_CUTOVER:
		return BF_LADDER_CUT_OVER;
	default:
		return state;
	}
}

int bf_ladder_step(enum bf_ladder_state *state, uint16_t type,
		   struct bf_error *err)
{
	if (type > WIRE_TYPE_MAX || !(states[*state].allowed & BIT(type)))
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "%s came %s, where it has no place: the peer's blkferry is faulty or of an incompatible version",
			       bf_frame_name(type), states[*state].name);
	*state = next_state(*state, type);
	return 0;
}
