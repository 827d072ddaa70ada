// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: attempts to connect follow each other at 1/4, 1/2 and from then on 3/4 of
 * a second, two to four thirds of it by chance and spread over all of that; a loss
 * is told when it begins, when it becomes another matter, and once a minute; data
 * that arrives damaged is sent again three times between two passes, not a fourth.
 */
#include "lib/transport.h"
#include "source/loss.h"
#include "tap.h"

#define MS BF_NSEC_PER_MSEC
#define SECOND BF_NSEC_PER_SEC
#define DRAWS 3000
#define PARTS 10

/* Waits drawn for a base of @ns: all within bounds, none of ten parts empty. */
static void spread(uint64_t ns, const uint64_t *waits)
{
	unsigned int parts[PARTS] = { 0 };
	uint64_t from = ns * 2 / 3, to = ns * 4 / 3;

	for (int i = 0; i < DRAWS; i++) {
		check(waits[i] >= from && waits[i] <= to);
		parts[(waits[i] - from) * PARTS / (to - from + 1)]++;
	}
	/* 300 each are due; a third of that is 11 sigma away. */
	for (int i = 0; i < PARTS; i++)
		check(parts[i] > DRAWS / PARTS / 3);
}

static void waits_grow_and_spread(void)
{
	static uint64_t waits[4][DRAWS];

	for (int i = 0; i < DRAWS; i++) {
		struct bf_loss loss = { 0 };

		bf_loss_note(&loss, 7, SECOND);
		for (int k = 0; k < 4; k++)
			waits[k][i] = bf_loss_wait_ns(&loss, false);
	}
	spread(250 * MS, waits[0]);
	spread(500 * MS, waits[1]);
	spread(750 * MS, waits[2]);
	spread(750 * MS, waits[3]);
}

static void a_queue_is_looked_at_slowly(void)
{
	static uint64_t waits[DRAWS];

	for (int i = 0; i < DRAWS; i++) {
		struct bf_loss loss = { 0 };

		bf_loss_note(&loss, 7, SECOND);
		waits[i] = bf_loss_wait_ns(&loss, true);
	}
	spread(2 * SECOND, waits);
}

static void a_claimed_session_begins_anew(void)
{
	struct bf_loss loss = { 0 };

	bf_loss_note(&loss, 7, SECOND);
	for (int i = 0; i < 9; i++)
		bf_loss_wait_ns(&loss, false);
	bf_loss_note(&loss, 7, 9 * SECOND);
	check(bf_loss_wait_ns(&loss, false) >= 500 * MS);
	check(!bf_loss_patience_ends(&loss, 30 * SECOND));
	check(bf_loss_patience_ends(&loss, 31 * SECOND));
	bf_loss_note(&loss, 8, 40 * SECOND);
	check(bf_loss_wait_ns(&loss, false) <= 334 * MS);
	check(!bf_loss_patience_ends(&loss, 69 * SECOND));
}

static void a_loss_is_told_when_it_is_news(void)
{
	struct bf_loss loss = { 0 };

	bf_loss_note(&loss, 7, SECOND);
	check(bf_loss_to_tell(&loss, BF_E_UNREACHABLE, 1 * SECOND));
	check(!bf_loss_to_tell(&loss, BF_E_UNREACHABLE, 60 * SECOND));
	check(bf_loss_to_tell(&loss, BF_E_UNREACHABLE, 61 * SECOND));
	check(bf_loss_to_tell(&loss, BF_E_TIMEOUT, 62 * SECOND));
	bf_loss_note(&loss, 8, 63 * SECOND);
	check(bf_loss_to_tell(&loss, BF_E_TIMEOUT, 63 * SECOND));
}

static void damage_is_not_hidden(void)
{
	struct bf_loss loss = { 0 };

	for (int i = 0; i < 9; i++)
		check(!bf_loss_damaged_again(&loss, BF_E_TIMEOUT, 4));
	for (int i = 0; i < 3; i++)
		check(!bf_loss_damaged_again(&loss, i & 1 ? BF_E_CORRUPT :
					     BF_E_TOTALS, 4));
	check(bf_loss_damaged_again(&loss, BF_E_CORRUPT, 4));
	for (int i = 0; i < 3; i++)
		check(!bf_loss_damaged_again(&loss, BF_E_CORRUPT, 5));
	check(bf_loss_damaged_again(&loss, BF_E_TOTALS, 5));
}

static void one_that_waits_has_so_many_tries(void)
{
	struct bf_loss loss = { 0 };

	for (int i = 1; i < 1000; i++) {
		bf_loss_note(&loss, i, SECOND);
		check(!bf_loss_patience_ends(&loss, SECOND));
	}
	check(bf_loss_patience_ends(&loss, SECOND));
}

int main(void)
{
	tap_run("waits grow, and are spread over all of their bounds", waits_grow_and_spread);
	tap_run("a queue is looked at every two seconds or so", a_queue_is_looked_at_slowly);
	tap_run("a claimed session begins anew", a_claimed_session_begins_anew);
	tap_run("a loss is told when it is news", a_loss_is_told_when_it_is_news);
	tap_run("damage time and again is not hidden", damage_is_not_hidden);
	tap_run("attempts end for those who wait", one_that_waits_has_so_many_tries);
	return tap_done();
}
