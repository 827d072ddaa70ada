/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target: a block device or a raw file that blocks are written to. Opened for
 * writing it is locked against everybody else: O_EXCL for block devices (file
 * systems, swap, dm, md, LVM), flock for both, an open-file lock for files
 * (virtual machines).
 */
#ifndef BF_TARGET_TARGET_H
#define BF_TARGET_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/config.h"
#include "lib/error.h"

#define BF_TARGET_IDENTITY_BYTES 256

enum bf_zero_method {
	BF_ZERO_PUNCH,		/* fallocate: deallocates, reads as zeroes */
	BF_ZERO_IOCTL,		/* BLKZEROOUT */
	BF_ZERO_WRITE,		/* nothing but writing works */
};

struct bf_target {
	char name[BF_NAME_BYTES];
	char path[BF_PATH_BYTES];
	/* What stays the same when /dev/sdX becomes another disk's name does
	 * not: serial number, UUID, place on the bus and size where it has
	 * neither, inode and birth time of a file. */
	char identity[BF_TARGET_IDENTITY_BYTES];
	int fd;			/* O_DIRECT if @direct */
	int buffered_fd;	/* for what is not aligned */
	bool block_device, direct;
	uint32_t align_bytes;	/* of offset, length and memory through @fd */
	uint64_t size_bytes;
	enum bf_zero_method zero_method;
	bool zero_proven;	/* a zeroed range was read back */
};

/*
 * Opens, and for writing locks, what @config names. BF_E_NOT_FOUND,
 * BF_E_IN_USE and BF_E_CONFIG say who holds it or what is wrong.
 */
int bf_target_open(struct bf_target *target,
		   const struct bf_target_config *config, bool writable,
		   struct bf_error *err);
/* Safe for one that was never opened, if its descriptors are -1. */
void bf_target_close(struct bf_target *target);
void bf_target_init(struct bf_target *target);
/* Of one kept open: -ESTALE if its path names something else now; its size
 * may have changed. */
int bf_target_refresh(struct bf_target *target);

/* BF_E_TOO_SMALL, naming both sizes. */
int bf_target_check_size(const struct bf_target *target, uint64_t source_bytes,
			 struct bf_error *err);
/* BF_E_SIGNATURE, naming what libblkid finds on it. */
int bf_target_check_empty(const struct bf_target *target, struct bf_error *err);

/* May this go through target->fd, from memory at @buffer_offset of a page? */
bool bf_target_aligned(const struct bf_target *target, uint64_t offset_bytes,
		       uint64_t length_bytes, uint64_t buffer_offset);

/*
 * Make a range read as zeroes without sending them, in bounded pieces: zeroes
 * up to one piece and says in *done_bytes how much. -EOPNOTSUPP: write zeroes.
 */
int bf_target_zero(struct bf_target *target, uint64_t offset_bytes,
		   uint64_t length_bytes, uint64_t *done_bytes);

/* inspect.c: for target.c. */
void bf_inspect_identity(struct bf_target *target);
/* Is the open @target what had @identity when it was reached by @path? */
bool bf_inspect_is_target(const struct bf_target *target, const char *path,
			  const char *identity);
/* Who holds the block device, in words; a guess where nobody can be named. */
void bf_inspect_holder(const char *path, char *words, size_t bytes);
/* Is the file the backing of a loop device? */
bool bf_inspect_loop(int fd, char *device, size_t bytes);

#endif /* BF_TARGET_TARGET_H */
