/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * Memory is short: what the module then does. For each command the first
 * allocation that the kernel makes for it fails, then the second, and so on
 * until none is left to fail (/proc/self/fail-nth, failslab and
 * fail_page_alloc). In: a disk; or "load" and a module's file. Out: TAP. A
 * command that failed has changed nothing that is needed: the block that was
 * dirty before is found afterwards, no generation stays owned, and the same
 * command then succeeds.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../unit/tap.h"
#include "lib/cleanup.h"
#include "lib/netlink.h"

#define NTH_MAX 5000
#define BLOCK_SECTOR 800
#define BLOCK_SECTORS 8

static struct world {
	const char *path;
	const char *module;
	int nth_fd;			/* of /proc/self/fail-nth */
	int disk;
	struct bf_netlink *judge;	/* whose requests never fail */
	struct bf_netlink *nl;		/* whose next one works after each that did */
	struct bf_tracker victim;
	struct bf_drain drain;
	struct bf_walk_window window;
	struct bf_error err;
} world = { .drain.fd = -1 };

/* --- failing on purpose ----------------------------------------------------- */

static void fail_nth(struct world *w, unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	check_eq(pwrite(w->nth_fd, text, length, 0), length);
}

/* Return: true if an allocation has failed since fail_nth(). */
static bool has_failed(struct world *w)
{
	char left[16] = "";

	check(pread(w->nth_fd, left, sizeof(left) - 1, 0) > 0);
	fail_nth(w, 0);
	return atoi(left) == 0;
}

/* --- what must hold ----------------------------------------------------------- */

static void track_victim(struct world *w)
{
	check_eq(bf_tracker_create(w->judge, w->disk, "victim", 0, false, &w->victim,
				   &w->err), 0);
}

static void mark_block(struct world *w)
{
	struct blkferry_extent extent = { BLOCK_SECTOR, BLOCK_SECTORS };

	check_eq(bf_tracker_mark(w->judge, w->victim.id, &extent, 1, &w->err), 0);
}

static bool window_has_block(const struct bf_walk_window *window)
{
	for (size_t i = 0; i < window->nr_extents; i++)
		if (window->extents[i].sector <= BLOCK_SECTOR &&
		    window->extents[i].sector + window->extents[i].nr_sectors >=
		    BLOCK_SECTOR + BLOCK_SECTORS)
			return true;
	return false;
}

/* Drains all there is; nothing may be owned by now. */
static bool drained_has_block(struct world *w)
{
	struct bf_drain drain = { .fd = -1, .tracker_id = w->victim.id };
	uint64_t from = 0;
	bool found = false;

	if (bf_drain_begin(w->judge, &drain, &w->disk, 1, &w->err))
		tap_fail(__FILE__, __LINE__, "begin: %s", w->err.text);
	do {
		check_eq(bf_drain_walk(w->judge, &drain, from, &w->window, &w->err), 0);
		found |= window_has_block(&w->window);
		from = w->window.next_sector;
	} while (!w->window.end);
	check_eq(bf_drain_finish(w->judge, &drain, w->victim.nr_sectors,
				 drain.nr_blocks, NULL, &w->err), 0);
	bf_drain_close(&drain);
	return found;
}

static void still_dirty(struct world *w, int ret)
{
	bf_drain_close(&w->drain);
	check(drained_has_block(w));
}

/* --- the commands ---------------------------------------------------------------- */

static void begin(struct world *w)
{
	w->drain = (struct bf_drain){ .fd = -1, .tracker_id = w->victim.id };
	check_eq(bf_drain_begin(w->judge, &w->drain, &w->disk, 1, &w->err), 0);
}

static int run_track(struct world *w)
{
	struct bf_tracker fresh;

	return bf_tracker_create(w->nl, w->disk, "fresh", 0, true, &fresh, &w->err);
}

static void after_track(struct world *w, int ret)
{
	struct bf_tracker fresh;
	bool is_there = !bf_tracker_find(w->judge, "fresh", &fresh, &w->err);

	if (ret == 0)
		check(is_there);
	if (ret == -ENOMEM)
		check(!is_there);
	if (is_there)
		check_eq(bf_tracker_delete(w->judge, fresh.id, &w->err), 0);
	still_dirty(w, ret);
}

static int run_untrack(struct world *w)
{
	return bf_tracker_delete(w->nl, w->victim.id, &w->err);
}

static void after_untrack(struct world *w, int ret)
{
	struct bf_tracker found;
	bool is_there = !bf_tracker_find(w->judge, "victim", &found, &w->err);

	check(ret || !is_there);
	if (is_there)
		still_dirty(w, ret);
	else
		track_victim(w);
}

static int run_get(struct world *w)
{
	struct bf_tracker tracker;
	int ret = bf_tracker_get(w->nl, w->victim.id, &tracker, &w->err);

	if (!ret)
		check_eq(tracker.nr_sectors, w->victim.nr_sectors);
	return ret;
}

static int run_list(struct world *w)
{
	_cleanup_free_ struct bf_tracker *trackers = NULL;
	size_t nr;
	int ret = bf_tracker_list(w->nl, &trackers, &nr, &w->err);

	if (!ret)
		check_eq(nr, 1);
	return ret;
}

static int run_set(struct world *w)
{
	return bf_tracker_set_watermark(w->nl, w->victim.id, 1 << 20, &w->err);
}

static int run_mark(struct world *w)
{
	struct blkferry_extent extent = { BLOCK_SECTOR - 8, 2 * BLOCK_SECTORS };

	return bf_tracker_mark(w->nl, w->victim.id, &extent, 1, &w->err);
}

