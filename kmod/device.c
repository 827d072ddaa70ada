// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices: see device.h.
 */
#include <linux/fs.h>
#include <linux/netlink.h>

#include "compat/compat.h"
#include "device.h"
#include "fault.h"

/**
 * bf_device_get() - look at the device behind a file descriptor
 * @device: filled in; for bf_device_put() if the call succeeds
 * @fd: open file descriptor of the current process
 * @extack: gets cause and cure
 *
 * Context: Process, of the sender.
 * Return: 0, -EBADF if nothing is open there, -ENODEV if it is no block device.
 */
int bf_device_get(struct bf_device *device, u32 fd,
		  struct netlink_ext_ack *extack)
{
	struct block_device *bdev;
	struct file *file;

	file = bf_fault(BF_FAULT_DEVICE) ? NULL : fget(fd);
	if (!file) {
		NL_SET_ERR_MSG(extack, "DEV_FD is not an open file descriptor: open the disk and keep it open during the command");
		return -EBADF;
	}
	if (!S_ISBLK(file_inode(file)->i_mode)) {
		fput(file);
		NL_SET_ERR_MSG(extack, "DEV_FD is not a block device: open the disk's or partition's node in /dev");
		return -ENODEV;
	}

	bdev = I_BDEV(file->f_mapping->host);
	*device = (struct bf_device){
		.file = file,
		.disk = bdev->bd_disk,
		.queue = bdev_get_queue(bdev),
		.devt = bdev->bd_dev,
		.whole_disk = !bdev_is_partition(bdev),
		.start_sector = get_start_sect(bdev),
		.nr_sectors = bf_bdev_nr_sectors(bdev),
		.diskseq = bf_disk_seq(bdev->bd_disk),
	};
	snprintf(device->name, sizeof(device->name), "%pg", bdev);
	return 0;
}

/**
 * bf_device_put() - let go of a device
 * @device: from bf_device_get()
 *
 * Context: Process.
 */
void bf_device_put(struct bf_device *device)
{
	fput(device->file);
}

/**
 * bf_device_is_dying() - whether the disk is being removed
 * @device: from bf_device_get()
 *
 * Context: Any.
 * Return: true from before the class interface is told.
 */
bool bf_device_is_dying(const struct bf_device *device)
{
	return bf_disk_is_dying(device->disk);
}

/**
 * bf_device_commands() - which passthrough commands the driver lets through
 * @device: from bf_device_get()
 *
 * Context: Process.
 * Return: told by the bus of the disk's parent device.
 */
enum bf_command_set bf_device_commands(const struct bf_device *device)
{
	const struct device *parent = disk_to_dev(device->disk)->parent;

	if (!parent || !parent->bus)
		return BF_COMMANDS_UNKNOWN;
	if (!strcmp(parent->bus->name, "scsi"))
		return BF_COMMANDS_SCSI;
	if (!strcmp(parent->bus->name, "virtio"))
		return BF_COMMANDS_VIRTIO;
	return BF_COMMANDS_UNKNOWN;
}
