/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle's changes: a seed flows in, operations of every kind on the disk
 * flow out, each sector stamped with its writer, number and place, so that one
 * that is missed in the end names the write that made it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "../oracle.h"

#define NR_WRITERS 4
#define WRITE_MAX_BYTES (128u << 10)
#define BURST 8
#define NEAR_SECTORS (8u << 11)
#define PASSES_MIN 24

enum kind {
	PLAIN, DURABLE, BUFFERED, BURST_OF, DISCARD, ZERO, FLUSH, PASSED_THROUGH,
	NR_KINDS
};

static const char *const kind_names[NR_KINDS] = {
	"write", "write-dsync", "write-buffered", "write-burst", "discard",
	"write-zeroes", "flush", "passthrough",
};

static const char *const state_names[NR_STATES] = {
	"idle", "at-swap", "owned", "ending",
};

#define MIX 21

static const enum kind mix[MIX] = {
	PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, DURABLE, DURABLE,
	DURABLE, BUFFERED, BUFFERED, BUFFERED, BURST_OF, BURST_OF, DISCARD,
	DISCARD, ZERO, ZERO, FLUSH, PASSED_THROUGH,
};

struct stamp {
	uint64_t magic, sector, number;
	uint32_t writer, kind;
};

#define STAMP_MAGIC 0x656c6361726f6662ull

struct writer {
	pthread_t thread;
	struct oracle *oracle;
	unsigned int index, seed, unit;	/* sectors of a logical block */
	int direct, buffered, durable;
	aio_context_t aio;
	char *data;
	uint64_t number;
	uint64_t at, length;		/* under way; by lock */
	_Atomic uint64_t cells[NR_KINDS][NR_STATES];
	uint64_t unsupported[NR_KINDS];
};

struct writers {
	const char *path;
	uint64_t size_bytes;
	unsigned int seed, nr_operations;	/* of each */
	atomic_uint nr_running;
	atomic_uint nr_changing;		/* operations under way */
	bool is_mirror;
	uint64_t *touched;		/* by lock: a bit a block, until taken */
	uint64_t *buffered;		/* by lock: written back who knows when */
	pthread_mutex_t lock;
	pthread_cond_t place_is_left;
	struct writer each[NR_WRITERS];
};

int open_disk(const char *path, int more_flags)
{
	int fd = open(path, O_DIRECT | O_CLOEXEC | more_flags);

	if (fd < 0)
		stop(path, NULL);
	return fd;
}

static void stamp(struct writer *w, enum kind kind, uint64_t at, size_t length)
{
	struct stamp s = {
		.magic = STAMP_MAGIC, .writer = w->index, .kind = kind,
		.number = w->number,
	};

	for (size_t i = 0; i < length; i += 512) {
		s.sector = (at + i) / 512;
		memcpy(w->data + i, &s, sizeof(s));
	}
}

void print_stamp(const char *sector)
{
	struct stamp s;

	memcpy(&s, sector, sizeof(s));
	if (s.magic != STAMP_MAGIC || s.kind >= NR_KINDS)
		printf("no stamp");
	else
		printf("the %s number %" PRIu64 " of writer %u for sector %" PRIu64,
		       kind_names[s.kind], s.number, s.writer, s.sector);
}

/* Mostly small, as most writes are. */
static uint64_t some_length(struct writer *w)
{
	static const unsigned int most[4] = { 8, 8, 64, WRITE_MAX_BYTES / 512 };
	unsigned int sectors = 1 + rand_r(&w->seed) % most[rand_r(&w->seed) % 4];

	return (sectors + w->unit - 1) / w->unit * w->unit * 512;
}

/*
 * Most places are near each other, so that passes are short and swaps are many:
 * around two thirds of the range, where disks of 256 MiB have the border of two
 * leaves.
 */
static void narrow(struct writer *w, uint64_t *low, uint64_t *sectors)
{
	if (*sectors <= NEAR_SECTORS || rand_r(&w->seed) % 16 == 0)
		return;
	*low += (*sectors - NEAR_SECTORS) / 3 * 2;
	*sectors = NEAR_SECTORS;
}

