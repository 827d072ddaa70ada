// SPDX-License-Identifier: Apache-2.0
/*
 * Apply: DATA frames flow in, are decoded into registered buffers, compared
 * with their checksum, and flow out as writes through io_uring. Keeps RULE 2:
 * a flush is submitted only after all writes before it were seen to complete,
 * and the first failure of any of them is the end of the session.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fault.h"
#include "lib/ring.h"
#include "target/apply.h"

/* One to read the next frame into and one to decode it to: always enough to go
 * on. The pool's follow, the last of which holds zeroes. */
#define OWN_BUFFERS 2
#define NR_BUFFERS (OWN_BUFFERS + BF_POOL_BUFFERS)
#define ZERO_BUFFER (OWN_BUFFERS + BF_POOL_ZEROES)
#define NO_BUFFER UINT32_MAX
#define DEPTH 256
#define SMALL_ZERO_BYTES (64 << 10)	/* written: cheaper than deallocating */
#define TICK_MS 100
#define ALL_DISKS UINT32_MAX

struct write {
	uint32_t disk;
	uint32_t buffer;
	uint64_t offset_bytes;
	uint32_t bytes;
	bool flush;
	struct write *next_free;
};

struct disk {
	struct bf_target *target;
	struct wire_totals totals;
	uint32_t in_flight;
	bool unflushed;
};

struct bf_apply {
	struct bf_ring *ring;
	struct bf_codec *codec;
	uint64_t seed;
	bf_apply_tick tick;
	void *context;
	int event_fd;
	struct bf_pool *pool;
	/* Writes in flight from a buffer, and one while it is being filled. */
	uint32_t users[NR_BUFFERS + 1];
	uint32_t held;			/* of the pool's */
	uint32_t room;			/* for the next frame, or NO_BUFFER */
	struct write writes[DEPTH], *free;
	struct disk disks[WIRE_DISKS_MAX];
	uint32_t nr_disks;
	struct bf_error failure;	/* the first; sticky */
	int failed;
};

int bf_apply_new(struct bf_apply **apply, struct bf_pool *pool,
		 struct bf_codec *codec, uint64_t seed, bf_apply_tick tick,
		 void *context, struct bf_error *err)
{
	struct bf_apply *new = calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	new->codec = codec;
	new->seed = seed;
	new->tick = tick;
	new->context = context;
	for (int i = 0; i < DEPTH; i++) {
		new->writes[i].next_free = new->free;
		new->free = &new->writes[i];
	}
	new->room = NO_BUFFER;
	ret = bf_ring_new_lent(&new->ring, DEPTH, OWN_BUFFERS,
			       BF_FRAME_ROOM_BYTES, bf_pool_memory(pool),
			       BF_POOL_BUFFERS + 1, err);
	if (ret) {
		free(new);
		return ret;
	}
	new->pool = pool;
	bf_pool_join(pool);
	new->event_fd = bf_ring_event_fd(new->ring);
	*apply = new;
	return 0;
}

void bf_apply_free(struct bf_apply *apply)
{
	if (!apply)
		return;
	bf_ring_free(apply->ring);
	for (uint32_t i = OWN_BUFFERS; i < NR_BUFFERS; i++)
		if (apply->users[i])
			bf_pool_give(apply->pool, i - OWN_BUFFERS);
	bf_pool_leave(apply->pool);
	free(apply);
}

void bf_apply_add(struct bf_apply *apply, struct bf_target *target)
{
	apply->disks[apply->nr_disks++].target = target;
}

const struct wire_totals *bf_apply_totals(const struct bf_apply *apply,
					  uint32_t disk)
{
	return &apply->disks[disk].totals;
}

void bf_apply_add_totals(const struct bf_apply *apply, uint32_t disk,
			 struct wire_totals *sum)
{
	const struct wire_totals *t = &apply->disks[disk].totals;

	sum->data_bytes += t->data_bytes;
	sum->zero_bytes += t->zero_bytes;
	sum->extents += t->extents;
	sum->frames += t->frames;
	sum->checksum_sum += t->checksum_sum;
}

void bf_apply_take_unflushed(struct bf_apply *apply, struct bf_apply *from)
{
	for (uint32_t i = 0; i < apply->nr_disks; i++) {
		apply->disks[i].unflushed |= from->disks[i].unflushed;
		from->disks[i].unflushed = false;
	}
}

bool bf_apply_unflushed(const struct bf_apply *apply)
{
	for (uint32_t i = 0; i < apply->nr_disks; i++)
		if (apply->disks[i].unflushed)
			return true;
	return false;
}

/* --- completions ------------------------------------------------------------ */

static void put_buffer(struct bf_apply *a, uint32_t buffer)
{
	if (--a->users[buffer] || buffer < OWN_BUFFERS || buffer == ZERO_BUFFER)
		return;
	a->held--;
	bf_pool_give(a->pool, buffer - OWN_BUFFERS);
}

