// SPDX-License-Identifier: Apache-2.0
/*
 * Reasons and statistics by their stable names, which JSON shows, with one
 * sentence of cause and cure for each reason.
 */
#include "netlink.h"

struct reason_row {
	const char *name;
	const char *text;
};

static const struct reason_row reasons[BLKFERRY_REASON_MAX + 1] = {
	[BLKFERRY_REASON_PASSTHROUGH] = { "passthrough",
		"a program sent the disk a command of its own that may have changed blocks; a resync compares all of them" },
	[BLKFERRY_REASON_UNKNOWN_OP] = { "unknown-op",
		"the kernel has a block operation that this module does not know; a resync compares all blocks, a newer module will know it" },
	[BLKFERRY_REASON_OVERFLOW] = { "overflow",
		"a write went beyond the size that the disk had when tracking began; track it anew with its new size" },
	[BLKFERRY_REASON_RESIZED] = { "resized",
		"the disk or partition has another start or length than when tracking began; track it anew" },
	[BLKFERRY_REASON_GONE] = { "gone",
		"the disk was removed; attach it again and track it anew" },
	[BLKFERRY_REASON_HIBERNATION] = { "hibernation",
		"the machine hibernated, and what was written then was not seen; a resync compares all blocks" },
	[BLKFERRY_REASON_TABLE] = { "table",
		"the disk resumed, perhaps with another mapping table, which changes blocks without writing; a resync compares all of them" },
	[BLKFERRY_REASON_MEDIA] = { "media",
		"the medium was changed; a resync compares all blocks" },
	[BLKFERRY_REASON_CPU_OFFLINE] = { "cpu-offline",
		"a processor was taken offline, and the kernel shows nothing of what it did last; a resync compares all blocks" },
	[BLKFERRY_REASON_UNSEEN] = { "unseen",
		"a write was under way when tracking began, or more were under way at once than can be followed, and what it changed cannot be told; a resync compares all blocks" },
};

static const char *const stats[BLKFERRY_STAT_MAX + 1] = {
	[BLKFERRY_STAT_WRITES] = "writes",
	[BLKFERRY_STAT_WRITE_BYTES] = "write_bytes",
	[BLKFERRY_STAT_DISCARDS] = "discards",
	[BLKFERRY_STAT_ZEROES] = "zeroes",
	[BLKFERRY_STAT_ZONE_OPS] = "zone_ops",
	[BLKFERRY_STAT_FAILED] = "failed",
	[BLKFERRY_STAT_NEW_BLOCKS] = "new_blocks",
	[BLKFERRY_STAT_COARSE_MARKS] = "coarse_marks",
	[BLKFERRY_STAT_PASSTHROUGH_HARMLESS] = "passthrough_harmless",
	[BLKFERRY_STAT_PASSTHROUGH_RANGED] = "passthrough_ranged",
	[BLKFERRY_STAT_PASSTHROUGH_OPAQUE] = "passthrough_opaque",
	[BLKFERRY_STAT_DIRTY_BYTES] = "dirty_bytes",
	[BLKFERRY_STAT_DRAIN_BYTES] = "drain_bytes",
	[BLKFERRY_STAT_MEMORY_BYTES] = "memory_bytes",
	[BLKFERRY_STAT_RESERVE_LEAVES] = "reserve_leaves",
	[BLKFERRY_STAT_AGE_NS] = "age_ns",
	[BLKFERRY_STAT_INFLIGHT] = "inflight",
	[BLKFERRY_STAT_LATE] = "late",
};

bool bf_reasons_stand(const struct bf_reasons *counts, uint32_t *id)
{
	for (uint32_t i = 1; i <= BLKFERRY_REASON_MAX; i++)
		if (counts->by_id[i].raised > counts->by_id[i].cleared) {
			if (id)
				*id = i;
			return true;
		}
	return false;
}

const char *bf_reason_name(uint32_t id)
{
	if (id > BLKFERRY_REASON_MAX || !reasons[id].name)
		return "unknown";
	return reasons[id].name;
}

const char *bf_reason_text(uint32_t id)
{
	if (id > BLKFERRY_REASON_MAX || !reasons[id].text)
		return "the module gives a reason that this program does not know; install both from one release";
	return reasons[id].text;
}

const char *bf_stat_name(uint32_t id)
{
	return id <= BLKFERRY_STAT_MAX ? stats[id] : NULL;
}
