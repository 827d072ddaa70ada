/*
 * bdev_mark_dead(): not in v6.1, in v6.6. md's own headers are not shipped; this
 * one came with the release from which on md raid0 and linear clone every bio
 * ("md: also clone new io if io accounting is disabled", v6.6).
 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>

void bf_probe(struct block_device *bdev);

void bf_probe(struct block_device *bdev)
{
	bdev_mark_dead(bdev, true);
}
