// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, outside: mounts, swap areas, volumes and arrays of this machine flow in;
 * those that the job leaves behind flow out. A warning where the job moves the
 * root filesystem, and with it the machine; else no more than an info.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/cleanup.h"
#include "source/holders_steps.h"
#include "source/plan.h"

#define CURE "add its disk to the job, or see to it on the new machine: in /etc/fstab, too"

struct outside {
	struct bf_plan *plan;
	enum bf_severity severity;
	const struct bf_mounts *mounts;
	const char *root;
	dev_t *told;			/* the devices that have a row */
	size_t nr_told, room;
};

static bool is_told(const struct outside *outside, dev_t dev)
{
	for (size_t i = 0; i < outside->nr_told; i++)
		if (outside->told[i] == dev)
			return true;
	return false;
}

/* Twice in the list is better than not at all: no memory is no failure. */
static void note_told(struct outside *outside, dev_t dev)
{
	if (outside->nr_told == outside->room) {
		size_t room = outside->room + 32;
		dev_t *told = realloc(outside->told, room * sizeof(*told));

		if (!told)
			return;
		outside->told = told;
		outside->room = room;
	}
	outside->told[outside->nr_told++] = dev;
}

static bool is_ours(const struct outside *outside, dev_t dev)
{
	const struct bf_holders *holders = &outside->plan->holders;

	return bf_holders_device(holders, dev) ||
	       bf_holders_filesystem(holders, dev);
}

static void tell(struct outside *outside, dev_t dev, const char *subject,
		 const char *what)
{
	note_told(outside, dev);
	bf_plan_add(outside->plan, outside->severity, "outside", subject,
		    outside->severity == BF_SEVERITY_INFO ? NULL : CURE,
		    "%s is on no disk of the job and stays behind", what);
}

/* A filesystem on a device has its number; of the others btrfs alone has one. */
static void add_mounts(struct outside *outside)
{
	for (size_t i = 0; i < outside->mounts->nr; i++) {
		const struct bf_mount *mount = &outside->mounts->mounts[i];
		char what[96];

		if ((!major(mount->dev) && strcmp(mount->type, "btrfs")) ||
		    !strcmp(mount->type, "squashfs") ||
		    is_ours(outside, mount->dev) || is_told(outside, mount->dev))
			continue;
		snprintf(what, sizeof(what), "a mounted %.64s", mount->type);
		tell(outside, mount->dev, mount->mountpoint, what);
	}
}

static void add_swap(struct outside *outside)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	char path[256];
	size_t size = 0;

	snprintf(path, sizeof(path), "%s/proc/swaps", outside->root);
	file = fopen(path, "re");
	while (file && getline(&line, &size, file) > 0) {
		struct stat status;

		line[strcspn(line, " \t\n")] = '\0';
		bf_unescape_octal(line);
		if (line[0] == '/' && !stat(line, &status) &&
		    S_ISBLK(status.st_mode) &&
		    !is_ours(outside, status.st_rdev))
			tell(outside, status.st_rdev, line, "a swap area");
	}
}

static int add_volume(void *context, const char *name)
{
	struct outside *outside = context;
	char sys[256], text[64], subject[160];
	dev_t dev;

	snprintf(sys, sizeof(sys), "%s/sys", outside->root);
	/* What others stand on has a row of theirs. */
	if ((strncmp(name, "dm-", 3) && strncmp(name, "md", 2)) ||
	    !bf_sysfs_dev(sys, name, &dev) || is_ours(outside, dev) ||
	    is_told(outside, dev) || bf_sysfs_has_holders(sys, name))
		return 0;
	if (!bf_sysfs_read(sys, name, "dm/name", text, sizeof(text)))
		snprintf(text, sizeof(text), "%.60s", name);
	snprintf(subject, sizeof(subject), "%s", text);
	tell(outside, dev, subject, name[0] == 'd' ? "a volume" : "an array");
	return 0;
}

void bf_plan_outside(struct bf_plan *plan, const char *root)
{
	struct bf_mounts mounts = { 0 };
	struct outside outside = {
		.plan = plan, .mounts = &mounts, .root = root,
		.severity = bf_holders_have_root(&plan->holders) ?
			    BF_SEVERITY_WARNING : BF_SEVERITY_INFO,
	};
	char path[256];
	struct bf_error err;

	if (!bf_mounts_read(&mounts, &err))
		add_mounts(&outside);
	add_swap(&outside);
	snprintf(path, sizeof(path), "%s/sys/class/block", root);
	bf_sysfs_each(path, add_volume, &outside);
	bf_mounts_free(&mounts);
	free(outside.told);
}
