/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot: what travels through the pipeline. One slot becomes one DATA frame: the
 * reader packs extents and their blocks into it, a worker turns these into a
 * frame, the link sends it, and then it is free again. There is a fixed number
 * of them in a session: they are the bytes in flight.
 *
 * Memory of a slot: the registered buffer @raw for the blocks as read, and
 * @room for them encoded, each with space for the frame's head in front, so
 * that a frame is one run of bytes whichever of the two it uses.
 */
#ifndef BF_SOURCE_SLOT_H
#define BF_SOURCE_SLOT_H

#include <stdint.h>

#include <wire.h>

#include "source/extents.h"
#include "source/link.h"

#define BF_SLOTS_DEFAULT 16

#define BF_SLOT_HEAD_MAX (sizeof(struct wire_header) + sizeof(struct wire_data) + \
			  WIRE_EXTENTS_MAX * sizeof(struct wire_extent))
/* The blocks start on a page, as O_DIRECT wants it. */
#define BF_SLOT_BLOCKS_AT 12288u
#define BF_SLOT_BYTES (BF_SLOT_BLOCKS_AT + WIRE_RAW_MAX)
_Static_assert(BF_SLOT_HEAD_MAX <= BF_SLOT_BLOCKS_AT, "a frame's head has room");

/*
 * Shorter runs of zeroes are left to the compressor. Each run cuts an extent
 * into three at most, so that the table holds what the reader packed.
 */
#define BF_ZERO_RUN_BYTES (32u << 10)
#define BF_SLOT_EXTENTS_MAX (WIRE_EXTENTS_MAX - 2 * WIRE_RAW_MAX / BF_ZERO_RUN_BYTES)

struct bf_session;

struct bf_slot {
	struct bf_session *session;
	uint32_t index;			/* of its registered buffer */
	uint8_t *raw, *room;		/* blocks; the heads lie in front */

	/* The reader's. */
	uint16_t disk;
	uint64_t generation;
	uint32_t nr_extents, raw_bytes;
	struct bf_extent extents[BF_SLOT_EXTENTS_MAX];
	uint32_t pending;		/* reads, and one while it is packed */

	struct bf_link *link;		/* that it leaves by */
	uint32_t interval;		/* between which barriers */

	/* The worker's. */
	struct wire_totals totals;
	struct bf_link_item item;

	struct bf_slot *next;		/* in the free list or the workers' queue */
};

#endif /* BF_SOURCE_SLOT_H */
