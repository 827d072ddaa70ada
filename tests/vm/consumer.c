/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * A consumer of trackers that a test drives step by step. In: commands, each an
 * argument or, without arguments, a line of standard input. Out: one line for
 * each, "ok ..." or "error ERRNO words". Keeps nothing to itself: its drains
 * live until they are closed or it dies, which is what the tests are about.
 * Extents are written "SECTOR+COUNT,...", neighbours joined; "-" is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netlink.h"

#define WORDS_MAX 64

struct consumer {
	struct bf_netlink *nl;
	struct bf_events *events;
	struct bf_drain drains[32];
	char names[32][BLKFERRY_NAME_MAX + 1];
	struct bf_walk_window window;
	struct bf_error err;
};

typedef int (*step_fn)(struct consumer *c, int argc, char **argv);

static int find(struct consumer *c, const char *name, struct bf_tracker *tracker)
{
	return bf_tracker_find(c->nl, name, tracker, &c->err);
}

static struct bf_drain *slot(struct consumer *c, const char *name)
{
	for (size_t i = 0; i < 32; i++)
		if (!strcmp(c->names[i], name))
			return &c->drains[i];
	return NULL;
}

static struct bf_drain *drain(struct consumer *c, const char *name)
{
	struct bf_drain *found = slot(c, name);

	if (!found)
		bf_fail(&c->err, BF_E_USAGE, ENOENT, "no drain of %s here", name);
	return found;
}

/* Joins neighbours, also over windows: *end is where the last one ended. */
static void print_extents(const struct bf_walk_window *window, uint64_t *start,
			  uint64_t *end, bool *any)
{
	for (size_t i = 0; i < window->nr_extents; i++) {
		const struct blkferry_extent *e = &window->extents[i];

		if (*end != *start && e->sector == *end) {
			*end += e->nr_sectors;
			continue;
		}
		if (*end != *start) {
			printf("%s%" PRIu64 "+%" PRIu64, *any ? "," : "", *start,
			       *end - *start);
			*any = true;
		}
		*start = e->sector;
		*end = e->sector + e->nr_sectors;
	}
}

static void finish_extents(uint64_t start, uint64_t end, bool any)
{
	if (end != start)
		printf("%s%" PRIu64 "+%" PRIu64, any ? "," : "", start, end - start);
	else if (!any)
		printf("-");
}

typedef int (*window_fn)(struct consumer *c, const void *of, uint64_t from);

static int drain_window(struct consumer *c, const void *of, uint64_t from)
{
	return bf_drain_walk(c->nl, of, from, &c->window, &c->err);
}

static int peek_window(struct consumer *c, const void *of, uint64_t from)
{
	return bf_tracker_peek(c->nl, *(const uint32_t *)of, from, &c->window,
			       &c->err);
}

static int print_walk(struct consumer *c, window_fn read_window, const void *of)
{
	uint64_t from = 0, start = 0, end = 0;
	bool any = false, begun = false;
	int ret;

	do {
		ret = read_window(c, of, from);
		if (ret)
			return ret;
		if (!begun)
			printf("ok extents=");
		begun = true;
		print_extents(&c->window, &start, &end, &any);
		from = c->window.next_sector;
	} while (!c->window.end);
	finish_extents(start, end, any);
	printf(" blocks=%" PRIu64 "\n", c->window.total_blocks);
	return 0;
}

static int step_track(struct consumer *c, int argc, char **argv)
{
	struct bf_tracker tracker;
	_cleanup_close_ int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	uint32_t granularity = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
	int ret;

	if (fd < 0)
		return bf_fail(&c->err, BF_E_SYSTEM, errno, "open %s", argv[2]);
	ret = bf_tracker_create(c->nl, fd, argv[1], granularity, argc > 4,
				&tracker, &c->err);
	if (!ret)
		printf("ok id=%u disk=%s start=%" PRIu64 " sectors=%" PRIu64
		       " granularity=%u\n", tracker.id, tracker.disk,
		       tracker.start_sector, tracker.nr_sectors,
		       tracker.granularity_bytes);
	return ret;
}

