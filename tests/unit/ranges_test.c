// SPDX-License-Identifier: Apache-2.0
/*
 * Ranges. Policy: whatever is added, taken out or turned round, the list says of
 * each block what a plain array of blocks says, sorted and joined.
 */
#include <errno.h>
#include <stdlib.h>

#include "source/ranges.h"
#include "tap.h"

#define BLOCKS 200

static bool model[BLOCKS];
static uint32_t seed = 1;

static uint32_t draw(uint32_t limit)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % limit;
}

static void check_model(const struct bf_ranges *ranges)
{
	uint64_t end = 0, bytes = 0;
	bool said[BLOCKS] = { false };

	for (size_t i = 0; i < ranges->nr; i++) {
		const struct bf_extent *e = &ranges->range[i];

		check(e->length_bytes > 0);
		check(!i || e->offset_bytes > end);	/* else they were joined */
		end = e->offset_bytes + e->length_bytes;
		check(end <= BLOCKS);
		for (uint64_t b = e->offset_bytes; b < end; b++)
			said[b] = true;
		bytes += e->length_bytes;
	}
	check_eq(bf_ranges_bytes(ranges), bytes);
	for (int b = 0; b < BLOCKS; b++)
		check_eq(said[b], model[b]);
}

/* Up to @max ascending extents; the model takes @value there. */
static size_t draw_extents(struct bf_extent *out, size_t max, bool value)
{
	uint64_t at = draw(20);
	size_t nr = 0;

	while (nr < max && at < BLOCKS - 12) {
		out[nr] = (struct bf_extent){ at, 1 + draw(12) };
		for (uint64_t b = 0; b < out[nr].length_bytes; b++)
			model[at + b] = value;
		at += out[nr++].length_bytes + draw(25);
	}
	return nr;
}

static void random_edits(void)
{
	struct bf_ranges ranges = { 0 };
	struct bf_extent list[20];

	for (int round = 0; round < 2000; round++) {
		struct bf_ranges more = { 0 };
		size_t nr = draw_extents(list, 20, true);

		for (size_t i = 0; i < nr; i++)
			check_eq(bf_ranges_append(&more, list[i].offset_bytes,
						  list[i].length_bytes), 0);
		check_eq(bf_ranges_add(&ranges, &more), 0);
		bf_ranges_free(&more);
		check_model(&ranges);
		nr = draw_extents(list, 20, false);
		bf_ranges_subtract(&ranges, list, nr);
		check_model(&ranges);
	}
	bf_ranges_free(&ranges);
}

static void complements(void)
{
	struct bf_ranges ranges = { 0 };
	struct bf_extent list[20];

	for (int round = 0; round < 200; round++) {
		struct bf_ranges other = { 0 };
		size_t nr;

		memset(model, 0, sizeof(model));
		nr = draw_extents(list, 20, true);
		for (size_t i = 0; i < nr; i++)
			check_eq(bf_ranges_append(&ranges, list[i].offset_bytes,
						  list[i].length_bytes), 0);
		check_eq(bf_ranges_complement(&ranges, BLOCKS, &other), 0);
		for (int b = 0; b < BLOCKS; b++)
			model[b] = !model[b];
		check_model(&other);
		bf_ranges_free(&other);
		bf_ranges_free(&ranges);
	}
}

static void order_and_limit(void)
{
	struct bf_ranges ranges = { 0 };

	check_eq(bf_ranges_append(&ranges, 100, 10), 0);
	check_eq(bf_ranges_append(&ranges, 109, 10), -EINVAL);
	check_eq(bf_ranges_append(&ranges, 50, 10), -EINVAL);
	check_eq(bf_ranges_append(&ranges, 110, 0), 0);
	check_eq(ranges.nr, 1);
	for (uint64_t i = 1; i < BF_RANGES_MAX; i++)
		check_eq(bf_ranges_append(&ranges, 200 * i, 1), 0);
	check_eq(bf_ranges_append(&ranges, 200ull * BF_RANGES_MAX, 1), -ENOSPC);
	check_eq(ranges.nr, BF_RANGES_MAX);
	/* No room to cut in two: it says more. */
	bf_ranges_subtract(&ranges, &(struct bf_extent){ 105, 1 }, 1);
	check_eq(ranges.nr, BF_RANGES_MAX);
	check_eq(ranges.range[0].offset_bytes, 100);
	check_eq(ranges.range[0].length_bytes, 10);
	bf_ranges_free(&ranges);
}

int main(void)
{
	tap_run("random edits", random_edits);
	tap_run("complements", complements);
	tap_run("order and limit", order_and_limit);
	return tap_done();
}
