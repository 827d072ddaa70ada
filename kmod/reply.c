// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replies: see reply.h. Sizes are known beforehand, so that a message that
 * does not fit is a defect, not a case.
 */
#include <net/genetlink.h>

#include "drain.h"
#include "fault.h"
#include "netlink.h"
#include "reply.h"
#include "tracker.h"
#include "walk.h"

#define EVENTS_GROUP	0

/* Sizes of attributes, all multiples of 4; a u64 may need 4 bytes of padding. */
#define SIZE_NEST	NLA_HDRLEN
#define SIZE_U32	(NLA_HDRLEN + 4)
#define SIZE_U64	(NLA_HDRLEN + NLA_HDRLEN + 8)
#define SIZE_REASONS	(SIZE_NEST + BLKFERRY_REASON_MAX * \
			 (SIZE_NEST + SIZE_U32 + 2 * SIZE_U64))
#define SIZE_BEGIN	(SIZE_NEST + 2 * SIZE_U32 + 4 * SIZE_U64 + SIZE_REASONS)

static_assert(SIZE_NEST + BLKFERRY_BEGIN_MAX * SIZE_BEGIN <= U16_MAX,
	      "a nest of BEGIN's reply holds at most 64 KiB");

static int put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put_u64_64bit(skb, attr, value, BLKFERRY_A_PAD);
}

