// SPDX-License-Identifier: Apache-2.0
/*
 * Extents in memory: a list flows in, generations of it flow out, with the
 * same promises as the module's: what is not committed comes back (RULE 2), a
 * walk ends with a count, a final commit states one (RULE 4).
 */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "source/extents_list.h"

struct set {
	struct bf_extent *extents;
	size_t nr, room;
};

struct list {
	struct bf_extents base;
	struct set active;		/* the next generation, any order */
	struct set owned;		/* ascending, disjoint, on blocks */
	bool begun;
	uint64_t number, watermark_bytes, nr_blocks;
};

static struct list *to_list(struct bf_extents *extents)
{
	return (struct list *)extents;
}

static int set_add(struct set *set, struct bf_extent what, struct bf_error *err)
{
	if (set->nr == set->room) {
		size_t room = set->room ? 2 * set->room : 64;
		void *more = reallocarray(set->extents, room, sizeof(what));

		if (!more)
			return bf_fail(err, BF_E_SYSTEM, ENOMEM,
				       "out of memory for a list of extents");
		set->extents = more;
		set->room = room;
	}
	set->extents[set->nr++] = what;
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct bf_extent *x = a, *y = b;

	return (x->offset_bytes > y->offset_bytes) -
	       (x->offset_bytes < y->offset_bytes);
}

static void set_merge(struct set *set)
{
	size_t i, n = 0;

	if (!set->nr)
		return;
	qsort(set->extents, set->nr, sizeof(*set->extents), by_offset);
	for (i = 1; i < set->nr; i++) {
		struct bf_extent *last = &set->extents[n], *e = &set->extents[i];
		uint64_t end = e->offset_bytes + e->length_bytes;

		if (e->offset_bytes > last->offset_bytes + last->length_bytes)
			set->extents[++n] = *e;
		else if (end > last->offset_bytes + last->length_bytes)
			last->length_bytes = end - last->offset_bytes;
	}
	set->nr = n + 1;
}

static uint64_t blocks_of(const struct list *l, uint64_t bytes)
{
	uint32_t granularity = l->base.granularity_bytes;

	return bytes / granularity + (bytes % granularity != 0);
}

static uint64_t blocks_above(const struct list *l, uint64_t from_bytes)
{
	uint64_t blocks = 0;
	size_t i;

	for (i = 0; i < l->owned.nr; i++) {
		const struct bf_extent *e = &l->owned.extents[i];
		uint64_t end = e->offset_bytes + e->length_bytes;

		if (end > from_bytes)
			blocks += blocks_of(l, end - (e->offset_bytes > from_bytes ?
						      e->offset_bytes : from_bytes));
	}
	return blocks;
}

static int add_rounded(struct list *l, const struct bf_extent *what,
		       struct bf_error *err)
{
	uint64_t granularity = l->base.granularity_bytes, start, end;

	if (!what->length_bytes || what->length_bytes > l->base.device_bytes ||
	    what->offset_bytes > l->base.device_bytes - what->length_bytes)
		return bf_fail(err, BF_E_USAGE, ERANGE,
			       "the extent of %llu bytes at byte %llu is empty or ends beyond the device's %llu bytes",
			       (unsigned long long)what->length_bytes,
			       (unsigned long long)what->offset_bytes,
			       (unsigned long long)l->base.device_bytes);
	start = what->offset_bytes / granularity * granularity;
	end = what->offset_bytes + what->length_bytes;
	end += (granularity - end % granularity) % granularity;
	if (end > l->base.device_bytes)
		end = l->base.device_bytes;
	return set_add(&l->active, (struct bf_extent){ start, end - start }, err);
}

static int begin_one(struct list *l, struct bf_generation *generation,
		     struct bf_error *err)
{
	struct set empty = { 0 };

	if (l->begun)
		return bf_fail(err, BF_E_BUSY, EBUSY,
			       "a generation of these extents is owned already");
	set_merge(&l->active);
	free(l->owned.extents);
	l->owned = l->active;
	l->active = empty;
	l->begun = true;
	l->watermark_bytes = 0;
	l->nr_blocks = blocks_above(l, 0);
	*generation = (struct bf_generation){
		.number = ++l->number,
		.nr_blocks = l->nr_blocks,
		.writes = UINT64_MAX,
	};
	return 0;
}

static int list_abort(struct bf_extents *extents, struct bf_error *err)
{
	struct list *l = to_list(extents);
	size_t i;

	if (!l->begun)
		return 0;
	for (i = 0; i < l->owned.nr; i++) {
		struct bf_extent e = l->owned.extents[i];
		uint64_t end = e.offset_bytes + e.length_bytes;
		int ret;

		if (end <= l->watermark_bytes)
			continue;
		if (e.offset_bytes < l->watermark_bytes)
			e.offset_bytes = l->watermark_bytes;
		e.length_bytes = end - e.offset_bytes;
		ret = set_add(&l->active, e, err);
		if (ret)	/* still owned, so nothing is lost */
			return ret;
	}
	l->owned.nr = 0;
	l->begun = false;
	return 0;
}

