// SPDX-License-Identifier: Apache-2.0
/*
 * Resync: the dirty extents of a generation flow in from the walker; what of
 * them differs at the target flows out to be read and sent. All of a disk that
 * is in doubt was marked dirty before the generation began, and each block is
 * read after that: a block that is equal then, and changes later, is in the
 * next generation (RULE 2). The watermark follows what was compared, so that
 * an interrupted resync goes on from there.
 */
#include <errno.h>

#include "source/compare.h"

#define BLOCK_BYTES 4096u
/*
 * A short run was written by somebody since the last begin: it is sent without
 * a question, which would cost more than it could save.
 */
#define RUN_MIN_BYTES (64u << 10)

static bool is_asked_about(const struct bf_session *s, const struct bf_extent *e)
{
	return e->length_bytes >= RUN_MIN_BYTES ||
	       e->offset_bytes == s->asked_to_bytes;
}

static int next_range(void *context, uint64_t max_bytes,
		      struct bf_compare_range *range, struct bf_error *err)
{
	struct bf_session *s = context;
	int ret;

	range->mark[0] = bf_walker_through(&s->walker, &range->mark[1]);
	ret = bf_walker_peek(&s->walker, max_bytes, &range->extent, err);
	if (ret <= 0)
		return ret;
	if (range->extent.length_bytes > max_bytes)
		range->extent.length_bytes = max_bytes;
	range->compare = is_asked_about(s, &range->extent);
	if (range->compare)
		s->asked_to_bytes = range->extent.offset_bytes +
				    range->extent.length_bytes;
	bf_walker_take(&s->walker, range->extent.length_bytes);
	return 1;
}

int bf_resync_start(struct bf_session *session, uint32_t disk,
		    struct bf_error *err)
{
	const struct bf_compare_input input = { next_range, session };
	int ret = bf_compare_start(session, disk, BLOCK_BYTES, &input, err);

	session->resyncing = !ret;
	session->asked_to_bytes = UINT64_MAX;
	return ret;
}

int bf_resync_end(struct bf_session *session, struct bf_pass_disk *disk,
		  struct bf_error *err)
{
	const struct bf_compare_totals *totals = bf_compare_totals(session->compare);
	uint64_t walked_bytes = session->walker.bytes;

	session->resyncing = false;
	disk->compared_bytes = totals->compared_bytes;
	disk->planned_bytes = totals->differing_bytes + totals->unasked_bytes;
	if (totals->compared_bytes + totals->unasked_bytes == walked_bytes)
		return 0;
	return bf_fail(err, BF_E_INCOMPLETE, EBADMSG,
		       "of %llu bytes in doubt %llu were compared and %llu sent without; the next pass compares them again",
		       (unsigned long long)walked_bytes,
		       (unsigned long long)totals->compared_bytes,
		       (unsigned long long)totals->unasked_bytes);
}

int bf_plan_peek(struct bf_session *session, uint64_t want_bytes,
		 struct bf_extent *out, struct bf_error *err)
{
	if (session->resyncing)
		return bf_compare_peek(session->compare, out, err);
	return bf_walker_peek(&session->walker, want_bytes, out, err);
}

void bf_plan_take(struct bf_session *session, uint64_t bytes)
{
	if (session->resyncing)
		bf_compare_take(session->compare, bytes);
	else
		bf_walker_take(&session->walker, bytes);
}

uint64_t bf_plan_through(struct bf_session *session, uint64_t *blocks)
{
	const uint64_t *mark = session->resyncing ?
			       bf_compare_mark(session->compare) : NULL;

	if (!mark)
		return bf_walker_through(&session->walker, blocks);
	*blocks = mark[1];
	return mark[0];
}
