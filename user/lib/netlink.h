/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of the module's netlink contract (include/uapi/linux/blkferry.h, read
 * that first): attributes flow in and out, plain structs face the rest.
 *
 * A struct bf_netlink is one socket; it serves one thread at a time. Sectors
 * are 512 bytes and relative to the tracked device. Functions return 0 or a
 * negative errno and fill in @err with the module's own words where it sent
 * some.
 */
#ifndef BF_LIB_NETLINK_H
#define BF_LIB_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/blkferry.h>

#include "error.h"

struct bf_netlink;

struct bf_reason_counts {
	uint64_t raised;
	uint64_t cleared;		/* stands while raised > cleared */
};

struct bf_reasons {
	struct bf_reason_counts by_id[BLKFERRY_REASON_MAX + 1];
};

struct bf_tracker {
	uint32_t id;
	char name[BLKFERRY_NAME_MAX + 1];
	uint8_t uuid[BLKFERRY_UUID_BYTES];
	char disk[64];
	uint32_t dev_major, dev_minor;
	uint64_t start_sector;
	uint64_t nr_sectors;
	uint32_t granularity_bytes;
	uint64_t generation;
	uint64_t committed_generation;	/* what the last commit forgot */
	uint64_t committed_sector;
	bool drain_owned;
	uint64_t watermark_bytes;
	uint64_t stats[BLKFERRY_STAT_MAX + 1];	/* by enum blkferry_stat */
	struct bf_reasons reasons;
};

/* A generation that this process owns through fd. */
struct bf_drain {
	int fd;
	uint32_t tracker_id;
	uint64_t generation;
	uint64_t nr_blocks;
	uint64_t carried_blocks;	/* of them, for writes in flight at the last begin */
	uint64_t writes;		/* changing operations seen in it */
	struct bf_reasons reasons;	/* as they stood after the swap */
};

/* One answer of a walk. */
struct bf_walk_window {
	struct blkferry_extent extents[BLKFERRY_LEAF_BLOCKS / 2];
	size_t nr_extents;		/* a bitmap answer arrives as extents */
	uint64_t next_sector;
	bool end;			/* the trailer was there */
	uint64_t total_blocks;		/* valid at the end */
};

int bf_netlink_open(struct bf_netlink **nl, struct bf_error *err);
void bf_netlink_close(struct bf_netlink *nl);

/* @granularity_bytes 0: the module chooses. */
int bf_tracker_create(struct bf_netlink *nl, int dev_fd, const char *name,
		      uint32_t granularity_bytes, bool all_dirty,
		      struct bf_tracker *out, struct bf_error *err);
int bf_tracker_delete(struct bf_netlink *nl, uint32_t id, struct bf_error *err);
/* Would the module track it? It does, as @name, for a moment. -EOPNOTSUPP with
 * @err: no, and what to track instead. */
int bf_tracker_try(struct bf_netlink *nl, int dev_fd, const char *name,
		   struct bf_error *err);
int bf_tracker_get(struct bf_netlink *nl, uint32_t id, struct bf_tracker *out,
		   struct bf_error *err);
/* *trackers is malloc'ed, for the caller to free; NULL if there are none. */
int bf_tracker_list(struct bf_netlink *nl, struct bf_tracker **trackers,
		    size_t *nr, struct bf_error *err);
/* -ENOENT with BF_E_NOT_FOUND if no tracker has that name. */
int bf_tracker_find(struct bf_netlink *nl, const char *name,
		    struct bf_tracker *out, struct bf_error *err);
int bf_tracker_set_watermark(struct bf_netlink *nl, uint32_t id,
			     uint64_t watermark_bytes, struct bf_error *err);
/* Any number of extents: sent in messages of BLKFERRY_MARK_EXTENTS_MAX. */
int bf_tracker_mark(struct bf_netlink *nl, uint32_t id,
		    const struct blkferry_extent *extents, size_t nr,
		    struct bf_error *err);
int bf_tracker_peek(struct bf_netlink *nl, uint32_t id, uint64_t from_sector,
		    struct bf_walk_window *window, struct bf_error *err);

/* True if any reason stands; its lowest id goes to *id if id is not NULL. */
bool bf_reasons_stand(const struct bf_reasons *reasons, uint32_t *id);
/* Stable name ("passthrough") and one sentence of cause and cure. */
const char *bf_reason_name(uint32_t id);
const char *bf_reason_text(uint32_t id);
/* Stable name of a statistic ("writes"), NULL for padding. */
const char *bf_stat_name(uint32_t id);

/*
 * Begin on @nr trackers, all or none. drains[i].tracker_id and dev_fds[i] go
 * in, the rest of drains[i] comes out.
 */
int bf_drain_begin(struct bf_netlink *nl, struct bf_drain *drains,
		   const int *dev_fds, size_t nr, struct bf_error *err);
int bf_drain_walk(struct bf_netlink *nl, const struct bf_drain *drain,
		  uint64_t from_sector, struct bf_walk_window *window,
		  struct bf_error *err);
int bf_drain_commit(struct bf_netlink *nl, const struct bf_drain *drain,
		    uint64_t through_sector, struct bf_error *err);
/*
 * The final commit; @resynced NULL or the counters seen when a resync began.
 * Neither this nor the abort closes the fd, which is of no more use then.
 */
int bf_drain_finish(struct bf_netlink *nl, struct bf_drain *drain,
		    uint64_t nr_sectors, uint64_t nr_blocks,
		    const struct bf_reasons *resynced, struct bf_error *err);
int bf_drain_abort(struct bf_netlink *nl, struct bf_drain *drain,
		   struct bf_error *err);
/* Close the fd, if open: what is uncommitted merges back. */
void bf_drain_close(struct bf_drain *drain);

struct bf_tracker_event {
	uint32_t event;			/* enum blkferry_event */
	uint32_t tracker_id;
	char name[BLKFERRY_NAME_MAX + 1];
	uint32_t reason_id;		/* for RESYNC_NEEDED */
};

struct bf_events;

int bf_events_open(struct bf_events **events, struct bf_error *err);
void bf_events_close(struct bf_events *events);
int bf_events_fd(const struct bf_events *events);	/* poll for POLLIN */
/*
 * Return: 1 with an event, 0 if there is none now, -ENOBUFS if some were lost
 * (look at the trackers instead), another negative errno.
 */
int bf_events_next(struct bf_events *events, struct bf_tracker_event *event);

#endif /* BF_LIB_NETLINK_H */
