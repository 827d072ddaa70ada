// SPDX-License-Identifier: Apache-2.0
/*
 * Target: a line of the configuration flows in, an open and locked device or
 * file flows out, or words that say who holds it. Keeps the promise that
 * nothing which anybody else uses is ever written.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wire.h>

#include "lib/cleanup.h"
#include "lib/units.h"
#include "target/target.h"

#define FILE_ALIGN_BYTES 4096
#define LOCK_TRIES 20
#define LOCK_PAUSE_MS 50

void bf_target_init(struct bf_target *target)
{
	*target = (struct bf_target){ .fd = -1, .buffered_fd = -1 };
}

void bf_target_close(struct bf_target *target)
{
	if (target->buffered_fd >= 0)
		close(target->buffered_fd);
	if (target->fd >= 0)
		close(target->fd);
	bf_target_init(target);
}

static int no_target(const struct bf_target *t, int error, struct bf_error *err)
{
	if (error == ENOENT)
		return bf_fail(err, BF_E_NOT_FOUND, error,
			       "target %s: %s does not exist; create it (truncate -s SIZE for a file) or correct its path",
			       t->name, t->path);
	if (error == EMFILE || error == ENFILE || error == ENOMEM)
		return bf_fail(err, BF_E_BUSY, error,
			       "target %s: the receiver is short of means to open %s (%s): fewer sessions at once, or a higher LimitNOFILE= there",
			       t->name, t->path, strerror(error));
	return bf_fail(err, BF_E_CONFIG, error, "target %s: cannot open %s: %s",
		       t->name, t->path, strerror(error));
}

/* Asked of the name, before an open could hang or rewind something. */
static int check_type(struct bf_target *t, struct bf_error *err)
{
	struct stat st;

	if (stat(t->path, &st) < 0)
		return no_target(t, errno, err);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "target %s: %s is neither a block device nor a regular file; correct its path",
			       t->name, t->path);
	t->block_device = S_ISBLK(st.st_mode);
	return 0;
}

static int busy(const struct bf_target *t, struct bf_error *err)
{
	char words[256];

	bf_inspect_holder(t->path, words, sizeof(words));
	return bf_fail(err, BF_E_IN_USE, EBUSY,
		       "target %s: %s is in use: %s; release it first",
		       t->name, t->path, words);
}

/* tmpfs before 6.6 and some network filesystems refuse O_DIRECT. */
static int open_direct(struct bf_target *t, int flags, struct bf_error *err)
{
	t->fd = open(t->path, flags | O_DIRECT);
	t->direct = t->fd >= 0;
	if (t->fd < 0 && errno == EINVAL)
		t->fd = open(t->path, flags);
	if (t->fd < 0)
		return errno == EBUSY ? busy(t, err) : no_target(t, errno, err);
	return 0;
}

static int open_both(struct bf_target *t, bool writable, struct bf_error *err)
{
	int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
	bool exclusive = writable && t->block_device;
	int ret = open_direct(t, flags | (exclusive ? O_EXCL : 0), err);

	if (ret)
		return ret;
	t->buffered_fd = open(t->path, flags);
	return t->buffered_fd < 0 ? no_target(t, errno, err) : 0;
}

/* Both descriptors must be of the same thing that check_type saw. */
static int check_same(const struct bf_target *t, struct bf_error *err)
{
	struct stat a, b;

	if (fstat(t->fd, &a) < 0 || fstat(t->buffered_fd, &b) < 0)
		return no_target(t, errno, err);
	if (a.st_dev != b.st_dev || a.st_ino != b.st_ino ||
	    a.st_rdev != b.st_rdev || S_ISBLK(a.st_mode) != t->block_device)
		return bf_fail(err, BF_E_CONFIG, EAGAIN,
			       "target %s: %s was replaced while it was opened; try again",
			       t->name, t->path);
	return 0;
}

/*
 * O_NONBLOCK kept the opening from hanging on something else under that name.
 * It must not stay: io_uring then fails a write with EAGAIN where the device
 * would have to be waited for.
 */
static int make_blocking(const struct bf_target *t, struct bf_error *err)
{
	const int fds[] = { t->fd, t->buffered_fd };

	for (int i = 0; i < 2; i++) {
		int flags = fcntl(fds[i], F_GETFL);

		if (flags < 0 || fcntl(fds[i], F_SETFL, flags & ~O_NONBLOCK) < 0)
			return no_target(t, errno, err);
	}
	return 0;
}

