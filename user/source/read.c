// SPDX-License-Identifier: Apache-2.0
/*
 * Read: dirty extents flow in from the walker, slots full of blocks flow out to
 * the workers. Neighbours are read together, 256 KiB to 1 MiB at a time; many
 * small extents share a slot, each with a read of its own. A block that cannot
 * be read ends the pass, or is told and listed (unreadable.c).
 */
#include <errno.h>
#include <string.h>

#include "lib/fault.h"
#include "source/session.h"
#include "source/unreadable.h"

#define READ_MIN_BYTES (256u << 10)
#define REAP_MAX 64

static uint64_t tag_of(const struct bf_slot *slot, uint32_t extent)
{
	return (uint64_t)slot->index << 32 | extent;
}

/* What of the extent goes into this slot; 0: it waits for the next one. */
static uint32_t piece_bytes(const struct bf_slot *slot,
			    const struct bf_extent *extent)
{
	uint32_t room = WIRE_RAW_MAX - slot->raw_bytes;

	if (slot->nr_extents == BF_SLOT_EXTENTS_MAX)
		return 0;
	if (extent->length_bytes <= room)
		return extent->length_bytes;
	/* Cutting is for long extents only, and on a page's boundary. */
	return room < READ_MIN_BYTES ? 0 : room & ~4095u;
}

static int queue_read(struct bf_session *s, struct bf_slot *slot,
		      struct bf_error *err)
{
	uint32_t last = slot->nr_extents - 1;
	const struct bf_extent *e = &slot->extents[last];
	const struct bf_ring_op op = {
		.fd = s->disks[slot->disk].fd,
		.buffer = slot->index,
		.buffer_offset = BF_SLOT_BLOCKS_AT + slot->raw_bytes,
		.bytes = e->length_bytes,
		.offset_bytes = e->offset_bytes,
		.tag = tag_of(slot, last),
		.background = !s->hurry,
	};
	int ret;

	while ((ret = bf_ring_queue(s->ring, &op)) == -EAGAIN) {
		ret = bf_read_reap(s, 1, err);
		if (ret)
			return ret;
	}
	if (ret)
		return bf_fail(err, BF_E_SYSTEM, -ret, "disk %s: a read of %u bytes is refused",
			       s->disks[slot->disk].name, op.bytes);
	slot->pending++;
	slot->raw_bytes += op.bytes;
	return 0;
}

int bf_read_fill(struct bf_session *session, struct bf_slot *slot,
		 struct bf_error *err)
{
	struct bf_extent extent;
	int ret;

	slot->nr_extents = 0;
	slot->raw_bytes = 0;
	slot->pending = 1;	/* given up by bf_read_release */
	while ((ret = bf_plan_peek(session, WIRE_RAW_MAX, &extent, err)) > 0) {
		uint32_t bytes = piece_bytes(slot, &extent);

		if (!bytes)
			break;
		extent.length_bytes = bytes;
		slot->extents[slot->nr_extents++] = extent;
		ret = queue_read(session, slot, err);
		if (ret)
			return ret;
		bf_plan_take(session, bytes);
	}
	if (ret < 0 && (ret != -EINPROGRESS || !slot->nr_extents))
		return ret;
	return slot->nr_extents > 0;
}

static void read_done(struct bf_session *s, struct bf_slot *slot)
{
	if (--slot->pending == 0)
		bf_workers_give(s->workers, slot);
}

void bf_read_release(struct bf_session *session, struct bf_slot *slot)
{
	read_done(session, slot);
}

static int read_failed(struct bf_session *s, const struct bf_slot *slot,
		       uint32_t extent, int error, struct bf_error *err)
{
	const struct bf_session_disk *disk = &s->disks[slot->disk];
	const struct bf_extent *e = &slot->extents[extent];

	return bf_fail(err, BF_E_SOURCE_IO, error,
		       "disk %s: reading %llu sectors from sector %llu failed: %s; check the disk with its kernel log",
		       disk->name,
		       (unsigned long long)e->length_bytes / WIRE_BLOCK_BYTES,
		       (unsigned long long)e->offset_bytes / WIRE_BLOCK_BYTES,
		       error == -BF_RING_END ? "the device ends before them" :
					  strerror(error));
}

/* What could be read now is not lost any more. */
static void readable(struct bf_session *s, const struct bf_slot *slot,
		     uint32_t extent)
{
	struct bf_ranges *unreadable = s->disks[slot->disk].unreadable;

	if (unreadable && unreadable->nr)
		bf_ranges_subtract(unreadable, &slot->extents[extent], 1);
}

/* Return: 0 when the extent's blocks lie in the slot after all. */
static int read_again(struct bf_session *s, struct bf_slot *slot,
		      uint32_t extent, int error, struct bf_error *err)
{
	uint8_t *data = slot->raw;

	if (!bf_unreadable_error(error))
		return read_failed(s, slot, extent, error, err);
	for (uint32_t i = 0; i < extent; i++)
		data += slot->extents[i].length_bytes;
	return bf_read_again(s, slot->disk, &slot->extents[extent], data, error,
			     err);
}

static int read_ended(struct bf_session *s, const struct bf_ring_done *done,
		      struct bf_error *err)
{
	struct bf_slot *slot = &s->slots[done->tag >> 32];
	uint32_t extent = (uint32_t)done->tag;
	int ret = 0;

	if (done->result)
		ret = read_again(s, slot, extent, -done->result, err);
	else
		readable(s, slot, extent);
	if (!ret)
		ret = bf_fault(BF_FAULT_SOURCE_READ, err);
	if (!ret)
		read_done(s, slot);
	return ret;
}

int bf_read_reap(struct bf_session *session, uint32_t wait, struct bf_error *err)
{
	struct bf_ring_done done[REAP_MAX];
	uint32_t nr, i;
	int ret;

	do {
		ret = bf_ring_reap(session->ring, wait, done, REAP_MAX, &nr, err);
		if (ret)
			return ret;
		for (i = 0; i < nr; i++) {
			ret = read_ended(session, &done[i], err);
			if (ret)
				return ret;
		}
		wait = 0;
	} while (nr == REAP_MAX);
	return 0;
}
