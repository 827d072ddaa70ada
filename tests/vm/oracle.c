/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static tests/vm/oracle/changes.c */
/*
 * The oracle: is every change to a disk found? Threads change a disk in every
 * way a program can (oracle/changes.c), by seed, while passes drain its tracker
 * into a replica in memory; passes end in a commit, a watermark, an abort, a
 * close, a death or a new connection, by seed too. In: a disk or partition, a
 * seed, operations in all, the name of a mistake to make, for those who want to
 * see it caught, and a disk on top through which it is changed. Out: the table of
 * operations by the state of the drain that they met, and one line of counts;
 * status 1 if the replica differs from the disk in the end, and then who wrote
 * what is missing. Status 1 as well if blocks are marked that nothing touched,
 * which is told where the disk that is changed is the tracked one: there alone
 * places are the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "oracle.h"

enum end { COMMIT, COMMIT_PART, ABORT, CLOSE, DEATH, RECONNECT, NR_ENDS };

static const char *const end_names[NR_ENDS] = {
	"committed", "in part", "aborted", "closed", "killed", "reconnected",
};

enum mistake { NO_MISTAKE, COMMIT_BEFORE_COPY, SHORT_WALK, LATE_WRITE, NR_MISTAKES };

static const char *const mistakes[NR_MISTAKES] = {
	"none", "commit-before-copy", "short-walk", "late-write",
};

/* What a pass copied, for a mistake: its session's writes land once more. */
struct session {
	struct blkferry_extent extents[4096];
	size_t nr_extents;
	char *replica;
};

static struct drainer {
	struct oracle *oracle;
	enum mistake mistake;
	const char *name;
	unsigned int seed;
	char *replica;
	int disk;			/* O_DIRECT, to read from */
	struct bf_netlink *nl;
	struct bf_tracker tracker;
	struct bf_walk_window window;
	struct bf_error err;
	struct session now, old;
	unsigned int nr_passes, nr_cut, nr_ends[NR_ENDS];
	uint64_t copied_bytes, carried_blocks;
	uint64_t *due;			/* may be marked, a bit a block; NULL: anything */
	bool counts_marked;		/* the first generation, all dirty, is over */
	uint64_t marked_blocks, unneeded_blocks;
} drainer;

void stop(const char *what, const struct bf_error *err)
{
	printf("%s: %s\n", what, err ? err->text : strerror(errno));
	fflush(stdout);
	_exit(2);
}

static void enter(struct drainer *d, enum state state)
{
	atomic_store(&d->oracle->state, state);
}

/* --- what may be marked ---------------------------------------------------------- */

static bool is_due(const struct drainer *d, uint64_t block)
{
	return !d->due || d->due[block / 64] >> block % 64 & 1;
}

/* Blocks below @end are committed and not to come again. */
static void forget_due(struct drainer *d, uint64_t end)
{
	if (!d->due)
		return;
	for (uint64_t block = 0; block < end; block++)
		d->due[block / 64] &= ~(1ull << block % 64);
}

static void count_marked(struct drainer *d, const struct blkferry_extent *extent)
{
	uint64_t block = extent->sector * 512 / BLOCK_BYTES;
	uint64_t end = (extent->sector + extent->nr_sectors) * 512;

	for (; d->counts_marked && block * BLOCK_BYTES < end; block++) {
		d->marked_blocks++;
		d->unneeded_blocks += !is_due(d, block);
	}
}

/* --- passes ------------------------------------------------------------------- */

static void copy_extent(struct drainer *d, const struct blkferry_extent *extent)
{
	static char chunk[1 << 20] __attribute__((aligned(BLOCK_BYTES)));
	uint64_t at = extent->sector * 512;
	uint64_t end = at + extent->nr_sectors * 512;

	if (d->now.nr_extents < sizeof(d->now.extents) / sizeof(*extent))
		d->now.extents[d->now.nr_extents++] = *extent;
	while (at < end) {
		size_t want = end - at < sizeof(chunk) ? end - at : sizeof(chunk);

		if (pread(d->disk, chunk, want, at) != (ssize_t)want)
			stop("read", NULL);
		memcpy(d->replica + at, chunk, want);
		d->copied_bytes += want;
		at += want;
	}
}