static int step_untrack(struct consumer *c, int argc, char **argv)
{
	struct bf_tracker tracker;
	int ret = find(c, argv[1], &tracker);

	if (!ret)
		ret = bf_tracker_delete(c->nl, tracker.id, &c->err);
	if (!ret)
		printf("ok\n");
	return ret;
}

static int adopt(struct consumer *c, const struct bf_drain *begun, const char *name)
{
	struct bf_drain *to = slot(c, name);

	if (!to)
		to = slot(c, "");
	if (!to)
		return bf_fail(&c->err, BF_E_USAGE, EMFILE, "too many drains");
	snprintf(c->names[to - c->drains], sizeof(c->names[0]), "%s", name);
	*to = *begun;
	return 0;
}

static void print_begun(const struct bf_drain *begun, const char *name)
{
	printf(" %s fd=%d generation=%" PRIu64 " blocks=%" PRIu64 " writes=%" PRIu64
	       " carried=%" PRIu64, name, begun->fd, begun->generation,
	       begun->nr_blocks, begun->writes, begun->carried_blocks);
}

static int step_begin(struct consumer *c, int argc, char **argv)
{
	struct bf_drain begun[WORDS_MAX / 2] = { 0 };
	int fds[WORDS_MAX / 2] = { 0 }, ret = 0;
	size_t nr = (argc - 1) / 2, opened = 0;

	for (; opened < nr && !ret; opened++) {
		struct bf_tracker tracker;

		fds[opened] = open(argv[2 + 2 * opened], O_RDONLY | O_CLOEXEC);
		ret = find(c, argv[1 + 2 * opened], &tracker);
		begun[opened].tracker_id = tracker.id;
	}
	if (!ret)
		ret = bf_drain_begin(c->nl, begun, fds, nr, &c->err);
	for (size_t i = 0; i < opened; i++)
		close(fds[i]);
	if (ret)
		return ret;
	printf("ok");
	for (size_t i = 0; i < nr && !ret; i++) {
		ret = adopt(c, &begun[i], argv[1 + 2 * i]);
		print_begun(&begun[i], argv[1 + 2 * i]);
	}
	printf("\n");
	return ret;
}

static int step_walk(struct consumer *c, int argc, char **argv)
{
	struct bf_drain *of = drain(c, argv[1]);

	return of ? print_walk(c, drain_window, of) : -ENOENT;
}

static int step_peek(struct consumer *c, int argc, char **argv)
{
	struct bf_tracker tracker;
	int ret = find(c, argv[1], &tracker);

	return ret ? ret : print_walk(c, peek_window, &tracker.id);
}

static int step_window(struct consumer *c, int argc, char **argv)
{
	struct bf_drain *of = drain(c, argv[1]);
	uint64_t start = 0, end = 0;
	bool any = false;
	int ret;

	if (!of)
		return -ENOENT;
	ret = drain_window(c, of, strtoull(argv[2], NULL, 0));
	if (ret)
		return ret;
	printf("ok next=%" PRIu64 " end=%d extents=", c->window.next_sector,
	       c->window.end);
	print_extents(&c->window, &start, &end, &any);
	finish_extents(start, end, any);
	printf("\n");
	return 0;
}

static int step_commit(struct consumer *c, int argc, char **argv)
{
	struct bf_drain *of = drain(c, argv[1]);
	int ret;

	if (!of)
		return -ENOENT;
	ret = bf_drain_commit(c->nl, of, strtoull(argv[2], NULL, 0), &c->err);
	if (!ret)
		printf("ok\n");
	return ret;
}

/* finish NAME [BLOCKS|-] [resynced] */
static int step_finish(struct consumer *c, int argc, char **argv)
{
	struct bf_drain *of = drain(c, argv[1]);
	struct bf_tracker tracker;
	uint64_t blocks;
	int ret;

	if (!of)
		return -ENOENT;
	ret = find(c, argv[1], &tracker);
	if (ret)
		return ret;
	blocks = argc > 2 && strcmp(argv[2], "-") ? strtoull(argv[2], NULL, 0) :
						    of->nr_blocks;
	ret = bf_drain_finish(c->nl, of, tracker.nr_sectors, blocks,
			      argc > 3 ? &of->reasons : NULL, &c->err);
	if (!ret)
		printf("ok\n");
	return ret;
}

