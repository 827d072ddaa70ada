/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SCSI command classification: a command descriptor block flows in, what the
 * command can do to the blocks of its disk flows out. RULE 3: what is not
 * known to be harmless or exact is opaque.
 */
#ifndef BF_SCSI_CDB_H
#define BF_SCSI_CDB_H

#include <linux/types.h>

enum bf_effect {
	BF_EFFECT_HARMLESS,	/* cannot change blocks */
	BF_EFFECT_RANGED,	/* changes at most the blocks named */
	BF_EFFECT_OPAQUE,	/* may change blocks, which is not known */
};

#define BF_TO_END	(~(u64)0)

struct bf_command {
	enum bf_effect effect;
	u64 lba;		/* for RANGED, in logical blocks of the disk */
	u64 nr_blocks;		/* BF_TO_END: to the last one */
};

struct bf_command bf_scsi_classify(const u8 *cdb, unsigned int cdb_bytes);

#endif /* BF_SCSI_CDB_H */
