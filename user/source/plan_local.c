// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, local: targets that are paths of this machine flow in; their sizes, and
 * what is wrong with the places where they lie, flow out.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/units.h"
#include "source/holders_steps.h"
#include "source/plan.h"
#include "target/receiver.h"

/* The folder that a path lies in, or will. */
static void folder_of(const char *path, char folder[BF_PATH_BYTES])
{
	char *slash;

	snprintf(folder, BF_PATH_BYTES, "%s", path);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
}

/* It would be written by the copy and frozen by the cutover. */
static void add_inside(struct bf_plan *plan, const struct bf_plan_disk *disk,
		       const char *path)
{
	bf_plan_add(plan, BF_SEVERITY_REFUSE, "target-inside", disk->name,
		    "name a target on another disk",
		    "its target %s lies on a disk of the job itself: what is written there would have to be copied again, and the freeze would stop it",
		    path);
}

/* Above the job's disks, or the disk that one of them is a part of. */
static bool is_inside(const struct bf_plan *plan, const char *path, dev_t dev)
{
	struct bf_error err;

	if (bf_holders_device(&plan->holders, dev))
		return true;
	for (uint32_t i = 0; i < plan->nr_disks; i++)
		if (bf_local_target_check(path, plan->disks[i].fd, &err))
			return true;
	return false;
}

static void check_device(struct bf_plan *plan, struct bf_plan_disk *disk,
			 const char *path, dev_t dev)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (is_inside(plan, path, dev))
		add_inside(plan, disk, path);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &disk->target_bytes))
		disk->target_bytes = 0;
}

/* A sparse file fills; @allocated_bytes of it are there already. */
static void check_space(struct bf_plan *plan, const struct bf_plan_disk *disk,
			const char *path, uint64_t allocated_bytes)
{
	char room_text[BF_UNIT_TEXT_BYTES], size_text[BF_UNIT_TEXT_BYTES];
	char folder[BF_PATH_BYTES];
	struct statvfs status;
	uint64_t room_bytes;

	folder_of(path, folder);
	if (statvfs(folder, &status))
		return;
	room_bytes = (uint64_t)status.f_bavail * status.f_frsize +
		     allocated_bytes;
	if (room_bytes < disk->size_bytes)
		bf_plan_add(plan, BF_SEVERITY_WARNING, "target-space",
			    disk->name, "make room in that filesystem, or name a target elsewhere",
			    "%s has room for %s, the disk has %s: the copy fits only if enough of it is free or zero",
			    folder, bf_format_size(room_bytes, room_text),
			    bf_format_size(disk->size_bytes, size_text));
}

static void check_file(struct bf_plan *plan, const struct bf_plan_disk *disk,
		       const char *path, uint64_t allocated_bytes)
{
	if (bf_holders_cover(&plan->holders, path))
		add_inside(plan, disk, path);
	else
		check_space(plan, disk, path, allocated_bytes);
}

void bf_plan_local(struct bf_plan *plan)
{
	for (uint32_t i = 0; i < plan->nr_disks; i++) {
		const struct bf_disk_config *config = &plan->config->disks[i];
		struct stat status = { 0 };

		if (!config->target_is_path)
			continue;
		if (stat(config->target, &status) && errno != ENOENT)
			continue;	/* the run will say what is wrong */
		if (S_ISBLK(status.st_mode))
			check_device(plan, &plan->disks[i], config->target,
				     status.st_rdev);
		else
			check_file(plan, &plan->disks[i], config->target,
				   (uint64_t)status.st_blocks * 512);
	}
}