static int step_abort(struct consumer *c, int argc, char **argv)
{
	struct bf_drain *of = drain(c, argv[1]);
	int ret = of ? bf_drain_abort(c->nl, of, &c->err) : -ENOENT;

	if (!ret)
		printf("ok\n");
	return ret;
}

static int step_close(struct consumer *c, int argc, char **argv)
{
	struct bf_drain *of = drain(c, argv[1]);

	if (!of)
		return -ENOENT;
	bf_drain_close(of);
	c->names[of - c->drains][0] = '\0';
	printf("ok\n");
	return 0;
}

/* keep NAME: a second descriptor of the drain, which only "die" closes. */
static int step_keep(struct consumer *c, int argc, char **argv)
{
	struct bf_drain *of = drain(c, argv[1]);
	int copy = of ? fcntl(of->fd, F_DUPFD_CLOEXEC, 0) : -1;

	if (!of)
		return -ENOENT;
	printf("ok fd=%d\n", copy);
	return 0;
}

/* drop FD: closes it, whatever it is. */
static int step_drop(struct consumer *c, int argc, char **argv)
{
	printf("ok %d\n", close(atoi(argv[1])));
	return 0;
}

/* foreign FD GENERATION SECTOR: a commit with whatever descriptor and number. */
static int step_foreign(struct consumer *c, int argc, char **argv)
{
	struct bf_drain of = {
		.fd = atoi(argv[1]),
		.generation = strtoull(argv[2], NULL, 0),
	};
	int ret = bf_drain_commit(c->nl, &of, strtoull(argv[3], NULL, 0), &c->err);

	if (!ret)
		printf("ok\n");
	return ret;
}

static int step_mark(struct consumer *c, int argc, char **argv)
{
	struct blkferry_extent extents[WORDS_MAX];
	struct bf_tracker tracker;
	size_t nr = 0;
	int ret = find(c, argv[1], &tracker);

	for (int i = 2; i < argc; i++, nr++) {
		char *plus;

		extents[nr].sector = strtoull(argv[i], &plus, 0);
		extents[nr].nr_sectors = *plus ? strtoull(plus + 1, NULL, 0) : 0;
	}
	if (!ret)
		ret = bf_tracker_mark(c->nl, tracker.id, extents, nr, &c->err);
	if (!ret)
		printf("ok\n");
	return ret;
}

static int step_watermark(struct consumer *c, int argc, char **argv)
{
	struct bf_tracker tracker;
	int ret = find(c, argv[1], &tracker);

	if (!ret)
		ret = bf_tracker_set_watermark(c->nl, tracker.id,
					       strtoull(argv[2], NULL, 0), &c->err);
	if (!ret)
		printf("ok\n");
	return ret;
}

static void print_tracker(const struct bf_tracker *tracker)
{
	printf("ok id=%u disk=%s start=%" PRIu64 " sectors=%" PRIu64
	       " granularity=%u generation=%" PRIu64 " owned=%d",
	       tracker->id, tracker->disk, tracker->start_sector,
	       tracker->nr_sectors, tracker->granularity_bytes,
	       tracker->generation, tracker->drain_owned);
	printf(" uuid=");
	for (size_t i = 0; i < BLKFERRY_UUID_BYTES; i++)
		printf("%02x", tracker->uuid[i]);
	for (uint32_t id = 0; id <= BLKFERRY_STAT_MAX; id++)
		if (bf_stat_name(id))
			printf(" %s=%" PRIu64, bf_stat_name(id), tracker->stats[id]);
	printf(" reasons=");
	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++) {
		const struct bf_reason_counts *n = &tracker->reasons.by_id[id];

		if (n->raised)
			printf("%s:%" PRIu64 ":%" PRIu64 ",", bf_reason_name(id),
			       n->raised, n->cleared);
	}
	printf("\n");
}

static int step_get(struct consumer *c, int argc, char **argv)
{
	struct bf_tracker tracker;
	int ret = find(c, argv[1], &tracker);

	if (!ret)
		print_tracker(&tracker);
	return ret;
}

