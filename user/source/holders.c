// SPDX-License-Identifier: Apache-2.0
/*
 * Holders, the whole: steps over devices, mounts and loops repeat until
 * nothing new is found, then the filesystems are put in the order of freezing
 * (topmost first, RULE 5) and what the job lacks is noted.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "source/holders_steps.h"

int bf_holders_note(struct bf_holders *holders, enum bf_severity severity,
		    const char *name, const char *format, ...)
{
	struct bf_finding *grown;
	va_list args;

	grown = reallocarray(holders->findings, holders->nr_findings + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	holders->findings = grown;
	grown = &grown[holders->nr_findings++];
	grown->severity = severity;
	grown->name = name;
	va_start(args, format);
	vsnprintf(grown->text, sizeof(grown->text), format, args);
	va_end(args);
	return 0;
}

void bf_holders_free(struct bf_holders *holders)
{
	for (size_t i = 0; i < holders->nr_filesystems; i++) {
		free(holders->filesystems[i].mountpoint);
		if (holders->filesystems[i].fd >= 0)
			close(holders->filesystems[i].fd);
	}
	free(holders->filesystems);
	free(holders->devices);
	free(holders->findings);
	*holders = (struct bf_holders){ 0 };
}

static int topmost_first(const void *a, const void *b)
{
	const struct bf_filesystem *x = a, *y = b;

	return (x->depth < y->depth) - (x->depth > y->depth);
}

static void find_root(struct bf_holders *holders,
		      const struct bf_mounts *mounts)
{
	for (size_t i = 0; i < mounts->nr; i++) {
		const struct bf_mount *mount = &mounts->mounts[i];
		struct bf_filesystem *filesystem;

		if (strcmp(mount->mountpoint, "/") ||
		    (mount->pid != getpid() && mount->pid != 1))
			continue;
		filesystem = bf_holders_filesystem(holders, mount->dev);
		if (filesystem)
			filesystem->is_root = true;
	}
}

static int climb_all(struct bf_holders *holders,
		     const struct bf_mounts *mounts, struct bf_error *err)
{
	bool changed;
	int ret;

	/* Ends: every step adds something or deepens it, both are bounded. */
	do {
		changed = false;
		ret = bf_holders_climb(holders, "/sys", &changed, err);
		if (!ret)
			ret = bf_holders_add_mounts(holders, mounts, &changed,
						    err);
		if (!ret)
			ret = bf_holders_add_loops(holders, &changed, err);
	} while (!ret && changed);
	return ret;
}

static int check_all(struct bf_holders *holders,
		     const struct bf_mounts *mounts, struct bf_error *err)
{
	int ret = bf_holders_check_members(holders, "/sys", err);

	if (!ret)
		ret = bf_holders_check_content(holders, mounts, err);
	if (!ret)
		ret = bf_holders_check_swap(holders, err);
	return ret;
}

int bf_holders_find(struct bf_holders *holders, const dev_t *disks,
		    size_t nr_disks, struct bf_error *err)
{
	_cleanup_(bf_mounts_free) struct bf_mounts mounts = { 0 };
	bool changed;
	int ret;

	*holders = (struct bf_holders){ 0 };
	ret = bf_mounts_read(&mounts, err);
	for (size_t i = 0; i < nr_disks && !ret; i++)
		ret = bf_holders_add_device(holders, "/sys", disks[i], 0,
					    &changed, err);
	if (!ret)
		ret = climb_all(holders, &mounts, err);
	if (ret)
		return ret;
	find_root(holders, &mounts);
	/* holders->filesystems is NULL when there are none */
	if (holders->nr_filesystems)
		qsort(holders->filesystems, holders->nr_filesystems,
		      sizeof(*holders->filesystems), topmost_first);
	return check_all(holders, &mounts, err);
}

int bf_holders_refuse(const struct bf_holders *holders, struct bf_error *err)
{
	for (size_t i = 0; i < holders->nr_findings; i++)
		if (holders->findings[i].severity == BF_SEVERITY_REFUSE)
			return bf_fail(err, BF_E_UNTRACKABLE, EXDEV, "%s",
				       holders->findings[i].text);
	return 0;
}

bool bf_holders_have_root(const struct bf_holders *holders)
{
	for (size_t i = 0; i < holders->nr_filesystems; i++)
		if (holders->filesystems[i].is_root)
			return true;
	return false;
}

const struct bf_filesystem *bf_holders_added(const struct bf_holders *before,
					     const struct bf_holders *now)
{
	for (size_t i = 0; i < now->nr_filesystems; i++)
		if (!bf_holders_filesystem(before, now->filesystems[i].dev))
			return &now->filesystems[i];
	return NULL;
}

static bool cover(const struct bf_holders *holders, const struct stat *status)
{
	for (size_t i = 0; i < holders->nr_filesystems; i++) {
		struct stat root;

		/* btrfs: files carry the subvolume's device, as the root does */
		if (holders->filesystems[i].dev == status->st_dev ||
		    (!fstat(holders->filesystems[i].fd, &root) &&
		     root.st_dev == status->st_dev))
			return true;
	}
	return false;
}

/* What does not exist yet will lie where its nearest folder lies. */
static bool stat_nearest(const char *path, struct stat *status)
{
	char nearest[PATH_MAX];

	if (snprintf(nearest, sizeof(nearest), "%s", path) >=
	    (int)sizeof(nearest))
		return false;
	while (stat(nearest, status)) {
		char *slash = strrchr(nearest, '/');

		if (errno != ENOENT || !strcmp(nearest, ".") ||
		    !strcmp(nearest, "/"))
			return false;
		if (!slash)
			strcpy(nearest, ".");
		else
			slash[slash == nearest] = '\0';
	}
	return true;
}

bool bf_holders_cover(const struct bf_holders *holders, const char *path)
{
	struct stat status;

	return stat_nearest(path, &status) && cover(holders, &status);
}

bool bf_holders_cover_fd(const struct bf_holders *holders, int fd)
{
	struct stat status;

	return !fstat(fd, &status) &&
	       (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) &&
	       cover(holders, &status);
}
