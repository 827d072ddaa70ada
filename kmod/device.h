/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices: an open file descriptor of the sender flows in, the queue and the
 * geometry behind it flow out. Never opens or holds a device (RULE 1).
 */
#ifndef BF_DEVICE_H
#define BF_DEVICE_H

#include <linux/blkdev.h>
#include <linux/file.h>

#include "disk.h"

/* Good as long as file is held: within one netlink command. */
struct bf_device {
	struct file *file;
	struct gendisk *disk;
	struct request_queue *queue;
	dev_t devt;			/* of the disk or partition */
	bool whole_disk;
	u64 start_sector;
	u64 nr_sectors;
	u64 diskseq;
	char name[BDEVNAME_SIZE];
};

int bf_device_get(struct bf_device *device, u32 fd,
		  struct netlink_ext_ack *extack);
void bf_device_put(struct bf_device *device);
bool bf_device_is_dying(const struct bf_device *device);
enum bf_command_set bf_device_commands(const struct bf_device *device);

#endif /* BF_DEVICE_H */
