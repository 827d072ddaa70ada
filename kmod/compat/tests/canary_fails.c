/* Canary: must not compile with any kernel, or no probe can be trusted. */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>
#include <linux/module.h>

unsigned int bf_probe(struct request_queue *q);

unsigned int bf_probe(struct request_queue *q)
{
	return queue_that_no_kernel_ever_had(q);
}