/* Return: where the walk goes on; before the window's end if it breaks off. */
static uint64_t copy_window(struct drainer *d, size_t nr_extents,
			    uint64_t *sectors)
{
	for (size_t i = 0; i < nr_extents; i++) {
		count_marked(d, &d->window.extents[i]);
		copy_extent(d, &d->window.extents[i]);
		*sectors += d->window.extents[i].nr_sectors;
	}
	return nr_extents < d->window.nr_extents ?
	       d->window.extents[nr_extents].sector : d->window.next_sector;
}

/*
 * One of four walks breaks off with changes left behind, and goes on there;
 * each does where the mistake is that it does not go on.
 */
static void copy_generation(struct drainer *d, const struct bf_drain *drain)
{
	bool is_whole, breaks = rand_r(&d->seed) % 4 == 0 || d->mistake == SHORT_WALK;
	uint64_t from = 0, sectors = 0;

	do {
		size_t nr;

		if (bf_drain_walk(d->nl, drain, from, &d->window, &d->err))
			stop("walk", &d->err);
		nr = d->window.nr_extents;
		breaks = breaks && nr;
		if (breaks)
			nr = rand_r(&d->seed) % nr;
		d->nr_cut += breaks;
		is_whole = d->window.end && !breaks;
		from = copy_window(d, nr, &sectors);
		if (breaks && d->mistake == SHORT_WALK)
			return;
		breaks = false;
	} while (!is_whole);
	if (d->window.total_blocks != drain->nr_blocks ||
	    (sectors + BLOCK_BYTES / 512 - 1) / (BLOCK_BYTES / 512) != drain->nr_blocks)
		stop("the walk and its trailer differ", &d->err);
}

static void begin(struct drainer *d, struct bf_drain *drain)
{
	*drain = (struct bf_drain){ .fd = -1, .tracker_id = d->tracker.id };
	enter(d, AT_SWAP);
	wait_for_cells(d->oracle);
	wait_for_changes(d->oracle);
	if (d->due)
		take_touched(d->oracle, d->due);
	if (bf_drain_begin(d->nl, drain, &d->disk, 1, &d->err))
		stop("begin", &d->err);
	if (d->due)
		add_touched(d->oracle, d->due);
	share_changes(d->oracle);
	enter(d, OWNED);
	d->nr_passes++;
	d->carried_blocks += drain->carried_blocks;
}

/* A reason that was raised after the begin stands. */
static void check_reasons(struct drainer *d, const struct bf_drain *drain)
{
	if (bf_tracker_get(d->nl, d->tracker.id, &d->tracker, &d->err))
		stop("get", &d->err);
	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++)
		if (d->tracker.reasons.by_id[id].cleared >
		    drain->reasons.by_id[id].raised)
			stop("missed: a reason was cleared though raised again", NULL);
}

/* A command that passed through changed nothing: each pass resyncs as well. */
static void finish(struct drainer *d, struct bf_drain *drain)
{
	if (bf_drain_finish(d->nl, drain, d->tracker.nr_sectors,
			    drain->nr_blocks, &drain->reasons, &d->err))
		stop("final commit", &d->err);
	forget_due(d, d->oracle->size_bytes / BLOCK_BYTES + 1);
	d->counts_marked = d->due;
	check_reasons(d, drain);
	bf_drain_close(drain);
}

static void commit_part(struct drainer *d, struct bf_drain *drain)
{
	uint64_t blocks = d->tracker.nr_sectors * 512 / BLOCK_BYTES;
	uint64_t through = (uint64_t)rand_r(&d->seed) % (blocks + 1) *
			   (BLOCK_BYTES / 512);

	if (bf_drain_commit(d->nl, drain, through, &d->err))
		stop("commit", &d->err);
	forget_due(d, through * 512 / BLOCK_BYTES);
}

static void reconnect(struct drainer *d)
{
	bf_netlink_close(d->nl);
	if (bf_netlink_open(&d->nl, &d->err))
		stop("netlink", &d->err);
}

/* The generation's owner is a child that is killed with it. */
static void die_with_generation(struct drainer *d)
{
	pid_t pid = fork();

	if (!pid) {
		struct bf_drain drain = { .fd = -1, .tracker_id = d->tracker.id };

		if (!bf_netlink_open(&d->nl, &d->err))
			bf_drain_begin(d->nl, &drain, &d->disk, 1, &d->err);
		raise(SIGKILL);
	}
	enter(d, AT_SWAP);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		stop("fork", NULL);
	enter(d, ENDING);
}

