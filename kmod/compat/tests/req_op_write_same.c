/* REQ_OP_WRITE_SAME: until "block: remove REQ_OP_WRITE_SAME support", v5.18 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blk_types.h>

int bf_probe(void);

int bf_probe(void)
{
	return (int)REQ_OP_WRITE_SAME;
}
