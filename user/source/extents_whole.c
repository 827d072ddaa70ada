// SPDX-License-Identifier: Apache-2.0
/* "Everything once": the first generation is the whole device, later ones are
 * empty but for what was marked or given back. */
#include "source/extents_list.h"

int bf_extents_whole(struct bf_extents **extents, uint64_t device_bytes,
		     uint32_t granularity_bytes, struct bf_error *err)
{
	const struct bf_extent everything = { .length_bytes = device_bytes };

	return bf_extents_list(extents, &bf_extents_whole_ops, device_bytes,
			       granularity_bytes, &everything, 1, err);
}
