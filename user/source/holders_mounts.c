// SPDX-License-Identifier: Apache-2.0
/*
 * Holders, mounts: the mountinfo of every mount namespace flows in, opened
 * filesystems on known devices flow out. A filesystem that only a container
 * sees is reached through /proc/PID/root.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/cleanup.h"
#include "lib/units.h"
#include "source/holders_steps.h"

#define MOUNTS_MAX (1u << 20)	/* of one machine: more is a fault, not data */

void bf_unescape_octal(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		if (in[0] == '\\' && isdigit((unsigned char)in[1]) &&
		    isdigit((unsigned char)in[2]) &&
		    isdigit((unsigned char)in[3])) {
			*out++ = (in[1] - '0') << 6 | (in[2] - '0') << 3 |
				 (in[3] - '0');
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

static char *unescaped(const char *text)
{
	char *copy = strdup(text);

	if (copy)
		bf_unescape_octal(copy);
	return copy;
}

static bool has_option(const char *options, const char *option)
{
	size_t length = strlen(option);

	for (const char *at = options; at; at = strchr(at, ',')) {
		if (*at == ',')
			at++;
		if (!strncmp(at, option, length) &&
		    (at[length] == ',' || at[length] == '\0'))
			return true;
	}
	return false;
}

bool bf_mount_option_path(const char *options, const char *key, char *path,
			  size_t bytes)
{
	size_t length = strlen(key);

	for (const char *at = options; at; at = strchr(at, ',')) {
		if (*at == ',')
			at++;
		if (strncmp(at, key, length) || at[length] != '=')
			continue;
		at += length + 1;
		snprintf(path, bytes, "%.*s", (int)strcspn(at, ","), at);
		return true;
	}
	return false;
}

void bf_mount_clear(struct bf_mount *mount)
{
	free(mount->mountpoint);
	free(mount->type);
	free(mount->super_options);
	*mount = (struct bf_mount){ 0 };
}

/*
 * 36 35 98:0 /root /mountpoint rw,noatime shared:1 ... - ext4 /dev/x rw,opts
 */
int bf_mount_parse(const char *line, struct bf_mount *mount)
{
	unsigned int device_major, device_minor;
	const char *tail = strstr(line, " - ");
	_cleanup_free_ char *point = NULL, *type = NULL, *options = NULL;

	*mount = (struct bf_mount){ 0 };
	if (!tail ||
	    sscanf(line, "%" SCNu64 " %*u %u:%u %*s %ms", &mount->mount_id,
		   &device_major, &device_minor, &point) != 4 ||
	    sscanf(tail, " - %ms %*s %ms", &type, &options) != 2)
		return -EINVAL;
	mount->dev = makedev(device_major, device_minor);
	mount->mountpoint = unescaped(point);
	mount->type = bf_take_pointer(type);
	mount->super_options = unescaped(options);
	if (!mount->mountpoint || !mount->super_options) {
		bf_mount_clear(mount);
		return -ENOMEM;
	}
	mount->read_only = has_option(mount->super_options, "ro");
	return 0;
}

void bf_mounts_free(struct bf_mounts *mounts)
{
	for (size_t i = 0; i < mounts->nr; i++)
		bf_mount_clear(&mounts->mounts[i]);
	free(mounts->mounts);
	*mounts = (struct bf_mounts){ 0 };
}

static int mounts_add(struct bf_mounts *mounts, const char *line, pid_t pid)
{
	struct bf_mount *grown;
	struct bf_mount mount;
	int ret = bf_mount_parse(line, &mount);

	if (ret)
		return ret == -EINVAL ? 0 : ret;
	mount.pid = pid;
	grown = mounts->nr < MOUNTS_MAX ?
		reallocarray(mounts->mounts, mounts->nr + 1, sizeof(*grown)) :
		NULL;
	if (!grown) {
		bf_mount_clear(&mount);
		return -ENOMEM;
	}
	mounts->mounts = grown;
	grown[mounts->nr++] = mount;
	return 0;
}

/* A process that has just ended is no failure: its namespace went with it. */
static int mounts_of(struct bf_mounts *mounts, pid_t pid)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	char path[64];
	int ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	file = fopen(path, "re");
	while (file && !ret && getline(&line, &size, file) > 0)
		ret = mounts_add(mounts, line, pid);
	return ret;
}

struct namespaces {
	struct bf_mounts *mounts;
	ino_t *seen;
	size_t nr_seen;
};

static int namespace_of(void *context, const char *name)
{
	struct namespaces *spaces = context;
	struct stat status;
	char path[64];
	ino_t *grown;

	if (!isdigit((unsigned char)name[0]))
		return 0;
	snprintf(path, sizeof(path), "/proc/%.20s/ns/mnt", name);
	if (stat(path, &status))
		return 0;
	for (size_t i = 0; i < spaces->nr_seen; i++)
		if (spaces->seen[i] == status.st_ino)
			return 0;
	grown = reallocarray(spaces->seen, spaces->nr_seen + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	spaces->seen = grown;
	grown[spaces->nr_seen++] = status.st_ino;
	return mounts_of(spaces->mounts, atoi(name));
}

int bf_mounts_read(struct bf_mounts *mounts, struct bf_error *err)
{
	struct namespaces spaces = { .mounts = mounts };
	char self[24];
	int ret;

	/* Our own namespace first: its names are the ones that people know. */
	snprintf(self, sizeof(self), "%d", getpid());
	ret = namespace_of(&spaces, self);
	if (!ret)
		ret = bf_sysfs_each("/proc", namespace_of, &spaces);
	free(spaces.seen);
	return ret ? bf_fail(err, BF_E_SYSTEM, -ret,
			     "reading the mount tables failed: out of memory") :
		     0;
}

/* The mount itself: something may be mounted over it. */
static bool is_mount(int fd, const struct bf_mount *mount)
{
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status))
		return false;
	return status.stx_mask & STATX_MNT_ID &&
	       status.stx_mnt_id == mount->mount_id;
}

