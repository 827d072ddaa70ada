// SPDX-License-Identifier: Apache-2.0
/*
 * Compress: slots full of blocks flow in, DATA frames flow out. Zeroes become
 * ranges, the checksum is taken of what is left before it is compressed, and
 * what compression does not make smaller travels as it is.
 *
 * The level "auto" follows auto_level.c, which is told what each frame cost and,
 * some times a second, what link and processors did.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/cleanup.h"
#include "lib/codec.h"
#include "lib/config.h"
#include "source/auto_level.h"
#include "source/session.h"

#define STEP_BYTES 4096u		/* zeroes are looked for in these */
#define AUTO_NS (200 * BF_NSEC_PER_MSEC)	/* from one choice to the next */

struct worker {
	struct bf_workers *workers;
	struct bf_codec *codec;
	pthread_t thread;
	bool started;
	/* Of the slot at hand. */
	struct bf_extent data[WIRE_EXTENTS_MAX], zero[WIRE_EXTENTS_MAX];
	uint32_t nr_data, nr_zero;
	uint32_t data_bytes;		/* compacted at the start of raw */
};

/* What the last choice of a level went by. */
struct look {
	uint64_t at_ns, wire_bytes, full_ns, send_ns, idle_ticks;
};

/* @lock guards the queue and the choice of levels, and is taken alone. */
struct bf_workers {
	struct bf_session *session;
	pthread_mutex_t lock;
	struct bf_auto automatic;
	struct look look;
	uint64_t busy_ns;		/* compressing, since that look */
	pthread_cond_t filled;
	struct bf_slot *head, **tail;
	bool stop;
	unsigned int nr;
	struct worker worker[];
};

/* --- zeroes --------------------------------------------------------------------- */

static void add_extent(struct bf_extent *list, uint32_t *nr, uint64_t offset_bytes,
		       uint64_t length_bytes)
{
	struct bf_extent *last = *nr ? &list[*nr - 1] : NULL;

	if (last && last->offset_bytes + last->length_bytes == offset_bytes)
		last->length_bytes += length_bytes;
	else
		list[(*nr)++] = (struct bf_extent){ offset_bytes, length_bytes };
}

/* Blocks move towards the front over the zeroes that were taken out. */
static void keep(struct worker *w, struct bf_slot *slot, uint64_t offset_bytes,
		 const uint8_t *from, uint32_t bytes)
{
	if (!bytes)
		return;
	add_extent(w->data, &w->nr_data, offset_bytes, bytes);
	if (slot->raw + w->data_bytes != from)
		memmove(slot->raw + w->data_bytes, from, bytes);
	w->data_bytes += bytes;
}

static void drop(struct worker *w, struct bf_slot *slot, uint64_t offset_bytes,
		 uint32_t bytes)
{
	add_extent(w->zero, &w->nr_zero, offset_bytes, bytes);
	slot->totals.zero_bytes += bytes;
}

/* Length of the run of zeroes, or of other steps, at @at. */
static uint32_t run_bytes(const uint8_t *at, uint32_t left, bool *zero)
{
	uint32_t bytes = 0;

	while (bytes < left) {
		uint32_t step = left - bytes < STEP_BYTES ? left - bytes : STEP_BYTES;
		bool is_zero = bf_is_zero(at + bytes, step);

		if (!bytes)
			*zero = is_zero;
		else if (is_zero != *zero)
			break;
		bytes += step;
	}
	return bytes;
}

/*
 * Runs of zeroes that are long, or all of the extent, leave; what lies between
 * two of them is kept in one piece.
 */
static void split_extent(struct worker *w, struct bf_slot *slot,
			 const struct bf_extent *extent, const uint8_t *blocks)
{
	uint32_t length = extent->length_bytes, at = 0, kept_from = 0;

	while (at < length) {
		bool zero;
		uint32_t bytes = run_bytes(blocks + at, length - at, &zero);

		if (zero && (bytes >= BF_ZERO_RUN_BYTES || bytes == length)) {
			keep(w, slot, extent->offset_bytes + kept_from,
			     blocks + kept_from, at - kept_from);
			drop(w, slot, extent->offset_bytes + at, bytes);
			kept_from = at + bytes;
		}
		at += bytes;
	}
	keep(w, slot, extent->offset_bytes + kept_from, blocks + kept_from,
	     length - kept_from);
}

static void split_slot(struct worker *w, struct bf_slot *slot)
{
	const uint8_t *blocks = slot->raw;
	uint32_t i;

	w->nr_data = 0;
	w->nr_zero = 0;
	w->data_bytes = 0;
	for (i = 0; i < slot->nr_extents; i++) {
		split_extent(w, slot, &slot->extents[i], blocks);
		blocks += slot->extents[i].length_bytes;
	}
	slot->totals.data_bytes = w->data_bytes;
	slot->totals.extents = w->nr_data + w->nr_zero;
	slot->totals.frames = 1;
}

