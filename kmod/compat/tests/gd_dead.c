/* GD_DEAD: "block: drain file system I/O on del_gendisk", v5.15 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>

int bf_probe(struct gendisk *disk);

int bf_probe(struct gendisk *disk)
{
	return test_bit(GD_DEAD, &disk->state);
}
