/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extents: where dirty extents come from. One ops table; the module's netlink,
 * a list in a file, and "everything once" are its first three tables. The
 * pipeline knows nothing else, so another tracker fits in here.
 *
 * Offsets and lengths are bytes from the start of the device, multiples of the
 * granularity (the device's end excepted).
 */
#ifndef BF_SOURCE_EXTENTS_H
#define BF_SOURCE_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/netlink.h"

struct bf_extent {
	uint64_t offset_bytes;
	uint64_t length_bytes;
};

/* What a begin has taken over. */
struct bf_generation {
	uint64_t number;
	uint64_t nr_blocks;		/* dirty, of granularity_bytes */
	uint64_t carried_blocks;	/* of them, for writes in flight at the last begin */
	uint64_t writes;		/* seen in it; UINT64_MAX: not known */
	struct bf_reasons reasons;	/* as they stood after the swap */
};

struct bf_extents;

struct bf_extents_ops {
	const char *name;		/* "netlink", "file", "whole" */
	/*
	 * Take the dirty extents of @nr disks of this kind over as one
	 * generation each, all or none.
	 */
	int (*begin)(struct bf_extents *const *extents, size_t nr,
		     struct bf_generation *generations, struct bf_error *err);
	/*
	 * Up to @max extents at or after @from_bytes, ascending and disjoint;
	 * *next_bytes is where to go on. *end only with the proof that nothing
	 * follows (the trailer), and *total_blocks is then what the origin
	 * counts above its watermark.
	 */
	int (*walk)(struct bf_extents *extents, uint64_t from_bytes,
		    struct bf_extent *out, size_t max, size_t *nr,
		    uint64_t *next_bytes, bool *end, uint64_t *total_blocks,
		    struct bf_error *err);
	/* All that ends at or before @through_bytes is durable at the target. */
	int (*commit)(struct bf_extents *extents, uint64_t through_bytes,
		      struct bf_error *err);
	/* The whole generation of @nr_blocks is; @resynced may be NULL. */
	int (*finish)(struct bf_extents *extents, uint64_t nr_blocks,
		      const struct bf_reasons *resynced, struct bf_error *err);
	/* What is not committed goes back to its origin. Safe without begin. */
	int (*abort)(struct bf_extents *extents, struct bf_error *err);
	/* Mark again: read errors, failed verify. */
	int (*mark)(struct bf_extents *extents, const struct bf_extent *what,
		    size_t nr, struct bf_error *err);
	void (*close)(struct bf_extents *extents);
};

/* Implementations embed this as their first member. */
struct bf_extents {
	const struct bf_extents_ops *ops;
	uint64_t device_bytes;
	uint32_t granularity_bytes;
};

/* The module: @nl and @dev_fd stay the caller's. Does not delete the tracker. */
int bf_extents_netlink(struct bf_extents **extents, struct bf_netlink *nl,
		       const struct bf_tracker *tracker, int dev_fd,
		       struct bf_error *err);
/*
 * A text file: one "OFFSET LENGTH" a line in bytes (or with K/M/G), "#"
 * comments; sorted and merged here, rounded out to @granularity_bytes.
 */
int bf_extents_file(struct bf_extents **extents, const char *path,
		    uint64_t device_bytes, uint32_t granularity_bytes,
		    struct bf_error *err);
/* The first generation is the whole device, later ones are empty. */
int bf_extents_whole(struct bf_extents **extents, uint64_t device_bytes,
		     uint32_t granularity_bytes, struct bf_error *err);

#endif /* BF_SOURCE_EXTENTS_H */
