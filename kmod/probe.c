// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probe: every completed request of every blk-mq disk flows in through the
 * tracepoint block_rq_complete; marks, counts and reasons of the disk's
 * trackers flow out. RULE 1: looks, never touches.
 *
 * Why at completion: the mark comes before bio_endio(), so a writer that has
 * seen its write complete finds it marked; and a block whose mark went into
 * the map that was just swapped out can already be read.
 *
 * Context of all of this: hard interrupt or any other, perhaps preemptible
 * (the kernel calls probes under SRCU from 7.2 on), hence the RCU section of
 * its own. No locks but the reserve's, no allocation.
 */
#include <linux/netlink.h>
#include <linux/tracepoint.h>
#include <trace/events/block.h>

#include "alias.h"
#include "compat/compat.h"
#include "fault.h"
#include "mark.h"
#include "mistakes.h"
#include "passthrough.h"
#include "probe.h"
#include "tracker.h"

static struct bf_range request_range(const struct request *rq,
				     unsigned int nr_bytes)
{
	return (struct bf_range){
		.sector = blk_rq_pos(rq),
		.nr_sectors = nr_bytes >> SECTOR_SHIFT,
	};
}

static u64 mark_bios(struct bf_tracker *tracker, struct bf_dirtymap *map,
		     struct request *rq, unsigned int nr_bytes)
{
	struct bio *bio;
	u64 marked = 0;

	__rq_for_each_bio(bio, rq) {
		unsigned int bytes = min(bio->bi_iter.bi_size, nr_bytes);
		struct bf_range range = {
			.sector = bio->bi_iter.bi_sector,
			.nr_sectors = bytes >> SECTOR_SHIFT,
		};

		if (range.nr_sectors)
			marked += bf_mark_tracker(tracker, map, &range);
		nr_bytes -= bytes;
		if (bf_makes(ONE_RANGE))
			break;
	}
	return marked;
}

/*
 * Only a discard can have several ranges: NVMe and virtio merge bios that do
 * not touch. The request's own sector is the first one's.
 */
static void discarded(struct bf_disk *disk, struct request *rq,
		      unsigned int nr_bytes, bool failed)
{
	struct bf_range range = request_range(rq, nr_bytes);
	struct bf_tracker *tracker;

	list_for_each_entry_rcu(tracker, &disk->trackers, disk_node) {
		struct bf_dirtymap *map = rcu_dereference_sched(tracker->active);
		u64 nr;

		if (rq->bio)
			nr = mark_bios(tracker, map, rq, nr_bytes);
		else
			nr = bf_mark_tracker(tracker, map, &range);
		if (nr)
			bf_count_change(map, BF_COUNT_DISCARDS, nr, failed);
	}
}

static void zone_changed(struct bf_disk *disk, struct request *rq, bool failed)
{
	struct bf_range range = bf_zone_range(rq->q,
			req_op(rq) == REQ_OP_ZONE_RESET_ALL, blk_rq_pos(rq));

	bf_mark_disk(disk, &range, BF_COUNT_ZONE_OPS, failed);
}

static void passed_through(struct bf_disk *disk, struct request *rq,
			   bool failed)
{
	struct bf_change change = bf_passthrough_change(disk, rq);

	switch (change.effect) {
	case BF_EFFECT_HARMLESS:
		bf_count_disk(disk, BF_COUNT_HARMLESS);
		break;
	case BF_EFFECT_RANGED:
		bf_mark_disk(disk, &change.range, BF_COUNT_RANGED, failed);
		break;
	default:
		bf_count_disk(disk, BF_COUNT_OPAQUE);
		bf_raise_disk(disk, BLKFERRY_REASON_PASSTHROUGH);
	}
}

/* A request whose own sector and size tell what it changed. */
static void request_changed(struct bf_disk *disk, struct request *rq,
			    unsigned int nr_bytes, enum bf_count kind,
			    bool failed)
{
	struct bf_range range = request_range(rq, nr_bytes);

	if (range.nr_sectors)
		bf_mark_disk(disk, &range, kind, failed);
}

/* Operations that not every kernel has, or that none had when this was made. */
static void other_completed(struct bf_disk *disk, struct request *rq,
			    unsigned int nr_bytes, bool failed)
{
	if (blk_rq_is_passthrough(rq))
		passed_through(disk, rq, failed);
	else if (bf_op_is_write_same(req_op(rq)))
		request_changed(disk, rq, nr_bytes, BF_COUNT_PLAIN, failed);
	else
		bf_raise_disk(disk, BLKFERRY_REASON_UNKNOWN_OP);
}

/*
 * A failed request may have landed in part and is marked like any other. One
 * that traces with 0 bytes does not end here: it is retried, or traces again
 * with what is left of it.
 */
