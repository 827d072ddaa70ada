// SPDX-License-Identifier: Apache-2.0
/*
 * Zero: ranges flow in and read as zeroes afterwards, without zeroes having
 * been written where the target has a better way. The first range of a target
 * is read back: a device that promises zeroes and keeps its old content gets
 * them written from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/log.h"
#include "target/target.h"

#define PIECE_BYTES (256ull << 20)	/* between two signs of life */
#define PROBE_BYTES 4096

static int punch(const struct bf_target *t, uint64_t offset, uint64_t length)
{
	if (fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)offset, (off_t)length) < 0)
		return -errno;
	return 0;
}

static int zero_out(const struct bf_target *t, uint64_t offset, uint64_t length)
{
	uint64_t range[2] = { offset, length };

	if (!t->block_device)
		return -EOPNOTSUPP;
	return ioctl(t->fd, BLKZEROOUT, range) < 0 ? -errno : 0;
}

/* Refusals of the method, not of the device. */
static bool unsupported(int ret)
{
	return ret == -EOPNOTSUPP || ret == -EINVAL || ret == -ENOTTY ||
	       ret == -ENOSYS || ret == -EPERM;
}

static int zero_piece(struct bf_target *t, uint64_t offset, uint64_t length)
{
	int ret = -EOPNOTSUPP;

	if (t->zero_method == BF_ZERO_PUNCH) {
		ret = punch(t, offset, length);
		if (unsupported(ret))
			t->zero_method = BF_ZERO_IOCTL;
	}
	if (t->zero_method == BF_ZERO_IOCTL) {
		ret = zero_out(t, offset, length);
		if (unsupported(ret))
			t->zero_method = BF_ZERO_WRITE;
	}
	return unsupported(ret) ? -EOPNOTSUPP : ret;
}

static int reads_zero(const struct bf_target *t, uint64_t offset, bool *zero)
{
	_cleanup_free_ uint8_t *block = NULL;
	ssize_t got;

	if (posix_memalign((void **)&block, PROBE_BYTES, PROBE_BYTES))
		return -ENOMEM;
	got = pread(t->fd, block, PROBE_BYTES, (off_t)offset);
	if (got < 0)
		return -errno;
	*zero = got == PROBE_BYTES && bf_is_zero(block, PROBE_BYTES);
	return 0;
}

/* The first and the last aligned block of the first range. */
static int prove(struct bf_target *t, uint64_t offset, uint64_t length)
{
	uint64_t first = (offset + PROBE_BYTES - 1) & ~(PROBE_BYTES - 1ull);
	uint64_t end = (offset + length) & ~(PROBE_BYTES - 1ull);
	bool head = false, tail = false;
	int ret;

	if (t->zero_proven || end <= first)
		return 0;
	ret = reads_zero(t, first, &head);
	if (!ret)
		ret = reads_zero(t, end - PROBE_BYTES, &tail);
	if (ret)
		return ret;
	t->zero_proven = true;
	if (head && tail)
		return 0;
	bf_warn("target %s: %s keeps its content where it was asked for zeroes: they are written from now on",
		t->name, t->path);
	t->zero_method = BF_ZERO_WRITE;
	return -EOPNOTSUPP;
}

int bf_target_zero(struct bf_target *target, uint64_t offset_bytes,
		   uint64_t length_bytes, uint64_t *done_bytes)
{
	uint64_t piece = length_bytes < PIECE_BYTES ? length_bytes : PIECE_BYTES;
	int ret;

	*done_bytes = 0;
	if (!bf_target_aligned(target, offset_bytes, length_bytes, 0))
		return -EOPNOTSUPP;
	ret = zero_piece(target, offset_bytes, piece);
	if (!ret)
		ret = prove(target, offset_bytes, piece);
	if (!ret)
		*done_bytes = piece;
	return ret;
}
