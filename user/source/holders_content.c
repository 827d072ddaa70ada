// SPDX-License-Identifier: Apache-2.0
/*
 * Holders, content: libblkid names what is on each device of the tree; flows
 * out: the names, and findings on filesystems that rest on more devices than
 * the job has (btrfs, external journals and logs) or that FIFREEZE is known
 * not to stop (ZFS, bcache). What FIFREEZE really answers is seen at cutover.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "source/holders_steps.h"

struct content {
	char journal[64];		/* UUID of an external journal */
	char journal_id[64];		/* UUID of the journal on this device */
};

static void cleanup_probe(blkid_probe *probe)
{
	blkid_free_probe(*probe);
}

static void probe_value(blkid_probe probe, const char *name, char *text,
			size_t bytes)
{
	const char *value;

	if (!blkid_probe_lookup_value(probe, name, &value, NULL))
		snprintf(text, bytes, "%s", value);
}

/* Unreadable or ambiguous content keeps an empty type: nothing is concluded. */
static void probe_device(struct bf_holder_device *device,
			 struct content *content)
{
	_cleanup_(cleanup_probe) blkid_probe probe = NULL;
	char path[96];

	*content = (struct content){ 0 };
	snprintf(path, sizeof(path), "/dev/%s", device->name);
	probe = blkid_new_probe_from_filename(path);
	if (!probe)
		return;
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE |
					  BLKID_SUBLKS_UUID);
	if (blkid_do_safeprobe(probe))
		return;
	probe_value(probe, "TYPE", device->type, sizeof(device->type));
	probe_value(probe, "EXT_JOURNAL", content->journal,
		    sizeof(content->journal));
	if (!strcmp(device->type, "jbd"))
		probe_value(probe, "LOGUUID", content->journal_id,
			    sizeof(content->journal_id));
	if (!strcmp(device->type, "jbd") && !content->journal_id[0])
		probe_value(probe, "UUID", content->journal_id,
			    sizeof(content->journal_id));
}

static bool journal_known(const struct content *contents, size_t nr,
			  const char *journal)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(contents[i].journal_id, journal))
			return true;
	return false;
}

static int check_journals(struct bf_holders *holders,
			  const struct content *contents)
{
	int ret = 0;

	for (size_t i = 0; i < holders->nr_devices && !ret; i++)
		if (contents[i].journal[0] &&
		    !journal_known(contents, holders->nr_devices,
				   contents[i].journal))
			ret = bf_holders_note(holders, BF_SEVERITY_REFUSE,
				"external-journal",
				"the %s on %s keeps its journal (UUID %s) on a device that is not in this job: add the disk of that journal",
				holders->devices[i].type,
				holders->devices[i].label,
				contents[i].journal);
	return ret;
}

static bool writes_by_itself(const struct bf_holder_device *device)
{
	return !strcmp(device->type, "zfs_member") ||
	       !strcmp(device->type, "bcache") ||
	       !strcmp(device->type, "bcachefs");
}

static int check_unfreezable(struct bf_holders *holders)
{
	int ret = 0;

	for (size_t i = 0; i < holders->nr_devices && !ret; i++)
		if (writes_by_itself(&holders->devices[i]))
			ret = bf_holders_note(holders, BF_SEVERITY_WARNING,
				"not-freezable",
				"%s holds %s, which a freeze does not stop from writing: it must be quiet by itself at the cutover, or that will not be confirmed",
				holders->devices[i].label,
				holders->devices[i].type);
	return ret;
}

struct btrfs_check {
	struct bf_holders *holders;
	const struct bf_filesystem *filesystem;
};

static int check_btrfs_device(void *context, const char *name)
{
	struct btrfs_check *check = context;
	dev_t dev;

	if (!bf_sysfs_dev("/sys", name, &dev) ||
	    bf_holders_device(check->holders, dev))
		return 0;
	return bf_holders_note(check->holders, BF_SEVERITY_REFUSE,
			       "spans-outside",
			       "the btrfs at %s also lies on %s, which is no disk of this job: add the disk of %s to the job",
			       check->filesystem->mountpoint, name, name);
}

static int check_btrfs(struct bf_holders *holders)
{
	static const uint8_t none[16];
	int ret = 0;

	for (size_t i = 0; i < holders->nr_filesystems && !ret; i++) {
		struct btrfs_check check = { holders, &holders->filesystems[i] };

		if (memcmp(check.filesystem->btrfs_id, none, sizeof(none)))
			ret = bf_btrfs_devices(check.filesystem->btrfs_id,
					       check_btrfs_device, &check);
	}
	return ret;
}

/* A second device that a mount option names: an XFS log or realtime device. */
static int check_option(struct bf_holders *holders, const struct bf_mount *mount,
			const char *key)
{
	char path[PATH_MAX];
	struct stat status;

	if (!bf_mount_option_path(mount->super_options, key, path,
				  sizeof(path)) ||
	    stat(path, &status) || !S_ISBLK(status.st_mode) ||
	    !bf_holders_device(holders, mount->dev) ==
	    !bf_holders_device(holders, status.st_rdev))
		return 0;
	return bf_holders_note(holders, BF_SEVERITY_REFUSE, "spans-outside",
			       "the %s at %s lies on two devices (%s=%s) of which this job holds one: add the disk of the other",
			       mount->type, mount->mountpoint, key, path);
}

int bf_holders_check_content(struct bf_holders *holders,
			     const struct bf_mounts *mounts,
			     struct bf_error *err)
{
	_cleanup_free_ struct content *contents = NULL;
	int ret;

	contents = calloc(holders->nr_devices + 1, sizeof(*contents));
	ret = contents ? 0 : -ENOMEM;
	for (size_t i = 0; i < holders->nr_devices && !ret; i++)
		probe_device(&holders->devices[i], &contents[i]);
	if (!ret)
		ret = check_journals(holders, contents);
	if (!ret)
		ret = bf_holders_check_lvm(holders);
	if (!ret)
		ret = check_unfreezable(holders);
	if (!ret)
		ret = check_btrfs(holders);
	for (size_t i = 0; i < mounts->nr && !ret; i++) {
		ret = check_option(holders, &mounts->mounts[i], "logdev");
		if (!ret)
			ret = check_option(holders, &mounts->mounts[i],
					   "rtdev");
	}
	return ret ? bf_fail(err, BF_E_SYSTEM, -ret,
			     "noting what is on the disks failed: out of memory") :
		     0;
}
