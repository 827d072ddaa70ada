// SPDX-License-Identifier: Apache-2.0
/*
 * Copy job: a source path and a target as written flow in, a job of one disk
 * flows out. Its name is made from both, so that the same copy started again
 * finds the records of the first.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "cli/cli.h"
#include "cli/copy.h"
#include "lib/cleanup.h"

/* A name from the last part of a path: what is no letter becomes "_". */
static void name_from_path(const char *path, char *name, size_t bytes)
{
	const char *slash = strrchr(path, '/');

	snprintf(name, bytes, "%s", slash ? slash + 1 : path);
	for (char *at = name; *at; at++) {
		if (!isascii((unsigned char)*at) ||
		    (!isalnum((unsigned char)*at) && !strchr("-_.", *at)))
			*at = '_';
	}
	if (!*name || *name == '.' || *name == '-')
		*name = *name ? '_' : 'd';
}

static int absolute_path(const char *path, char absolute[BF_PATH_BYTES],
			 struct bf_error *err)
{
	_cleanup_free_ char *cwd = NULL;
	int length;

	if (*path == '/') {
		length = snprintf(absolute, BF_PATH_BYTES, "%s", path);
	} else {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return bf_fail(err, BF_E_SYSTEM, errno, "getcwd: %s",
				       strerror(errno));
		length = snprintf(absolute, BF_PATH_BYTES, "%s/%s", cwd, path);
	}
	return length < BF_PATH_BYTES ? 0 :
		cli_usage(err, "the path %.200s... is too long", path);
}

/* HOST:PORT/NAME: the last "/" ends the address, which holds no other. */
static bool looks_remote(const char *target)
{
	const char *slash = strchr(target, '/'), *colon;

	if (!slash || slash == target || *target == '.' || strchr(slash + 1, '/'))
		return false;
	colon = memrchr(target, ':', slash - target);
	return colon && colon != target && colon + 1 < slash &&
	       strspn(colon + 1, "0123456789") == (size_t)(slash - colon - 1);
}

static int set_remote(struct bf_job_config *config, const char *target,
		      struct bf_error *err)
{
	struct bf_disk_config *disk = &config->disks[0];
	const char *slash = strchr(target, '/');

	if (!bf_name_valid(slash + 1))
		return cli_usage(err, "\"%.80s\" is not a target's name at a receiver: letters, digits and -_. only",
				 slash + 1);
	if ((size_t)(slash - target) >= sizeof(config->receiver))
		return cli_usage(err, "the receiver's address is too long");
	memcpy(config->receiver, target, slash - target);
	config->receiver[slash - target] = '\0';
	strcpy(disk->target, slash + 1);
	return 0;
}

static void make_job_name(struct bf_job_config *config)
{
	const struct bf_disk_config *disk = &config->disks[0];
	XXH64_hash_t hash;

	hash = XXH64(disk->device, strlen(disk->device), 0);
	hash = XXH64(disk->target, strlen(disk->target), hash);
	hash = XXH64(config->receiver, strlen(config->receiver), hash);
	snprintf(config->name, sizeof(config->name), "copy-%.30s-%08" PRIx32,
		 disk->name, (uint32_t)hash);
}

int cli_copy_job(struct bf_job_config *config, const char *source,
		 const char *target, struct bf_error *err)
{
	struct bf_disk_config *disk = calloc(1, sizeof(*disk));
	int ret;

	bf_job_config_defaults(config, "copy");
	if (!disk)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	config->disks = disk;
	config->nr_disks = 1;
	config->then = BF_THEN_THAW;	/* the source lives on */
	config->then_given = true;
	ret = absolute_path(source, disk->device, err);
	if (ret)
		return ret;
	name_from_path(source, disk->name, sizeof(disk->name));
	disk->target_is_path = !looks_remote(target);
	ret = disk->target_is_path ?
		absolute_path(target, disk->target, err) :
		set_remote(config, target, err);
	make_job_name(config);
	return ret;
}

static int size_of(const char *path, uint64_t *bytes, struct bf_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot open %s: %s",
			       path, strerror(errno));
	*bytes = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, bytes))
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "cannot read the size of %s: %s", path,
			       strerror(errno));
	return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int cli_copy_make_target(const struct bf_disk_config *disk, bool *made,
			 struct bf_error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat source, target;
	uint64_t bytes;
	int ret;

	if (stat(disk->device, &source))
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot stat %s: %s",
			       disk->device, strerror(errno));
	if (!stat(disk->target, &target))
		return same_file(&source, &target) ?
			cli_usage(err, "%s and %s are the same: name another target",
				  disk->device, disk->target) : 0;
	if (!strncmp(disk->target, "/dev/", 5))
		return bf_fail(err, BF_E_NOT_FOUND, ENOENT,
			       "the target %s does not exist", disk->target);
	ret = size_of(disk->device, &bytes, err);
	if (ret)
		return ret;
	fd = open(disk->target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	*made = fd >= 0;
	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		return bf_fail(err, BF_E_TARGET_IO, errno,
			       "cannot create %s: %s", disk->target,
			       strerror(errno));
	return 0;
}
