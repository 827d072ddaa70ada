/* bdev_nr_sectors(): not in v5.10, in v6.1 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>

sector_t bf_probe(struct block_device *bdev);

sector_t bf_probe(struct block_device *bdev)
{
	return bdev_nr_sectors(bdev);
}
