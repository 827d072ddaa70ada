/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * The oracle: is every change to a disk found? Threads change a disk in every
 * way a program can, by seed, while passes drain its tracker into a replica in
 * memory; passes end in a commit, a watermark, an abort, a close or a death, by
 * seed too. In: a disk or partition, a seed, operations a thread. Out: one line
 * of counts; status 1 if the replica differs from the disk in the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/netlink.h"

#define BLOCK_BYTES 4096u
#define WRITE_MAX_BYTES (128u << 10)
#define NR_WRITERS 4

struct oracle {
	const char *path;
	const char *name;
	uint64_t size_bytes;
	unsigned int seed;
	unsigned int nr_operations;
	char *replica;
	int disk;			/* O_DIRECT, to read from */
	struct bf_netlink *nl;
	struct bf_tracker tracker;
	struct bf_walk_window window;
	struct bf_error err;
	atomic_uint nr_writing;
	unsigned int nr_passes, nr_ends[5];
	uint64_t copied_bytes, same_bytes;
};

struct writer {
	struct oracle *oracle;
	unsigned int seed;
	int direct, buffered, synchronous;
	char *data;
};

static void stop(const char *what, const struct bf_error *err)
{
	printf("%s: %s\n", what, err ? err->text : strerror(errno));
	fflush(stdout);
	_exit(2);
}

/* --- changes ------------------------------------------------------------------ */

/*
 * Buffered writes keep to the last quarter: mixed with direct ones on the same
 * pages the kernel itself reports I/O errors.
 */
static uint64_t place(struct writer *w, uint64_t length, bool buffered)
{
	uint64_t sectors = w->oracle->size_bytes / 512, low = 0;
	uint64_t border = sectors / 4 * 3 / 8 * 8;

	if (buffered)
		low = border;
	else
		sectors = border;
	sectors -= low + length / 512;
	return (low + (((uint64_t)rand_r(&w->seed) << 16) ^ rand_r(&w->seed)) %
			      (sectors + 1)) * 512;
}

static void change(struct writer *w)
{
	unsigned int kind = rand_r(&w->seed) % 10;
	uint64_t length = (1 + rand_r(&w->seed) % (WRITE_MAX_BYTES / 512)) * 512;
	uint64_t at = place(w, length, kind == 3 || kind == 4);
	uint64_t range[2] = { at, length };
	ssize_t done = 0;

	memset(w->data, rand_r(&w->seed), length);
	switch (kind) {
	case 0:
		done = ioctl(w->direct, BLKDISCARD, range);
		break;
	case 1:
		done = ioctl(w->direct, BLKZEROOUT, range);
		break;
	case 2:
		done = pwrite(w->synchronous, w->data, length, at);
		break;
	case 3:
	case 4:
		done = pwrite(w->buffered, w->data, length, at);
		break;
	case 5:
		done = fdatasync(w->buffered);
		break;
	default:
		done = pwrite(w->direct, w->data, length, at);
	}
	if (done < 0 && !(kind < 2 && errno == EOPNOTSUPP))
		stop("a change failed", NULL);
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	for (unsigned int n = 0; n < w->oracle->nr_operations; n++)
		change(w);
	if (fsync(w->buffered))
		stop("fsync", NULL);
	atomic_fetch_sub(&w->oracle->nr_writing, 1);
	return NULL;
}

