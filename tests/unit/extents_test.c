/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extents and drain. Policy: what is not committed comes back, whatever ends a
 * generation; a walk's end is believed only when begin, walk and trailer agree;
 * neighbours are joined across windows; a file is understood whole or refused
 * with its line.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "source/drain.h"
#include "source/extents_list.h"
#include "tap.h"

#define K 1024ull
#define DEVICE (1024 * K + 512)		/* ends within a block */

static struct bf_extent window[BF_WALK_WINDOW_MAX];

static struct bf_extents *whole(void)
{
	struct bf_extents *e = NULL;

	check_eq(bf_extents_whole(&e, DEVICE, 4096, NULL), 0);
	return e;
}

static struct bf_generation begin(struct bf_extents *e)
{
	struct bf_generation g;

	check_eq(e->ops->begin(&e, 1, &g, NULL), 0);
	return g;
}

/* Everything that the walker tells, taken in steps of @step bytes. */
static uint64_t walk_all(struct bf_extents *e, uint64_t nr_blocks,
			 uint64_t step, size_t *pieces)
{
	struct bf_walker w;
	struct bf_extent x;
	uint64_t sum = 0;
	int ret;

	*pieces = 0;
	bf_walker_start(&w, e, nr_blocks, NULL, window);
	while ((ret = bf_walker_peek(&w, step, &x, NULL)) > 0) {
		uint64_t bytes = x.length_bytes < step ? x.length_bytes : step;

		bf_walker_take(&w, bytes);
		sum += bytes;
		++*pieces;
	}
	check_eq(ret, 0);
	return sum;
}

static void whole_is_everything_once(void)
{
	struct bf_extents *e = whole();
	struct bf_generation g = begin(e);
	size_t pieces;

	check_eq(g.number, 1);
	check_eq(g.nr_blocks, 257);
	check(g.writes == UINT64_MAX);
	check_eq(walk_all(e, 257, 64 * K, &pieces), DEVICE);
	check_eq(pieces, 17);
	check_eq(e->ops->finish(e, 257, NULL, NULL), 0);
	g = begin(e);
	check_eq(g.number, 2);
	check_eq(g.nr_blocks, 0);
	check_eq(walk_all(e, 0, K, &pieces), 0);
	e->ops->close(e);
}

static void abort_gives_back_what_is_above_the_watermark(void)
{
	struct bf_extents *e = whole();
	size_t pieces;

	begin(e);
	check_eq(e->ops->commit(e, 256 * K, NULL), 0);
	check_eq(e->ops->abort(e, NULL), 0);
	check_eq(begin(e).nr_blocks, 257 - 64);
	check_eq(walk_all(e, 257 - 64, 1024 * K, &pieces), DEVICE - 256 * K);
	check_eq(e->ops->abort(e, NULL), 0);
	check_eq(e->ops->abort(e, NULL), 0);	/* safe without begin */
	check_eq(begin(e).nr_blocks, 257 - 64);
	e->ops->close(e);
}

static void a_second_begin_is_busy(void)
{
	struct bf_extents *both[2] = { whole(), whole() };
	struct bf_generation g[2];
	struct bf_error err = { 0 };

	begin(both[1]);
	check_eq(both[0]->ops->begin(both, 2, g, &err), -EBUSY);
	check_eq(err.code, BF_E_BUSY);
	check_eq(begin(both[0]).nr_blocks, 257);	/* all or none */
	both[0]->ops->close(both[0]);
	both[1]->ops->close(both[1]);
}

static void a_wrong_final_count_is_refused(void)
{
	struct bf_extents *e = whole();
	struct bf_error err = { 0 };

	begin(e);
	check(e->ops->finish(e, 256, NULL, &err) < 0);
	check_eq(err.code, BF_E_INCOMPLETE);
	check_eq(e->ops->abort(e, NULL), 0);
	check_eq(begin(e).nr_blocks, 257);
	e->ops->close(e);
}

