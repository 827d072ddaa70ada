// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kinds: see kind.h.
 *
 * A bio-based driver is on the list if it keeps the very bio that it was given
 * until the end, working on clones or in memory: then the end of that bio, which
 * is what the in-flight table waits for, is traced.
 */
#include <linux/kernfs.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/slab.h>

#include "alias.h"
#include "compat/compat.h"
#include "fault.h"
#include "kind.h"

#define WORDS_MEMBERS	"track its members instead, /sys/block/DISK/slaves lists them"

struct driver {
	const char *prefix;	/* of its disks' names */
	const char *module;
	enum bf_disk_kind kind;
	int (*check)(const struct bf_device *device,
		     struct netlink_ext_ack *extack);
};

/* Where the sysfs file DIR/FILE of a disk shows a text, get it. */
static bool disk_shows(const struct bf_device *device, const char *dir,
		       const char *file, char *page)
{
	struct kernfs_node *dir_node, *file_node = NULL;
	struct kobject *object;
	ssize_t bytes = 0;

	dir_node = kernfs_find_and_get(disk_to_dev(device->disk)->kobj.sd, dir);
	if (!dir_node)
		return false;
	file_node = kernfs_find_and_get(dir_node, file);
	if (file_node) {
		object = dir_node->priv;
		bytes = object->ktype->sysfs_ops->show(object, file_node->priv,
						       page);
	}
	kernfs_put(file_node);
	kernfs_put(dir_node);
	return bytes > 0;
}

/* md tells its personality in sysfs and nowhere else. */
static const char *const md_keeps[] = {
	"raid1", "raid4", "raid5", "raid6", "raid10",
};

static const char *const md_keeps_late[] = { "raid0", "linear" };

static bool listed(const char *level, const char *const *list, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (sysfs_streq(level, list[i]))
			return true;
	return false;
}

static int check_md(const struct bf_device *device,
		    struct netlink_ext_ack *extack)
{
	char *level = (char *)get_zeroed_page(GFP_KERNEL);
	int ret = 0;

	if (!level)
		return -ENOMEM;
	if (!disk_shows(device, "md", "level", level)) {
		NL_SET_ERR_MSG(extack, "this md array does not tell its level: assemble it first");
		ret = -EOPNOTSUPP;
	} else if (listed(level, md_keeps_late, ARRAY_SIZE(md_keeps_late))) {
		if (!BF_MD_KEEPS_EVERY_BIO) {
			NL_SET_ERR_MSG(extack, "md arrays of level raid0 and linear hand their I/O on unseen on kernels before 6.6: " WORDS_MEMBERS);
			ret = -EOPNOTSUPP;
		}
	} else if (!listed(level, md_keeps, ARRAY_SIZE(md_keeps))) {
		NL_SET_ERR_MSG(extack, "md arrays of this level are not tracked: " WORDS_MEMBERS);
		ret = -EOPNOTSUPP;
	}
	free_page((unsigned long)level);
	return ret;
}

static int check_memory_disk(const struct bf_device *device,
			     struct netlink_ext_ack *extack)
{
	if (!BF_DISKS_HAVE_RW_PAGE)
		return 0;
	NL_SET_ERR_MSG(extack, "brd and zram have a way around block I/O on kernels before 6.3 (rw_page), so that changes would be missed: copy the disk while it is not in use, or take a newer kernel; it has no members to track instead");
	return -EOPNOTSUPP;
}

static int check_head(const struct bf_device *device,
		      struct netlink_ext_ack *extack)
{
	int subsystem, head;

	if (bf_alias_parse_head(device->disk->disk_name, &subsystem, &head))
		return 0;
	NL_SET_ERR_MSG(extack, "this NVMe disk is neither a namespace nor a multipath head: track the one that is mounted");
	return -EOPNOTSUPP;
}

static const struct driver drivers[] = {
	{ "dm-", "dm_mod", BF_DISK_BIO },
	{ "md", "md_mod", BF_DISK_BIO, check_md },
	{ "ram", "brd", BF_DISK_BIO, check_memory_disk },
	{ "zram", "zram", BF_DISK_BIO, check_memory_disk },
	{ "nvme", "nvme_core", BF_DISK_NVME_HEAD, check_head },
};

/* A driver that is built in has no module, and then the name alone tells. */
static const struct driver *driver_of(const struct gendisk *disk)
{
	const struct module *owner = disk->fops->owner;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(drivers); i++)
		if (!strncmp(disk->disk_name, drivers[i].prefix,
			     strlen(drivers[i].prefix)) &&
		    (!owner || !strcmp(owner->name, drivers[i].module)))
			return &drivers[i];
	return NULL;
}

/**
 * bf_kind_of() - say how the changes of a device can be seen
 * @device: the device
 * @kind: gets the answer
 * @extack: gets cause and cure
 *
 * Context: Process, may sleep; the sender has the device open.
 * Return: 0, or -EOPNOTSUPP if they cannot; -ENOMEM.
 */
int bf_kind_of(const struct bf_device *device, enum bf_disk_kind *kind,
	       struct netlink_ext_ack *extack)
{
	const struct driver *driver;

	*kind = BF_DISK_MQ;
	if (bf_fault(BF_FAULT_KIND))
		return -ENOMEM;
	if (blk_queue_dax(device->queue)) {
		NL_SET_ERR_MSG(extack, "this disk can be mapped into memory (DAX), and what is written that way is no block I/O: copy it while it is not in use");
		return -EOPNOTSUPP;
	}
	if (queue_is_mq(device->queue))
		return 0;
	driver = driver_of(device->disk);
	if (!driver) {
		NL_SET_ERR_MSG(extack, "this bio-based disk is none of those that are known to be seen whole (dm, md, brd, zram, NVMe multipath): " WORDS_MEMBERS);
		return -EOPNOTSUPP;
	}
	*kind = driver->kind;
	return driver->check ? driver->check(device, extack) : 0;
}
