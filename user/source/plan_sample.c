// SPDX-License-Identifier: Apache-2.0
/* Plan, sample: see plan_sample.h. Reading is timed, looking is not part of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/codec.h"
#include "lib/config.h"
#include "lib/transport.h"
#include "source/plan_sample.h"

#define READ_BYTES (1u << 20)
#define READS 64
#define READ_TIME_NS (2 * BF_NSEC_PER_SEC)
#define BLOCK_BYTES 4096u
#define LOOK_TIME_NS (BF_NSEC_PER_SEC / 2)	/* of each level, over all disks */
/* From this level on a part of each block must do. */
#define SLOW_LEVEL 9
#define SLOW_BYTES (128u << 10)

static void choose_levels(struct bf_plan_sample *sample, int level)
{
	static const int automatic[BF_SAMPLE_LEVELS] = { 1, 3, SLOW_LEVEL };

	for (int i = 0; i < BF_SAMPLE_LEVELS; i++)
		sample->all.levels[i].level =
			level == BF_LEVEL_AUTO ? automatic[i] : i ? 0 : level;
}

int bf_plan_sample_new(struct bf_plan_sample *sample, int level,
		       struct bf_error *err)
{
	void *block = NULL;
	int ret;

	*sample = (struct bf_plan_sample){ 0 };
	choose_levels(sample, level);
	ret = bf_codec_new(&sample->codec, err);
	if (ret)
		return ret;
	sample->room = malloc(bf_codec_bound(READ_BYTES));
	if (!sample->room || posix_memalign(&block, BLOCK_BYTES, READ_BYTES)) {
		bf_plan_sample_free(sample);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	}
	sample->block = block;
	return 0;
}

void bf_plan_sample_free(struct bf_plan_sample *sample)
{
	bf_codec_free(sample->codec);
	free(sample->block);
	free(sample->room);
	sample->codec = NULL;
	sample->block = sample->room = NULL;
}

/* What is no zeroes moves to the front. Return: bytes of it. */
static size_t drop_zeroes(uint8_t *block, size_t bytes)
{
	size_t kept = 0;

	for (size_t at = 0; at + BLOCK_BYTES <= bytes; at += BLOCK_BYTES) {
		if (bf_is_zero(block + at, BLOCK_BYTES))
			continue;
		memmove(block + kept, block + at, BLOCK_BYTES);
		kept += BLOCK_BYTES;
	}
	return kept;
}

static void pack(struct bf_plan_sample *sample, struct bf_sample_sums *disk,
		 int at, size_t bytes)
{
	struct bf_sample_level *level = &disk->levels[at];
	uint64_t start_ns = bf_now_ns();
	const void *out;
	uint16_t codec;

	if (!level->level || sample->spent_ns[at] > LOOK_TIME_NS)
		return;
	if (level->level >= SLOW_LEVEL && bytes > SLOW_BYTES)
		bytes = SLOW_BYTES;
	level->packed_bytes += bf_codec_encode(sample->codec, level->level,
					       sample->block, bytes,
					       sample->room,
					       bf_codec_bound(READ_BYTES),
					       &out, &codec);
	level->raw_bytes += bytes;
	level->time_ns += bf_now_ns() - start_ns;
	sample->spent_ns[at] += bf_now_ns() - start_ns;
}

static void look(struct bf_plan_sample *sample, struct bf_sample_sums *disk,
		 size_t bytes)
{
	size_t data_bytes = drop_zeroes(sample->block, bytes);

	disk->bytes += bytes;
	disk->zero_bytes += bytes - data_bytes;
	for (int i = 0; i < BF_SAMPLE_LEVELS && data_bytes; i++)
		pack(sample, disk, i, data_bytes);
}

/*
 * Return: ns that the reads took which worked. What fails takes as long as the
 * disk tries, so all of them together have their time.
 */
static uint64_t read_places(struct bf_plan_sample *sample,
			    struct bf_sample_sums *disk, int fd,
			    uint64_t size_bytes)
{
	uint64_t step = size_bytes / READS / READ_BYTES * READ_BYTES;
	uint64_t good_ns = 0, all_ns = 0;

	if (!step)
		step = READ_BYTES;
	for (uint64_t at = 0; at < READS * step && at < size_bytes &&
	     all_ns <= READ_TIME_NS; at += step) {
		uint64_t start_ns = bf_now_ns();
		ssize_t n = pread(fd, sample->block, READ_BYTES, (off_t)at);
		uint64_t took_ns = bf_now_ns() - start_ns;

		all_ns += took_ns;
		if (n < 0) {
			sample->nr_unreadable++;
			continue;
		}
		sample->nr_read++;
		good_ns += took_ns;
		look(sample, disk, n);
	}
	return good_ns;
}

/* What was looked at stands for the whole disk. */
static void add_disk(struct bf_sample_sums *all,
		     const struct bf_sample_sums *disk, uint64_t size_bytes)
{
	double weight = size_bytes / disk->bytes;

	all->bytes += weight * disk->bytes;
	all->zero_bytes += weight * disk->zero_bytes;
	for (int i = 0; i < BF_SAMPLE_LEVELS; i++) {
		all->levels[i].raw_bytes += weight * disk->levels[i].raw_bytes;
		all->levels[i].packed_bytes += weight *
					       disk->levels[i].packed_bytes;
		all->levels[i].time_ns += weight * disk->levels[i].time_ns;
	}
}

double bf_plan_sample_read(struct bf_plan_sample *sample, int fd,
			   uint64_t size_bytes)
{
	struct bf_sample_sums disk = { 0 };
	uint64_t ns;

	for (int i = 0; i < BF_SAMPLE_LEVELS; i++)
		disk.levels[i].level = sample->all.levels[i].level;
	sample->nr_read = sample->nr_unreadable = 0;
	ns = read_places(sample, &disk, fd, size_bytes);
	if (disk.bytes <= 0)
		return -1;
	sample->looked_bytes += disk.bytes;
	add_disk(&sample->all, &disk, size_bytes);
	return disk.bytes * BF_NSEC_PER_SEC / (ns + 1);
}

double bf_plan_sample_zero_share(const struct bf_plan_sample *sample)
{
	const struct bf_sample_sums *all = &sample->all;

	return all->bytes > 0 ? all->zero_bytes / all->bytes : 0;
}

static struct bf_sample_cost cost_at(const struct bf_sample_level *level,
				     double link_rate, unsigned int cores)
{
	double link_ns = BF_NSEC_PER_SEC / link_rate * level->packed_bytes /
			 level->raw_bytes;
	double pack_ns = level->time_ns / level->raw_bytes / cores;

	return (struct bf_sample_cost){
		.ns_per_byte = pack_ns > link_ns ? pack_ns : link_ns,
		.ratio = level->raw_bytes / level->packed_bytes,
		.by_processors = pack_ns > link_ns,
	};
}

struct bf_sample_cost bf_plan_sample_cost(const struct bf_plan_sample *sample,
					  double link_rate, unsigned int cores)
{
	struct bf_sample_cost best = {
		.ns_per_byte = BF_NSEC_PER_SEC / link_rate, .ratio = 1,
	};
	bool automatic = sample->all.levels[1].level;

	for (int i = 0; i < BF_SAMPLE_LEVELS; i++) {
		const struct bf_sample_level *level = &sample->all.levels[i];
		struct bf_sample_cost cost;

		if (!level->level || level->raw_bytes <= 0)
			continue;
		cost = cost_at(level, link_rate, cores);
		if (!automatic || cost.ns_per_byte < best.ns_per_byte)
			best = cost;
	}
	return best;
}