static void end_pass(struct drainer *d, struct bf_drain *drain, enum end end)
{
	enter(d, ENDING);
	wait_for_cells(d->oracle);
	if (end == COMMIT_PART)
		commit_part(d, drain);
	if (end == ABORT && bf_drain_abort(d->nl, drain, &d->err))
		stop("abort", &d->err);
	if (end == COMMIT || end == DEATH || end == RECONNECT)
		finish(d, drain);
	bf_drain_close(drain);
	if (end == RECONNECT)
		reconnect(d);
	enter(d, IDLE);
	wait_for_cells(d->oracle);
	wait_for_changes(d->oracle);
}

/* A number that is not the generation's ends nothing. */
static void commit_another(struct drainer *d, const struct bf_drain *drain)
{
	struct bf_drain other = *drain;

	other.generation--;
	if (!bf_drain_finish(d->nl, &other, d->tracker.nr_sectors,
			     drain->nr_blocks, NULL, &d->err))
		stop("missed all: the number of another generation ended this one",
		     &d->err);
}

/* The mistake: what a session that was given up had under way lands in the next. */
static void land_late(struct drainer *d, bool is_given_up)
{
	for (size_t i = 0; i < d->old.nr_extents; i++) {
		uint64_t at = d->old.extents[i].sector * 512;

		memcpy(d->replica + at, d->old.replica + at,
		       d->old.extents[i].nr_sectors * 512);
	}
	d->old.nr_extents = 0;
	if (!is_given_up)
		return;
	memcpy(d->old.replica, d->replica, d->oracle->size_bytes);
	memcpy(d->old.extents, d->now.extents, sizeof(d->now.extents));
	d->old.nr_extents = d->now.nr_extents;
}

/* A mistake that needs sessions given up is made at each chance. */
static enum end some_end(struct drainer *d)
{
	enum end end = rand_r(&d->seed) % NR_ENDS;

	return d->mistake == LATE_WRITE ? RECONNECT : end;
}

static void pass(struct drainer *d)
{
	enum end end = some_end(d);
	struct bf_drain drain;

	d->nr_ends[end]++;
	d->now.nr_extents = 0;
	if (end == DEATH)
		die_with_generation(d);
	begin(d, &drain);
	commit_another(d, &drain);
	if (d->mistake == COMMIT_BEFORE_COPY) {
		finish(d, &drain);	/* and then its consumer dies */
		return;
	}
	copy_generation(d, &drain);
	if (d->mistake == LATE_WRITE)
		land_late(d, end == RECONNECT);
	end_pass(d, &drain, end);
}

/* Silence: passes until a generation is empty. */
static void drain_the_rest(struct drainer *d)
{
	struct bf_drain drain;
	uint64_t nr_blocks;

	do {
		begin(d, &drain);
		copy_generation(d, &drain);
		nr_blocks = drain.nr_blocks;
		finish(d, &drain);
	} while (nr_blocks);
}

/* --- the verdict --------------------------------------------------------------- */

static void name_the_miss(const char *disk, const char *replica, uint64_t at)
{
	for (size_t i = 0; i < BLOCK_BYTES; i += 512) {
		if (!memcmp(disk + i, replica + i, 512))
			continue;
		printf("missed at sector %" PRIu64 ": the disk has ", (at + i) / 512);
		print_stamp(disk + i);
		printf(", the replica ");
		print_stamp(replica + i);
		printf("\n");
		return;
	}
}

static uint64_t differing_blocks(struct drainer *d)
{
	static char chunk[1 << 20] __attribute__((aligned(BLOCK_BYTES)));
	uint64_t size_bytes = d->oracle->size_bytes, differing = 0;

	for (uint64_t at = 0; at < size_bytes; at += sizeof(chunk)) {
		size_t want = size_bytes - at < sizeof(chunk) ? size_bytes - at :
								sizeof(chunk);

		if (pread(d->disk, chunk, want, at) != (ssize_t)want)
			stop("read", NULL);
		memset(chunk + want, 0, sizeof(chunk) - want);
		for (size_t i = 0; i < want; i += BLOCK_BYTES)
			if (memcmp(chunk + i, d->replica + at + i, BLOCK_BYTES) &&
			    differing++ < 3)
				name_the_miss(chunk + i, d->replica + at + i, at + i);
	}
	return differing;
}

