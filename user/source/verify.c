// SPDX-License-Identifier: Apache-2.0
/*
 * Verify: ranges flow in, blocks whose digests differ between source and target
 * are counted and flow out to the caller.
 */
#include <errno.h>
#include <string.h>

#include "source/compare.h"

struct verify {
	const struct bf_extent *what;
	size_t nr, next;		/* ranges, the one at hand */
	uint64_t done_bytes;		/* of it */
};

static int next_range(void *context, uint64_t max_bytes,
		      struct bf_compare_range *range, struct bf_error *err)
{
	struct verify *v = context;
	const struct bf_extent *at = &v->what[v->next];
	uint64_t left;

	if (v->next == v->nr)
		return 0;
	left = at->length_bytes - v->done_bytes;
	range->extent = (struct bf_extent){
		.offset_bytes = at->offset_bytes + v->done_bytes,
		.length_bytes = left < max_bytes ? left : max_bytes,
	};
	v->done_bytes += range->extent.length_bytes;
	if (v->done_bytes == at->length_bytes) {
		v->next++;
		v->done_bytes = 0;
	}
	return 1;
}

static void count(struct bf_verify_result *r, uint64_t offset_bytes,
		  uint32_t length_bytes)
{
	struct bf_extent *last = r->nr_first ? &r->first[r->nr_first - 1] : NULL;

	r->differing_blocks++;
	if (last && last->offset_bytes + last->length_bytes == offset_bytes)
		last->length_bytes += length_bytes;
	else if (r->nr_first < sizeof(r->first) / sizeof(r->first[0]))
		r->first[r->nr_first++] =
			(struct bf_extent){ offset_bytes, length_bytes };
}

/* Block by block, as they were compared: from the start of their range. */
static int tell(const struct bf_extent *found, uint32_t block_bytes,
		int (*differ)(void *, uint64_t, uint64_t), void *context,
		struct bf_verify_result *result)
{
	uint64_t at = 0;
	int ret = 0;

	while (at < found->length_bytes && !ret) {
		uint64_t left = found->length_bytes - at;
		uint32_t bytes = left < block_bytes ? left : block_bytes;

		count(result, found->offset_bytes + at, bytes);
		if (differ)
			ret = differ(context, found->offset_bytes + at, bytes);
		at += bytes;
	}
	return ret;
}

static int run(struct bf_session *s, uint32_t block_bytes,
	       int (*differ)(void *, uint64_t, uint64_t), void *context,
	       struct bf_verify_result *result, struct bf_error *err)
{
	struct bf_extent found;

	for (;;) {
		int ret;

		bf_session_listen(s);
		ret = bf_session_check(s, err);
		while (!ret && (ret = bf_compare_peek(s->compare, &found, err)) > 0) {
			ret = tell(&found, block_bytes, differ, context, result);
			bf_compare_take(s->compare, found.length_bytes);
		}
		if (ret != -EINPROGRESS)
			return ret;
		bf_session_wait(s);
	}
}

static int check_ranges(const struct bf_session_disk *disk,
			const struct bf_extent *what, size_t nr,
			struct bf_error *err)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (!what[i].length_bytes ||
		    what[i].length_bytes > disk->size_bytes ||
		    what[i].offset_bytes > disk->size_bytes - what[i].length_bytes ||
		    what[i].offset_bytes % WIRE_BLOCK_BYTES ||
		    what[i].length_bytes % WIRE_BLOCK_BYTES)
			return bf_fail(err, BF_E_USAGE, ERANGE,
				       "disk %s: the range of %llu bytes at byte %llu is empty, unaligned or beyond its end",
				       disk->name,
				       (unsigned long long)what[i].length_bytes,
				       (unsigned long long)what[i].offset_bytes);
	return 0;
}

int bf_session_verify(struct bf_session *session, uint32_t index,
		      const struct bf_extent *what, size_t nr,
		      uint32_t block_bytes,
		      int (*differ)(void *context, uint64_t offset_bytes,
				    uint64_t length_bytes), void *context,
		      struct bf_verify_result *result, struct bf_error *err)
{
	const struct bf_session_disk *disk = &session->disks[index];
	const struct bf_extent all = { .length_bytes = disk->size_bytes };
	struct verify v = { .what = what ? what : &all, .nr = what ? nr : 1 };
	const struct bf_compare_input input = { next_range, &v };
	int ret = check_ranges(disk, v.what, v.nr, err);

	memset(result, 0, sizeof(*result));
	if (!ret && session->spent)
		ret = bf_fail(err, BF_E_STATE, EINVAL,
			      "the session has failed before; open a new one");
	if (!ret)
		ret = bf_compare_start(session, index, block_bytes, &input, err);
	if (ret)
		return ret;
	ret = run(session, block_bytes, differ, context, result, err);
	result->compared_bytes = bf_compare_totals(session->compare)->compared_bytes;
	if (ret)
		session->spent = true;
	return ret;
}
