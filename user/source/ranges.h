/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges: byte ranges of a device as a sorted list without overlaps or gaps of
 * length 0: what a full copy leaves out, and what the target therefore lacks.
 * Pure: no I/O.
 */
#ifndef BF_SOURCE_RANGES_H
#define BF_SOURCE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source/extents.h"

/* 2 MiB of memory, and 3 MiB in a record. */
#define BF_RANGES_MAX (128u << 10)

struct bf_ranges {
	struct bf_extent *range;
	size_t nr, room;
};

void bf_ranges_free(struct bf_ranges *ranges);
uint64_t bf_ranges_bytes(const struct bf_ranges *ranges);
/* The first range that ends beyond @offset_bytes, or nr. */
size_t bf_ranges_find(const struct bf_ranges *ranges, uint64_t offset_bytes);

/*
 * Behind all that are there, in any case not before them; joined if it touches.
 * Return: 0, -ENOSPC when there are BF_RANGES_MAX, -EINVAL out of order.
 */
int bf_ranges_append(struct bf_ranges *ranges, uint64_t offset_bytes,
		     uint64_t length_bytes);
/* Puts @more, which may overlap, into @ranges: -ENOMEM, -ENOSPC leave it as is. */
int bf_ranges_add(struct bf_ranges *ranges, const struct bf_ranges *more);
/*
 * Takes ascending extents out. A range that would have to be cut in two while
 * there is no room stays whole: the list then names more than the target lacks,
 * never less.
 */
void bf_ranges_subtract(struct bf_ranges *ranges, const struct bf_extent *what,
			size_t nr);
/* What is not in @ranges, of a device of this size. */
int bf_ranges_complement(const struct bf_ranges *ranges, uint64_t device_bytes,
			 struct bf_ranges *out);

#endif /* BF_SOURCE_RANGES_H */
