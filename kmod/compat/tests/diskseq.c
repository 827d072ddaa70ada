/* gendisk.diskseq: "block: add disk sequence number", v5.15 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>

u64 bf_probe(struct gendisk *disk);

u64 bf_probe(struct gendisk *disk)
{
	return disk->diskseq;
}
