// SPDX-License-Identifier: Apache-2.0
/*
 * Ladder. Policy: for every state and every type there is one answer, written
 * down here a second time; what is not listed is refused and changes nothing.
 */
#include <errno.h>

#include "lib/frame.h"
#include "tap.h"

static const struct {
	enum bf_ladder_state from;
	uint16_t type;
	enum bf_ladder_state to;
} allowed[] = {
	{ BF_LADDER_HELLO, WIRE_HELLO, BF_LADDER_OPEN },
	{ BF_LADDER_HELLO, WIRE_ATTACH, BF_LADDER_ATTACHED },
	{ BF_LADDER_HELLO, WIRE_ERROR, BF_LADDER_HELLO },
	{ BF_LADDER_OPEN, WIRE_OPEN, BF_LADDER_OPEN },
	{ BF_LADDER_OPEN, WIRE_DIGEST, BF_LADDER_OPEN },
	{ BF_LADDER_OPEN, WIRE_CLAIM, BF_LADDER_CLAIMED },
	{ BF_LADDER_OPEN, WIRE_MEASURE, BF_LADDER_OPEN },
	{ BF_LADDER_OPEN, WIRE_PING, BF_LADDER_OPEN },
	{ BF_LADDER_OPEN, WIRE_PONG, BF_LADDER_OPEN },
	{ BF_LADDER_OPEN, WIRE_ERROR, BF_LADDER_OPEN },
	{ BF_LADDER_CLAIMED, WIRE_BEGIN, BF_LADDER_CLAIMED },
	{ BF_LADDER_CLAIMED, WIRE_DATA, BF_LADDER_CLAIMED },
	{ BF_LADDER_CLAIMED, WIRE_BARRIER, BF_LADDER_CLAIMED },
	{ BF_LADDER_CLAIMED, WIRE_DIGEST, BF_LADDER_CLAIMED },
	{ BF_LADDER_CLAIMED, WIRE_CUTOVER, BF_LADDER_CUT_OVER },
	{ BF_LADDER_CLAIMED, WIRE_PING, BF_LADDER_CLAIMED },
	{ BF_LADDER_CLAIMED, WIRE_PONG, BF_LADDER_CLAIMED },
	{ BF_LADDER_CLAIMED, WIRE_ERROR, BF_LADDER_CLAIMED },
	{ BF_LADDER_CUT_OVER, WIRE_DIGEST, BF_LADDER_CUT_OVER },
	{ BF_LADDER_CUT_OVER, WIRE_REPORT, BF_LADDER_CUT_OVER },
	{ BF_LADDER_CUT_OVER, WIRE_PING, BF_LADDER_CUT_OVER },
	{ BF_LADDER_CUT_OVER, WIRE_PONG, BF_LADDER_CUT_OVER },
	{ BF_LADDER_CUT_OVER, WIRE_ERROR, BF_LADDER_CUT_OVER },
	{ BF_LADDER_ATTACHED, WIRE_DATA, BF_LADDER_ATTACHED },
	{ BF_LADDER_ATTACHED, WIRE_SYNC, BF_LADDER_ATTACHED },
	{ BF_LADDER_ATTACHED, WIRE_PING, BF_LADDER_ATTACHED },
	{ BF_LADDER_ATTACHED, WIRE_PONG, BF_LADDER_ATTACHED },
	{ BF_LADDER_ATTACHED, WIRE_ERROR, BF_LADDER_ATTACHED },
};

static void check_state(enum bf_ladder_state from)
{
	for (uint32_t type = 0; type <= UINT16_MAX; type++) {
		enum bf_ladder_state state = from, wanted = from;
		struct bf_error err = { 0 };
		int expect = -EPROTO, ret;

		for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
			if (allowed[i].from == from && allowed[i].type == type) {
				expect = 0;
				wanted = allowed[i].to;
			}
		}
		ret = bf_ladder_step(&state, (uint16_t)type, &err);
		check_eq(ret, expect);
		check_eq(state, wanted);
		check_eq(err.code, expect ? BF_E_PROTOCOL : BF_E_NONE);
	}
}

static void before_hello(void) { check_state(BF_LADDER_HELLO); }
static void before_claim(void) { check_state(BF_LADDER_OPEN); }
static void after_claim(void) { check_state(BF_LADDER_CLAIMED); }
static void after_cutover(void) { check_state(BF_LADDER_CUT_OVER); }
static void on_a_data_connection(void) { check_state(BF_LADDER_ATTACHED); }

static void the_refusal_names_the_frame(void)
{
	enum bf_ladder_state state = BF_LADDER_OPEN;
	struct bf_error err;

	check_eq(bf_ladder_step(&state, WIRE_DATA, &err), -EPROTO);
	check_says(err.text, "DATA");
	check_says(err.text, "before CLAIM");
}

int main(void)
{
	tap_run("before HELLO, every type", before_hello);
	tap_run("before CLAIM, every type", before_claim);
	tap_run("after CLAIM, every type", after_claim);
	tap_run("after CUTOVER, every type", after_cutover);
	tap_run("on a data connection, every type", on_a_data_connection);
	tap_run("the refusal names frame and place", the_refusal_names_the_frame);
	return tap_done();
}