/* --- frames --------------------------------------------------------------------- */

static void write_table(struct wire_extent *table, const struct bf_extent *list,
			uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		table[i].offset_bytes = list[i].offset_bytes;
		table[i].length_bytes = list[i].length_bytes;
		bf_wire_swap_extent(&table[i]);
	}
}

/* --- the level -------------------------------------------------------------------- */

/* Of all processors, in hundredths of a second since the start; 0: not told. */
static uint64_t idle_ticks(void)
{
	_cleanup_fclose_ FILE *stat = fopen("/proc/stat", "re");
	unsigned long long idle, wait;

	if (!stat || fscanf(stat, "cpu %*u %*u %*u %llu %llu", &idle, &wait) != 2)
		return 0;
	return idle + wait;
}

static struct look look_around(struct bf_session *s)
{
	return (struct look){
		.at_ns = bf_now_ns(),
		.wire_bytes = atomic_load_explicit(&s->progress.wire_bytes,
						   memory_order_relaxed),
		.full_ns = atomic_load_explicit(&s->link_full_ns,
						memory_order_relaxed) /
			   (1 + s->nr_data_links),
		.send_ns = atomic_load_explicit(&s->link_send_ns,
						memory_order_relaxed),
		.idle_ticks = idle_ticks(),
	};
}

/*
 * What compression and sending take already, and what nobody takes; half of the
 * threads that compress at least: on a machine that is busy the scheduler shares,
 * and the cost of a byte is measured by the clock, so that it tells how.
 */
static double cores_left(const struct bf_workers *ws, const struct look *now,
			 uint64_t time_ns)
{
	double ticks_ns = BF_NSEC_PER_SEC / (double)sysconf(_SC_CLK_TCK);
	/* The kernel's count of them can go back a little. */
	uint64_t idle_ticks = now->idle_ticks > ws->look.idle_ticks &&
			      ws->look.idle_ticks ?
			      now->idle_ticks - ws->look.idle_ticks : 0;
	double idle_ns = idle_ticks * ticks_ns;
	double cores = (ws->busy_ns + (now->send_ns - ws->look.send_ns) +
			idle_ns) / time_ns;

	return cores < ws->nr / 2.0 ? ws->nr / 2.0 : cores;
}

/* With the lock. */
static void choose_level(struct bf_workers *ws)
{
	struct look now = look_around(ws->session);
	uint64_t time_ns = now.at_ns - ws->look.at_ns;
	const struct bf_auto_sample sample = {
		.time_ns = time_ns,
		.wire_bytes = now.wire_bytes - ws->look.wire_bytes,
		.full_ns = now.full_ns - ws->look.full_ns,
		.send_ns = now.send_ns - ws->look.send_ns,
		.senders = 1 + ws->session->nr_data_links,
		.cores = cores_left(ws, &now, time_ns),
		.workers = ws->nr,
	};

	/* Between two passes nobody looked: that time tells nothing. */
	if (ws->look.at_ns && time_ns < 5 * AUTO_NS)
		bf_auto_choose(&ws->automatic, &sample);
	ws->look = now;
	ws->busy_ns = 0;
}

static int automatic_level(struct bf_workers *ws)
{
	int level;

	pthread_mutex_lock(&ws->lock);
	if (bf_now_ns() - ws->look.at_ns >= AUTO_NS)
		choose_level(ws);
	level = bf_auto_next(&ws->automatic);
	pthread_mutex_unlock(&ws->lock);
	return level;
}

static int level_of(struct bf_workers *ws)
{
	struct bf_session *s = ws->session;
	int level = atomic_load_explicit(&s->settings->level, memory_order_relaxed);

	if (!(s->welcome.features & WIRE_FEATURE_ZSTD))
		return 0;
	return level == BF_LEVEL_AUTO ? automatic_level(ws) : level;
}

static size_t encode(struct worker *w, struct bf_slot *slot, const void **encoded,
		     uint16_t *codec_id)
{
	struct bf_workers *ws = w->workers;
	int level = level_of(ws);
	uint64_t start_ns = bf_now_ns(), ns;
	size_t bytes = bf_codec_encode(w->codec, level, slot->raw, w->data_bytes,
				       slot->room, WIRE_RAW_MAX, encoded,
				       codec_id);

	ns = bf_now_ns() - start_ns;
	pthread_mutex_lock(&ws->lock);
	ws->busy_ns += ns;
	bf_auto_frame(&ws->automatic, level, w->data_bytes, bytes, ns);
	pthread_mutex_unlock(&ws->lock);
	return bytes;
}