static int write_failed(struct bf_error *err, const struct bf_target *t,
			uint64_t offset, uint64_t bytes, int error)
{
	return bf_fail(err, BF_E_TARGET_IO, error,
		       "target %s: writing %llu bytes at %llu to %s failed: %s; %s",
		       t->name, (unsigned long long)bytes,
		       (unsigned long long)offset, t->path, strerror(error),
		       error == ENOSPC ? "make room on its filesystem" :
					 "look for the device's errors in the kernel log");
}

static int flush_failed(struct bf_error *err, const struct bf_target *t, int error)
{
	return bf_fail(err, BF_E_TARGET_IO, error,
		       "target %s: %s can not be flushed: %s; what was written since the last flush may be lost and is sent again; look for the device's errors in the kernel log",
		       t->name, t->path, strerror(error));
}

static void completed(struct bf_apply *a, struct write *w, int result)
{
	struct disk *disk = &a->disks[w->disk];

	disk->in_flight--;
	if (w->flush && !result)
		disk->unflushed = false;
	if (!w->flush)
		put_buffer(a, w->buffer);
	if (result && !a->failed)
		a->failed = w->flush ?
			flush_failed(&a->failure, disk->target, -result) :
			write_failed(&a->failure, disk->target,
				     w->offset_bytes, w->bytes, -result);
	w->next_free = a->free;
	a->free = w;
}

static int state(const struct bf_apply *a, struct bf_error *err)
{
	if (a->failed && err)
		*err = a->failure;
	return a->failed;
}

static int reap(struct bf_apply *a, uint32_t wait, uint32_t *nr,
		struct bf_error *err)
{
	struct bf_ring_done done[64];
	int ret;

	*nr = 0;
	if (!bf_ring_in_flight(a->ring))
		return state(a, err);
	ret = bf_ring_reap(a->ring, wait, done, 64, nr, err);
	for (uint32_t i = 0; i < *nr; i++)
		completed(a, &a->writes[done[i].tag], done[i].result);
	return ret ? ret : state(a, err);
}

int bf_apply_poll(struct bf_apply *apply, struct bf_error *err)
{
	uint32_t nr;
	int ret;

	do {
		ret = reap(apply, 0, &nr, err);
	} while (!ret && nr == 64);
	return ret;
}

/* At least one completion, or an error; signs of life meanwhile. */
static int wait_one(struct bf_apply *a, struct bf_error *err)
{
	struct pollfd pollfd = { .fd = a->event_fd, .events = POLLIN };
	uint64_t count;
	uint32_t nr;
	int ret;

	if (a->event_fd < 0) {		/* not to be had: no signs of life */
		ret = reap(a, 1, &nr, err);
		return ret ? ret : a->tick(a->context, err);
	}
	for (;;) {
		ret = reap(a, 0, &nr, err);
		if (ret || nr)
			return ret;
		ret = a->tick(a->context, err);
		if (ret)
			return ret;
		if (poll(&pollfd, 1, TICK_MS) > 0 &&
		    read(a->event_fd, &count, sizeof(count)) < 0 &&
		    errno != EAGAIN)
			return bf_fail(err, BF_E_SYSTEM, errno,
				       "cannot read an eventfd: %s",
				       strerror(errno));
	}
}

static uint32_t in_flight(const struct bf_apply *a, uint32_t disk)
{
	return disk == ALL_DISKS ? bf_ring_in_flight(a->ring) :
				   a->disks[disk].in_flight;
}

static int settle(struct bf_apply *a, uint32_t disk, struct bf_error *err)
{
	int ret = state(a, err);

	while (!ret && in_flight(a, disk))
		ret = wait_one(a, err);
	return ret;
}

int bf_apply_settle(struct bf_apply *apply, uint32_t disk, struct bf_error *err)
{
	return settle(apply, disk, err);
}

int bf_apply_settle_all(struct bf_apply *apply, struct bf_error *err)
{
	return settle(apply, ALL_DISKS, err);
}

/* --- writes ------------------------------------------------------------------ */

static int take_write(struct bf_apply *a, struct write **w, struct bf_error *err)
{
	int ret = 0;

	while (!ret && !a->free)
		ret = wait_one(a, err);
	if (ret)
		return ret;
	*w = a->free;
	a->free = a->free->next_free;
	return 0;
}

static bool find_buffer(struct bf_apply *a, uint32_t *buffer)
{
	for (*buffer = 0; *buffer < OWN_BUFFERS; ++*buffer)
		if (!a->users[*buffer])
			return true;
	if (!bf_pool_take(a->pool, a->held, buffer))
		return false;
	*buffer += OWN_BUFFERS;
	a->held++;
	return true;
}

