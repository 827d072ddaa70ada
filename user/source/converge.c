// SPDX-License-Identifier: Apache-2.0
/*
 * Converge: a freeze costs FIFREEZE itself, a first pass with what is dirty then,
 * the pass that confirms, and a final commit that is made durable like a barrier.
 * A pass costs what an empty one does, and its bytes by a rate: scattered blocks,
 * as a freeze leaves them, flow more slowly than a disk does, so the first MiB
 * has a rate of its own, taken from passes of that size. A pass of T seconds
 * leaves dirty_rate * T behind, the next takes that by link_rate and the fixed
 * cost: T settles at fixed / (1 - dirty_rate / link_rate), if it settles.
 */
#include "source/converge.h"

#define SAMPLE_TIME_NS		10e9	/* over which the dirty rate is averaged */
#define FIXED_WEIGHT		0.25	/* of the newest pass */
#define RATE_WEIGHT		0.5
#define EMPTY_BYTES		(128u << 10)	/* a pass of less is nearly empty */
#define LITTLE_BYTES		(1u << 20)
#define NSEC_PER_SEC		1e9
#define FOREVER			(UINT64_MAX / 2)

void bf_converge_init(struct bf_converge *converge)
{
	*converge = (struct bf_converge){
		.dirty_rate = -1, .link_rate = -1, .little_rate = -1,
		.fixed_ns = -1, .barrier_ns = -1,
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

/* What a pass costs beside its bytes also grows with them (the flush at the
 * target): it counts only as long as there was no empty one. */
static void sample_fixed(struct bf_converge *converge, double fixed_ns,
			 double barrier_ns, bool empty)
{
	if (converge->empty_seen && !empty)
		return;
	if (converge->empty_seen != empty)
		converge->fixed_ns = converge->barrier_ns = -1;
	converge->empty_seen = empty;
	blend(&converge->fixed_ns, fixed_ns, FIXED_WEIGHT);
	blend(&converge->barrier_ns, barrier_ns, FIXED_WEIGHT);
}

/* The less was sent, the more of its time is chance. */
static void sample_rate(struct bf_converge *converge, double raw_bytes,
			double sent_ns)
{
	double rate;

	if (sent_ns <= 0)
		return;
	rate = raw_bytes * NSEC_PER_SEC / sent_ns;
	if (raw_bytes < LITTLE_BYTES)
		blend(&converge->little_rate, rate,
		      RATE_WEIGHT * raw_bytes / LITTLE_BYTES);
	else
		blend(&converge->link_rate, rate, RATE_WEIGHT);
}

void bf_converge_pass(struct bf_converge *converge, uint64_t raw_bytes,
		      uint64_t duration_ns, uint64_t begin_ns,
		      uint64_t barrier_ns)
{
	uint64_t fixed_ns = begin_ns + barrier_ns;
	bool empty = raw_bytes < EMPTY_BYTES;

	if (fixed_ns > duration_ns || empty)
		fixed_ns = duration_ns;
	sample_fixed(converge, fixed_ns, barrier_ns, empty);
	if (!empty)
		sample_rate(converge, raw_bytes, duration_ns - converge->fixed_ns);
}

void bf_converge_freeze(struct bf_converge *converge, uint64_t freeze_ns)
{
	converge->freeze_ns = freeze_ns;
}

static uint64_t bounded(double value)
{
	return value < (double)FOREVER ? (uint64_t)value : FOREVER;
}

/* A little is sent in no time over a link that nothing is known of. */
static double bytes_ns(double bytes, double rate)
{
	return rate > 0 ? bytes * NSEC_PER_SEC / rate : 0;
}

static double sending_ns(const struct bf_converge *converge, double bytes)
{
	double link = converge->link_rate;
	double little = converge->little_rate > 0 ? converge->little_rate : link;

	if (bytes <= LITTLE_BYTES)
		return bytes_ns(bytes, little);
	return bytes_ns(LITTLE_BYTES, little) +
	       bytes_ns(bytes - LITTLE_BYTES, link);
}

static double downtime_ns(const struct bf_converge *converge,
			  double frozen_bytes)
{
	return converge->freeze_ns + sending_ns(converge, frozen_bytes) +
	       2 * converge->fixed_ns + converge->barrier_ns;
}

/* What becomes dirty before FIFREEZE has stopped the last writer. */
static double meanwhile_bytes(const struct bf_converge *converge)
{
	return converge->dirty_rate > 0 ?
		converge->dirty_rate * converge->freeze_ns / NSEC_PER_SEC : 0;
}

/* The most that is dirty after as many passes as help; below 0: they do not. */
static double settled_bytes(const struct bf_converge *converge)
{
	double link = converge->link_rate, dirty = converge->dirty_rate;

	if (link <= 0 || dirty < 0 || dirty >= link)
		return -1;
	return dirty * converge->fixed_ns / (1 - dirty / link) / NSEC_PER_SEC;
}

struct bf_forecast bf_converge_forecast_frozen(const struct bf_converge *converge,
					       uint64_t frozen_bytes)
{
	struct bf_forecast forecast = { 0 };

	/* Much needs a link that is known. */
	if (converge->fixed_ns < 0 ||
	    (converge->link_rate <= 0 && frozen_bytes > LITTLE_BYTES))
		return forecast;
	forecast.known = true;
	forecast.now_ns = bounded(downtime_ns(converge, frozen_bytes));
	forecast.settled_ns = forecast.now_ns;
	if (converge->link_rate > 0 && converge->dirty_rate >= 0)
		forecast.converging = settled_bytes(converge) < 0 ?
			BF_CONVERGING_NO : BF_CONVERGING_YES;
	return forecast;
}

struct bf_forecast bf_converge_forecast(const struct bf_converge *converge,
					uint64_t dirty_bytes)
{
	double meanwhile = meanwhile_bytes(converge);
	double settled = settled_bytes(converge);
	struct bf_forecast forecast =
		bf_converge_forecast_frozen(converge,
					    bounded(dirty_bytes + meanwhile));

	if (forecast.known && settled >= 0 && settled < dirty_bytes)
		forecast.settled_ns = bounded(downtime_ns(converge,
							settled + meanwhile));
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
	return bounded(bytes);
}