static int list_begin(struct bf_extents *const *extents, size_t nr,
		      struct bf_generation *generations, struct bf_error *err)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < nr && !ret; i++)
		ret = begin_one(to_list(extents[i]), &generations[i], err);
	if (!ret)
		return 0;
	for (i--; i-- > 0;)	/* not the one that refused: it owns another */
		list_abort(extents[i], NULL);
	return ret;
}

static int check_owned(const struct list *l, struct bf_error *err)
{
	if (l->begun)
		return 0;
	return bf_fail(err, BF_E_STALE, ESTALE,
		       "no generation of these extents is owned");
}

static int list_walk(struct bf_extents *extents, uint64_t from_bytes,
		     struct bf_extent *out, size_t max, size_t *nr,
		     uint64_t *next_bytes, bool *end, uint64_t *total_blocks,
		     struct bf_error *err)
{
	struct list *l = to_list(extents);
	uint64_t low = from_bytes > l->watermark_bytes ? from_bytes :
							 l->watermark_bytes;
	size_t i;
	int ret = check_owned(l, err);

	if (ret)
		return ret;
	*nr = 0;
	for (i = 0; i < l->owned.nr; i++) {
		struct bf_extent e = l->owned.extents[i];
		uint64_t e_end = e.offset_bytes + e.length_bytes;

		if (e_end <= low)
			continue;
		if (*nr == max) {
			*next_bytes = e.offset_bytes;
			*end = false;
			return 0;
		}
		if (e.offset_bytes < low)
			e.offset_bytes = low;
		e.length_bytes = e_end - e.offset_bytes;
		out[(*nr)++] = e;
	}
	*next_bytes = l->base.device_bytes;
	*end = true;
	*total_blocks = blocks_above(l, l->watermark_bytes);
	return 0;
}

static int list_commit(struct bf_extents *extents, uint64_t through_bytes,
		       struct bf_error *err)
{
	struct list *l = to_list(extents);
	int ret = check_owned(l, err);

	if (ret)
		return ret;
	if (through_bytes < l->watermark_bytes ||
	    through_bytes > l->base.device_bytes ||
	    (through_bytes % l->base.granularity_bytes &&
	     through_bytes != l->base.device_bytes))
		return bf_fail(err, BF_E_TRACKER, EINVAL,
			       "a commit through byte %llu is not on a block above the last one",
			       (unsigned long long)through_bytes);
	l->watermark_bytes = through_bytes;
	return 0;
}

static int list_finish(struct bf_extents *extents, uint64_t nr_blocks,
		       const struct bf_reasons *resynced, struct bf_error *err)
{
	struct list *l = to_list(extents);
	int ret = check_owned(l, err);

	if (ret)
		return ret;
	if (nr_blocks != l->nr_blocks)
		return bf_fail(err, BF_E_INCOMPLETE, EBADMSG,
			       "the final commit states %llu blocks, the generation has %llu",
			       (unsigned long long)nr_blocks,
			       (unsigned long long)l->nr_blocks);
	l->owned.nr = 0;
	l->begun = false;
	return 0;
}

static int list_mark(struct bf_extents *extents, const struct bf_extent *what,
		     size_t nr, struct bf_error *err)
{
	struct list *l = to_list(extents);
	size_t i, before = l->active.nr;
	int ret = 0;

	for (i = 0; i < nr && !ret; i++)
		ret = add_rounded(l, &what[i], err);
	if (ret)
		l->active.nr = before;
	return ret;
}

static void list_close(struct bf_extents *extents)
{
	struct list *l = to_list(extents);

	free(l->active.extents);
	free(l->owned.extents);
	free(l);
}

#define LIST_OPS(n) {			\
	.name = (n),			\
	.begin = list_begin,		\
	.walk = list_walk,		\
	.commit = list_commit,		\
	.finish = list_finish,		\
	.abort = list_abort,		\
	.mark = list_mark,		\
	.close = list_close,		\
}

const struct bf_extents_ops bf_extents_file_ops = LIST_OPS("file");
const struct bf_extents_ops bf_extents_whole_ops = LIST_OPS("whole");

int bf_extents_list(struct bf_extents **extents, const struct bf_extents_ops *ops,
		    uint64_t device_bytes, uint32_t granularity_bytes,
		    const struct bf_extent *what, size_t nr,
		    struct bf_error *err)
{
	struct list *l = calloc(1, sizeof(*l));
	int ret;

	if (!l)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory for a list of extents");
	l->base.ops = ops;
	l->base.device_bytes = device_bytes;
	l->base.granularity_bytes = granularity_bytes;
	ret = list_mark(&l->base, what, nr, err);
	if (ret) {
		list_close(&l->base);
		return ret;
	}
	*extents = &l->base;
	return 0;
}
