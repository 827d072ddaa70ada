// SPDX-License-Identifier: Apache-2.0
/*
 * Auto level: a ladder of levels with what is known of each. See auto_level.h.
 */
#include "source/auto_level.h"

#include <stddef.h>

#define PROBE_EVERY 16			/* frames; one of them at a neighbour */
#define FADE_BYTES (8e6)		/* of a rung, before the old counts half */
#define KNOWN_BYTES (250e3)		/* measured enough to be believed */
#define FADE 0.9			/* each time: content changes, others learn it */
#define FULL_SHARE 0.3			/* of the time: the link is the limit */
#define BUSY_SHARE 0.9			/* likewise: sending is */
#define BUSY_BYTES 1e6			/* what TLS takes all day for is more */
#define FRAME_BYTES (1 << 20)		/* of blocks, at most */
#define FRAME_NS_MAX 1e9		/* a pass, and a freeze, waits for its last */
#define LINK_GROWS 1.03			/* each time that it was not full */
#define LINK_WEIGHT 0.3			/* of the newest rate */
#define WORTH 1.02			/* a higher level must gain more */
#define NSEC_PER_SEC 1e9

/*
 * Where nothing was measured yet: nanoseconds a byte, and how the ratio grows
 * from rung to rung. Only their proportions count once a neighbour is known.
 */
static const struct {
	int level;
	double ns, ratio;
} ladder[BF_AUTO_RUNGS] = {
	{ 0, 0.02, 1 }, { 1, 2.2, 2.0 }, { 2, 3, 2.08 }, { 3, 4.2, 2.15 },
	{ 5, 9, 2.22 }, { 7, 14, 2.28 }, { 9, 22, 2.32 }, { 12, 50, 2.35 },
	{ 15, 110, 2.40 }, { 19, 350, 2.48 },
};

static unsigned int rung_of(int level)
{
	unsigned int i = 0;

	while (i + 1 < BF_AUTO_RUNGS && ladder[i].level < level)
		i++;
	return i;
}

static bool known(const struct bf_auto_rung *rung)
{
	return rung->raw_bytes >= KNOWN_BYTES;
}

static void fade(struct bf_auto_rung *rung, double share)
{
	rung->raw_bytes *= share;
	rung->encoded_bytes *= share;
	rung->ns *= share;
}

void bf_auto_frame(struct bf_auto *automatic, int level, uint64_t raw_bytes,
		   uint64_t encoded_bytes, uint64_t ns)
{
	struct bf_auto_rung *rung = &automatic->rung[rung_of(level)];

	if (rung->raw_bytes > FADE_BYTES)
		fade(rung, 0.5);
	rung->raw_bytes += raw_bytes;
	rung->encoded_bytes += encoded_bytes;
	rung->ns += ns;
}

/* The nearest rung of which something is known, level 0 excepted. */
static int nearest_known(const struct bf_auto *automatic, unsigned int i)
{
	for (unsigned int distance = 0; distance < BF_AUTO_RUNGS; distance++) {
		if (i >= distance + 1 && known(&automatic->rung[i - distance]))
			return i - distance;
		if (i + distance < BF_AUTO_RUNGS && i + distance &&
		    known(&automatic->rung[i + distance]))
			return i + distance;
	}
	return -1;
}

static void estimate(const struct bf_auto *automatic, unsigned int i,
		     double *ns, double *ratio)
{
	int from = nearest_known(automatic, i);
	const struct bf_auto_rung *rung;

	*ns = ladder[i].ns;
	*ratio = ladder[i].ratio;
	if (!i || from < 0)
		return;
	rung = &automatic->rung[from];
	*ns *= rung->ns / rung->raw_bytes / ladder[from].ns;
	*ratio = rung->raw_bytes / (rung->encoded_bytes + 1);
	/* What is already incompressible stays so at every level. */
	if (from != (int)i)
		*ratio = 1 + (*ratio - 1) * (ladder[i].ratio - 1) /
			 (ladder[from].ratio - 1);
}

/* At level 0 nothing is. */
static bool too_slow(const struct bf_auto *automatic, unsigned int i)
{
	double ns, ratio;

	estimate(automatic, i, &ns, &ratio);
	return i && ns * FRAME_BYTES > FRAME_NS_MAX;
}

/*
 * What is too slow is left at once: who waits for frames like these is late for
 * every choice.
 */
int bf_auto_next(struct bf_auto *automatic)
{
	unsigned int at;

	while (too_slow(automatic, automatic->at))
		automatic->at--;
	at = automatic->at;
	if (++automatic->frames % PROBE_EVERY)
		return ladder[at].level;
	/* Above and below in turns. Without a link that is full nothing above
	 * can help. */
	if (automatic->frames / PROBE_EVERY % 2 && automatic->link_bytes > 0 &&
	    at + 1 < BF_AUTO_RUNGS && !too_slow(automatic, at + 1))
		return ladder[at + 1].level;
	return ladder[at ? at - 1 : 0].level;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* Raw bytes a second at a rung. */
static double rate_at(const struct bf_auto *automatic, unsigned int i,
		      const struct bf_auto_sample *sample)
{
	double ns, ratio, link, processors;

	estimate(automatic, i, &ns, &ratio);
	link = automatic->link_bytes * ratio;
	processors = least(sample->workers / ns,
			   sample->cores / (ns + automatic->send_ns / ratio));
	return least(link, processors * NSEC_PER_SEC);
}

static void learn_send(struct bf_auto *automatic,
		       const struct bf_auto_sample *sample)
{
	double *ns = &automatic->send_ns, newest;

	if (!sample->wire_bytes)
		return;
	newest = (double)sample->send_ns / sample->wire_bytes;
	*ns = *ns > 0 ? *ns + (newest - *ns) * LINK_WEIGHT : newest;
}

/* Nothing more can leave: the link is full, or TLS takes all of its threads. */
static bool is_full(const struct bf_auto_sample *sample)
{
	double busy_ns = sample->senders ?
		(double)sample->send_ns / sample->senders : 0;

	if (sample->full_ns > FULL_SHARE * sample->time_ns)
		return true;
	return sample->full_ns + busy_ns > BUSY_SHARE * sample->time_ns &&
	       sample->wire_bytes > BUSY_BYTES;
}

static void learn_link(struct bf_auto *automatic,
		       const struct bf_auto_sample *sample)
{
	double rate = sample->wire_bytes * NSEC_PER_SEC / sample->time_ns;
	double *link = &automatic->link_bytes;

	if (is_full(sample))
		*link = *link > 0 ? *link + (rate - *link) * LINK_WEIGHT : rate;
	else if (*link > 0)
		*link = rate > *link ? rate : *link * LINK_GROWS;
}

void bf_auto_choose(struct bf_auto *automatic, const struct bf_auto_sample *sample)
{
	double best;

	for (unsigned int i = 0; i < BF_AUTO_RUNGS; i++)
		fade(&automatic->rung[i], FADE);
	learn_send(automatic, sample);
	learn_link(automatic, sample);
	if (automatic->link_bytes <= 0)	/* never full: nothing to save */
		return;
	automatic->at = 0;
	best = rate_at(automatic, 0, sample);
	for (unsigned int i = 1; i < BF_AUTO_RUNGS; i++) {
		double rate = rate_at(automatic, i, sample);

		if (rate <= best * WORTH || too_slow(automatic, i))
			continue;
		automatic->at = i;
		best = rate;
	}
}
