/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extents kept in memory: what the "file" and "whole" tables are made of.
 */
#ifndef BF_SOURCE_EXTENTS_LIST_H
#define BF_SOURCE_EXTENTS_LIST_H

#include "source/extents.h"

extern const struct bf_extents_ops bf_extents_file_ops, bf_extents_whole_ops;

/*
 * The first generation is @what: any order, overlaps allowed, rounded out to
 * the granularity. -ERANGE if one is empty or ends beyond the device. @ops: one
 * of the two above.
 */
int bf_extents_list(struct bf_extents **extents, const struct bf_extents_ops *ops,
		    uint64_t device_bytes, uint32_t granularity_bytes,
		    const struct bf_extent *what, size_t nr,
		    struct bf_error *err);

#endif /* BF_SOURCE_EXTENTS_LIST_H */
