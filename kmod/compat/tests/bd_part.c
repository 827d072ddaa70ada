/* block_device.bd_part: until "block: merge struct block_device and struct hd_struct", v5.11 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>

sector_t bf_probe(struct block_device *bdev);

sector_t bf_probe(struct block_device *bdev)
{
	return bdev->bd_part->nr_sects;
}
