/* block_rq_complete reports a blk_status_t: not yet in v5.15, in v6.1 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>
#include <trace/events/block.h>

void bf_probe(void);

static void rq_complete(void *data, struct request *rq, blk_status_t error,
			unsigned int nr_bytes)
{
}

void bf_probe(void)
{
	check_trace_callback_type_block_rq_complete(rq_complete);
}
