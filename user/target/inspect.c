// SPDX-License-Identifier: Apache-2.0
/*
 * Inspect: an open target flows in; what it is (so that another disk under the
 * same name is noticed), what lies on it and who uses it flow out, in words.
 * Only reads.
 */
#include <blkid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "target/target.h"

#define UNKNOWN "unknown"

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static void cleanup_probe(blkid_probe *probe)
{
	blkid_free_probe(*probe);
}

/* Serial numbers and file names may hold any byte; a record holds text. */
static void make_text(char *line)
{
	for (; *line; line++)
		if (*line < ' ' || *line > '~')
			*line = '?';
}

/* First line of a file below a device's sysfs folder; false: not there. */
static bool read_sysfs(dev_t dev, const char *name, char *line, size_t bytes)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[256];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev),
		 minor(dev), name);
	file = fopen(path, "re");
	if (!file || !fgets(line, (int)bytes, file))
		return false;
	line[strcspn(line, "\n")] = '\0';
	make_text(line);
	return line[0] != '\0';
}

/* Of the open @fd, or with @fd AT_FDCWD of @path. */
static void file_identity(int fd, const char *path,
			  char identity[BF_TARGET_IDENTITY_BYTES])
{
	struct statx stx;

	if (statx(fd, path, AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &stx) < 0)
		return;
	snprintf(identity, BF_TARGET_IDENTITY_BYTES,
		 "file inode %llu born %lld.%09u",
		 (unsigned long long)stx.stx_ino,
		 stx.stx_mask & STATX_BTIME ? (long long)stx.stx_btime.tv_sec : 0,
		 stx.stx_mask & STATX_BTIME ? stx.stx_btime.tv_nsec : 0);
}

/*
 * A disk without any name is the one at this place on its bus, of this size:
 * virtio without a serial number, Xen. What the kernel calls it does not matter.
 */
static void place_identity(dev_t dev, const char *start,
			   char identity[BF_TARGET_IDENTITY_BYTES])
{
	char link[96], place[PATH_MAX] = "", size[32] = "";
	char *end;

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev),
		 minor(dev));
	if (!realpath(link, place))
		return;
	end = strstr(place, "/block/");
	if (end)
		*end = '\0';
	make_text(place);
	read_sysfs(dev, "size", size, sizeof(size));
	snprintf(identity, BF_TARGET_IDENTITY_BYTES,
		 "at %.160s of %s sectors%s%s",
		 place + strlen("/sys/devices/"), size,
		 start[0] ? " start " : "", start);
}

static void disk_identity(dev_t dev, char identity[BF_TARGET_IDENTITY_BYTES])
{
	/* A partition has its start and the names of the disk above it. */
	static const char *const names[] = {
		"dm/uuid", "md/uuid", "wwid", "device/wwid", "serial",
		"device/serial", "loop/backing_file", "../wwid",
		"../device/wwid", "../serial", "../device/serial",
		"../loop/backing_file",
	};
	char start[32] = "", line[160];

	if (read_sysfs(dev, "partition", line, sizeof(line)))
		read_sysfs(dev, "start", start, sizeof(start));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!read_sysfs(dev, names[i], line, sizeof(line)))
			continue;
		snprintf(identity, BF_TARGET_IDENTITY_BYTES, "%s %s%s%s",
			 names[i], line, start[0] ? " start " : "", start);
		return;
	}
	place_identity(dev, start, identity);
}

static void identity_of(int fd, const char *path, const struct stat *st,
			char identity[BF_TARGET_IDENTITY_BYTES])
{
	strcpy(identity, UNKNOWN);
	if (S_ISBLK(st->st_mode))
		disk_identity(st->st_rdev, identity);
	else
		file_identity(fd, path, identity);
}

void bf_inspect_identity(struct bf_target *target)
{
	struct stat st;

	strcpy(target->identity, UNKNOWN);
	if (fstat(target->fd, &st) == 0)
		identity_of(target->fd, "", &st, target->identity);
}

static bool same_object(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) || S_ISBLK(b->st_mode))
		return a->st_mode == b->st_mode && a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool bf_inspect_is_target(const struct bf_target *target, const char *path,
			  const char *identity)
{
	char now[BF_TARGET_IDENTITY_BYTES];
	struct stat ours, there;

	if (!strcmp(identity, UNKNOWN) || strcmp(identity, target->identity))
		return false;
	if (fstat(target->fd, &ours) < 0 || stat(path, &there) < 0 ||
	    same_object(&ours, &there))
		return true;
	/* A twin that goes by the same names stands where that one stood. */
	identity_of(AT_FDCWD, path, &there, now);
	return strcmp(now, identity) != 0;
}