static void watermarks_do_not_go_back(void)
{
	struct bf_extents *e = whole();

	begin(e);
	check_eq(e->ops->commit(e, 8192, NULL), 0);
	check_eq(e->ops->commit(e, 8192, NULL), 0);
	check(e->ops->commit(e, 4096, NULL) < 0);
	check(e->ops->commit(e, 8704, NULL) < 0);	/* not on a block */
	check(e->ops->commit(e, DEVICE + 4096, NULL) < 0);
	check_eq(e->ops->commit(e, DEVICE, NULL), 0);
	e->ops->close(e);
}

static void marks_during_a_generation_wait_for_the_next(void)
{
	struct bf_extents *e = whole();
	struct bf_extent mark = { 5000, 100 };
	size_t pieces;

	begin(e);
	check_eq(e->ops->mark(e, &mark, 1, NULL), 0);
	check_eq(walk_all(e, 257, 4096 * K, &pieces), DEVICE);
	check_eq(e->ops->finish(e, 257, NULL, NULL), 0);
	check_eq(begin(e).nr_blocks, 1);
	check_eq(walk_all(e, 1, 4096 * K, &pieces), 4096);
	mark.offset_bytes = DEVICE - 50;
	check(e->ops->mark(e, &mark, 1, NULL) < 0);
	e->ops->close(e);
}

/* --- the walker, over an origin that says what it is told to ------------------- */

struct script {
	struct bf_extents base;
	struct bf_extent say[8];
	size_t nr, at, per_window;
	uint64_t total;
	bool stuck;
};

static int script_walk(struct bf_extents *e, uint64_t from, struct bf_extent *out,
		       size_t max, size_t *nr, uint64_t *next, bool *end,
		       uint64_t *total, struct bf_error *err)
{
	struct script *s = (struct script *)e;

	*nr = 0;
	*next = from;
	while (*nr < s->per_window && s->at < s->nr) {
		out[*nr] = s->say[s->at++];
		*next = out[*nr].offset_bytes + out[*nr].length_bytes;
		++*nr;
	}
	*end = s->at == s->nr && !s->stuck;
	*total = s->total;
	return 0;
}

static const struct bf_extents_ops script_ops = {
	.name = "script", .walk = script_walk,
};

static struct script script(size_t per_window)
{
	return (struct script){
		.base = { &script_ops, 1 << 20, 4096 },
		.say = { { 0, 4096 }, { 4096, 4096 }, { 8192, 8192 },
			 { 65536, 4096 } },
		.nr = 4, .per_window = per_window, .total = 5,
	};
}

static enum bf_code walk_code(struct script s, uint64_t nr_blocks)
{
	struct bf_error err = { 0 };
	struct bf_walker w;
	struct bf_extent x;
	int ret;

	bf_walker_start(&w, &s.base, nr_blocks, NULL, window);
	while ((ret = bf_walker_peek(&w, 4096, &x, &err)) > 0)
		bf_walker_take(&w, x.length_bytes);
	check(!ret || err.text[0]);
	return ret ? err.code : BF_E_NONE;
}

static void neighbours_join_across_windows(void)
{
	for (size_t per_window = 1; per_window <= 4; per_window++) {
		struct script s = script(per_window);
		struct bf_walker w;
		struct bf_extent x;

		bf_walker_start(&w, &s.base, 5, NULL, window);
		check_eq(bf_walker_peek(&w, 1 << 20, &x, NULL), 1);
		check_eq(x.offset_bytes, 0);
		check_eq(x.length_bytes, 16384);
		bf_walker_take(&w, 16384);
		check_eq(bf_walker_peek(&w, 1 << 20, &x, NULL), 1);
		check_eq(x.offset_bytes, 65536);
		bf_walker_take(&w, 4096);
		check_eq(bf_walker_peek(&w, 1 << 20, &x, NULL), 0);
	}
}

static void counts_must_agree(void)
{
	struct script s = script(2);

	check_eq(walk_code(s, 5), BF_E_NONE);
	s.total = 4;
	check_eq(walk_code(s, 5), BF_E_INCOMPLETE);
	s.total = 6;
	check_eq(walk_code(s, 6), BF_E_INCOMPLETE);
	s = script(2);
	check_eq(walk_code(s, 4), BF_E_INCOMPLETE);
}