/* Its taker is its first user. */
static int take_buffer(struct bf_apply *a, uint32_t *buffer, struct bf_error *err)
{
	int ret = 0;

	while (!ret && !find_buffer(a, buffer))
		ret = wait_one(a, err);
	if (!ret)
		a->users[*buffer] = 1;
	return ret;
}

int bf_apply_room(struct bf_apply *apply, uint8_t **room, struct bf_error *err)
{
	int ret = 0;

	if (apply->room == NO_BUFFER)
		ret = take_buffer(apply, &apply->room, err);
	if (!ret)
		*room = bf_ring_buffer(apply->ring, apply->room);
	return ret;
}

/*
 * Blocks of less than the target's sector: a tail, or a source with smaller
 * sectors. Rare, so they go through the page cache, alone, and leave nothing
 * there: a cached page must never hide what a direct write puts beside it.
 */
static int write_buffered(struct bf_apply *a, uint32_t disk, const uint8_t *data,
			  uint64_t offset, uint64_t bytes, struct bf_error *err)
{
	const struct bf_target *t = a->disks[disk].target;
	int ret = settle(a, disk, err);

	if (ret)
		return ret;
	while (bytes) {
		ssize_t put = pwrite(t->buffered_fd, data, bytes, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return write_failed(err, t, offset, bytes,
					    put ? errno : ENOSPC);
		data += put;
		offset += (uint64_t)put;
		bytes -= (uint64_t)put;
	}
	if (fdatasync(t->buffered_fd) < 0)
		return flush_failed(err, t, errno);
	posix_fadvise(t->buffered_fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

static int write_queued(struct bf_apply *a, uint32_t disk, uint32_t buffer,
			uint32_t buffer_offset, uint64_t offset, uint32_t bytes,
			struct bf_error *err)
{
	struct disk *d = &a->disks[disk];
	struct bf_ring_op op = {
		.fd = d->target->fd, .write = true, .buffer = buffer,
		.buffer_offset = buffer_offset, .bytes = bytes,
		.offset_bytes = offset,
	};
	struct write *w;
	int ret = take_write(a, &w, err);

	if (ret)
		return ret;
	*w = (struct write){ .disk = disk, .buffer = buffer,
			     .offset_bytes = offset, .bytes = bytes };
	op.tag = (uint64_t)(w - a->writes);
	d->in_flight++;
	a->users[buffer]++;
	ret = bf_ring_queue(a->ring, &op);
	if (!ret)
		return 0;
	completed(a, w, ret);		/* cannot be: there are DEPTH writes */
	return state(a, err);
}

static int write_range(struct bf_apply *a, uint32_t disk, uint32_t buffer,
		       uint32_t buffer_offset, uint64_t offset, uint32_t bytes,
		       struct bf_error *err)
{
	struct disk *d = &a->disks[disk];
	int ret = a->tick(a->context, err);

	if (ret)
		return ret;
	d->unflushed = true;
	if (bf_target_aligned(d->target, offset, bytes, buffer_offset))
		return write_queued(a, disk, buffer, buffer_offset, offset,
				    bytes, err);
	return write_buffered(a, disk, bf_ring_buffer(a->ring, buffer) +
			      buffer_offset, offset, bytes, err);
}

static int write_zeroes(struct bf_apply *a, uint32_t disk, uint64_t offset,
			uint64_t bytes, struct bf_error *err)
{
	int ret = 0;

	while (bytes && !ret) {
		uint32_t piece = bytes < WIRE_RAW_MAX ? (uint32_t)bytes :
							WIRE_RAW_MAX;

		ret = write_range(a, disk, ZERO_BUFFER, 0, offset, piece, err);
		offset += piece;
		bytes -= piece;
	}
	return ret;
}

static int zero_range(struct bf_apply *a, uint32_t disk, uint64_t offset,
		      uint64_t bytes, struct bf_error *err)
{
	struct disk *d = &a->disks[disk];
	uint64_t done;
	int ret;

	while (bytes > SMALL_ZERO_BYTES) {
		ret = a->tick(a->context, err);
		if (ret)
			return ret;
		d->unflushed = true;
		ret = bf_target_zero(d->target, offset, bytes, &done);
		if (ret == -EOPNOTSUPP)
			break;
		if (ret)
			return write_failed(err, d->target, offset, bytes, -ret);
		offset += done;
		bytes -= done;
	}
	return write_zeroes(a, disk, offset, bytes, err);
}

/* --- frames ------------------------------------------------------------------- */

/* Plain blocks that lie in the room already stay there. */
static bool is_in_room(const struct bf_apply *a, const struct bf_data_view *view)
{
	const uint8_t *room;

	if (a->room == NO_BUFFER || view->head.codec != WIRE_CODEC_NONE)
		return false;
	room = bf_ring_buffer(a->ring, a->room);
	return view->encoded >= room &&
	       view->encoded + view->head.raw_bytes <= room + BF_FRAME_ROOM_BYTES;
}

/* Return: 0 with a buffer of ours and where in it the blocks are. */
static int take_blocks(struct bf_apply *a, const struct bf_data_view *view,
		       const char *name, uint32_t *buffer, uint32_t *at,
		       struct bf_error *err)
{
	int ret;

	if (is_in_room(a, view)) {
		*buffer = a->room;
		*at = view->encoded - bf_ring_buffer(a->ring, a->room);
		a->room = NO_BUFFER;
		return 0;
	}
	ret = take_buffer(a, buffer, err);
	if (ret)
		return ret;
	*at = BF_FRAME_BLOCKS_AT;
	ret = bf_codec_decode(a->codec, view->head.codec, view->encoded,
			      view->head.encoded_bytes,
			      bf_ring_buffer(a->ring, *buffer) + *at,
			      view->head.raw_bytes, err);
	if (ret)
		put_buffer(a, *buffer);
	return ret ? bf_fail_prefix(err, ret, "target %s: ", name) : 0;
}

static int check_blocks(struct bf_apply *a, const struct bf_data_view *view,
			const uint8_t *raw, struct bf_error *err)
{
	if (!bf_fault(BF_FAULT_TARGET_DAMAGED, err) &&
	    bf_codec_checksum(a->codec, a->seed, view->extent_bytes,
			      view->extent_table_bytes, raw,
			      view->head.raw_bytes) == view->head.checksum)
		return 0;
	return bf_fail(err, BF_E_CORRUPT, EBADMSG,
		       "blocks arrived damaged: their checksum is wrong; they were not written and are sent again; if it happens again, test the memory of both hosts");
}

static void count(struct wire_totals *totals, const struct bf_data_view *view)
{
	const struct wire_data *head = &view->head;

	totals->frames++;
	totals->extents += (uint64_t)head->nr_data + head->nr_zero;
	totals->data_bytes += head->raw_bytes;
	for (uint32_t i = 0; i < head->nr_zero; i++)
		totals->zero_bytes +=
			view->extents[head->nr_data + i].length_bytes;
	totals->checksum_sum += head->checksum;
}

static int apply_extents(struct bf_apply *a, uint32_t disk, uint32_t buffer,
			 uint32_t at, const struct bf_data_view *view,
			 struct bf_error *err)
{
	const struct wire_extent *e = view->extents;
	const struct wire_data *head = &view->head;
	int ret = 0;

	for (uint32_t i = 0; i < head->nr_data && !ret; i++, e++) {
		ret = write_range(a, disk, buffer, at, e->offset_bytes,
				  (uint32_t)e->length_bytes, err);
		at += (uint32_t)e->length_bytes;
	}
	for (uint32_t i = 0; i < head->nr_zero && !ret; i++, e++)
		ret = zero_range(a, disk, e->offset_bytes, e->length_bytes, err);
	return ret;
}

int bf_apply_data(struct bf_apply *apply, uint32_t disk,
		  const struct bf_data_view *view, struct bf_error *err)
{
	const char *name = apply->disks[disk].target->name;
	uint32_t buffer, at;
	int ret = state(apply, err);

	if (ret)
		return ret;
	ret = take_blocks(apply, view, name, &buffer, &at, err);
	if (ret)
		return ret;
	ret = check_blocks(apply, view, bf_ring_buffer(apply->ring, buffer) + at,
			   err);
	if (ret)
		bf_fail_prefix(err, ret, "target %s: ", name);
	else
		ret = apply_extents(apply, disk, buffer, at, view, err);
	put_buffer(apply, buffer);
	if (ret)
		return ret;
	count(&apply->disks[disk].totals, view);
	return bf_apply_poll(apply, err);	/* submits what was queued */
}

static int queue_flush(struct bf_apply *a, uint32_t disk, struct bf_error *err)
{
	struct write *w;
	int ret = take_write(a, &w, err);

	if (ret)
		return ret;
	*w = (struct write){ .disk = disk, .flush = true };
	a->disks[disk].in_flight++;
	ret = bf_ring_queue_flush(a->ring, a->disks[disk].target->fd,
				  (uint64_t)(w - a->writes));
	if (ret)
		completed(a, w, ret);
	return state(a, err);
}

int bf_apply_flush(struct bf_apply *apply, struct bf_error *err)
{
	int ret = settle(apply, ALL_DISKS, err);

	for (uint32_t i = 0; i < apply->nr_disks && !ret; i++)
		if (apply->disks[i].unflushed)
			ret = queue_flush(apply, i, err);
	if (!ret)
		ret = settle(apply, ALL_DISKS, err);
	return ret;
}