static void open_writer(struct writer *w, struct oracle *o, unsigned int n)
{
	w->oracle = o;
	w->seed = o->seed * NR_WRITERS + n;
	w->direct = open(o->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	w->synchronous = open(o->path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	w->buffered = open(o->path, O_RDWR | O_CLOEXEC);
	if (w->direct < 0 || w->synchronous < 0 || w->buffered < 0 ||
	    posix_memalign((void **)&w->data, BLOCK_BYTES, WRITE_MAX_BYTES))
		stop(o->path, NULL);
}

/* --- passes ------------------------------------------------------------------- */

static void copy_extent(struct oracle *o, const struct blkferry_extent *extent)
{
	static char chunk[1 << 20] __attribute__((aligned(BLOCK_BYTES)));
	uint64_t at = extent->sector * 512;
	uint64_t end = at + extent->nr_sectors * 512;

	while (at < end) {
		size_t want = end - at < sizeof(chunk) ? end - at : sizeof(chunk);

		if (pread(o->disk, chunk, want, at) != (ssize_t)want)
			stop("read", NULL);
		if (!memcmp(o->replica + at, chunk, want))
			o->same_bytes += want;
		memcpy(o->replica + at, chunk, want);
		o->copied_bytes += want;
		at += want;
	}
}

static void copy_generation(struct oracle *o, const struct bf_drain *drain)
{
	uint64_t from = 0, sectors = 0;

	do {
		if (bf_drain_walk(o->nl, drain, from, &o->window, &o->err))
			stop("walk", &o->err);
		for (size_t i = 0; i < o->window.nr_extents; i++) {
			copy_extent(o, &o->window.extents[i]);
			sectors += o->window.extents[i].nr_sectors;
		}
		from = o->window.next_sector;
	} while (!o->window.end);
	if (o->window.total_blocks != drain->nr_blocks ||
	    (sectors + BLOCK_BYTES / 512 - 1) / (BLOCK_BYTES / 512) != drain->nr_blocks)
		stop("the walk and its trailer differ", &o->err);
}

static void begin(struct oracle *o, struct bf_drain *drain)
{
	*drain = (struct bf_drain){ .fd = -1, .tracker_id = o->tracker.id };
	if (bf_drain_begin(o->nl, drain, &o->disk, 1, &o->err))
		stop("begin", &o->err);
	o->nr_passes++;
}

static void finish(struct oracle *o, struct bf_drain *drain)
{
	if (bf_drain_finish(o->nl, drain, o->tracker.nr_sectors,
			    drain->nr_blocks, NULL, &o->err))
		stop("final commit", &o->err);
	bf_drain_close(drain);
}

static void commit_part(struct oracle *o, struct bf_drain *drain)
{
	uint64_t blocks = o->tracker.nr_sectors * 512 / BLOCK_BYTES;
	uint64_t through = (uint64_t)rand_r(&o->seed) % (blocks + 1) *
			   (BLOCK_BYTES / 512);

	if (bf_drain_commit(o->nl, drain, through, &o->err))
		stop("commit", &o->err);
}

/* The generation's owner is a child that is killed with it. */
static void die_with_generation(struct oracle *o)
{
	pid_t pid = fork();

	if (!pid) {
		struct bf_drain drain;

		if (bf_netlink_open(&o->nl, &o->err))
			_exit(2);
		begin(o, &drain);
		raise(SIGKILL);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		stop("fork", NULL);
}

static void pass(struct oracle *o)
{
	unsigned int end = rand_r(&o->seed) % 5;
	struct bf_drain drain;

	o->nr_ends[end]++;
	if (end == 4)
		die_with_generation(o);
	begin(o, &drain);
	copy_generation(o, &drain);
	if (end == 1) {
		commit_part(o, &drain);
	} else if (end == 2) {
		if (bf_drain_abort(o->nl, &drain, &o->err))
			stop("abort", &o->err);
	} else if (end != 3) {
		finish(o, &drain);
		return;
	}
	bf_drain_close(&drain);
}

/* Silence: passes until a generation is empty. */
static void drain_the_rest(struct oracle *o)
{
	struct bf_drain drain;
	uint64_t nr_blocks;

	do {
		begin(o, &drain);
		copy_generation(o, &drain);
		nr_blocks = drain.nr_blocks;
		finish(o, &drain);
	} while (nr_blocks);
}

static uint64_t differing_blocks(struct oracle *o)
{
	static char block[BLOCK_BYTES] __attribute__((aligned(BLOCK_BYTES)));
	uint64_t differing = 0;

	for (uint64_t at = 0; at < o->size_bytes; at += BLOCK_BYTES) {
		size_t want = o->size_bytes - at < BLOCK_BYTES ? o->size_bytes - at :
								 BLOCK_BYTES;

		if (pread(o->disk, block, want, at) != (ssize_t)want)
			stop("read", NULL);
		if (!memcmp(block, o->replica + at, want))
			continue;
		if (!differing++)
			printf("first differing block: %" PRIu64 "\n", at / BLOCK_BYTES);
	}
	return differing;
}

static void prepare(struct oracle *o)
{
	o->disk = open(o->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (o->disk < 0 || ioctl(o->disk, BLKGETSIZE64, &o->size_bytes))
		stop(o->path, NULL);
	o->replica = mmap(NULL, o->size_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (o->replica == MAP_FAILED)
		stop("replica", NULL);
	if (bf_netlink_open(&o->nl, &o->err) ||
	    bf_tracker_create(o->nl, o->disk, o->name, BLOCK_BYTES, true,
			      &o->tracker, &o->err))
		stop("track", &o->err);
}

int main(int argc, char **argv)
{
	static struct oracle o;
	struct writer writers[NR_WRITERS];
	pthread_t threads[NR_WRITERS];
	uint64_t differing;

	if (argc != 4) {
		fprintf(stderr, "usage: oracle DISK SEED OPERATIONS\n");
		return 2;
	}
	o.path = argv[1];
	o.name = "oracle";
	o.seed = strtoul(argv[2], NULL, 0);
	o.nr_operations = strtoul(argv[3], NULL, 0);
	prepare(&o);
	o.nr_writing = NR_WRITERS;
	for (unsigned int n = 0; n < NR_WRITERS; n++) {
		open_writer(&writers[n], &o, n);
		if (pthread_create(&threads[n], NULL, writer_main, &writers[n]))
			stop("thread", NULL);
	}
	while (atomic_load(&o.nr_writing))
		pass(&o);
	for (unsigned int n = 0; n < NR_WRITERS; n++)
		pthread_join(threads[n], NULL);
	drain_the_rest(&o);
	differing = differing_blocks(&o);
	printf("differing %" PRIu64 " passes %u (committed %u, in part %u, aborted %u, closed %u, killed %u) "
	       "copied %" PRIu64 " KiB, of it unchanged %" PRIu64 " KiB\n",
	       differing, o.nr_passes, o.nr_ends[0], o.nr_ends[1], o.nr_ends[2],
	       o.nr_ends[3], o.nr_ends[4], o.copied_bytes >> 10, o.same_bytes >> 10);
	if (bf_tracker_delete(o.nl, o.tracker.id, &o.err))
		stop("untrack", &o.err);
	return differing ? 1 : 0;
}
