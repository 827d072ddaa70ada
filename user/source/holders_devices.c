// SPDX-License-Identifier: Apache-2.0
/*
 * Holders, devices: sysfs flows in, the tree of block devices above the job's
 * disks flows out, and what in it rests on a device that the job lacks.
 * Depth is the longest way down to a disk, so that "deeper first" is an order
 * in which no filesystem comes after one that it lies upon.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "lib/cleanup.h"
#include "source/holders_steps.h"

#define SYSFS_PATH_BYTES 512

bool bf_sysfs_read(const char *sys, const char *name, const char *attribute,
		   char *text, size_t bytes)
{
	char path[SYSFS_PATH_BYTES];
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/class/block/%s/%s", sys, name,
		 attribute);
	file = fopen(path, "re");
	if (!file || !fgets(text, bytes, file))
		return false;
	text[strcspn(text, "\n")] = '\0';
	return true;
}

bool bf_sysfs_dev(const char *sys, const char *name, dev_t *dev)
{
	unsigned int device_major, device_minor;
	char text[64];

	if (!bf_sysfs_read(sys, name, "dev", text, sizeof(text)) ||
	    sscanf(text, "%u:%u", &device_major, &device_minor) != 2)
		return false;
	*dev = makedev(device_major, device_minor);
	return true;
}

int bf_sysfs_each(const char *folder,
		  int (*each)(void *context, const char *name), void *context)
{
	struct dirent *entry;
	DIR *dir = opendir(folder);
	int ret = 0;

	if (!dir)
		return 0;
	while (!ret && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			ret = each(context, entry->d_name);
	closedir(dir);
	return ret;
}

static int is_one(void *context, const char *name) { return 1; }

bool bf_sysfs_has_holders(const char *sys, const char *name)
{
	char path[SYSFS_PATH_BYTES];

	snprintf(path, sizeof(path), "%s/class/block/%s/holders", sys, name);
	return bf_sysfs_each(path, is_one, NULL);
}

struct bf_holder_device *bf_holders_device(const struct bf_holders *holders,
					   dev_t dev)
{
	for (size_t i = 0; i < holders->nr_devices; i++)
		if (holders->devices[i].dev == dev)
			return &holders->devices[i];
	return NULL;
}

static int device_name(const char *sys, dev_t dev, char name[64],
		       struct bf_error *err)
{
	char link[SYSFS_PATH_BYTES], target[SYSFS_PATH_BYTES];
	const char *base;
	ssize_t length;

	snprintf(link, sizeof(link), "%s/dev/block/%u:%u", sys, major(dev),
		 minor(dev));
	length = readlink(link, target, sizeof(target) - 1);
	if (length < 0)
		return bf_fail(err, BF_E_NOT_FOUND, errno,
			       "block device %u:%u is not in %s/dev/block: it was removed while the job looked at it; start again",
			       major(dev), minor(dev), sys);
	target[length] = '\0';
	base = strrchr(target, '/');
	snprintf(name, 64, "%.63s", base ? base + 1 : target);
	return 0;
}

static void device_words(const char *sys, struct bf_holder_device *device)
{
	char dm_name[120];

	bf_sysfs_read(sys, device->name, "dm/uuid", device->dm_uuid,
		      sizeof(device->dm_uuid));
	if (bf_sysfs_read(sys, device->name, "dm/name", dm_name,
			  sizeof(dm_name)))
		snprintf(device->label, sizeof(device->label), "%s (%s)",
			 device->name, dm_name);
	else
		snprintf(device->label, sizeof(device->label), "%s",
			 device->name);
}

static int deepen(struct bf_holder_device *device, uint32_t depth,
		  bool *changed, struct bf_error *err)
{
	if (depth <= device->depth)
		return 0;
	if (depth > BF_HOLDER_DEPTH_MAX)
		return bf_fail(err, BF_E_SYSTEM, ELOOP,
			       "%s stands on more than %d layers of devices: looks like a circle",
			       device->label, BF_HOLDER_DEPTH_MAX);
	device->depth = depth;
	*changed = true;
	return 0;
}

int bf_holders_add_device(struct bf_holders *holders, const char *sys, dev_t dev,
			  uint32_t depth, bool *changed, struct bf_error *err)
{
	struct bf_holder_device *device = bf_holders_device(holders, dev);
	struct bf_holder_device *grown;
	int ret;

	if (device)
		return deepen(device, depth, changed, err);
	grown = reallocarray(holders->devices, holders->nr_devices + 1,
			     sizeof(*grown));
	if (!grown)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	holders->devices = grown;
	device = &grown[holders->nr_devices];
	*device = (struct bf_holder_device){ .dev = dev, .depth = depth };
	ret = device_name(sys, dev, device->name, err);
	if (ret)
		return ret;
	device_words(sys, device);
	holders->nr_devices++;
	*changed = true;
	return 0;
}

struct climb {
	struct bf_holders *holders;
	const char *sys;
	const char *from;		/* name of the device below */
	uint32_t depth;			/* of what is found */
	bool *changed;
	struct bf_error *err;
};

