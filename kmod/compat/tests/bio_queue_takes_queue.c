/* block_bio_queue has the queue as its first argument: v5.10, no longer in v5.15 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>
#include <trace/events/block.h>

void bf_probe(void);

static void bio_queue(void *data, struct request_queue *queue, struct bio *bio)
{
}

void bf_probe(void)
{
	check_trace_callback_type_block_bio_queue(bio_queue);
}