static int put_reason(struct sk_buff *skb, u32 id, u64 raised, u64 cleared)
{
	struct nlattr *nest = nla_nest_start(skb, BLKFERRY_A_REASON);

	if (!nest ||
	    nla_put_u32(skb, BLKFERRY_A_REASON_ID, id) ||
	    put_u64(skb, BLKFERRY_A_REASON_RAISED, raised) ||
	    put_u64(skb, BLKFERRY_A_REASON_CLEARED, cleared))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* @snapshot: the values at BEGIN, or NULL for those of now. */
static int put_reasons(struct sk_buff *skb, const struct bf_tracker *tracker,
		       const u64 *snapshot)
{
	struct nlattr *nest = nla_nest_start(skb, BLKFERRY_A_REASONS);
	u32 id;

	if (!nest)
		return -EMSGSIZE;
	for (id = BLKFERRY_REASON_NONE + 1; id <= BLKFERRY_REASON_MAX; id++) {
		u64 raised = snapshot ? snapshot[id] :
			     (u64)atomic64_read(&tracker->raised[id]);

		if (raised && put_reason(skb, id, raised, tracker->cleared[id]))
			return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

static int put_stats(struct sk_buff *skb, struct bf_tracker *tracker)
{
	struct nlattr *nest = nla_nest_start(skb, BLKFERRY_A_STATS);
	u64 stats[BLKFERRY_STAT_MAX + 1] = {};
	u32 id;

	if (!nest)
		return -EMSGSIZE;
	bf_tracker_stats(tracker, stats);
	for (id = BLKFERRY_STAT_PAD + 1; id <= BLKFERRY_STAT_MAX; id++)
		if (nla_put_u64_64bit(skb, id, stats[id], BLKFERRY_STAT_PAD))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static u64 device_number(const struct bf_tracker *tracker)
{
	return (u64)MAJOR(tracker->devt) << 32 | MINOR(tracker->devt);
}

static int put_tracker(struct sk_buff *skb, struct bf_tracker *tracker)
{
	u32 granularity_bytes = BLKFERRY_SECTOR_BYTES << tracker->block_shift;
	struct bf_committed committed = bf_drain_committed(tracker);
	struct nlattr *nest = nla_nest_start(skb, BLKFERRY_A_TRACKER);

	if (!nest ||
	    nla_put_u32(skb, BLKFERRY_A_TRACKER_ID, tracker->id) ||
	    nla_put_string(skb, BLKFERRY_A_NAME, tracker->name) ||
	    nla_put(skb, BLKFERRY_A_UUID, BLKFERRY_UUID_BYTES, &tracker->uuid) ||
	    nla_put_string(skb, BLKFERRY_A_DISK, tracker->device_name) ||
	    put_u64(skb, BLKFERRY_A_DEV, device_number(tracker)) ||
	    put_u64(skb, BLKFERRY_A_START_SECTOR, tracker->start_sector) ||
	    put_u64(skb, BLKFERRY_A_NR_SECTORS, tracker->nr_sectors) ||
	    nla_put_u32(skb, BLKFERRY_A_GRANULARITY, granularity_bytes) ||
	    put_u64(skb, BLKFERRY_A_GENERATION, tracker->generation) ||
	    put_u64(skb, BLKFERRY_A_COMMITTED_GENERATION,
		    committed.generation) ||
	    put_u64(skb, BLKFERRY_A_COMMITTED_SECTOR,
		    committed.through_sector) ||
	    nla_put_u8(skb, BLKFERRY_A_DRAIN_OWNED, !!tracker->drain) ||
	    put_u64(skb, BLKFERRY_A_WATERMARK_BYTES, tracker->watermark_bytes) ||
	    put_stats(skb, tracker) ||
	    put_reasons(skb, tracker, NULL)) {
		nla_nest_cancel(skb, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

static struct sk_buff *reply_new(struct genl_info *info, size_t bytes,
				 void **header)
{
	struct sk_buff *skb = genlmsg_new(bytes, GFP_KERNEL);

	if (!skb)
		return NULL;
	*header = genlmsg_put_reply(skb, info, &bf_genl_family, 0,
				    info->genlhdr->cmd);
	if (*header)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

/* Send, or say that it was too small, which would be a defect of ours. */
static int reply_send(struct genl_info *info, struct sk_buff *skb, void *header,
		      int ret)
{
	if (WARN_ON_ONCE(ret)) {
		nlmsg_free(skb);
		return ret;
	}
	genlmsg_end(skb, header);
	ret = genlmsg_reply(skb, info);
	if (ret)
		NL_SET_ERR_MSG(info->extack, "the reply does not fit into the socket's receive buffer: read what is in it, or enlarge it");
	return ret;
}

/**
 * bf_reply_tracker() - answer with a tracker
 * @info: the request
 * @tracker: the tracker
 *
 * Context: Process, under bf_control_mutex.
 * Return: 0 or a negative errno.
 */
int bf_reply_tracker(struct genl_info *info, struct bf_tracker *tracker)
{
	struct sk_buff *skb;
	void *header;

	skb = bf_fault(BF_FAULT_TRACKER_REPLY) ? NULL :
	      reply_new(info, GENLMSG_DEFAULT_SIZE, &header);
	if (!skb)
		return -ENOMEM;
	return reply_send(info, skb, header, put_tracker(skb, tracker));
}

static int put_dump_entry(struct sk_buff *skb, struct netlink_callback *cb,
			  struct bf_tracker *tracker)
{
	void *header;

	if (bf_fault(BF_FAULT_DUMP))
		return -EMSGSIZE;
	header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
			     cb->nlh->nlmsg_seq, &bf_genl_family, NLM_F_MULTI,
			     BLKFERRY_CMD_GET);
	if (!header)
		return -EMSGSIZE;
	if (put_tracker(skb, tracker)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

/**
 * bf_reply_dump() - answer with as many trackers as fit, one a message
 * @skb: the answer
 * @cb: args[0] keeps the id to go on from
 *
 * Context: Process, under bf_control_mutex.
 * Return: bytes in the answer; 0 ends the dump; -EMSGSIZE if there is no room
 * even for one, so that no dump ends early in silence.
 */
int bf_reply_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct bf_tracker *tracker;
	u32 id = cb->args[0];

	while ((tracker = bf_tracker_next(&id)) &&
	       !put_dump_entry(skb, cb, tracker))
		id++;
	cb->args[0] = id;
	return tracker && !skb->len ? -EMSGSIZE : skb->len;
}

static int put_begin(struct sk_buff *skb, const struct bf_begin *begin)
{
	const struct bf_drain *drain = begin->drain;
	struct nlattr *nest = nla_nest_start(skb, BLKFERRY_A_BEGIN_ENTRY);

	if (!nest ||
	    nla_put_u32(skb, BLKFERRY_A_TRACKER_ID, begin->tracker->id) ||
	    nla_put_u32(skb, BLKFERRY_A_DRAIN_FD, begin->fd) ||
	    put_u64(skb, BLKFERRY_A_GENERATION, drain->generation) ||
	    put_u64(skb, BLKFERRY_A_NR_BLOCKS, drain->nr_blocks) ||
	    put_u64(skb, BLKFERRY_A_CARRIED_BLOCKS, drain->carried_blocks) ||
	    put_u64(skb, BLKFERRY_A_WRITES, drain->writes) ||
	    put_reasons(skb, begin->tracker, drain->raised))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_begins(struct sk_buff *skb, const struct bf_begin *begins,
		      unsigned int nr)
{
	struct nlattr *nest = nla_nest_start(skb, BLKFERRY_A_BEGIN_LIST);
	unsigned int i;

	if (!nest)
		return -EMSGSIZE;
	for (i = 0; i < nr; i++)
		if (put_begin(skb, &begins[i]))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * bf_reply_begin() - answer with generations
 * @info: the request
 * @begins: the generations
 * @nr: how many
 *
 * Context: Process, under bf_control_mutex.
 * Return: 0 if the reply is queued, else a negative errno.
 */
int bf_reply_begin(struct genl_info *info, const struct bf_begin *begins,
		   unsigned int nr)
{
	struct sk_buff *skb;
	void *header;

	skb = bf_fault(BF_FAULT_BEGIN_REPLY) ? NULL :
	      reply_new(info, SIZE_NEST + nr * SIZE_BEGIN, &header);
	if (!skb)
		return -ENOMEM;
	return reply_send(info, skb, header, put_begins(skb, begins, nr));
}

static int put_bitmap(struct sk_buff *skb, const struct bf_walk_answer *answer)
{
	const struct bf_walk_window *window = answer->window;
	struct nlattr *attr;
	__le64 *words;
	size_t i;

	if (put_u64(skb, BLKFERRY_A_BITMAP_SECTOR,
		    window->bitmap_block << answer->block_shift) ||
	    nla_put_u32(skb, BLKFERRY_A_GRANULARITY,
			BLKFERRY_SECTOR_BYTES << answer->block_shift) ||
	    put_u64(skb, BLKFERRY_A_NR_SECTORS, answer->nr_sectors))
		return -EMSGSIZE;
	attr = nla_reserve_64bit(skb, BLKFERRY_A_BITMAP, BLKFERRY_LEAF_BYTES,
				 BLKFERRY_A_PAD);
	if (!attr)
		return -EMSGSIZE;
	words = nla_data(attr);
	for (i = 0; i < BF_LEAF_WORDS; i++)
		words[i] = cpu_to_le64(READ_ONCE(window->bitmap->words[i]));
	return 0;
}

static int put_window(struct sk_buff *skb, const struct bf_walk_answer *answer)
{
	const struct bf_walk_window *window = answer->window;

	if (window->bitmap)
		return put_bitmap(skb, answer);
	return nla_put_64bit(skb, BLKFERRY_A_EXTENTS,
			     window->nr_extents * sizeof(window->extents[0]),
			     window->extents, BLKFERRY_A_PAD);
}

static int put_walk(struct sk_buff *skb, const struct bf_walk_answer *answer)
{
	bool end = answer->window->next_block >= answer->nr_blocks;
	u64 next_sector = end ? answer->nr_sectors :
			  answer->window->next_block << answer->block_shift;

	if (put_u64(skb, BLKFERRY_A_GENERATION, answer->generation) ||
	    put_u64(skb, BLKFERRY_A_NEXT_SECTOR, next_sector) ||
	    put_window(skb, answer))
		return -EMSGSIZE;
	return end ? put_u64(skb, BLKFERRY_A_TOTAL_BLOCKS,
			     answer->total_blocks) : 0;
}

/**
 * bf_reply_walk() - answer with a window of a map
 * @info: the request
 * @answer: the window
 *
 * Context: Process; what the window refers to stays.
 * Return: 0 or a negative errno.
 */
int bf_reply_walk(struct genl_info *info, const struct bf_walk_answer *answer)
{
	struct sk_buff *skb;
	void *header;

	skb = bf_fault(BF_FAULT_WALK_REPLY) ? NULL :
	      reply_new(info, 5 * SIZE_U64 + SIZE_U32 + 2 * NLA_HDRLEN +
			sizeof(answer->window->extents), &header);
	if (!skb)
		return -ENOMEM;
	return reply_send(info, skb, header, put_walk(skb, answer));
}

static int put_event(struct sk_buff *skb, const struct bf_event *event)
{
	if (nla_put_u32(skb, BLKFERRY_A_EVENT, event->event) ||
	    nla_put_u32(skb, BLKFERRY_A_TRACKER_ID, event->tracker_id) ||
	    nla_put_string(skb, BLKFERRY_A_NAME, event->name))
		return -EMSGSIZE;
	if (event->reason == BLKFERRY_REASON_NONE)
		return 0;
	return nla_put_u32(skb, BLKFERRY_A_REASON_ID, event->reason);
}

/**
 * bf_reply_event() - tell everybody who listens
 * @event: what happened
 *
 * An event that cannot be delivered is lost, which its listeners are told; the
 * state that it told of is not.
 *
 * Context: Process, may sleep.
 */
void bf_reply_event(const struct bf_event *event)
{
	struct sk_buff *skb;
	void *header;

	skb = bf_fault(BF_FAULT_EVENT_MEMORY) ? NULL :
	      genlmsg_new(3 * SIZE_U32 + NLA_HDRLEN +
			  ALIGN(BLKFERRY_NAME_MAX + 1, 4), GFP_NOIO);
	if (!skb) {
		genl_set_err(&bf_genl_family, &init_net, 0, EVENTS_GROUP, -ENOBUFS);
		return;
	}
	header = genlmsg_put(skb, 0, 0, &bf_genl_family, 0, BLKFERRY_CMD_EVENT);
	if (!header || put_event(skb, event)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, header);
	genlmsg_multicast(&bf_genl_family, skb, 0, EVENTS_GROUP, GFP_NOIO);
}