/*
 * Buffered writes keep to the last quarter: mixed with direct ones on the same
 * pages the kernel itself reports I/O errors.
 */
static uint64_t place(struct writer *w, uint64_t length, bool buffered)
{
	uint64_t sectors = w->oracle->writers->size_bytes / 512, low = 0;
	uint64_t border = sectors / 4 * 3 / 8 * 8;

	if (buffered)
		low = border;
	else
		sectors = border;
	sectors -= low;
	narrow(w, &low, &sectors);
	sectors -= length / 512;
	low += (((uint64_t)rand_r(&w->seed) << 16) ^ rand_r(&w->seed)) %
	       (sectors + 1);
	return low / w->unit * w->unit * 512;
}

/* Several at once, one after the other on the disk: they merge and split. */
static long burst(struct writer *w, uint64_t at, uint64_t length)
{
	struct iocb blocks[BURST], *list[BURST];
	struct io_event events[BURST];
	uint64_t each = length / 512 / w->unit / BURST * w->unit * 512;
	long nr = each ? BURST : 1, got;

	for (long i = 0; i < nr; i++) {
		blocks[i] = (struct iocb){
			.aio_lio_opcode = IOCB_CMD_PWRITE,
			.aio_fildes = w->direct,
			.aio_buf = (uintptr_t)(w->data + i * each),
			.aio_nbytes = i + 1 < nr ? each : length - i * each,
			.aio_offset = (int64_t)(at + i * each),
		};
		list[i] = &blocks[i];
	}
	got = syscall(SYS_io_submit, w->aio, nr, list);
	if (got != nr)
		return -1;
	got = syscall(SYS_io_getevents, w->aio, nr, nr, events, NULL);
	for (long i = 0; i < got; i++)
		if (events[i].res != (int64_t)blocks[(struct iocb *)(uintptr_t)
						     events[i].obj - blocks].aio_nbytes)
			return -1;
	return got == nr ? 0 : -1;
}

/* A vendor's command that may write anything, for all that anybody can know. */
static long pass_through(struct writer *w)
{
	unsigned char command[6] = { 0xc0 };
	struct sg_io_hdr header = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_NONE,
		.cmdp = command,
		.cmd_len = sizeof(command),
		.timeout = 10000,
	};
	long done = ioctl(w->direct, SG_IO, &header);

	if (done < 0 && (errno == ENOTTY || errno == EINVAL))
		errno = EOPNOTSUPP;
	return done;
}

static long make(struct writer *w, enum kind kind, uint64_t at, uint64_t length)
{
	uint64_t range[2] = { at, length };

	switch (kind) {
	case DISCARD:
		return ioctl(w->direct, BLKDISCARD, range);
	case ZERO:
		return ioctl(w->direct, BLKZEROOUT, range);
	case FLUSH:
		return fdatasync(w->buffered);
	case PASSED_THROUGH:
		return pass_through(w);
	case BURST_OF:
		return burst(w, at, length);
	case DURABLE:
		return pwrite(w->durable, w->data, length, at);
	case BUFFERED:
		return pwrite(w->buffered, w->data, length, at);
	default:
		return pwrite(w->direct, w->data, length, at);
	}
}

/*
 * Counted for the state at its start and that at its end, and for all between
 * if those differ: passes go round in the order of the states.
 */
static void count(struct writer *w, enum kind kind, int before, int after)
{
	w->cells[kind][before]++;
	while (before != after) {
		before = (before + 1) % NR_STATES;
		w->cells[kind][before]++;
	}
}

static bool is_taken(struct writers *all, uint64_t at, uint64_t length)
{
	for (unsigned int n = 0; n < NR_WRITERS; n++) {
		const struct writer *other = &all->each[n];

		if (other->length && at < other->at + other->length &&
		    other->at < at + length)
			return true;
	}
	return false;
}

static void touch(uint64_t *bits, uint64_t at, uint64_t length)
{
	uint64_t end = length ? (at + length - 1) / BLOCK_BYTES + 1 : 0;

	for (uint64_t block = at / BLOCK_BYTES; block < end; block++)
		bits[block / 64] |= 1ull << block % 64;
}

