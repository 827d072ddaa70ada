/* SPDX-License-Identifier: GPL-2.0-only */
/* Range: sectors of a disk, as probes hand them to trackers. */
#ifndef BF_RANGE_H
#define BF_RANGE_H

#include <linux/types.h>

struct bf_range {
	u64 sector;
	u64 nr_sectors;
	bool to_end;	/* may go beyond the disk's end, no doubt then */
};

#endif /* BF_RANGE_H */
