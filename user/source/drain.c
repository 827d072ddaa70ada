// SPDX-License-Identifier: Apache-2.0
/*
 * Drain: windows of dirty extents flow in, joined extents flow out. Keeps
 * RULE 4: the end is believed only with the trailer, and only if the blocks
 * told, the blocks begun with and the trailer's count agree; and RULE 6: what
 * an origin tells is checked before it is used.
 */
#include <errno.h>

#include <wire.h>

#include "source/drain.h"

void bf_walker_start(struct bf_walker *walker, struct bf_extents *extents,
		     uint64_t nr_blocks, const struct bf_ranges *skip,
		     struct bf_extent *window)
{
	*walker = (struct bf_walker){
		.extents = extents,
		.nr_blocks = nr_blocks,
		.skip = skip,
		.window = window,
	};
}

static uint64_t blocks_of(const struct bf_walker *w, uint64_t bytes)
{
	uint32_t granularity = w->extents->granularity_bytes;

	return bytes / granularity + (bytes % granularity != 0);
}

static int check_window(struct bf_walker *w, uint64_t next_bytes,
			struct bf_error *err)
{
	uint64_t device = w->extents->device_bytes, end = w->walked_to_bytes;
	size_t i;

	for (i = 0; i < w->nr; i++) {
		const struct bf_extent *e = &w->window[i];

		if (e->offset_bytes < end || !e->length_bytes ||
		    e->length_bytes > device ||
		    e->offset_bytes > device - e->length_bytes ||
		    e->offset_bytes % WIRE_BLOCK_BYTES ||
		    e->length_bytes % WIRE_BLOCK_BYTES)
			return bf_fail(err, BF_E_TRACKER, EPROTO,
				       "the list of changed blocks (%s) holds an impossible extent at byte %llu; report this as a fault",
				       w->extents->ops->name,
				       (unsigned long long)e->offset_bytes);
		end = e->offset_bytes + e->length_bytes;
	}
	if (!w->end && (next_bytes <= w->from_bytes || next_bytes < end))
		return bf_fail(err, BF_E_TRACKER, EPROTO,
			       "the walk over changed blocks (%s) does not advance from byte %llu; report this as a fault",
			       w->extents->ops->name,
			       (unsigned long long)w->from_bytes);
	w->walked_to_bytes = end;
	return 0;
}

/* The trailer counts what is above the watermark when it is told. */
static int check_trailer(const struct bf_walker *w, uint64_t total_blocks,
			 struct bf_error *err)
{
	if (total_blocks + w->committed_blocks == w->nr_blocks)
		return 0;
	return bf_fail(err, BF_E_INCOMPLETE, EBADMSG,
		       "the walk's trailer counts %llu changed blocks and %llu are committed, but the generation began with %llu; the next pass sends them again",
		       (unsigned long long)total_blocks,
		       (unsigned long long)w->committed_blocks,
		       (unsigned long long)w->nr_blocks);
}

static int check_walked(const struct bf_walker *w, struct bf_error *err)
{
	if (w->blocks == w->nr_blocks)
		return 0;
	return bf_fail(err, BF_E_INCOMPLETE, EBADMSG,
		       "the walk told %llu changed blocks of the generation's %llu; the next pass sends them again",
		       (unsigned long long)w->blocks,
		       (unsigned long long)w->nr_blocks);
}

static int next_window(struct bf_walker *w, struct bf_error *err)
{
	uint64_t next_bytes = w->from_bytes, total_blocks = 0;
	int ret;

	w->next = 0;
	w->nr = 0;
	ret = w->extents->ops->walk(w->extents, w->from_bytes, w->window,
				    BF_WALK_WINDOW_MAX, &w->nr, &next_bytes,
				    &w->end, &total_blocks, err);
	if (!ret)
		ret = check_window(w, next_bytes, err);
	if (!ret && w->end)
		ret = check_trailer(w, total_blocks, err);
	w->from_bytes = next_bytes;
	return ret;
}

