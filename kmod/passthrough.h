/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Passthrough: a request that carries a command of the driver's own language
 * flows in, what it can change flows out, in sectors of the disk.
 */
#ifndef BF_PASSTHROUGH_H
#define BF_PASSTHROUGH_H

#include "mark.h"
#include "scsi_cdb.h"

struct request;

struct bf_change {
	enum bf_effect effect;
	struct bf_range range;	/* for RANGED */
};

struct bf_change bf_passthrough_change(const struct bf_disk *disk,
				       struct request *rq);

#endif /* BF_PASSTHROUGH_H */
