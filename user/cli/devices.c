// SPDX-License-Identifier: Apache-2.0
/*
 * Devices: paths of the command line flow in, open block devices, kernel names
 * and, from /sys, the members of a stacked device flow out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cli/cli.h"
#include "cli/trackers.h"
#include "lib/cleanup.h"

#define STACK_DEPTH_MAX 32

int cli_open_device(const char *path, int *fd, dev_t *dev, struct bf_error *err)
{
	_cleanup_close_ int opened = open(path, O_RDONLY | O_CLOEXEC |
					  O_NONBLOCK);
	struct stat st;

	if (opened < 0 && errno == EACCES)
		return bf_fail(err, BF_E_PERMISSION, errno,
			       "may not open %s: become root", path);
	if (opened < 0)
		return bf_fail(err, errno == ENOENT ? BF_E_NOT_FOUND :
			       BF_E_SYSTEM, errno, "cannot open %s: %s", path,
			       strerror(errno));
	if (fstat(opened, &st))
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot stat %s: %s",
			       path, strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return cli_usage(err, "%s is not a block device: name a disk or a partition such as /dev/vdb",
				 path);
	*dev = st.st_rdev;
	*fd = bf_take_fd(opened);
	return 0;
}

int cli_kernel_name(dev_t dev, char name[CLI_KERNEL_NAME_BYTES],
		    struct bf_error *err)
{
	char path[64], target[512];
	const char *base;
	ssize_t bytes;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev),
		 minor(dev));
	bytes = readlink(path, target, sizeof(target) - 1);
	if (bytes < 0)
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "cannot read %s: %s; is /sys mounted?", path,
			       strerror(errno));
	target[bytes] = '\0';
	base = strrchr(target, '/');
	snprintf(name, CLI_KERNEL_NAME_BYTES, "%.63s", base ? base + 1 : target);
	return 0;
}

struct members {
	char *text;
	size_t bytes;
};

/* A member shared by two parts of the stack is named once. */
static bool named_already(const struct members *members, const char *name)
{
	size_t length = strlen(name);
	const char *at = members->text;

	while ((at = strstr(at, name))) {
		at += length;
		if (*at == ',' || !*at)
			return true;
	}
	return false;
}

static void add_member(struct members *members, const char *kernel_name)
{
	size_t used = strlen(members->text);
	char name[CLI_KERNEL_NAME_BYTES + 8];

	snprintf(name, sizeof(name), "/dev/%.64s", kernel_name);
	/* /sys writes "!" where the device's name has a "/". */
	for (char *at = name; (at = strchr(at, '!')); )
		*at = '/';
	if (!named_already(members, name))
		snprintf(members->text + used, members->bytes - used, "%s%s",
			 used ? ", " : "", name);
}

/* Return: slaves found in @path. */
static unsigned int walk_slaves(const char *path, unsigned int depth,
				struct members *members)
{
	DIR *dir = depth < STACK_DEPTH_MAX ? opendir(path) : NULL;
	struct dirent *entry;
	unsigned int nr = 0;
	char below[320];

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		nr++;
		snprintf(below, sizeof(below), "/sys/class/block/%.255s/slaves",
			 entry->d_name);
		if (!walk_slaves(below, depth + 1, members))
			add_member(members, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return nr;
}

void cli_device_members(dev_t dev, char *text, size_t bytes)
{
	struct members members = { text, bytes };
	char path[64];

	*text = '\0';
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/slaves", major(dev),
		 minor(dev));
	walk_slaves(path, 0, &members);
}
