/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Auto level: what frames cost and gain at each level, what the link carries and
 * what processor time is left flow in; the level at which neither of the two is
 * idle flows out. Pure: no clock, no I/O; its owner locks it.
 *
 * The raw rate at a level is the smaller of what the link carries of it (its
 * rate times the ratio) and what the processors make of it (time left by cost of
 * a byte, its way through TLS and the socket included, which gets shorter as the
 * byte does). Cost and ratio are measured: most frames at the level chosen, one in
 * some at a neighbour, so that content which changes is noticed. The link's rate
 * is known while it is full, or while its threads do nothing but send; when
 * neither is so, it may have grown. No level is chosen at which a full frame takes
 * longer than a second.
 */
#ifndef BF_SOURCE_AUTO_LEVEL_H
#define BF_SOURCE_AUTO_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

#define BF_AUTO_RUNGS 10

struct bf_auto_rung {
	double raw_bytes, encoded_bytes, ns;	/* measured, older ones fade */
};

struct bf_auto {
	struct bf_auto_rung rung[BF_AUTO_RUNGS];
	unsigned int at;		/* the rung chosen */
	uint64_t frames;
	double link_bytes;		/* a second; 0: not known yet */
	double send_ns;			/* for a byte of the wire */
};

/* What happened in a time of @time_ns. */
struct bf_auto_sample {
	uint64_t time_ns;
	uint64_t wire_bytes;
	uint64_t full_ns;		/* the link had more than it could take */
	uint64_t send_ns;		/* of processors, by all that send */
	uint32_t senders;		/* these threads */
	double cores;			/* used by compression and sending, or idle */
	double workers;			/* threads that compress */
};

/* Level of zstd for the next frame, 0: none. */
int bf_auto_next(struct bf_auto *automatic);
void bf_auto_frame(struct bf_auto *automatic, int level, uint64_t raw_bytes,
		   uint64_t encoded_bytes, uint64_t ns);
void bf_auto_choose(struct bf_auto *automatic, const struct bf_auto_sample *sample);

#endif /* BF_SOURCE_AUTO_LEVEL_H */
