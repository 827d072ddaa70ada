/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Skip: mounted filesystems and swap areas of a disk flow in, the ranges whose
 * content nobody needs flow out: what a full copy need not read.
 *
 * Sound only after the `begin` whose generation it filters, and for that
 * generation alone: what is free then, and taken into use later, is written
 * later, and so is in the next generation. Asked before the begin, it would call
 * free what was written in between.
 */
#ifndef BF_SOURCE_SKIP_H
#define BF_SOURCE_SKIP_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"
#include "source/ranges.h"

/* Where on the disk @disk the device @dev, it or a partition of it, lies. */
int bf_skip_place(dev_t disk, dev_t dev, uint64_t *offset_bytes,
		  uint64_t *length_bytes);
/*
 * bf_skip_free_space - what the frozen filesystem calls free
 * @fd: of its root, ext4 or xfs
 * @dev: the device that its addresses mean
 * @granularity_bytes: ranges are rounded inwards to it, and short ones left out
 * @deadline_ns: CLOCK_MONOTONIC; what was not told by then is not skipped
 * @out: empty, ranges relative to the disk
 *
 * Return: 0, -EOPNOTSUPP where the filesystem cannot tell, or another errno.
 */
int bf_skip_free_space(int fd, dev_t dev, uint64_t offset_bytes,
		       uint64_t length_bytes, uint32_t granularity_bytes,
		       uint64_t deadline_ns, struct bf_ranges *out);
/* The content of a swap area, without its header. */
int bf_skip_swap(uint64_t offset_bytes, uint64_t length_bytes,
		 uint32_t granularity_bytes, struct bf_ranges *out);

#endif /* BF_SOURCE_SKIP_H */
