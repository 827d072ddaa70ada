/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replies: state of trackers, generations and windows flows in, messages of
 * the contract flow out.
 */
#ifndef BF_REPLY_H
#define BF_REPLY_H

#include <linux/types.h>

struct bf_begin;
struct bf_tracker;
struct bf_walk_window;
struct genl_info;
struct netlink_callback;
struct sk_buff;

/* What an answer to WALK or PEEK says beside its window. */
struct bf_walk_answer {
	const struct bf_walk_window *window;
	u64 generation;
	unsigned int block_shift;
	u64 nr_sectors;
	u64 nr_blocks;
	u64 total_blocks;
};

struct bf_event {
	u32 event;		/* enum blkferry_event */
	u32 reason;		/* for RESYNC_NEEDED, else BLKFERRY_REASON_NONE */
	u32 tracker_id;
	const char *name;
};

int bf_reply_tracker(struct genl_info *info, struct bf_tracker *tracker);
int bf_reply_dump(struct sk_buff *skb, struct netlink_callback *cb);
int bf_reply_begin(struct genl_info *info, const struct bf_begin *begins,
		   unsigned int nr);
int bf_reply_walk(struct genl_info *info, const struct bf_walk_answer *answer);
void bf_reply_event(const struct bf_event *event);

#endif /* BF_REPLY_H */