static int open_mount(const struct bf_mount *mount)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;

	if (asprintf(&path, "/proc/%d/root%s", mount->pid,
		     mount->mountpoint) < 0)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A single file bound somewhere serves as well; no device, no fifo. */
	if (fd < 0 && errno == ENOTDIR)
		fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return is_mount(fd, mount) ? bf_take_fd(fd) : -EXDEV;
}

bool bf_btrfs_id(int fd, uint8_t id[16])
{
	struct btrfs_ioctl_fs_info_args args = { 0 };

	if (ioctl(fd, BTRFS_IOC_FS_INFO, &args))
		return false;
	memcpy(id, args.fsid, 16);
	return true;
}

int bf_btrfs_devices(const uint8_t id[16],
		     int (*each)(void *context, const char *name),
		     void *context)
{
	char folder[128], text[37];

	bf_format_uuid(id, text);
	snprintf(folder, sizeof(folder), "/sys/fs/btrfs/%s/devices", text);
	return bf_sysfs_each(folder, each, context);
}

struct bf_filesystem *bf_holders_filesystem(const struct bf_holders *holders,
					    dev_t dev)
{
	for (size_t i = 0; i < holders->nr_filesystems; i++)
		if (holders->filesystems[i].dev == dev)
			return &holders->filesystems[i];
	return NULL;
}

struct deepest {
	const struct bf_holders *holders;
	uint32_t depth;			/* of the filesystem; 0: not ours */
};

static void deepest_take(struct deepest *deepest, dev_t dev)
{
	const struct bf_holder_device *device =
		bf_holders_device(deepest->holders, dev);

	if (device && device->depth + 1 > deepest->depth)
		deepest->depth = device->depth + 1;
}

static int deepest_of(void *context, const char *name)
{
	dev_t dev;

	if (bf_sysfs_dev("/sys", name, &dev))
		deepest_take(context, dev);
	return 0;
}

