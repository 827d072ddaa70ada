/* SLAB_NO_MERGE: not in v6.1, in v6.12 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/slab.h>

unsigned long bf_probe(void);

unsigned long bf_probe(void)
{
	return (unsigned long)SLAB_NO_MERGE;
}
