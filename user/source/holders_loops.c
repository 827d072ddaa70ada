// SPDX-License-Identifier: Apache-2.0
/*
 * Holders, files: what uses a file of a filesystem of the job as a device: loop
 * devices become devices of the tree, swap areas become findings (swap writes
 * through a freeze; the confirm loop sees it).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/cleanup.h"
#include "source/holders_steps.h"

struct loop_backing {
	dev_t filesystem;		/* st_dev of the backing file */
	dev_t device;			/* or the block device behind it, else 0 */
};

/* The kernel's own encoding of a device number (huge_encode_dev). */
static dev_t decode_dev(uint64_t encoded)
{
	return makedev((encoded >> 8) & 0xfff,
		       (encoded & 0xff) | ((encoded >> 12) & 0xfff00));
}

static bool loop_backing(const char *name, struct loop_backing *backing)
{
	struct loop_info64 info;
	_cleanup_close_ int fd = -1;
	char path[96];

	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info))
		return false;
	backing->filesystem = decode_dev(info.lo_device);
	backing->device = decode_dev(info.lo_rdevice);
	return true;
}

/* Without a node in /dev, or on btrfs, whose files have devices of their own. */
static void backing_by_path(const char *name,
			    const struct bf_holders *holders,
			    struct loop_backing *backing)
{
	char file[PATH_MAX];
	_cleanup_close_ int fd = -1;
	struct stat status;
	uint8_t id[16];

	if (!bf_sysfs_read("/sys", name, "loop/backing_file", file,
			   sizeof(file)))
		return;
	fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status))
		return;
	backing->filesystem = status.st_dev;
	backing->device = S_ISBLK(status.st_mode) ? status.st_rdev : 0;
	if (!bf_btrfs_id(fd, id))
		return;
	for (size_t i = 0; i < holders->nr_filesystems; i++)
		if (!memcmp(holders->filesystems[i].btrfs_id, id, sizeof(id)))
			backing->filesystem = holders->filesystems[i].dev;
}

struct loops {
	struct bf_holders *holders;
	bool *changed;
	struct bf_error *err;
};

static int add_loop(void *context, const char *name)
{
	struct loops *loops = context;
	const struct bf_filesystem *filesystem;
	const struct bf_holder_device *device;
	struct loop_backing backing = { 0 };
	char file[PATH_MAX];
	dev_t dev;

	if (strncmp(name, "loop", 4) ||
	    !bf_sysfs_read("/sys", name, "loop/backing_file", file,
			   sizeof(file)) ||
	    !bf_sysfs_dev("/sys", name, &dev))
		return 0;
	if (!loop_backing(name, &backing) ||
	    !bf_holders_filesystem(loops->holders, backing.filesystem))
		backing_by_path(name, loops->holders, &backing);
	device = backing.device ?
		 bf_holders_device(loops->holders, backing.device) : NULL;
	filesystem = bf_holders_filesystem(loops->holders, backing.filesystem);
	if (!device && !filesystem)
		return 0;
	return bf_holders_add_device(loops->holders, "/sys", dev,
				     (device ? device->depth :
				      filesystem->depth) + 1,
				     loops->changed, loops->err);
}

int bf_holders_add_loops(struct bf_holders *holders, bool *changed,
			 struct bf_error *err)
{
	struct loops loops = { holders, changed, err };

	return bf_sysfs_each("/sys/class/block", add_loop, &loops);
}

static bool swap_is_ours(const struct bf_holders *holders, const char *path)
{
	struct stat status;

	if (stat(path, &status))
		return false;
	if (S_ISBLK(status.st_mode))
		return bf_holders_device(holders, status.st_rdev);
	return bf_holders_cover(holders, path);
}

int bf_holders_check_swap(struct bf_holders *holders, struct bf_error *err)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/swaps", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int ret = 0;

	while (file && !ret && getline(&line, &size, file) > 0) {
		line[strcspn(line, " \t\n")] = '\0';
		bf_unescape_octal(line);
		if (line[0] == '/' && swap_is_ours(holders, line))
			ret = bf_holders_note(holders, BF_SEVERITY_WARNING,
				"swap",
				"swap on %s goes on through a freeze: if the machine swaps then, the cutover is not confirmed; `swapoff %s` before the cutover avoids it",
				line, line);
	}
	return ret ? bf_fail(err, BF_E_SYSTEM, -ret, "out of memory") : 0;
}