static void impossible_extents_are_refused(void)
{
	struct script s = script(2);

	s.say[1] = (struct bf_extent){ 2048, 4096 };	/* overlaps */
	check_eq(walk_code(s, 5), BF_E_TRACKER);
	s = script(1);
	s.say[3] = (struct bf_extent){ 4096, 4096 };	/* goes back */
	check_eq(walk_code(s, 5), BF_E_TRACKER);
	s = script(2);
	s.say[3] = (struct bf_extent){ (1 << 20) - 512, 4096 };
	check_eq(walk_code(s, 5), BF_E_TRACKER);
	s.say[3] = (struct bf_extent){ 1 << 19, UINT64_MAX - 511 };
	check_eq(walk_code(s, 5), BF_E_TRACKER);
	s.say[3] = (struct bf_extent){ 1 << 19, 0 };
	check_eq(walk_code(s, 5), BF_E_TRACKER);
}

static void a_walk_that_does_not_advance_fails(void)
{
	struct script s = script(4);

	s.stuck = true;	/* never a trailer, never an extent more */
	check_eq(walk_code(s, 5), BF_E_TRACKER);
}

static void watermark_is_on_a_block(void)
{
	struct script s = script(4);
	struct bf_walker w;
	struct bf_extent x;
	uint64_t blocks;

	s.base.granularity_bytes = 8192;
	s.say[0] = (struct bf_extent){ 0, 65536 };
	s.say[1] = (struct bf_extent){ 131072, 8192 };
	s.nr = 2;
	s.total = 9;
	bf_walker_start(&w, &s.base, 9, NULL, window);
	check_eq(bf_walker_peek(&w, 1 << 20, &x, NULL), 1);
	bf_walker_take(&w, 20480);	/* two blocks and a half */
	check_eq(bf_walker_through(&w, &blocks), 16384);
	check_eq(blocks, 2);
	bf_walker_take(&w, 65536 - 20480);
	check_eq(bf_walker_through(&w, &blocks), 131072);
	check_eq(blocks, 8);
	check_eq(bf_walker_peek(&w, 1 << 20, &x, NULL), 1);
	bf_walker_take(&w, 8192);
	check_eq(bf_walker_through(&w, &blocks), 1 << 20);
	check_eq(blocks, 9);
}

/* Ranges that are skipped are nobody's, and count as dealt with. */
static void skipped_ranges_are_left_out(void)
{
	struct bf_extent list[] = {
		{ 4096, 4096 }, { 8192, 4096 }, { 20480, 4096 }, { 40960, 8192 },
	};
	const struct bf_ranges skip = { list, 4, 4 };
	static const struct bf_extent told[] = {
		{ 0, 4096 }, { 12288, 8192 }, { 24576, 16384 }, { 49152, 16384 },
	};

	for (size_t per_window = 1; per_window <= 2; per_window++) {
		struct script s = script(per_window);
		struct bf_walker w;
		struct bf_extent x;
		uint64_t blocks;

		s.say[0] = (struct bf_extent){ 0, 32768 };
		s.say[1] = (struct bf_extent){ 32768, 32768 };
		s.nr = 2;
		s.total = 16;
		bf_walker_start(&w, &s.base, 16, &skip, window);
		for (size_t i = 0; i < 4; i++) {
			check_eq(bf_walker_peek(&w, 1 << 20, &x, NULL), 1);
			check_eq(x.offset_bytes, told[i].offset_bytes);
			check_eq(x.length_bytes, told[i].length_bytes);
			check_eq(bf_walker_through(&w, &blocks), x.offset_bytes);
			check_eq(blocks, x.offset_bytes / 4096);
			bf_walker_take(&w, x.length_bytes);
		}
		check_eq(bf_walker_peek(&w, 1 << 20, &x, NULL), 0);
		check_eq(w.skipped_bytes, 5 * 4096);
		check_eq(w.bytes, 11 * 4096);
	}
}

