// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: nothing is forecast before it was measured; the forecast is the freeze,
 * what is dirty by the rate of passes of its size, two fixed costs and a barrier;
 * a disk that is written faster than the link carries is said not to converge.
 */
#include "source/converge.h"
#include "tap.h"

#define SECOND 1000000000ull
#define MIB (1ull << 20)

static struct bf_converge converge;

static void near(uint64_t got, uint64_t wanted)
{
	uint64_t margin = wanted / 100 + 1;

	if (got + margin < wanted || got > wanted + margin)
		tap_fail(__FILE__, __LINE__, "%llu is not about %llu",
			 (unsigned long long)got, (unsigned long long)wanted);
}

static void unknown_at_first(void)
{
	struct bf_forecast forecast;

	bf_converge_init(&converge);
	forecast = bf_converge_forecast(&converge, 100 * MIB);
	check(!forecast.known);
	check_eq(forecast.converging, BF_CONVERGING_UNKNOWN);
}

static void from_one_pass(void)
{
	struct bf_forecast forecast;

	bf_converge_init(&converge);
	/* 100 MiB in 1 s, and 10 ms of begin and barrier */
	bf_converge_pass(&converge, 100 * MIB, SECOND + SECOND / 100,
			 SECOND / 1000, 9 * SECOND / 1000);
	forecast = bf_converge_forecast(&converge, 50 * MIB);
	check(forecast.known);
	near(forecast.now_ns, SECOND / 2 + 2 * SECOND / 100 +
	     9 * SECOND / 1000);
	check_eq(forecast.converging, BF_CONVERGING_UNKNOWN);
	bf_converge_freeze(&converge, SECOND / 4);
	near(bf_converge_forecast(&converge, 50 * MIB).now_ns,
	     SECOND / 2 + SECOND / 4 + 2 * SECOND / 100 + 9 * SECOND / 1000);
}

static void empty_passes_leave_the_link(void)
{
	bf_converge_init(&converge);
	bf_converge_pass(&converge, 4096, SECOND, 0, SECOND / 100);
	check(converge.link_rate < 0);
	check(bf_converge_forecast(&converge, 4096).known);
	/* all of it is what a pass costs */
	near(converge.fixed_ns, SECOND);
	check(!bf_converge_forecast(&converge, 64 * MIB).known);
}

static void large_passes_leave_the_cost(void)
{
	bf_converge_init(&converge);
	bf_converge_pass(&converge, 100 * MIB, 2 * SECOND, 0, SECOND);
	near(converge.fixed_ns, SECOND);
	bf_converge_pass(&converge, 4096, SECOND / 50, 0, SECOND / 100);
	near(converge.fixed_ns, SECOND / 50);
	bf_converge_pass(&converge, 100 * MIB, 2 * SECOND, 0, SECOND);
	near(converge.fixed_ns, SECOND / 50);
	near(converge.barrier_ns, SECOND / 100);
}

/* Scattered blocks, as a freeze leaves them, are not sent as a disk is. */
static void a_little_has_its_rate(void)
{
	bf_converge_init(&converge);
	bf_converge_pass(&converge, 100 * MIB, SECOND + SECOND / 100,
			 SECOND / 1000, 9 * SECOND / 1000);
	bf_converge_pass(&converge, 4096, SECOND / 100, 0, SECOND / 100);
	/* half a MiB in 50 ms beside the 10 ms of an empty one */
	bf_converge_pass(&converge, MIB / 2, 6 * SECOND / 100, 0, SECOND / 100);
	near(converge.fixed_ns, SECOND / 100);
	near(converge.link_rate, 100 * MIB);
	near(bf_converge_forecast(&converge, MIB / 2).now_ns,
	     5 * SECOND / 100 + 3 * SECOND / 100);
	/* the first MiB of much is as slow, the rest is not */
	near(bf_converge_forecast(&converge, 51 * MIB).now_ns,
	     SECOND / 10 + SECOND / 2 + 3 * SECOND / 100);
	/* a little more than nothing is chance, and weighs little */
	bf_converge_pass(&converge, MIB / 8, SECOND, 0, SECOND / 100);
	near(converge.little_rate, 0.9375 * 10 * MIB + 0.0625 * MIB / 8 / 0.99);
	near(converge.fixed_ns, SECOND / 100);
}