/* Virtual machines lock their images so; whoever does must not meet us. */
static int lock_file(struct bf_target *t, struct bf_error *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char device[64];

	if (fcntl(t->fd, F_OFD_SETLK, &lock) < 0 &&
	    (errno == EAGAIN || errno == EACCES))
		return bf_fail(err, BF_E_IN_USE, EBUSY,
			       "target %s: %s is locked by another program, a virtual machine perhaps; stop it first",
			       t->name, t->path);
	if (bf_inspect_loop(t->fd, device, sizeof(device)))
		return bf_fail(err, BF_E_IN_USE, EBUSY,
			       "target %s: %s is attached to %s; losetup -d %s first",
			       t->name, t->path, device, device);
	return 0;
}

/* udev looks at a device that was closed or changed, and locks it meanwhile. */
static int lock_soon(int fd)
{
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (i == LOCK_TRIES)
			return -errno;
		poll(NULL, 0, LOCK_PAUSE_MS);
	}
	return 0;
}

static int lock(struct bf_target *t, struct bf_error *err)
{
	if (lock_soon(t->fd))
		return bf_fail(err, BF_E_IN_USE, EBUSY,
			       "target %s: %s is locked by another program; stop it first",
			       t->name, t->path);
	return t->block_device ? 0 : lock_file(t, err);
}

/*
 * Only kernels from 6.1 on tell, so a read is tried: most files on disks with
 * sectors of 512 bytes take 512, and 4096 is safe everywhere.
 */
static uint32_t file_align_bytes(int fd)
{
	_cleanup_free_ void *block = NULL;

	if (posix_memalign(&block, FILE_ALIGN_BYTES, FILE_ALIGN_BYTES))
		return FILE_ALIGN_BYTES;
	if (pread(fd, (char *)block + WIRE_BLOCK_BYTES, WIRE_BLOCK_BYTES,
		  WIRE_BLOCK_BYTES) == WIRE_BLOCK_BYTES)
		return WIRE_BLOCK_BYTES;
	return FILE_ALIGN_BYTES;
}

static int measure(struct bf_target *t, struct bf_error *err)
{
	struct stat st;
	int sector_bytes;

	if (!t->block_device) {
		if (fstat(t->fd, &st) < 0)
			return no_target(t, errno, err);
		t->size_bytes = (uint64_t)st.st_size;
		t->align_bytes = t->direct ? file_align_bytes(t->fd) : 1;
		return 0;
	}
	if (ioctl(t->fd, BLKGETSIZE64, &t->size_bytes) < 0 ||
	    ioctl(t->fd, BLKSSZGET, &sector_bytes) < 0)
		return no_target(t, errno, err);
	t->align_bytes = t->direct ? (uint32_t)sector_bytes : 1;
	return 0;
}

static int open_locked(struct bf_target *t, bool writable, struct bf_error *err)
{
	int ret = check_type(t, err);

	if (!ret)
		ret = open_both(t, writable, err);
	if (!ret)
		ret = check_same(t, err);
	if (!ret)
		ret = make_blocking(t, err);
	if (!ret && writable)
		ret = lock(t, err);
	if (!ret)
		ret = measure(t, err);
	return ret;
}

int bf_target_open(struct bf_target *target,
		   const struct bf_target_config *config, bool writable,
		   struct bf_error *err)
{
	int ret;

	bf_target_init(target);
	snprintf(target->name, sizeof(target->name), "%s", config->name);
	snprintf(target->path, sizeof(target->path), "%s", config->path);
	ret = open_locked(target, writable, err);
	if (ret) {
		bf_target_close(target);
		return ret;
	}
	bf_inspect_identity(target);
	return 0;
}

int bf_target_refresh(struct bf_target *target)
{
	struct stat now, opened;

	if (stat(target->path, &now) < 0 || fstat(target->fd, &opened) < 0 ||
	    now.st_dev != opened.st_dev || now.st_ino != opened.st_ino ||
	    now.st_rdev != opened.st_rdev)
		return -ESTALE;
	return measure(target, NULL);
}

int bf_target_check_size(const struct bf_target *target, uint64_t source_bytes,
			 struct bf_error *err)
{
	char has[BF_UNIT_TEXT_BYTES], needs[BF_UNIT_TEXT_BYTES];

	if (target->size_bytes >= source_bytes)
		return 0;
	bf_format_size(target->size_bytes, has);
	bf_format_size(source_bytes, needs);
	return bf_fail(err, BF_E_TOO_SMALL, ENOSPC,
		       target->block_device ?
		       "target %s: %s has %llu bytes (%s), the source %llu (%s); give it a device that is at least as large" :
		       "target %s: %s has %llu bytes (%s), the source %llu (%s); enlarge it with truncate -s",
		       target->name, target->path,
		       (unsigned long long)target->size_bytes, has,
		       (unsigned long long)source_bytes, needs);
}

bool bf_target_aligned(const struct bf_target *target, uint64_t offset_bytes,
		       uint64_t length_bytes, uint64_t buffer_offset)
{
	return !((offset_bytes | length_bytes | buffer_offset) &
		 (target->align_bytes - 1));
}
