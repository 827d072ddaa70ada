/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resume table. Policy: whatever source, kernel and target know, exactly one
 * row says what follows; going on from where it was needs every witness to
 * agree; whatever else is in doubt is compared, and copied whole only where
 * the target holds nothing of ours.
 */
#include <stdint.h>

#include "source/resume.h"
#include "tap.h"

#define COMBINATIONS 256

static struct bf_resume_facts facts_from(unsigned int bits)
{
	return (struct bf_resume_facts){
		.target_known = bits & 1, .recorded = bits & 2,
		.cookie_agrees = bits & 4, .tracker_kept = bits & 8,
		.target_behind = bits & 16, .reason_stands = bits & 32,
		.resyncing = bits & 64, .complete = bits & 128,
	};
}

static void exactly_one_row_holds(void)
{
	for (unsigned int bits = 0; bits < COMBINATIONS; bits++) {
		const struct bf_resume_facts facts = facts_from(bits);
		unsigned int nr = 0;

		for (unsigned int i = 0; i < bf_resume_rows; i++)
			nr += bf_resume_row_holds(&bf_resume_table[i], &facts);
		check_eq(nr, 1);
		check(bf_resume_row_holds(bf_resume_find(&facts), &facts));
	}
}

static void every_row_is_reached(void)
{
	bool reached[32] = { 0 };

	check(bf_resume_rows <= 32);
	for (unsigned int bits = 0; bits < COMBINATIONS; bits++) {
		const struct bf_resume_facts facts = facts_from(bits);

		reached[bf_resume_find(&facts) - bf_resume_table] = true;
	}
	for (unsigned int i = 0; i < bf_resume_rows; i++)
		check(reached[i]);
}

/* What the rows mean, said a second time and independently of them. */
static void nothing_goes_on_in_doubt(void)
{
	for (unsigned int bits = 0; bits < COMBINATIONS; bits++) {
		const struct bf_resume_facts f = facts_from(bits);
		enum bf_resume_way way = bf_resume_find(&f)->way;
		bool agree = f.target_known && f.recorded && f.cookie_agrees &&
			     f.tracker_kept && !f.target_behind;

		check_eq(way == BF_RESUME_FULL, !f.target_known);
		if (!agree || f.reason_stands)
			check(bf_resume_restarts(way));
		else
			check(!bf_resume_restarts(way));
		if (way == BF_RESUME_DELTA)
			check(f.complete && !f.resyncing);
		if (f.resyncing && agree && !f.reason_stands)
			check_eq(way, BF_RESUME_RESYNC_ON);
	}
}

static void every_step_down_says_why(void)
{
	for (unsigned int i = 0; i < bf_resume_rows; i++) {
		const struct bf_resume_row *row = &bf_resume_table[i];

		check(row->why || row->reason_stands == 'y');
	}
}

int main(void)
{
	tap_run("exactly one row holds for any facts", exactly_one_row_holds);
	tap_run("every row is reached", every_row_is_reached);
	tap_run("nothing goes on where a witness disagrees",
		nothing_goes_on_in_doubt);
	tap_run("every step down says why", every_step_down_says_why);
	return tap_done();
}
