/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trackers: what is watched, by which rules, and who may touch which field.
 *
 * Lock order, outermost first:
 *	bf_control_mutex	trackers come and go, begin, end of a generation
 *	drain->lock		the generation behind one drain fd (drain.h)
 *	class and notifier locks of the kernel
 *	alias lock		paths of NVMe heads (alias.c)
 *	listener_lock		the socket of uevents (uevents.c)
 *	doubts_lock		raw, interrupts off (doubt.c)
 *	shard->lock		raw, interrupts off, in-flight table (inflight.c)
 *	reserve->lock		raw, interrupts off, taken by marks
 * Callbacks of the class interface run under the class's own mutex, which
 * registering takes inside bf_control_mutex: they must not take it. They, the
 * power management notifier and marks read under RCU instead.
 */
#ifndef BF_TRACKER_H
#define BF_TRACKER_H

#include <linux/blkdev.h>
#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>

#include "dirtymap.h"
#include "disk.h"
#include "walk.h"

struct bf_drain;
struct netlink_ext_ack;

/* What the last COMMIT forgot. */
struct bf_committed {
	u64 generation;
	u64 through_sector;
};

/*
 * Life: made and freed under bf_control_mutex. After the last unlink from
 * disk->trackers one grace period passes; then neither a mark nor a notifier
 * can hold it, and bf_events_stop() waits for its irq_work and its worker. An
 * owned generation (drain != NULL) keeps it from being freed.
 */
struct bf_tracker {
	/* What a mark reads. Constant, but for active. */
	struct list_head disk_node;
	struct bf_dirtymap __rcu *active; /* written under bf_control_mutex */
	u64 start_sector;
	u64 nr_sectors;
	unsigned int block_shift;	/* log2 of sectors in a block */
	bool whole_disk;

	struct bf_reserve reserve;
	struct bf_dirtymap maps[2];

	/* Any context. */
	atomic64_t raised[BLKFERRY_REASON_MAX + 1];
	unsigned long pending;		/* bits for the worker, see events.c */
	struct irq_work kick;
	struct work_struct work;

	/* Constant. */
	struct bf_disk *disk;
	u32 id;
	dev_t devt;
	u64 created_ns;			/* CLOCK_BOOTTIME */
	uuid_t uuid;
	char name[BLKFERRY_NAME_MAX + 1];
	char device_name[BDEVNAME_SIZE];

	/* Under bf_control_mutex. */
	struct bf_dirtymap *spare;	/* clean; NULL while drain is not */
	struct bf_drain *drain;		/* owner of the generation, or NULL */
	u64 generation;
	u64 watermark_bytes;
	u64 diskseq;
	u64 totals[BF_COUNT_NR];	/* of maps that went out of service */
	u64 new_blocks;			/* of the same */
	u64 carried_blocks;		/* came into the active map by carrying */
	u64 cleared[BLKFERRY_REASON_MAX + 1];

	/* Under drain->lock, while there is a drain. */
	struct bf_committed committed;
};

struct bf_tracker_spec {
	const char *name;
	u32 granularity_bytes;		/* 0: chosen by size */
	bool all_dirty;
};

extern struct mutex bf_control_mutex;

int bf_tracker_init(void);
void bf_tracker_exit(void);

struct bf_tracker *bf_tracker_create(const struct bf_device *device,
				     const struct bf_tracker_spec *spec,
				     struct netlink_ext_ack *extack);
void bf_tracker_destroy(struct bf_tracker *tracker);
struct bf_tracker *bf_tracker_find(u32 id);
struct bf_tracker *bf_tracker_next(u32 *id);

struct bf_dirtymap *bf_tracker_map(struct bf_tracker *tracker);
struct bf_walk bf_tracker_walk(const struct bf_tracker *tracker,
			       const struct bf_dirtymap *map);
void bf_tracker_refill(struct bf_tracker *tracker);
void bf_tracker_set_watermark(struct bf_tracker *tracker, u64 bytes);
void bf_tracker_raise(struct bf_tracker *tracker, u32 reason);
void bf_tracker_check(struct bf_tracker *tracker, const struct bf_device *device);

void bf_tracker_prepare_swap(struct bf_tracker *tracker);
struct bf_dirtymap *bf_tracker_swap(struct bf_tracker *tracker);
void bf_tracker_carry(struct bf_tracker *tracker);
void bf_tracker_fold(struct bf_tracker *tracker, const struct bf_dirtymap *map);
void bf_tracker_stats(struct bf_tracker *tracker,
		      u64 stats[BLKFERRY_STAT_MAX + 1]);

#endif /* BF_TRACKER_H */