/* Return: 1 if the window has an extent, 0 at the proven end. */
static int fill_window(struct bf_walker *w, struct bf_error *err)
{
	while (w->next == w->nr) {
		int ret;

		if (w->end)
			return 0;
		ret = next_window(w, err);
		if (ret)
			return ret;
	}
	return 1;
}

/* The first bytes of the window's next extent are dealt with. */
static void consume(struct bf_walker *w, uint64_t bytes)
{
	struct bf_extent *e = &w->window[w->next];

	w->blocks += blocks_of(w, bytes);
	e->offset_bytes += bytes;
	e->length_bytes -= bytes;
	if (!e->length_bytes)
		w->next++;
}

/* How much of the window's next extent is of one kind; *skip: of which. */
static uint64_t next_run(const struct bf_walker *w, bool *skip)
{
	const struct bf_extent *e = &w->window[w->next], *range;
	uint64_t end_bytes = e->offset_bytes + e->length_bytes, to_bytes;
	size_t i;

	*skip = false;
	if (!w->skip)
		return e->length_bytes;
	i = bf_ranges_find(w->skip, e->offset_bytes);
	if (i == w->skip->nr)
		return e->length_bytes;
	range = &w->skip->range[i];
	*skip = range->offset_bytes <= e->offset_bytes;
	to_bytes = *skip ? range->offset_bytes + range->length_bytes :
			   range->offset_bytes;
	return (to_bytes < end_bytes ? to_bytes : end_bytes) - e->offset_bytes;
}

static void join(struct bf_walker *w, uint64_t bytes)
{
	if (!w->head.length_bytes)
		w->head.offset_bytes = w->window[w->next].offset_bytes;
	w->head.length_bytes += bytes;
	w->bytes += bytes;
	consume(w, bytes);
}

/*
 * Only in front of all that was joined: what is skipped counts as dealt with,
 * and bf_walker_through must not count what lies beyond an untaken head.
 */
static void skip_run(struct bf_walker *w, uint64_t bytes)
{
	w->skipped_bytes += bytes;
	consume(w, bytes);
}

static bool adjoins(const struct bf_walker *w)
{
	return !w->head.length_bytes ||
	       w->window[w->next].offset_bytes ==
	       w->head.offset_bytes + w->head.length_bytes;
}

int bf_walker_peek(struct bf_walker *walker, uint64_t want_bytes,
		   struct bf_extent *out, struct bf_error *err)
{
	while (walker->head.length_bytes < want_bytes) {
		int ret = fill_window(walker, err);
		uint64_t bytes;
		bool skip;

		if (ret < 0)
			return ret;
		if (!ret || !adjoins(walker))
			break;
		bytes = next_run(walker, &skip);
		if (!skip)
			join(walker, bytes);
		else if (walker->head.length_bytes)
			break;
		else
			skip_run(walker, bytes);
	}
	*out = walker->head;
	return walker->head.length_bytes ? 1 : check_walked(walker, err);
}

void bf_walker_take(struct bf_walker *walker, uint64_t bytes)
{
	walker->head.offset_bytes += bytes;
	walker->head.length_bytes -= bytes;
}

uint64_t bf_walker_through(const struct bf_walker *walker, uint64_t *blocks)
{
	uint32_t granularity = walker->extents->granularity_bytes;
	uint64_t through, left;

	*blocks = walker->blocks;
	if (walker->head.length_bytes) {
		through = walker->head.offset_bytes;
		left = through % granularity;
		/* What is left of the head is dirty, from its block's start. */
		*blocks -= blocks_of(walker, walker->head.length_bytes + left);
		return through - left;
	}
	if (walker->next < walker->nr)
		return walker->window[walker->next].offset_bytes;
	return walker->end ? walker->extents->device_bytes : walker->from_bytes;
}