static int run_begin(struct world *w)
{
	w->drain = (struct bf_drain){ .fd = -1, .tracker_id = w->victim.id };
	return bf_drain_begin(w->nl, &w->drain, &w->disk, 1, &w->err);
}

static int run_walk(struct world *w)
{
	int ret = bf_drain_walk(w->nl, &w->drain, 0, &w->window, &w->err);

	if (!ret)
		check(window_has_block(&w->window));
	return ret;
}

static int run_peek(struct world *w)
{
	int ret = bf_tracker_peek(w->nl, w->victim.id, 0, &w->window, &w->err);

	if (!ret)
		check(window_has_block(&w->window));
	return ret;
}

static int run_commit(struct world *w)
{
	return bf_drain_commit(w->nl, &w->drain, BLOCK_SECTOR, &w->err);
}

static int run_finish(struct world *w)
{
	return bf_drain_finish(w->nl, &w->drain, w->victim.nr_sectors,
			       w->drain.nr_blocks, NULL, &w->err);
}

/* What was not committed is there; after ENOMEM nothing was. */
static void after_finish(struct world *w, int ret)
{
	bool found;

	bf_drain_close(&w->drain);
	found = drained_has_block(w);
	if (ret == 0)
		check(!found);
	if (ret == -ENOMEM)
		check(found);
}

static int run_abort(struct world *w)
{
	return bf_drain_abort(w->nl, &w->drain, &w->err);
}

static int run_open(struct world *w)
{
	struct bf_netlink *nl = NULL;
	int ret = bf_netlink_open(&nl, &w->err);

	bf_netlink_close(nl);
	return ret;
}

struct command {
	const char *name;
	void (*before)(struct world *w);
	int (*run)(struct world *w);
	void (*after)(struct world *w, int ret);
};

static const struct command commands[] = {
	{ "track",		NULL,	run_track,	after_track },
	{ "untrack",		NULL,	run_untrack,	after_untrack },
	{ "get",		NULL,	run_get,	still_dirty },
	{ "the list",		NULL,	run_list,	still_dirty },
	{ "set",		NULL,	run_set,	still_dirty },
	{ "mark",		NULL,	run_mark,	still_dirty },
	{ "begin",		NULL,	run_begin,	still_dirty },
	{ "walk",		begin,	run_walk,	still_dirty },
	{ "peek",		NULL,	run_peek,	still_dirty },
	{ "commit",		begin,	run_commit,	still_dirty },
	{ "the final commit",	begin,	run_finish,	after_finish },
	{ "abort",		begin,	run_abort,	still_dirty },
	{ "a connection",	NULL,	run_open,	still_dirty },
};

static const struct command *current;

static bool attempt(struct world *w, unsigned int nth, unsigned int *nr_refused)
{
	bool failed;
	int ret;

	mark_block(w);
	if (current->before)
		current->before(w);
	fail_nth(w, nth);
	ret = current->run(w);
	failed = has_failed(w);
	if (!failed && ret)
		tap_fail(__FILE__, __LINE__, "refused for nothing: %s", w->err.text);
	current->after(w, ret);
	*nr_refused += ret != 0;
	return failed;
}

static void test_command(void)
{
	unsigned int nth = 1, nr_refused = 0;

	while (attempt(&world, nth, &nr_refused) && nth < NTH_MAX)
		nth++;
	printf("# %s: %u allocations failed one by one, %u of them the command\n",
	       current->name, nth - 1, nr_refused);
	check(nth > 1);
	check(nth < NTH_MAX);
}

static void test_load(void)
{
	_cleanup_close_ int file = open(world.module, O_RDONLY | O_CLOEXEC);
	unsigned int nth = 0, nr_refused = 0;
	bool failed;

	check(file >= 0);
	do {
		long ret;

		nth++;
		fail_nth(&world, nth);
		ret = syscall(SYS_finit_module, file, "", 0);
		failed = has_failed(&world);
		nr_refused += ret != 0;
		check(failed || ret == 0);
		if (ret == 0)
			check_eq(syscall(SYS_delete_module, "blkferry", O_NONBLOCK), 0);
	} while (failed && nth < NTH_MAX);
	printf("# load: %u allocations failed one by one, %u of them the load\n",
	       nth - 1, nr_refused);
	check(nr_refused > 0);
	check(nth < NTH_MAX);
}

static void prepare(struct world *w)
{
	w->disk = open(w->path, O_RDONLY | O_CLOEXEC);
	if (w->disk < 0 || bf_netlink_open(&w->judge, &w->err) ||
	    bf_netlink_open(&w->nl, &w->err) ||
	    bf_tracker_create(w->judge, w->disk, "victim", 0, false, &w->victim,
			      &w->err)) {
		printf("Bail out! %s: %s\n", w->path, w->err.text);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct world *w = &world;

	w->nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (argc < 2 || w->nth_fd < 0 || mlockall(MCL_CURRENT | MCL_FUTURE)) {
		fprintf(stderr, "usage: alloc_fail DISK | load MODULE, on a kernel with fail-nth\n");
		return 2;
	}
	if (argc == 3) {
		w->module = argv[2];
		tap_run("the module loads or does not", test_load);
		return tap_done();
	}
	w->path = argv[1];
	prepare(w);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		current = &commands[i];
		tap_run(current->name, test_command);
	}
	if (bf_tracker_delete(w->judge, w->victim.id, &w->err))
		printf("Bail out! untrack: %s\n", w->err.text);
	return tap_done();
}