static int climb_to(void *context, const char *name)
{
	struct climb *climb = context;
	dev_t dev;

	if (!bf_sysfs_dev(climb->sys, name, &dev))
		return 0;
	return bf_holders_add_device(climb->holders, climb->sys, dev,
				     climb->depth, climb->changed, climb->err);
}

static int climb_to_partition(void *context, const char *name)
{
	struct climb *climb = context;
	char number[32];

	/* A partition is a folder of its disk with the file "partition". */
	if (strncmp(name, climb->from, strlen(climb->from)) ||
	    !bf_sysfs_read(climb->sys, name, "partition", number,
			   sizeof(number)))
		return 0;
	return climb_to(context, name);
}

/* The disk that bcache makes has the same folder as the disk below it. */
static int climb_to_bcache(struct climb *climb)
{
	char path[SYSFS_PATH_BYTES], target[SYSFS_PATH_BYTES];
	const char *base;
	ssize_t length;

	snprintf(path, sizeof(path), "%s/class/block/%s/bcache/dev", climb->sys,
		 climb->from);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return 0;
	target[length] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	return strcmp(base, climb->from) ? climb_to(climb, base) : 0;
}

static int climb_from(struct climb *climb)
{
	char folder[SYSFS_PATH_BYTES];
	int ret;

	snprintf(folder, sizeof(folder), "%s/class/block/%s", climb->sys,
		 climb->from);
	ret = bf_sysfs_each(folder, climb_to_partition, climb);
	if (ret)
		return ret;
	snprintf(folder, sizeof(folder), "%s/class/block/%s/holders",
		 climb->sys, climb->from);
	ret = bf_sysfs_each(folder, climb_to, climb);
	return ret ? ret : climb_to_bcache(climb);
}

int bf_holders_climb(struct bf_holders *holders, const char *sys, bool *changed,
		     struct bf_error *err)
{
	/* nr_devices grows inside: what is found is climbed from as well. */
	for (size_t i = 0; i < holders->nr_devices; i++) {
		/* A copy: the array moves when it grows. */
		struct bf_holder_device device = holders->devices[i];
		struct climb climb = { holders, sys, device.name,
				       device.depth + 1, changed, err };
		int ret = climb_from(&climb);

		if (ret)
			return ret;
	}
	return 0;
}

/* ---- what rests on devices that the job lacks ---- */

struct members {
	struct bf_holders *holders;
	const char *sys;
	const struct bf_holder_device *above;
	struct bf_error *err;
};

static const char *kind_of(const struct bf_holder_device *device)
{
	if (!strncmp(device->name, "md", 2))
		return "array";
	if (!strncmp(device->dm_uuid, "LVM-", 4))
		return "logical volume";
	return "device";
}

static int check_member(void *context, const char *name)
{
	struct members *members = context;
	dev_t dev;

	if (!bf_sysfs_dev(members->sys, name, &dev) ||
	    bf_holders_device(members->holders, dev))
		return 0;
	return bf_holders_note(members->holders, BF_SEVERITY_REFUSE,
			       "spans-outside",
			       "%s %s also lies on %s, which is no disk of this job: add the disk of %s to the job, or leave out the other members of it",
			       kind_of(members->above), members->above->label,
			       name, name);
}

/* "LVM-" and 32 characters name the volume group; the rest the volume. */
#define LVM_GROUP_BYTES (4 + 32)

static bool same_group(const char *a, const char *b)
{
	return !strncmp(a, "LVM-", 4) && strlen(a) > LVM_GROUP_BYTES &&
	       !strncmp(a, b, LVM_GROUP_BYTES);
}

/* An active volume of a known group that stands on other disks only. */
static int check_group(void *context, const char *name)
{
	struct members *members = context;
	struct bf_holder_device other = { 0 };
	dev_t dev;

	if (!bf_sysfs_dev(members->sys, name, &dev) ||
	    bf_holders_device(members->holders, dev))
		return 0;
	snprintf(other.name, sizeof(other.name), "%.63s", name);
	device_words(members->sys, &other);
	for (size_t i = 0; i < members->holders->nr_devices; i++) {
		const struct bf_holder_device *device =
			&members->holders->devices[i];

		if (same_group(device->dm_uuid, other.dm_uuid))
			return bf_holders_note(members->holders,
				BF_SEVERITY_REFUSE, "spans-outside",
				"the volume group of %s also holds %s on disks which are not in this job: add them, a volume group cuts over as a whole",
				device->label, other.label);
	}
	return 0;
}

int bf_holders_check_members(struct bf_holders *holders, const char *sys,
			     struct bf_error *err)
{
	struct members members = { holders, sys, NULL, err };
	char folder[SYSFS_PATH_BYTES];
	int ret;

	for (size_t i = 0; i < holders->nr_devices; i++) {
		if (!holders->devices[i].depth)
			continue;	/* what a disk of the job is made of */
		members.above = &holders->devices[i];
		snprintf(folder, sizeof(folder), "%s/class/block/%s/slaves",
			 sys, members.above->name);
		ret = bf_sysfs_each(folder, check_member, &members);
		if (ret)
			return ret;
	}
	snprintf(folder, sizeof(folder), "%s/class/block", sys);
	return bf_sysfs_each(folder, check_group, &members);
}