static int step_list(struct consumer *c, int argc, char **argv)
{
	_cleanup_free_ struct bf_tracker *trackers = NULL;
	size_t nr;
	int ret = bf_tracker_list(c->nl, &trackers, &nr, &c->err);

	if (ret)
		return ret;
	printf("ok %zu", nr);
	for (size_t i = 0; i < nr; i++)
		printf(" %s", trackers[i].name);
	printf("\n");
	return 0;
}

/* event TIMEOUT_MS: the next one, or "ok none". The first call subscribes. */
static int step_event(struct consumer *c, int argc, char **argv)
{
	struct bf_tracker_event event;
	struct pollfd poll_events = { .events = POLLIN };
	int ret = 0;

	if (!c->events)
		ret = bf_events_open(&c->events, &c->err);
	if (ret)
		return ret;
	poll_events.fd = bf_events_fd(c->events);
	if (poll(&poll_events, 1, atoi(argv[1])) <= 0) {
		printf("ok none\n");
		return 0;
	}
	ret = bf_events_next(c->events, &event);
	if (ret < 0)
		return bf_fail(&c->err, BF_E_SYSTEM, -ret, "events");
	printf("ok event=%u name=%s reason=%u\n", ret ? event.event : 0,
	       ret ? event.name : "", ret ? event.reason_id : 0);
	return 0;
}

/* child: drain descriptors held here, and by a program started from here. */
static int step_child(struct consumer *c, int argc, char **argv)
{
	pid_t pid;

	printf("ok");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c",
		      "held() { n=0; for f in /proc/$1/fd/*; do"
		      " case $(readlink $f) in *blkferry*) n=$((n + 1)) ;; esac;"
		      " done; echo $n; };"
		      "echo \" held=$(held $PPID) inherited=$(held $$)\"", NULL);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -errno;
}

static int step_die(struct consumer *c, int argc, char **argv)
{
	fflush(stdout);
	return kill(getpid(), SIGKILL);
}

static const struct step {
	const char *name;
	int argc_min;
	step_fn run;
} steps[] = {
	{ "track",	3, step_track },
	{ "untrack",	2, step_untrack },
	{ "begin",	3, step_begin },
	{ "walk",	2, step_walk },
	{ "window",	3, step_window },
	{ "peek",	2, step_peek },
	{ "commit",	3, step_commit },
	{ "finish",	2, step_finish },
	{ "abort",	2, step_abort },
	{ "close",	2, step_close },
	{ "keep",	2, step_keep },
	{ "drop",	2, step_drop },
	{ "foreign",	4, step_foreign },
	{ "mark",	3, step_mark },
	{ "watermark",	3, step_watermark },
	{ "get",	2, step_get },
	{ "list",	1, step_list },
	{ "event",	2, step_event },
	{ "child",	1, step_child },
	{ "die",	1, step_die },
};

static int run_step(struct consumer *c, char *line)
{
	char *words[WORDS_MAX], *rest = NULL;
	int argc = 0;

	for (char *w = strtok_r(line, " \n", &rest); w && argc < WORDS_MAX;
	     w = strtok_r(NULL, " \n", &rest))
		words[argc++] = w;
	for (size_t i = 0; argc && i < sizeof(steps) / sizeof(steps[0]); i++)
		if (!strcmp(steps[i].name, words[0]) && argc >= steps[i].argc_min)
			return steps[i].run(c, argc, words);
	return bf_fail(&c->err, BF_E_USAGE, EINVAL, "no such step, or too few words");
}

static bool do_line(struct consumer *c, char *line)
{
	int ret = run_step(c, line);

	if (ret)
		printf("error %s %s\n", strerrorname_np(-ret), c->err.text);
	fflush(stdout);
	return !ret;
}

int main(int argc, char **argv)
{
	static struct consumer c;
	char line[4096];
	bool good = true;
	int ret = bf_netlink_open(&c.nl, &c.err);

	if (ret) {
		printf("error %s %s\n", strerrorname_np(-ret), c.err.text);
		return 1;
	}
	for (int i = 1; i < argc; i++)
		good &= do_line(&c, argv[i]);
	while (argc == 1 && fgets(line, sizeof(line), stdin))
		good &= do_line(&c, line);
	return good ? 0 : 1;
}