/* A commit in mid-walk lowers what the trailer counts. */
static void commits_during_the_walk_are_counted(void)
{
	struct bf_extents *e = whole();
	struct bf_walker w;
	struct bf_extent x;
	uint64_t through, blocks;

	bf_walker_start(&w, e, begin(e).nr_blocks, NULL, window);
	check_eq(bf_walker_peek(&w, 64 * K, &x, NULL), 1);
	bf_walker_take(&w, 64 * K);
	through = bf_walker_through(&w, &blocks);
	check_eq(through, 64 * K);
	check_eq(e->ops->commit(e, through, NULL), 0);
	w.committed_blocks = blocks;
	w.end = false;	/* as if the trailer were still to come */
	w.nr = w.next = 0;
	w.from_bytes = DEVICE;
	check_eq(bf_walker_peek(&w, 1 << 30, &x, NULL), 1);
	bf_walker_take(&w, x.length_bytes);
	check_eq(bf_walker_peek(&w, 1, &x, NULL), 0);
	e->ops->close(e);
}

/* --- files ------------------------------------------------------------------------ */

static int from_file(const char *text, struct bf_extents **e, struct bf_error *err)
{
	char path[] = "/tmp/extents_test.XXXXXX";
	int fd = mkstemp(path), ret;

	check(fd >= 0);
	check_eq(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	ret = bf_extents_file(e, path, DEVICE, 4096, err);
	unlink(path);
	return ret;
}

static void a_file_is_sorted_merged_and_rounded(void)
{
	struct bf_extents *e;
	size_t pieces;

	check_eq(from_file("# from another tracker\n\n"
			   "64K 4K\n0 512\n 4096\t1 # one byte\n68K 4K\n64K 8K\n"
			   "1M 512",
			   &e, NULL), 0);
	check_eq(begin(e).nr_blocks, 5);
	check_eq(walk_all(e, 5, 1024 * K, &pieces), 16 * K + 512);
	check_eq(pieces, 3);
	e->ops->close(e);
}

static void refuse_line(const char *text, const char *line)
{
	struct bf_extents *e;
	struct bf_error err = { 0 };

	check(from_file(text, &e, &err) < 0);
	check_says(err.text, line);
}

static void a_bad_line_is_named(void)
{
	refuse_line("0 4096\nword 4096\n", "line 2");
	refuse_line("0\n", "line 1");
	refuse_line("0 4096 7\n", "line 1");
	refuse_line("# ok\n0 0\n", "line 2");
	refuse_line("0 4096\n\n0 2M\n", "line 3");
	refuse_line("-4096 4096\n", "line 1");
	refuse_line("18446744073709551615 4096\n", "line 1");
}

static void a_missing_file_is_named(void)
{
	struct bf_extents *e;
	struct bf_error err = { 0 };

	check_eq(bf_extents_file(&e, "/nonexistent/list", DEVICE, 4096, &err),
		 -ENOENT);
	check_says(err.text, "/nonexistent/list");
}

int main(void)
{
	tap_run("whole is everything, once", whole_is_everything_once);
	tap_run("abort gives back what is above the watermark",
		abort_gives_back_what_is_above_the_watermark);
	tap_run("a second begin is busy, all or none", a_second_begin_is_busy);
	tap_run("a wrong final count is refused", a_wrong_final_count_is_refused);
	tap_run("watermarks do not go back", watermarks_do_not_go_back);
	tap_run("marks during a generation wait for the next",
		marks_during_a_generation_wait_for_the_next);
	tap_run("neighbours join across windows", neighbours_join_across_windows);
	tap_run("begin, walk and trailer must agree", counts_must_agree);
	tap_run("impossible extents are refused", impossible_extents_are_refused);
	tap_run("a walk that does not advance fails",
		a_walk_that_does_not_advance_fails);
	tap_run("a watermark is on a block", watermark_is_on_a_block);
	tap_run("skipped ranges are left out", skipped_ranges_are_left_out);
	tap_run("commits during the walk are counted",
		commits_during_the_walk_are_counted);
	tap_run("a file is sorted, merged and rounded",
		a_file_is_sorted_merged_and_rounded);
	tap_run("a bad line is named", a_bad_line_is_named);
	tap_run("a missing file is named", a_missing_file_is_named);
	return tap_done();
}