/* Of the reasons only commands that passed through belong here. */
static bool is_doubted(struct drainer *d)
{
	bool doubted = false;

	if (bf_tracker_get(d->nl, d->tracker.id, &d->tracker, &d->err))
		stop("get", &d->err);
	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++) {
		const struct bf_reason_counts *n = &d->tracker.reasons.by_id[id];

		if (n->raised == n->cleared &&
		    (!n->raised || id == BLKFERRY_REASON_PASSTHROUGH))
			continue;
		printf("the tracker doubts: %s\n", bf_reason_text(id));
		doubted = true;
	}
	return doubted;
}

/* A mark that found no leaf stands for many blocks, all others for their own. */
static bool is_overmarked(const struct drainer *d)
{
	if (!d->unneeded_blocks || d->tracker.stats[BLKFERRY_STAT_COARSE_MARKS])
		return false;
	printf("%" PRIu64 " blocks were marked that nothing had touched\n",
	       d->unneeded_blocks);
	return true;
}

/* --- all ------------------------------------------------------------------------ */

static char *map_replica(uint64_t bytes)
{
	char *replica = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (replica == MAP_FAILED)
		stop("replica", NULL);
	return replica;
}

/* At first all is dirty. */
static void expect_all(struct drainer *d)
{
	size_t bytes = touched_words(d->oracle) * sizeof(*d->due);

	d->due = malloc(bytes);
	if (!d->due)
		stop("memory", NULL);
	memset(d->due, 0xff, bytes);
}

static void prepare(struct drainer *d, const char *path)
{
	uint64_t mapped_bytes;

	d->disk = open_disk(path, 0);
	if (ioctl(d->disk, BLKGETSIZE64, &d->oracle->size_bytes))
		stop(path, NULL);
	mapped_bytes = (d->oracle->size_bytes | ((1 << 20) - 1)) + 1;
	d->replica = map_replica(mapped_bytes);
	d->old.replica = map_replica(mapped_bytes);
	if (bf_netlink_open(&d->nl, &d->err) ||
	    bf_tracker_create(d->nl, d->disk, "oracle", BLOCK_BYTES, true,
			      &d->tracker, &d->err))
		stop("track", &d->err);
}

static enum mistake find_mistake(const char *name)
{
	for (int i = 0; i < NR_MISTAKES; i++)
		if (!strcmp(mistakes[i], name))
			return i;
	fprintf(stderr, "no such mistake: %s\n", name);
	_exit(2);
}

static void print_counts(const struct drainer *d, uint64_t differing)
{
	printf("differing %" PRIu64 " passes %u", differing, d->nr_passes);
	for (int i = 0; i < NR_ENDS; i++)
		printf(" %s %u", end_names[i], d->nr_ends[i]);
	printf(" broken-off %u copied %" PRIu64 " KiB new %" PRIu64 " KiB carried %" PRIu64
	       " late %" PRIu64, d->nr_cut, d->copied_bytes >> 10,
	       d->tracker.stats[BLKFERRY_STAT_NEW_BLOCKS] * BLOCK_BYTES >> 10,
	       d->carried_blocks, d->tracker.stats[BLKFERRY_STAT_LATE]);
	printf(" marked %" PRIu64 " unneeded %" PRIu64 " coarse %" PRIu64 "\n",
	       d->marked_blocks, d->unneeded_blocks,
	       d->tracker.stats[BLKFERRY_STAT_COARSE_MARKS]);
}

int main(int argc, char **argv)
{
	struct drainer *d = &drainer;
	uint64_t differing;
	bool bad;

	if (argc < 4) {
		fprintf(stderr, "usage: oracle DISK SEED OPERATIONS [MISTAKE|none [DISK_ON_TOP]]\n");
		return 2;
	}
	d->mistake = argc > 4 ? find_mistake(argv[4]) : NO_MISTAKE;
	d->seed = strtoul(argv[2], NULL, 0);
	d->oracle = oracle_new(argv[argc > 5 ? 5 : 1], d->seed, strtoul(argv[3], NULL, 0));
	prepare(d, argv[1]);
	if (argc <= 5)
		expect_all(d);
	start_changes(d->oracle);
	while (changes_go_on(d->oracle))
		pass(d);
	enter(d, IDLE);
	join_changes(d->oracle);
	drain_the_rest(d);
	differing = differing_blocks(d);
	bad = differing || is_doubted(d);
	bad |= is_overmarked(d);
	bad |= !print_cells(d->oracle);
	print_counts(d, differing);
	if (bf_tracker_delete(d->nl, d->tracker.id, &d->err))
		stop("untrack", &d->err);
	return bad ? 1 : 0;
}
