/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Drain: swapped-out maps flow in as generations, windows of them flow out,
 * and back flows the watermark up to which they are durable elsewhere.
 * RULE 2: what is not committed when the drain fd goes merges back.
 */
#ifndef BF_DRAIN_H
#define BF_DRAIN_H

#include <linux/mutex.h>

#include "tracker.h"

struct bf_walk_window;

/*
 * A generation, owned by an open file. The file's references are the
 * generation's: a netlink command holds one while it works on it.
 *
 * The generation ends when map becomes NULL, by final commit, abort or the
 * file's release, whichever takes the map first. While tracker->drain points
 * here the tracker stays; whoever took the map clears that pointer last, and
 * then the tracker is not to be touched from here any more.
 */
struct bf_drain {
	/* Constant. */
	struct bf_tracker *tracker;
	u64 generation;
	u64 nr_blocks;			/* dirty at BEGIN */
	u64 carried_blocks;		/* of them, came by carrying */
	u64 writes;			/* changing operations seen in it */
	u64 raised[BLKFERRY_REASON_MAX + 1]; /* after the swap */

	struct mutex lock;		/* within bf_control_mutex, if both */
	struct bf_dirtymap *map;	/* NULL: the generation has ended */
	u64 low_block;			/* watermark */
	u64 left_blocks;		/* dirty from the watermark up */
};

/* One tracker of a BEGIN. */
struct bf_begin {
	struct bf_tracker *tracker;
	struct bf_drain *drain;
	struct file *file;
	int fd;
};

struct bf_commit {
	u64 through_sector;
	bool final;
	u64 nr_blocks;			/* for final: what BEGIN said */
	const u64 *resynced;		/* for final: counters, or NULL */
};

int bf_drain_begin(struct bf_begin *begins, unsigned int nr,
		   struct netlink_ext_ack *extack);
void bf_drain_install(struct bf_begin *begins, unsigned int nr);
void bf_drain_cancel(struct bf_begin *begins, unsigned int nr);

struct file *bf_drain_file(u32 fd, struct netlink_ext_ack *extack);
int bf_drain_lock(struct bf_drain *drain, u64 generation,
		  struct netlink_ext_ack *extack);
void bf_drain_unlock(struct bf_drain *drain);
int bf_drain_walk(struct bf_drain *drain, u64 from_sector,
		  struct bf_walk_window *window, struct netlink_ext_ack *extack);
int bf_drain_commit(struct bf_drain *drain, u64 generation,
		    const struct bf_commit *commit,
		    struct netlink_ext_ack *extack);
int bf_drain_abort(struct bf_drain *drain, u64 generation,
		   struct netlink_ext_ack *extack);
struct bf_committed bf_drain_committed(const struct bf_tracker *tracker);

static inline u64 bf_drain_blocks(const struct bf_drain *drain)
{
	return drain ? drain->nr_blocks : 0;
}

#endif /* BF_DRAIN_H */
