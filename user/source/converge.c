// SPDX-License-Identifier: Apache-2.0
/*
 * Converge: what is dirty at the freeze is sent at the link's rate, and the
 * freeze costs a first pass, the pass that confirms, and a final commit that is
 * made durable like a barrier. A pass of T seconds
 * leaves dirty_rate * T behind, the next takes that by link_rate and the fixed
 * cost: T settles at fixed / (1 - dirty_rate / link_rate), if it settles.
 */
#include "source/converge.h"

#define SAMPLE_TIME_NS		10e9	/* over which the dirty rate is averaged */
#define PASS_WEIGHT		0.25	/* of the newest */
#define LINK_BYTES_MIN		(1u << 20)
#define NSEC_PER_SEC		1e9
#define FOREVER_NS		(UINT64_MAX / 2)

void bf_converge_init(struct bf_converge *converge)
{
	*converge = (struct bf_converge){
		.dirty_rate = -1, .link_rate = -1, .fixed_ns = -1,
		.barrier_ns = -1,
	};
}

/* Moves @value to @sample by @weight; the first sample sets it. */
static void blend(double *value, double sample, double weight)
{
	*value = *value < 0 ? sample : *value + (sample - *value) * weight;
}

void bf_converge_restart_sample(struct bf_converge *converge)
{
	converge->sampled = false;
}

void bf_converge_sample(struct bf_converge *converge, uint64_t at_ns,
			uint64_t new_bytes)
{
	double time_ns = at_ns - converge->sample_ns;

	if (converge->sampled && at_ns <= converge->sample_ns)
		return;
	if (converge->sampled && new_bytes >= converge->sample_bytes)
		blend(&converge->dirty_rate,
		      (new_bytes - converge->sample_bytes) * NSEC_PER_SEC /
		      time_ns, time_ns / (time_ns + SAMPLE_TIME_NS));
	converge->sampled = true;
	converge->sample_ns = at_ns;
	converge->sample_bytes = new_bytes;
}

/* What a large pass costs beside its bytes also grows with them (the flush at
 * the target): it counts only as long as there was no small one. */
static void sample_fixed(struct bf_converge *converge, double fixed_ns,
			 double barrier_ns, bool small)
{
	if (converge->small_seen && !small)
		return;
	if (converge->small_seen != small)
		converge->fixed_ns = converge->barrier_ns = -1;
	converge->small_seen = small;
	blend(&converge->fixed_ns, fixed_ns, PASS_WEIGHT);
	blend(&converge->barrier_ns, barrier_ns, PASS_WEIGHT);
}

void bf_converge_pass(struct bf_converge *converge, uint64_t raw_bytes,
		      uint64_t duration_ns, uint64_t begin_ns,
		      uint64_t barrier_ns)
{
	uint64_t fixed_ns = begin_ns + barrier_ns;
	bool small = raw_bytes < LINK_BYTES_MIN;

	if (fixed_ns > duration_ns || small)
		fixed_ns = duration_ns;
	sample_fixed(converge, fixed_ns, barrier_ns, small);
	if (!small && duration_ns > fixed_ns)
		blend(&converge->link_rate,
		      raw_bytes * NSEC_PER_SEC / (duration_ns - fixed_ns), 0.5);
}

void bf_converge_freeze(struct bf_converge *converge, uint64_t freeze_ns)
{
	converge->freeze_ns = freeze_ns;
}

static uint64_t to_ns(double ns)
{
	return ns < (double)FOREVER_NS ? (uint64_t)ns : FOREVER_NS;
}

static double downtime_ns(const struct bf_converge *converge,
			  double dirty_bytes)
{
	double sending_ns = converge->link_rate > 0 ?
		dirty_bytes * NSEC_PER_SEC / converge->link_rate : 0;

	return converge->freeze_ns + sending_ns + 2 * converge->fixed_ns +
	       converge->barrier_ns;
}

struct bf_forecast bf_converge_forecast(const struct bf_converge *converge,
					uint64_t dirty_bytes)
{
	double link = converge->link_rate, dirty = converge->dirty_rate;
	struct bf_forecast forecast = { 0 };
	double settled_bytes;

	/* A little is sent in no time over any link; much needs a known one. */
	if (converge->fixed_ns < 0 || (link <= 0 && dirty_bytes > LINK_BYTES_MIN))
		return forecast;
	forecast.known = true;
	forecast.now_ns = to_ns(downtime_ns(converge, dirty_bytes));
	forecast.settled_ns = forecast.now_ns;
	if (link <= 0 || dirty < 0)
		return forecast;
	forecast.converging = dirty < link ? BF_CONVERGING_YES :
					     BF_CONVERGING_NO;
	if (forecast.converging == BF_CONVERGING_NO)
		return forecast;
	settled_bytes = dirty * converge->fixed_ns / (1 - dirty / link) /
			NSEC_PER_SEC;
	if (settled_bytes < dirty_bytes)
		forecast.settled_ns = to_ns(downtime_ns(converge,
							settled_bytes));
	return forecast;
}

uint64_t bf_converge_watermark(const struct bf_converge *converge,
			       uint64_t bound_ns)
{
	double left_ns, bytes;

	if (converge->link_rate <= 0 || converge->fixed_ns < 0)
		return 0;
	left_ns = bound_ns / 2.0 - downtime_ns(converge, 0);
	if (left_ns < bound_ns / 8.0)	/* passes must not chase each other */
		left_ns = bound_ns / 8.0;
	bytes = left_ns * converge->link_rate / NSEC_PER_SEC;
	return bytes < (double)FOREVER_NS ? (uint64_t)bytes : FOREVER_NS;
}