/*
 * Writes to one place at the same time leave the sides of a mirror different,
 * and then it depends on the side which of them is read.
 */
static void take_place(struct writer *w, enum kind kind, uint64_t at,
		       uint64_t length)
{
	struct writers *all = w->oracle->writers;

	pthread_mutex_lock(&all->lock);
	while (all->is_mirror && is_taken(all, at, length))
		pthread_cond_wait(&all->place_is_left, &all->lock);
	w->at = at;
	w->length = length;
	touch(kind == BUFFERED ? all->buffered : all->touched, at, length);
	pthread_mutex_unlock(&all->lock);
}

static void leave_place(struct writer *w)
{
	struct writers *all = w->oracle->writers;

	pthread_mutex_lock(&all->lock);
	w->length = 0;
	pthread_cond_broadcast(&all->place_is_left);
	pthread_mutex_unlock(&all->lock);
}

static bool writes(enum kind kind)
{
	return kind != FLUSH && kind != PASSED_THROUGH;
}

/* However slow a pass is, it meets its share and no more. */
static void wait_for_turn(struct oracle *oracle)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	while (atomic_load(&oracle->state) == OWNED &&
	       atomic_load(&oracle->left_of_pass) <= 0)
		nanosleep(&moment, NULL);
	atomic_fetch_sub(&oracle->left_of_pass, 1);
}

static void change(struct writer *w)
{
	struct writers *all = w->oracle->writers;
	enum kind kind = mix[rand_r(&w->seed) % MIX];
	uint64_t length = some_length(w);
	uint64_t at = place(w, length, kind == BUFFERED);
	int before;
	long done;

	w->number++;
	stamp(w, kind, at, length);
	if (writes(kind)) {
		take_place(w, kind, at, length);
		atomic_fetch_add(&all->nr_changing, 1);
	}
	before = atomic_load(&w->oracle->state);
	done = make(w, kind, at, length);
	count(w, kind, before, atomic_load(&w->oracle->state));
	if (writes(kind))
		atomic_fetch_sub(&all->nr_changing, 1);
	if (done < 0 && errno == EOPNOTSUPP &&
	    (kind == DISCARD || kind == PASSED_THROUGH))
		w->unsupported[kind]++;
	else if (done < 0)
		stop(kind_names[kind], NULL);
	leave_place(w);
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	struct writers *all = w->oracle->writers;

	for (unsigned int n = 0; n < all->nr_operations; n++) {
		wait_for_turn(w->oracle);
		change(w);
	}
	if (fsync(w->buffered))
		stop("fsync", NULL);
	atomic_fetch_sub(&all->nr_running, 1);
	return NULL;
}

struct oracle *oracle_new(const char *path, unsigned int seed,
			  unsigned int nr_operations)
{
	struct oracle *oracle = calloc(1, sizeof(*oracle));
	struct writers *all = calloc(1, sizeof(*all));
	_cleanup_close_ int fd = open_disk(path, 0);

	if (!oracle || !all)
		stop("memory", NULL);
	if (ioctl(fd, BLKGETSIZE64, &all->size_bytes))
		stop(path, NULL);
	oracle->writers = all;
	all->path = path;
	all->seed = seed;
	all->is_mirror = strstr(path, "/md");
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->place_is_left, NULL);
	all->nr_operations = (nr_operations + NR_WRITERS - 1) / NR_WRITERS;
	all->touched = calloc(touched_words(oracle), sizeof(*all->touched));
	all->buffered = calloc(touched_words(oracle), sizeof(*all->buffered));
	if (!all->touched || !all->buffered)
		stop("memory", NULL);
	return oracle;
}

static void open_writer(struct writer *w, struct oracle *oracle, unsigned int n)
{
	struct writers *all = oracle->writers;
	int block_bytes;

	w->oracle = oracle;
	w->index = n;
	w->seed = all->seed * NR_WRITERS + n;
	w->direct = open_disk(all->path, O_RDWR);
	w->durable = open_disk(all->path, O_RDWR | O_DSYNC);
	w->buffered = open(all->path, O_RDWR | O_CLOEXEC);
	if (ioctl(w->direct, BLKSSZGET, &block_bytes))
		stop(all->path, NULL);
	w->unit = block_bytes / 512;
	if (w->buffered < 0 || syscall(SYS_io_setup, BURST, &w->aio) ||
	    posix_memalign((void **)&w->data, BLOCK_BYTES, WRITE_MAX_BYTES))
		stop(all->path, NULL);
	memset(w->data, 'a' + n, WRITE_MAX_BYTES);
}

