/* bio.bi_bdev: "block: store a block_device pointer in struct bio", v5.12 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>

struct block_device *bf_probe(struct bio *bio);

struct block_device *bf_probe(struct bio *bio)
{
	return bio->bi_bdev;
}
