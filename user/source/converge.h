/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converge: counts of newly dirty bytes and the figures of finished passes flow
 * in, a forecast flows out: how long a freeze would last, and whether passes
 * get shorter. Pure: no clock, no I/O.
 */
#ifndef BF_SOURCE_CONVERGE_H
#define BF_SOURCE_CONVERGE_H

#include <stdbool.h>
#include <stdint.h>

/* What FIFREEZE is taken to last before it was measured, where there is one. */
#define BF_CONVERGE_FREEZE_NS	200000000ull

/* Rates are bytes a second; below 0: not known yet. */
struct bf_converge {
	double dirty_rate;		/* of blocks that become dirty */
	double link_rate;		/* of raw bytes, through everything */
	double little_rate;		/* the same for the little that a freeze leaves */
	double fixed_ns;		/* of a pass with next to nothing in it */
	double barrier_ns;		/* until what was sent is durable */
	bool empty_seen;		/* both from passes that are nearly empty */
	double freeze_ns;		/* FIFREEZE and FITHAW of all */
	bool sampled;
	uint64_t sample_ns, sample_bytes;
};

/* The choices that are left where passes do not get shorter. */
#define BF_CONVERGE_ADVICE \
	"more bandwidth (or a higher rate limit), a calmer load or a longer max-downtime help"

enum bf_converging { BF_CONVERGING_UNKNOWN, BF_CONVERGING_YES, BF_CONVERGING_NO };

struct bf_forecast {
	bool known;
	uint64_t now_ns;		/* downtime, frozen at this moment */
	uint64_t settled_ns;		/* after as many passes as help */
	enum bf_converging converging;
};

void bf_converge_init(struct bf_converge *converge);
/*
 * @new_bytes: a counter of bytes that ever became dirty. One that goes back,
 * and the first one, only set the point from which is counted.
 */
void bf_converge_sample(struct bf_converge *converge, uint64_t at_ns,
			uint64_t new_bytes);
/* The counter is about to jump for another reason than writes. */
void bf_converge_restart_sample(struct bf_converge *converge);
/* A pass has ended; an empty one tells the fixed cost, the others a rate. */
void bf_converge_pass(struct bf_converge *converge, uint64_t raw_bytes,
		      uint64_t duration_ns, uint64_t begin_ns,
		      uint64_t barrier_ns);
void bf_converge_freeze(struct bf_converge *converge, uint64_t freeze_ns);
/* @dirty_bytes: now; more becomes dirty until all is frozen. */
struct bf_forecast bf_converge_forecast(const struct bf_converge *converge,
					uint64_t dirty_bytes);
/* @frozen_bytes: of which it is known that they are dirty once all is frozen. */
struct bf_forecast bf_converge_forecast_frozen(const struct bf_converge *converge,
					       uint64_t frozen_bytes);

/*
 * Dirty bytes at which a freeze would take half of @bound_ns: time for a pass.
 * What the link sends in an eighth of it at least; 0: not known yet.
 */
uint64_t bf_converge_watermark(const struct bf_converge *converge,
			       uint64_t bound_ns);

#endif /* BF_SOURCE_CONVERGE_H */
