/* Canary: must compile with every supported kernel, or no probe can be trusted. */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>
#include <linux/module.h>

unsigned int bf_probe(struct request_queue *q);

unsigned int bf_probe(struct request_queue *q)
{
	return queue_logical_block_size(q);
}