static void disk_completed(struct bf_disk *disk, struct request *rq,
			   unsigned int nr_bytes, bool failed)
{
	if (bf_fault(BF_FAULT_REQUEST_UNKNOWN)) {
		bf_raise_disk(disk, BLKFERRY_REASON_UNKNOWN_OP);
		return;
	}
	switch (req_op(rq)) {
	case REQ_OP_FLUSH:
	case REQ_OP_ZONE_OPEN:
	case REQ_OP_ZONE_CLOSE:
		break;
	case REQ_OP_WRITE:
		request_changed(disk, rq, nr_bytes, BF_COUNT_PLAIN, failed);
		break;
	case REQ_OP_WRITE_ZEROES:
		request_changed(disk, rq, nr_bytes, BF_COUNT_ZEROES, failed);
		break;
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		discarded(disk, rq, nr_bytes, failed);
		break;
	case REQ_OP_ZONE_APPEND:	/* the driver says where, if it worked */
		if (failed)
			zone_changed(disk, rq, failed);
		else
			request_changed(disk, rq, nr_bytes, BF_COUNT_ZONE_OPS,
					failed);
		break;
	case REQ_OP_ZONE_RESET:
	case REQ_OP_ZONE_RESET_ALL:
	case REQ_OP_ZONE_FINISH:
		zone_changed(disk, rq, failed);
		break;
	default:
		other_completed(disk, rq, nr_bytes, failed);
	}
}

/* The path of an NVMe multipath head stands for its head. */
static struct bf_disk *head_of(const struct request_queue *queue)
{
	return READ_ONCE(bf_nr_aliases) ? bf_alias_find(queue) : NULL;
}

/* Everything but a plain write that went well. */
static noinline void unusual_completed(struct request *rq,
				       unsigned int nr_bytes, bool failed)
{
	struct bf_disk *disk;

	rcu_read_lock_sched_notrace();
	disk = bf_disk_find(rq->q) ?: head_of(rq->q);
	if (disk)
		disk_completed(disk, rq, nr_bytes, failed);
	rcu_read_unlock_sched_notrace();
}

static noinline void written_by_path(const struct request_queue *queue,
				     u64 sector, u64 nr_sectors)
{
	struct bf_range range = { .sector = sector, .nr_sectors = nr_sectors };
	struct bf_disk *disk = head_of(queue);

	if (disk && nr_sectors)
		bf_mark_disk(disk, &range, BF_COUNT_PLAIN, false);
}

/*
 * Disabled preemption is the RCU read section: synchronize_rcu() waits for it
 * too, and it costs three instructions where rcu_read_lock() costs fifteen.
 */
static __always_inline void written(struct request_queue *queue,
				    u64 sector, u64 nr_sectors)
{
	struct bf_disk *disk;

	rcu_read_lock_sched_notrace();
	disk = bf_disk_find(queue);
	if (likely(disk))
		bf_written(disk, sector, nr_sectors);
	else if (READ_ONCE(bf_nr_aliases))
		written_by_path(queue, sector, nr_sectors);
	rcu_read_unlock_sched_notrace();
}

static void request_completed(void *data, struct request *rq,
			      bf_rq_error_t error, unsigned int nr_bytes)
{
	if (likely(req_op(rq) == REQ_OP_WRITE && !bf_rq_failed(error)))
		written(rq->q, blk_rq_pos(rq), nr_bytes >> SECTOR_SHIFT);
	else if (req_op(rq) != REQ_OP_READ)
		unusual_completed(rq, nr_bytes, bf_rq_failed(error));
}

struct wanted {
	const char *name;
	struct tracepoint *found;
};

static void match_tracepoint(struct tracepoint *tracepoint, void *data)
{
	struct wanted *wanted = data;

	if (!strcmp(tracepoint->name, wanted->name))
		wanted->found = tracepoint;
}

/**
 * bf_tracepoint_find() - find a tracepoint that is not exported
 * @name: its name
 *
 * Context: Process, may sleep.
 * Return: the tracepoint or NULL.
 */
struct tracepoint *bf_tracepoint_find(const char *name)
{
	struct wanted wanted = { .name = name };

	for_each_kernel_tracepoint(match_tracepoint, &wanted);
	return wanted.found;
}

static struct tracepoint *tracepoint;

/**
 * bf_probe_register() - see every completion from now on
 * @extack: gets cause and cure
 *
 * Context: Process, under bf_control_mutex.
 * Return: 0; -EOPNOTSUPP if the kernel was built without the tracepoint.
 */
int bf_probe_register(struct netlink_ext_ack *extack)
{
	int ret;

	check_trace_callback_type_block_rq_complete(request_completed);
	tracepoint = bf_tracepoint_find("block_rq_complete");
	if (!tracepoint) {
		NL_SET_ERR_MSG(extack, "this kernel has no tracepoint block_rq_complete: use one built with CONFIG_TRACEPOINTS");
		return -EOPNOTSUPP;
	}
	ret = bf_fault(BF_FAULT_WATCH_REQUESTS) ?:
	      tracepoint_probe_register(tracepoint, request_completed, NULL);
	if (ret)
		NL_SET_ERR_MSG(extack, "the probe could not be registered on block_rq_complete: see the kernel log");
	return ret;
}

/**
 * bf_probe_unregister() - stop looking; afterwards no CPU is in the probe
 *
 * Context: Process, may sleep, under bf_control_mutex.
 */
void bf_probe_unregister(void)
{
	tracepoint_probe_unregister(tracepoint, request_completed, NULL);
	tracepoint_synchronize_unregister();
}
