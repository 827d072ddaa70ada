/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: kmod/dirtymap.c kmod/reserve.c -Itests/unit/shim -Ikmod */
/*
 * Dirty map under threads, the shipped source. Policy: while threads mark and
 * maps are swapped under them no mark is lost, and counts are exact.
 */
#include <pthread.h>

#include "dirtymap_world.h"

#define MARKERS		4
#define WRITES_EACH	150000
#define DISK_BLOCKS	(5 * 32768 - 1234)

/*
 * Writers raise a block's version and then mark it, as a write lands before
 * its completion is seen. The replicator swaps, waits for a grace period,
 * copies versions of dirty blocks and commits, or dies on the way. In the end
 * every version must have arrived.
 */
static struct {
	struct bf_dirtymap *active;	/* as under RCU */
	u32 sections[MARKERS];		/* odd: in a read section */
	u32 running;
	u32 source[DISK_BLOCKS];
	u32 target[DISK_BLOCKS];
} disk;

static void read_lock(unsigned int n)
{
	__atomic_fetch_add(&disk.sections[n], 1, __ATOMIC_SEQ_CST);
}

static void read_unlock(unsigned int n)
{
	__atomic_fetch_add(&disk.sections[n], 1, __ATOMIC_SEQ_CST);
}

static void synchronize(void)
{
	for (unsigned int n = 0; n < MARKERS; n++) {
		u32 was = __atomic_load_n(&disk.sections[n], __ATOMIC_SEQ_CST);

		while (was % 2 &&
		       __atomic_load_n(&disk.sections[n], __ATOMIC_SEQ_CST) == was)
			sched_yield();
	}
}

static void write_blocks(unsigned int n, u64 first, u64 last)
{
	for (u64 i = first; i <= last; i++)
		__atomic_fetch_add(&disk.source[i], 1, __ATOMIC_RELEASE);
	read_lock(n);
	bf_map_mark(__atomic_load_n(&disk.active, __ATOMIC_SEQ_CST), first, last);
	read_unlock(n);
}

static void *marker(void *arg)
{
	unsigned int n = (unsigned int)(uintptr_t)arg;
	u64 seed = 88172645463325252ull + n * 1000;

	shim_cpu = n % SHIM_CPUS;
	for (int i = 0; i < WRITES_EACH; i++) {
		/* Mostly in a few words, where threads meet. */
		u64 range = random_u64(&seed) % 4 ? 256 : DISK_BLOCKS;
		u64 first = random_u64(&seed) % range;
		u64 nr = random_u64(&seed) % 500 ? 1 : 3000;

		write_blocks(n, first, min(first + nr, (u64)DISK_BLOCKS) - 1);
	}
	__atomic_fetch_sub(&disk.running, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static struct bf_dirtymap *swap_published(void)
{
	struct bf_dirtymap *old = world.active;

	check(!bf_map_next_run(world.spare, 0, &(struct bf_run){ 0 }));
	check_eq(bf_map_dirty_blocks(world.spare), 0);
	world.active = world.spare;
	__atomic_store_n(&disk.active, world.active, __ATOMIC_SEQ_CST);
	synchronize();
	return old;
}

static u64 replicate(const struct bf_dirtymap *old, u64 from, u64 end)
{
	struct bf_run run;
	u64 copied = 0;

	while (from < end && bf_map_next_run(old, from, &run)) {
		for (u64 i = run.block; i < min(run.block + run.nr_blocks, end); i++) {
			disk.target[i] = __atomic_load_n(&disk.source[i],
							 __ATOMIC_ACQUIRE);
			copied++;
		}
		from = run.block + run.nr_blocks;
	}
	return copied;
}

/* One generation: through to its end, up to a watermark, or not at all. */
static void generation(bool to_the_end)
{
	struct bf_dirtymap *old = swap_published();
	u64 dirty = bf_map_dirty_blocks(old);
	u64 end = to_the_end || below(3) ? DISK_BLOCKS : below(DISK_BLOCKS);
	u64 copied = replicate(old, 0, end);

	check_eq(bf_map_forget(old, 0, end), copied);
	if (end == DISK_BLOCKS) {
		check_eq(copied, dirty);
		bf_map_clear(old);
	} else {
		bf_map_merge(world.active, old, end);
	}
	world.spare = old;
}

static void run_threads(unsigned int leaves)
{
	pthread_t threads[MARKERS];
	unsigned int generations = 0;

	world_open(DISK_BLOCKS, leaves);
	memset(&disk, 0, sizeof(disk));
	disk.active = world.active;
	disk.running = MARKERS;
	for (uintptr_t n = 0; n < MARKERS; n++)
		check_eq(pthread_create(&threads[n], NULL, marker, (void *)n), 0);
	while (__atomic_load_n(&disk.running, __ATOMIC_SEQ_CST)) {
		generation(false);
		generations++;
		bf_reserve_fill(&world.reserve, GFP_KERNEL);
	}
	for (int n = 0; n < MARKERS; n++)
		pthread_join(threads[n], NULL);
	generation(true);
	printf("# %u generations while threads marked\n", generations);
	check(!memcmp(disk.source, disk.target, sizeof(disk.source)));
	check_eq(bf_map_dirty_blocks(world.active), 0);
	world_close();
}

#define MEETINGS	10000
#define MEETING_BLOCKS	512

static pthread_barrier_t meeting;

/* Each thread marks every MARKERS-th block: all of them share each word. */
static void *meet(void *arg)
{
	uintptr_t n = (uintptr_t)arg;

	shim_cpu = n % SHIM_CPUS;
	for (int i = 0; i < MEETINGS; i++) {
		pthread_barrier_wait(&meeting);
		for (u64 block = n; block < MEETING_BLOCKS; block += MARKERS)
			bf_map_mark(world.active, block, block);
		pthread_barrier_wait(&meeting);
	}
	return NULL;
}

static void threads_meet(void)
{
	pthread_t threads[MARKERS];
	u64 wrong = 0;

	world_open(32768, MARKERS);
	pthread_barrier_init(&meeting, NULL, MARKERS + 1);
	for (uintptr_t n = 0; n < MARKERS; n++)
		check_eq(pthread_create(&threads[n], NULL, meet, (void *)n), 0);
	for (int i = 0; i < MEETINGS; i++) {
		struct bf_run run = { 0, 0 };

		pthread_barrier_wait(&meeting);
		pthread_barrier_wait(&meeting);
		bf_map_next_run(world.active, 0, &run);
		wrong += run.nr_blocks != MEETING_BLOCKS ||
			 bf_map_dirty_blocks(world.active) != MEETING_BLOCKS;
		bf_map_clear(world.active);
	}
	for (int n = 0; n < MARKERS; n++)
		pthread_join(threads[n], NULL);
	pthread_barrier_destroy(&meeting);
	check_eq(wrong, 0);
	world_close();
}

static void threads_with_leaves(void)
{
	run_threads(12);
}

static void threads_with_a_dry_reserve(void)
{
	run_threads(1);
}

static void threads_without_leaves(void)
{
	run_threads(0);
}

int main(void)
{
	tap_run("threads meet in the same words", threads_meet);
	tap_run("threads mark while maps swap", threads_with_leaves);
	tap_run("threads, a dry reserve", threads_with_a_dry_reserve);
	tap_run("threads, no leaves", threads_without_leaves);
	return tap_done();
}