void start_changes(struct oracle *oracle)
{
	struct writers *all = oracle->writers;

	all->nr_running = NR_WRITERS;
	for (unsigned int n = 0; n < NR_WRITERS; n++) {
		open_writer(&all->each[n], oracle, n);
		if (pthread_create(&all->each[n].thread, NULL, writer_main,
				   &all->each[n]))
			stop("thread", NULL);
	}
}

bool changes_go_on(struct oracle *oracle)
{
	return atomic_load(&oracle->writers->nr_running);
}

void wait_for_changes(struct oracle *oracle)
{
	while (changes_go_on(oracle) &&
	       !atomic_load(&oracle->writers->nr_changing))
		sched_yield();
}

void join_changes(struct oracle *oracle)
{
	for (unsigned int n = 0; n < NR_WRITERS; n++)
		pthread_join(oracle->writers->each[n].thread, NULL);
}

size_t touched_words(const struct oracle *oracle)
{
	return oracle->writers->size_bytes / BLOCK_BYTES / 64 + 1;
}

static void or_touched(const struct oracle *oracle, uint64_t *bits)
{
	const struct writers *all = oracle->writers;

	for (size_t i = 0; i < touched_words(oracle); i++)
		bits[i] |= all->touched[i] | all->buffered[i];
}

void add_touched(struct oracle *oracle, uint64_t *bits)
{
	pthread_mutex_lock(&oracle->writers->lock);
	or_touched(oracle, bits);
	pthread_mutex_unlock(&oracle->writers->lock);
}

void take_touched(struct oracle *oracle, uint64_t *bits)
{
	struct writers *all = oracle->writers;

	pthread_mutex_lock(&all->lock);
	or_touched(oracle, bits);
	memset(all->touched, 0, touched_words(oracle) * sizeof(*bits));
	for (unsigned int n = 0; n < NR_WRITERS; n++)
		touch(all->touched, all->each[n].at, all->each[n].length);
	pthread_mutex_unlock(&all->lock);
}

static uint64_t cell(const struct writers *all, int kind, int state)
{
	uint64_t sum = 0;

	for (unsigned int n = 0; n < NR_WRITERS; n++)
		sum += all->each[n].cells[kind][state];
	return sum;
}

/* With few operations some state may come when no more are left to meet it. */
static bool must_be_filled(const struct writers *all)
{
	return (uint64_t)all->nr_operations * NR_WRITERS >= 1000;
}

static bool is_met_by_all(const struct writers *all, int state)
{
	for (int kind = 0; kind < NR_KINDS; kind++)
		if (!cell(all, kind, state))
			return false;
	return true;
}

void share_changes(struct oracle *oracle)
{
	unsigned int all = oracle->writers->nr_operations * NR_WRITERS;

	atomic_store(&oracle->left_of_pass, all / PASSES_MIN + NR_WRITERS);
}

void wait_for_cells(struct oracle *oracle)
{
	while (changes_go_on(oracle) &&
	       !is_met_by_all(oracle->writers, atomic_load(&oracle->state)))
		sched_yield();
}

bool print_cells(const struct oracle *oracle)
{
	const struct writers *all = oracle->writers;
	bool filled = true;

	for (int kind = 0; kind < NR_KINDS; kind++) {
		printf("%-14s", kind_names[kind]);
		for (int state = 0; state < NR_STATES; state++) {
			printf(" %s %" PRIu64, state_names[state],
			       cell(all, kind, state));
			filled &= cell(all, kind, state) > 0;
		}
		printf("%s\n", all->each[0].unsupported[kind] ?
		       " (not offered by this disk)" : "");
	}
	if (filled || !must_be_filled(all))
		return true;
	printf("a cell is empty: the run shows less than it should\n");
	return false;
}