static bool mounted_at(dev_t dev, char *words, size_t bytes)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/mountinfo", "re");
	unsigned int dev_major, dev_minor;
	char line[4096], point[2048];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*d %*d %u:%u %*s %2047s", &dev_major,
			   &dev_minor, point) != 3 ||
		    makedev(dev_major, dev_minor) != dev)
			continue;
		snprintf(words, bytes, "mounted at %.200s", point);
		return true;
	}
	return false;
}

static bool held_by(dev_t dev, char *words, size_t bytes)
{
	_cleanup_(cleanup_dir) DIR *dir = NULL;
	struct dirent *entry;
	char path[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders",
		 major(dev), minor(dev));
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(words, bytes, "it is part of %.200s", entry->d_name);
		return true;
	}
	return false;
}

void bf_inspect_holder(const char *path, char *words, size_t bytes)
{
	struct stat st;

	if (stat(path, &st) == 0 && (mounted_at(st.st_rdev, words, bytes) ||
				     held_by(st.st_rdev, words, bytes)))
		return;
	snprintf(words, bytes,
		 "something on this host holds it (one of its partitions is mounted, swap, LVM, md, or another blkferry)");
}

/* The loop device's file may be deleted or in another namespace: then no. */
static bool backs(const char *device, const struct stat *wanted)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/block/%.64s/loop/backing_file", device);
	file = fopen(path, "re");
	if (!file || !fgets(path, sizeof(path), file))
		return false;
	path[strcspn(path, "\n")] = '\0';
	return stat(path, &st) == 0 && st.st_dev == wanted->st_dev &&
	       st.st_ino == wanted->st_ino;
}

bool bf_inspect_loop(int fd, char *device, size_t bytes)
{
	_cleanup_(cleanup_dir) DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "loop", 4) ||
		    !backs(entry->d_name, &st))
			continue;
		snprintf(device, bytes, "/dev/%.32s", entry->d_name);
		return true;
	}
	return false;
}

/* "ext4 filesystem labelled backup", "gpt partition table". */
static void name_finding(blkid_probe probe, char *words, size_t bytes)
{
	const char *type = NULL, *label = NULL;

	if (!blkid_probe_lookup_value(probe, "TYPE", &type, NULL)) {
		blkid_probe_lookup_value(probe, "LABEL", &label, NULL);
		snprintf(words, bytes, "%.64s%s%.64s", type,
			 label ? " labelled " : "", label ? label : "");
	} else if (!blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL)) {
		snprintf(words, bytes, "%.64s partition table", type);
	} else {
		snprintf(words, bytes, "a signature");
	}
}

static blkid_probe new_probe(const struct bf_target *t)
{
	blkid_probe probe = blkid_new_probe();

	if (probe &&
	    !blkid_probe_set_device(probe, t->buffered_fd, 0,
				    (blkid_loff_t)t->size_bytes) &&
	    !blkid_probe_enable_superblocks(probe, 1) &&
	    !blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE |
					       BLKID_SUBLKS_LABEL |
					       BLKID_SUBLKS_BADCSUM) &&
	    !blkid_probe_enable_partitions(probe, 1))
		return probe;
	blkid_free_probe(probe);
	return NULL;
}

/*
 * The plain probe stops at each signature, also where several contradict each
 * other: one of them is enough to refuse.
 */
int bf_target_check_empty(const struct bf_target *target, struct bf_error *err)
{
	_cleanup_(cleanup_probe) blkid_probe probe = new_probe(target);
	char words[160];
	int found;

	if (!probe)
		return bf_fail(err, BF_E_SYSTEM, EIO,
			       "target %s: %s cannot be searched for signatures",
			       target->name, target->path);
	found = blkid_do_probe(probe);
	if (found == 1)
		return 0;
	if (found < 0)
		return bf_fail(err, BF_E_TARGET_IO, EIO,
			       "target %s: %s cannot be read to look for signatures",
			       target->name, target->path);
	name_finding(probe, words, sizeof(words));
	return bf_fail(err, BF_E_SIGNATURE, EEXIST,
		       "target %s: %s holds data (%s) that is not this job's; wipe it with wipefs -a, or set \"overwrite = yes\" for the target",
		       target->name, target->path, words);
}
