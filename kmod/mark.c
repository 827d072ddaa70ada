// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mark: see mark.h.
 */
#include "fault.h"
#include "mark.h"
#include "mistakes.h"

static u64 end_of(const struct bf_range *range)
{
	return range->nr_sectors > U64_MAX - range->sector ? U64_MAX :
	       range->sector + range->nr_sectors;
}

/* What of a range a tracker covers, in sectors of the tracker; empty if none. */
static struct bf_range clip(const struct bf_tracker *tracker,
			    const struct bf_range *range)
{
	u64 first = max(range->sector, tracker->start_sector);
	u64 last = min(end_of(range), tracker->start_sector + tracker->nr_sectors);

	return (struct bf_range){
		.sector = first - tracker->start_sector,
		.nr_sectors = first < last ? last - first : 0,
	};
}

/* On a partition a write behind its end is another's. */
static bool goes_beyond(const struct bf_tracker *tracker,
			const struct bf_range *range)
{
	return tracker->whole_disk && !range->to_end &&
	       end_of(range) > tracker->start_sector + tracker->nr_sectors;
}

static u64 mark_clipped(const struct bf_tracker *tracker,
			struct bf_dirtymap *map, const struct bf_range *clipped)
{
	u64 last = clipped->sector + clipped->nr_sectors - 1;

	return bf_map_mark(map, clipped->sector >> tracker->block_shift,
			   last >> tracker->block_shift);
}

/**
 * bf_mark_tracker() - mark what of a range a tracker covers
 * @tracker: the tracker
 * @map: its active map
 * @range: the range
 *
 * Context: Any, in an RCU read section.
 * Return: how much of it the tracker covers, in sectors.
 */
u64 bf_mark_tracker(struct bf_tracker *tracker, struct bf_dirtymap *map,
		    const struct bf_range *range)
{
	struct bf_range clipped = clip(tracker, range);

	if (unlikely(goes_beyond(tracker, range) ||
		     bf_fault(BF_FAULT_MARK_BEYOND)))
		bf_tracker_raise(tracker, BLKFERRY_REASON_OVERFLOW);
	if (clipped.nr_sectors)
		mark_clipped(tracker, map, &clipped);
	if (bf_makes(MARK_FIRST))
		bf_map_mark(map, 0, 0);
	return clipped.nr_sectors;
}

/**
 * bf_mark_carried() - mark a range that was marked in an earlier map
 * @tracker: the tracker
 * @map: its active map
 * @range: the range
 *
 * Context: Process, under bf_control_mutex.
 * Return: how many blocks became dirty.
 */
u64 bf_mark_carried(struct bf_tracker *tracker, struct bf_dirtymap *map,
		    const struct bf_range *range)
{
	struct bf_range clipped = clip(tracker, range);

	return clipped.nr_sectors ? mark_clipped(tracker, map, &clipped) : 0;
}

/**
 * bf_count_change() - count an operation
 * @map: the active map of a tracker
 * @kind: what it was
 * @nr_sectors: how much of it the tracker covers
 * @failed: it completed with an error
 *
 * Context: Any, in an RCU read section.
 */
void bf_count_change(struct bf_dirtymap *map, enum bf_count kind,
		     u64 nr_sectors, bool failed)
{
	bf_count_write(map, nr_sectors);
	if (kind != BF_COUNT_PLAIN)
		bf_map_count(map, kind, 1);
	if (failed)
		bf_map_count(map, BF_COUNT_FAILED, 1);
}

/**
 * bf_written_slow() - bf_written() for what needs more than a look
 * @disk: the disk
 * @tracker: its first tracker that has not counted the write
 * @sector: where
 * @nr_sectors: how much
 *
 * Context: Any, in an RCU read section.
 */
void bf_written_slow(struct bf_disk *disk, struct bf_tracker *tracker,
		     u64 sector, u64 nr_sectors)
{
	struct bf_range range = { .sector = sector, .nr_sectors = nr_sectors };

	list_for_each_entry_from_rcu(tracker, &disk->trackers, disk_node) {
		struct bf_dirtymap *map = rcu_dereference_sched(tracker->active);
		u64 nr = bf_mark_tracker(tracker, map, &range);

		if (nr)
			bf_count_write(map, nr);
	}
}

/**
 * bf_mark_disk() - an operation changed a range
 * @disk: the disk
 * @range: the range
 * @kind: what the operation was
 * @failed: it completed with an error
 *
 * Context: Any, in an RCU read section.
 */
void bf_mark_disk(struct bf_disk *disk, const struct bf_range *range,
		  enum bf_count kind, bool failed)
{
	struct bf_tracker *tracker;

	list_for_each_entry_rcu(tracker, &disk->trackers, disk_node) {
		struct bf_dirtymap *map = rcu_dereference_sched(tracker->active);
		u64 nr = bf_mark_tracker(tracker, map, range);

		if (nr)
			bf_count_change(map, kind, nr, failed);
	}
}

/**
 * bf_mark_again() - mark a range of an operation that was counted before
 * @disk: the disk
 * @range: the range
 *
 * Context: Any, in an RCU read section.
 */
void bf_mark_again(struct bf_disk *disk, const struct bf_range *range)
{
	struct bf_tracker *tracker;

	list_for_each_entry_rcu(tracker, &disk->trackers, disk_node)
		bf_mark_tracker(tracker, rcu_dereference_sched(tracker->active),
				range);
}

/**
 * bf_zone_range() - the range that a zone operation changes
 * @queue: the disk's queue
 * @all: it is one on all zones
 * @sector: where; a zone operation has no size
 *
 * Context: Any.
 * Return: the zone, or everything. Zones are a power of two of sectors.
 */
struct bf_range bf_zone_range(const struct request_queue *queue, bool all,
			      u64 sector)
{
	u64 zone_sectors = queue->limits.chunk_sectors;

	if (all || !zone_sectors)
		return (struct bf_range){
			.nr_sectors = U64_MAX,
			.to_end = true,
		};
	return (struct bf_range){
		.sector = round_down(sector, zone_sectors),
		.nr_sectors = zone_sectors,
		.to_end = true,
	};
}

/**
 * bf_count_disk() - count for all trackers of a disk
 * @disk: the disk
 * @count: what
 *
 * Context: Any, in an RCU read section.
 */
void bf_count_disk(struct bf_disk *disk, enum bf_count count)
{
	struct bf_tracker *tracker;

	list_for_each_entry_rcu(tracker, &disk->trackers, disk_node)
		bf_map_count(rcu_dereference_sched(tracker->active), count, 1);
}

/**
 * bf_raise_disk() - raise a reason on all trackers of a disk
 * @disk: the disk
 * @reason: the reason
 *
 * Context: Any, in an RCU read section.
 */
void bf_raise_disk(struct bf_disk *disk, enum blkferry_reason reason)
{
	struct bf_tracker *tracker;

	list_for_each_entry_rcu(tracker, &disk->trackers, disk_node)
		bf_tracker_raise(tracker, reason);
}