/* The head in front of the blocks, wherever these are: one run of bytes. */
static void write_frame(struct bf_slot *slot, uint8_t *blocks,
			const struct wire_data *data, const uint8_t *table,
			size_t table_bytes)
{
	uint32_t payload = sizeof(*data) + table_bytes + data->encoded_bytes;
	uint8_t *at = blocks - table_bytes;
	struct wire_data head = *data;
	struct wire_header header;

	if (at != table)
		memcpy(at, table, table_bytes);
	at -= sizeof(head);
	bf_wire_swap_data(&head);
	memcpy(at, &head, sizeof(head));
	at -= sizeof(header);
	bf_frame_header(&header, WIRE_DATA, slot->disk, payload);
	memcpy(at, &header, sizeof(header));
	slot->item.frame = at;
	slot->item.bytes = sizeof(header) + payload;
}

static void make_frame(struct worker *w, struct bf_slot *slot)
{
	struct bf_session *s = slot->session;
	size_t table_bytes = (w->nr_data + w->nr_zero) * sizeof(struct wire_extent);
	uint8_t *table = slot->raw - table_bytes;
	struct wire_data data = {
		.generation = slot->generation,
		.raw_bytes = w->data_bytes,
		.nr_data = w->nr_data,
		.nr_zero = w->nr_zero,
	};
	const void *encoded;

	write_table((struct wire_extent *)table, w->data, w->nr_data);
	write_table((struct wire_extent *)table + w->nr_data, w->zero, w->nr_zero);
	data.checksum = bf_codec_checksum(w->codec, s->welcome.checksum_seed,
					  table, table_bytes, slot->raw,
					  w->data_bytes);
	slot->totals.checksum_sum = data.checksum;
	data.encoded_bytes = encode(w, slot, &encoded, &data.codec);
	write_frame(slot, encoded == slot->room ? slot->room : slot->raw, &data,
		    table, table_bytes);
}

/* --- the threads ---------------------------------------------------------------- */

static struct bf_slot *next_slot(struct bf_workers *workers)
{
	struct bf_slot *slot;

	pthread_mutex_lock(&workers->lock);
	while (!workers->head && !workers->stop)
		pthread_cond_wait(&workers->filled, &workers->lock);
	slot = workers->stop ? NULL : workers->head;
	if (slot) {
		workers->head = slot->next;
		if (!workers->head)
			workers->tail = &workers->head;
	}
	pthread_mutex_unlock(&workers->lock);
	return slot;
}

static void *worker_main(void *argument)
{
	struct worker *w = argument;
	struct bf_slot *slot;

	/* Of this thread, as the kernel has it. */
	if (w->workers->session->options.nice)
		setpriority(PRIO_PROCESS, 0, w->workers->session->options.nice);
	while ((slot = next_slot(w->workers))) {
		slot->totals = (struct wire_totals){ 0 };
		split_slot(w, slot);
		make_frame(w, slot);
		bf_send_ready(w->workers->session, slot);
	}
	return NULL;
}

void bf_workers_give(struct bf_workers *workers, struct bf_slot *slot)
{
	pthread_mutex_lock(&workers->lock);
	slot->next = NULL;
	*workers->tail = slot;
	workers->tail = &slot->next;
	pthread_mutex_unlock(&workers->lock);
	pthread_cond_signal(&workers->filled);
}

static int start_worker(struct worker *w, struct bf_error *err)
{
	int ret = bf_codec_new(&w->codec, err);

	if (ret)
		return ret;
	ret = pthread_create(&w->thread, NULL, worker_main, w);
	if (ret)
		return bf_fail(err, BF_E_SYSTEM, ret,
			       "cannot start a compression thread: %s",
			       strerror(ret));
	w->started = true;
	return 0;
}

int bf_workers_new(struct bf_workers **workers, unsigned int nr,
		   struct bf_session *session, struct bf_error *err)
{
	struct bf_workers *ws = calloc(1, sizeof(*ws) + nr * sizeof(ws->worker[0]));
	unsigned int i;
	int ret = 0;

	if (!ws)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory for %u compression threads", nr);
	ws->session = session;
	ws->tail = &ws->head;
	ws->nr = nr;
	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->filled, NULL);
	for (i = 0; i < nr && !ret; i++) {
		ws->worker[i].workers = ws;
		ret = start_worker(&ws->worker[i], err);
	}
	if (ret)
		bf_workers_free(ws);
	else
		*workers = ws;
	return ret;
}

/* A slot that a thread has is finished first; those that wait are dropped. */
void bf_workers_free(struct bf_workers *workers)
{
	unsigned int i;

	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->stop = true;
	pthread_mutex_unlock(&workers->lock);
	pthread_cond_broadcast(&workers->filled);
	for (i = 0; i < workers->nr; i++) {
		if (workers->worker[i].started)
			pthread_join(workers->worker[i].thread, NULL);
		bf_codec_free(workers->worker[i].codec);
	}
	pthread_cond_destroy(&workers->filled);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}
