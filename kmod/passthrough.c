// SPDX-License-Identifier: GPL-2.0-only
/*
 * Passthrough: see passthrough.h. RULE 3: what is not decoded is opaque.
 */
#include "compat/compat.h"
#include "fault.h"
#include "passthrough.h"
#include "tracker.h"

static struct bf_change scsi_change(struct request *rq)
{
	unsigned int shift = ilog2(queue_logical_block_size(rq->q)) - SECTOR_SHIFT;
	struct bf_change change = { .effect = BF_EFFECT_OPAQUE };
	struct bf_command command;
	unsigned int cdb_bytes;
	const u8 *cdb;

	cdb = bf_scsi_cdb(rq, &cdb_bytes);
	if (!cdb)
		return change;
	command = bf_scsi_classify(cdb, cdb_bytes);
	change.effect = command.effect;
	if (command.effect != BF_EFFECT_RANGED)
		return change;
	/* Beyond any disk: the device refuses it, but let it overflow. */
	change.range.sector = command.lba > U64_MAX >> shift ?
			      U64_MAX >> 1 : command.lba << shift;
	change.range.to_end = command.nr_blocks == BF_TO_END;
	change.range.nr_sectors = change.range.to_end ?
				  BF_TO_END : command.nr_blocks << shift;
	return change;
}

/* virtio-blk sends DRV_IN by itself only, to read the disk's serial number. */
static struct bf_change virtio_change(struct request *rq)
{
	return (struct bf_change){
		.effect = req_op(rq) == REQ_OP_DRV_IN ?
			  BF_EFFECT_HARMLESS : BF_EFFECT_OPAQUE,
	};
}

/**
 * bf_passthrough_change() - say what a passthrough request can change
 * @disk: its disk
 * @rq: the request, completing; its bios and sector mean nothing
 *
 * Context: Any.
 * Return: the change.
 */
struct bf_change bf_passthrough_change(const struct bf_disk *disk,
				       struct request *rq)
{
	if (bf_fault(BF_FAULT_PASSTHROUGH))
		return (struct bf_change){ .effect = BF_EFFECT_OPAQUE };
	switch (disk->commands) {
	case BF_COMMANDS_SCSI:
		return scsi_change(rq);
	case BF_COMMANDS_VIRTIO:
		return virtio_change(rq);
	default:
		return (struct bf_change){ .effect = BF_EFFECT_OPAQUE };
	}
}
