/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mark: the range that an operation changed flows in from the probes; marks,
 * counts and reasons of all trackers of its disk flow out. Everything here runs
 * in any context, within the RCU section in which the disk was found.
 */
#ifndef BF_MARK_H
#define BF_MARK_H

#include "range.h"
#include "tracker.h"

/* A kind of change that is counted as a write and nothing else. */
#define BF_COUNT_PLAIN	BF_COUNT_WRITES

u64 bf_mark_tracker(struct bf_tracker *tracker, struct bf_dirtymap *map,
		    const struct bf_range *range);
u64 bf_mark_carried(struct bf_tracker *tracker, struct bf_dirtymap *map,
		    const struct bf_range *range);
void bf_written_slow(struct bf_disk *disk, struct bf_tracker *tracker,
		     u64 sector, u64 nr_sectors);
void bf_mark_disk(struct bf_disk *disk, const struct bf_range *range,
		  enum bf_count kind, bool failed);
void bf_mark_again(struct bf_disk *disk, const struct bf_range *range);
struct bf_range bf_zone_range(const struct request_queue *queue, bool all,
			      u64 sector);
void bf_count_change(struct bf_dirtymap *map, enum bf_count kind,
		     u64 nr_sectors, bool failed);
void bf_count_disk(struct bf_disk *disk, enum bf_count count);
void bf_raise_disk(struct bf_disk *disk, enum blkferry_reason reason);

static __always_inline void bf_count_write(struct bf_dirtymap *map,
					   u64 nr_sectors)
{
	struct bf_counts __percpu *counts = map->counts;

	this_cpu_add(counts->value[BF_COUNT_WRITES], 1);
	this_cpu_add(counts->value[BF_COUNT_SECTORS], nr_sectors);
}

/* Return: false if the tracker needs more than a look; nothing is done then. */
static __always_inline bool bf_written_fast(struct bf_tracker *tracker,
					    u64 sector, u64 nr_sectors)
{
	struct bf_dirtymap *map = rcu_dereference_sched(tracker->active);
	u64 first = sector - tracker->start_sector;
	u64 last = first + nr_sectors - 1;

	/* Wraps where the range is empty or begins before the tracked one. */
	if (unlikely(last >= tracker->nr_sectors || last < first))
		return false;
	if (!bf_map_is_marked(map, first >> tracker->block_shift,
			      last >> tracker->block_shift))
		return false;
	bf_count_write(map, nr_sectors);
	return true;
}

/**
 * bf_written() - a plain write changed a range
 * @disk: the disk
 * @sector: where
 * @nr_sectors: how much
 *
 * Nearly all writes go to blocks that are dirty already. For those it calls
 * nothing, so that no register needs saving, and anything else leaves it.
 *
 * Context: Any, in an RCU read section.
 */
static __always_inline void bf_written(struct bf_disk *disk, u64 sector,
				       u64 nr_sectors)
{
	struct bf_tracker *tracker;

	list_for_each_entry_rcu(tracker, &disk->trackers, disk_node) {
		if (unlikely(!bf_written_fast(tracker, sector, nr_sectors))) {
			bf_written_slow(disk, tracker, sector, nr_sectors);
			break;
		}
	}
}

#endif /* BF_MARK_H */