/* Depth of what is mounted there, 0 if it is not on a device of the job. */
static uint32_t mount_depth(const struct bf_holders *holders,
			    const struct bf_mount *mount, int fd,
			    uint8_t btrfs_id[16])
{
	struct deepest deepest = { .holders = holders };

	deepest_take(&deepest, mount->dev);
	if (!strcmp(mount->type, "btrfs") && fd >= 0 && bf_btrfs_id(fd, btrfs_id))
		bf_btrfs_devices(btrfs_id, deepest_of, &deepest);
	return deepest.depth;
}

static int filesystem_append(struct bf_holders *holders,
			     const struct bf_mount *mount, int fd,
			     uint32_t depth, const uint8_t btrfs_id[16])
{
	struct bf_filesystem *grown, *filesystem;

	grown = reallocarray(holders->filesystems, holders->nr_filesystems + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	holders->filesystems = grown;
	filesystem = &grown[holders->nr_filesystems];
	*filesystem = (struct bf_filesystem){
		.dev = mount->dev,
		.mountpoint = strdup(mount->mountpoint),
		.fd = -1,
		.depth = depth,
		.read_only = mount->read_only,
	};
	if (!filesystem->mountpoint)
		return -ENOMEM;
	snprintf(filesystem->type, sizeof(filesystem->type), "%s", mount->type);
	memcpy(filesystem->btrfs_id, btrfs_id, 16);
	filesystem->fd = fd;
	holders->nr_filesystems++;
	return 0;
}

static void filesystem_update(struct bf_filesystem *filesystem,
			      uint32_t depth, bool *changed)
{
	if (depth > filesystem->depth) {
		filesystem->depth = depth;
		*changed = true;
	}
}

static bool on_block_device(const struct bf_mount *mount)
{
	return major(mount->dev) || !strcmp(mount->type, "btrfs");
}

static int add_mount(struct bf_holders *holders, const struct bf_mount *mount,
		     bool *changed)
{
	struct bf_filesystem *known;
	uint8_t btrfs_id[16] = { 0 };
	_cleanup_close_ int fd = -1;
	uint32_t depth;
	int ret;

	if (!on_block_device(mount))
		return 0;
	known = bf_holders_filesystem(holders, mount->dev);
	if (!known)
		fd = open_mount(mount);
	depth = mount_depth(holders, mount, known ? known->fd : fd, btrfs_id);
	if (depth && known)
		filesystem_update(known, depth, changed);
	/* Another mount of the same may be reachable: see unreached(). */
	if (!depth || known || fd < 0)
		return 0;
	ret = filesystem_append(holders, mount, fd, depth, btrfs_id);
	if (!ret) {
		fd = -1;
		*changed = true;
	}
	return ret;
}

/* A filesystem of the job of which no mount can be opened cannot be frozen. */
static int unreached(struct bf_holders *holders, const struct bf_mount *mount)
{
	if (!bf_holders_device(holders, mount->dev) ||
	    bf_holders_filesystem(holders, mount->dev))
		return 0;
	for (size_t i = 0; i < holders->nr_findings; i++)
		if (strstr(holders->findings[i].text, mount->mountpoint))
			return 0;
	return bf_holders_note(holders, BF_SEVERITY_REFUSE, "covered-mount",
			       "the %s at %s (in the mounts of process %d) is covered by another mount, so it cannot be frozen: unmount what covers it, or bind it to a second place",
			       mount->type, mount->mountpoint, mount->pid);
}

int bf_holders_add_mounts(struct bf_holders *holders,
			  const struct bf_mounts *mounts, bool *changed,
			  struct bf_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < mounts->nr && !ret; i++)
		ret = add_mount(holders, &mounts->mounts[i], changed);
	for (size_t i = 0; i < mounts->nr && !ret; i++)
		ret = unreached(holders, &mounts->mounts[i]);
	return ret ? bf_fail(err, BF_E_SYSTEM, -ret,
			     "noting the filesystems failed: out of memory") :
		     0;
}
