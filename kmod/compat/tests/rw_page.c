/* block_device_operations.rw_page: until "block: remove ->rw_page", v6.3 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>

bool bf_probe(const struct block_device_operations *operations);

bool bf_probe(const struct block_device_operations *operations)
{
	return operations->rw_page != NULL;
}