/* Writers go on until the last of them is stopped. */
static void dirty_while_freezing(void)
{
	bf_converge_init(&converge);
	bf_converge_pass(&converge, 100 * MIB, SECOND, 0, 0);
	bf_converge_sample(&converge, SECOND, 0);
	bf_converge_sample(&converge, 2 * SECOND, 50 * MIB);
	bf_converge_freeze(&converge, SECOND / 2);
	near(bf_converge_forecast(&converge, 10 * MIB).now_ns,
	     SECOND / 2 + 35 * SECOND / 100);
	near(bf_converge_forecast_frozen(&converge, 10 * MIB).now_ns,
	     SECOND / 2 + 10 * SECOND / 100);
}

static void settles(void)
{
	struct bf_forecast forecast;

	bf_converge_init(&converge);
	bf_converge_pass(&converge, 100 * MIB, SECOND + SECOND / 10, 0,
			 SECOND / 10);
	bf_converge_sample(&converge, SECOND, 0);
	bf_converge_sample(&converge, 2 * SECOND, 50 * MIB);
	forecast = bf_converge_forecast(&converge, 1000 * MIB);
	check_eq(forecast.converging, BF_CONVERGING_YES);
	near(forecast.now_ns, 10 * SECOND + 3 * SECOND / 10);
	/* T = 0.1 s / (1 - 50 / 100); 10 MiB; 0.1 s and thrice 0.1 s */
	near(forecast.settled_ns, 4 * SECOND / 10);
}

static void too_fast_for_the_link(void)
{
	struct bf_forecast forecast;

	bf_converge_init(&converge);
	bf_converge_pass(&converge, 100 * MIB, SECOND, 0, 0);
	bf_converge_sample(&converge, SECOND, 0);
	bf_converge_sample(&converge, 2 * SECOND, 200 * MIB);
	forecast = bf_converge_forecast(&converge, 1000 * MIB);
	check_eq(forecast.converging, BF_CONVERGING_NO);
	check_eq(forecast.settled_ns, forecast.now_ns);
}

/* Half of the bound, less the fixed costs, at the link's rate. */
static void time_for_a_pass(void)
{
	bf_converge_init(&converge);
	check_eq(bf_converge_watermark(&converge, 30 * SECOND), 0);
	bf_converge_pass(&converge, 100 * MIB, SECOND + SECOND / 10, 0,
			 SECOND / 10);
	near(bf_converge_watermark(&converge, 2 * SECOND), 70 * MIB);
	near(bf_converge_forecast(&converge, 70 * MIB).now_ns, SECOND);
	/* Fixed costs of 0.3 s leave nothing of 0.25 s: an eighth of the bound. */
	near(bf_converge_watermark(&converge, SECOND / 2), 100 * MIB / 16);
	check(bf_converge_watermark(&converge, UINT64_MAX) > 0);
}

static void counter_goes_back(void)
{
	bf_converge_init(&converge);
	bf_converge_sample(&converge, SECOND, 100 * MIB);
	bf_converge_sample(&converge, 2 * SECOND, 50 * MIB);
	check(converge.dirty_rate < 0);
	bf_converge_sample(&converge, 3 * SECOND, 51 * MIB);
	near(converge.dirty_rate, MIB);
	bf_converge_restart_sample(&converge);
	bf_converge_sample(&converge, 4 * SECOND, 9000 * MIB);
	near(converge.dirty_rate, MIB);
	/* the clock did not move: no division by nothing */
	bf_converge_sample(&converge, 4 * SECOND, 9001 * MIB);
	near(converge.dirty_rate, MIB);
}

static void no_overflow(void)
{
	struct bf_forecast forecast;

	bf_converge_init(&converge);
	bf_converge_pass(&converge, MIB, UINT64_MAX / 2, 0, 0);
	forecast = bf_converge_forecast(&converge, UINT64_MAX);
	check(forecast.known);
	check(forecast.now_ns > UINT64_MAX / 4);
}

int main(void)
{
	tap_run("nothing is forecast before it was measured", unknown_at_first);
	tap_run("dirty bytes by the link, two passes, a barrier", from_one_pass);
	tap_run("an empty pass says nothing about the link",
		empty_passes_leave_the_link);
	tap_run("a large pass says little about the cost of an empty one",
		large_passes_leave_the_cost);
	tap_run("a little has a rate of its own", a_little_has_its_rate);
	tap_run("what becomes dirty until all is frozen", dirty_while_freezing);
	tap_run("passes that get shorter settle", settles);
	tap_run("written faster than the link carries", too_fast_for_the_link);
	tap_run("half of the bound is time for a pass", time_for_a_pass);
	tap_run("counters that jump are no rate", counter_goes_back);
	tap_run("nothing overflows", no_overflow);
	return tap_done();
}
