/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw sync: the devices of a job flow in; what programs wrote through their
 * nodes, past any filesystem, flows from the page cache to the disks. No freeze
 * does that, and no block that is still in the page cache has been marked.
 */
#ifndef BF_SOURCE_RAW_SYNC_H
#define BF_SOURCE_RAW_SYNC_H

#include "source/holders.h"

struct bf_raw_device {
	int fd;
	bool may_wait;		/* in a freeze, for a file of what is frozen */
};

struct bf_raw_devices {
	struct bf_raw_device *devices;
	size_t nr;
};

/*
 * Opens the nodes of the job's disks and of all that stands on them.
 * Return: 0, or BF_E_FREEZE; close it in either case.
 */
int bf_raw_open(struct bf_raw_devices *raw, const struct bf_holders *holders,
		struct bf_error *err);
void bf_raw_close(struct bf_raw_devices *raw);
/*
 * @frozen: leaves out loop devices and what stands on those, whose pages go into a
 * file. Return: 0, or BF_E_FREEZE if a device refuses.
 */
int bf_raw_sync(const struct bf_raw_devices *raw, bool frozen,
		struct bf_error *err);

#endif /* BF_SOURCE_RAW_SYNC_H */
