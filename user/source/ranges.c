// SPDX-License-Identifier: Apache-2.0
/*
 * Ranges: see ranges.h. Edits move what lies behind; lists are short beside the
 * blocks whose sending causes the edits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/ranges.h"

static uint64_t end_of(const struct bf_extent *e)
{
	return e->offset_bytes + e->length_bytes;
}

void bf_ranges_free(struct bf_ranges *ranges)
{
	free(ranges->range);
	*ranges = (struct bf_ranges){ 0 };
}

uint64_t bf_ranges_bytes(const struct bf_ranges *ranges)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < ranges->nr; i++)
		bytes += ranges->range[i].length_bytes;
	return bytes;
}

size_t bf_ranges_find(const struct bf_ranges *ranges, uint64_t offset_bytes)
{
	size_t low = 0, high = ranges->nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (end_of(&ranges->range[middle]) <= offset_bytes)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct bf_ranges *ranges)
{
	size_t room = ranges->room ? ranges->room * 2 : 64;
	struct bf_extent *grown;

	if (ranges->nr < ranges->room)
		return 0;
	if (ranges->nr >= BF_RANGES_MAX)
		return -ENOSPC;
	grown = reallocarray(ranges->range, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	ranges->range = grown;
	ranges->room = room;
	return 0;
}

int bf_ranges_append(struct bf_ranges *ranges, uint64_t offset_bytes,
		     uint64_t length_bytes)
{
	struct bf_extent *last = ranges->nr ? &ranges->range[ranges->nr - 1] : NULL;
	int ret;

	if (!length_bytes)
		return 0;
	if (last && offset_bytes < end_of(last))
		return -EINVAL;
	if (last && offset_bytes == end_of(last)) {
		last->length_bytes += length_bytes;
		return 0;
	}
	ret = make_room(ranges);
	if (!ret)
		ranges->range[ranges->nr++] =
			(struct bf_extent){ offset_bytes, length_bytes };
	return ret;
}

/* Appends what of @e lies beyond the end of the list. */
static int append_rest(struct bf_ranges *ranges, const struct bf_extent *e)
{
	uint64_t from = e->offset_bytes, end = end_of(e);
	const struct bf_extent *last = ranges->nr ? &ranges->range[ranges->nr - 1] : NULL;

	if (last && from < end_of(last))
		from = end_of(last);
	return from < end ? bf_ranges_append(ranges, from, end - from) : 0;
}

int bf_ranges_add(struct bf_ranges *ranges, const struct bf_ranges *more)
{
	struct bf_ranges sum = { 0 };
	size_t a = 0, b = 0;
	int ret = 0;

	while (!ret && (a < ranges->nr || b < more->nr)) {
		bool ours = b == more->nr || (a < ranges->nr &&
			ranges->range[a].offset_bytes <= more->range[b].offset_bytes);

		ret = append_rest(&sum, ours ? &ranges->range[a++] : &more->range[b++]);
	}
	if (ret) {
		bf_ranges_free(&sum);
		return ret;
	}
	bf_ranges_free(ranges);
	*ranges = sum;
	return 0;
}

static void remove_range(struct bf_ranges *ranges, size_t i)
{
	ranges->nr--;
	memmove(&ranges->range[i], &ranges->range[i + 1],
		(ranges->nr - i) * sizeof(ranges->range[0]));
}

/* @from to @end lies inside range @i and touches neither of its ends. */
static void cut_in_two(struct bf_ranges *ranges, size_t i, uint64_t from,
		       uint64_t end)
{
	struct bf_extent *e;
	uint64_t old_end;

	if (make_room(ranges))
		return;
	e = &ranges->range[i];
	old_end = end_of(e);
	memmove(e + 1, e, (ranges->nr - i) * sizeof(*e));
	ranges->nr++;
	e[0].length_bytes = from - e[0].offset_bytes;
	e[1] = (struct bf_extent){ end, old_end - end };
}

static void subtract_one(struct bf_ranges *ranges, const struct bf_extent *what)
{
	uint64_t from = what->offset_bytes, end = end_of(what);
	size_t i = bf_ranges_find(ranges, from);

	while (i < ranges->nr && ranges->range[i].offset_bytes < end) {
		struct bf_extent *e = &ranges->range[i];
		uint64_t e_end = end_of(e);

		if (from > e->offset_bytes && end < e_end) {
			cut_in_two(ranges, i, from, end);
			break;
		}
		if (from > e->offset_bytes) {
			e->length_bytes = from - e->offset_bytes;
			i++;
		} else if (end < e_end) {
			*e = (struct bf_extent){ end, e_end - end };
			break;
		} else {
			remove_range(ranges, i);
		}
	}
}

void bf_ranges_subtract(struct bf_ranges *ranges, const struct bf_extent *what,
			size_t nr)
{
	for (size_t i = 0; i < nr && ranges->nr; i++)
		subtract_one(ranges, &what[i]);
}

int bf_ranges_complement(const struct bf_ranges *ranges, uint64_t device_bytes,
			 struct bf_ranges *out)
{
	uint64_t from = 0;
	int ret = 0;

	for (size_t i = 0; i < ranges->nr && !ret; i++) {
		const struct bf_extent *e = &ranges->range[i];

		ret = bf_ranges_append(out, from, e->offset_bytes - from);
		from = end_of(e);
	}
	return ret ? ret : bf_ranges_append(out, from, device_bytes - from);
}
