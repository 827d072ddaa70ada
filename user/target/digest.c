// SPDX-License-Identifier: Apache-2.0
/*
 * Digest: reads flow in through io_uring a few pieces ahead, past the page
 * cache where the target allows it, so that what is hashed is what the device
 * holds; one GMAC tag a block flows out.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/ring.h"
#include "target/digest.h"

#define AHEAD 4
#define PIECE_BYTES (1u << 20)		/* a multiple of every block size */
#define TICK_MS 100

struct bf_digester {
	struct bf_ring *ring;
	struct bf_codec *codec;
	bf_apply_tick tick;
	void *context;
	int event_fd;
	bool done[AHEAD];
	int result[AHEAD];
};

int bf_digester_new(struct bf_digester **digester, struct bf_codec *codec,
		    bf_apply_tick tick, void *context, struct bf_error *err)
{
	struct bf_digester *new = calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	new->codec = codec;
	new->tick = tick;
	new->context = context;
	ret = bf_ring_new(&new->ring, AHEAD, AHEAD, PIECE_BYTES, err);
	if (ret) {
		free(new);
		return ret;
	}
	new->event_fd = bf_ring_event_fd(new->ring);
	*digester = new;
	return 0;
}

void bf_digester_free(struct bf_digester *digester)
{
	if (!digester)
		return;
	bf_ring_free(digester->ring);
	free(digester);
}

static uint32_t piece_bytes(const struct wire_digest *range, uint64_t piece)
{
	uint64_t left = range->length_bytes - piece * PIECE_BYTES;

	return left < PIECE_BYTES ? (uint32_t)left : PIECE_BYTES;
}

/* Tails of less than a sector: never left in the page cache. */
static int read_buffered(const struct bf_target *t, uint8_t *to, uint64_t offset,
			 uint32_t bytes)
{
	posix_fadvise(t->buffered_fd, 0, 0, POSIX_FADV_DONTNEED);
	while (bytes) {
		ssize_t got = pread(t->buffered_fd, to, bytes, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : BF_RING_END;
		to += got;
		offset += (uint64_t)got;
		bytes -= (uint32_t)got;
	}
	posix_fadvise(t->buffered_fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

static void start_piece(struct bf_digester *d, const struct bf_target *t,
			const struct wire_digest *range, uint64_t piece)
{
	uint32_t slot = piece % AHEAD;
	struct bf_ring_op op = {
		.fd = t->fd,
		.buffer = slot,
		.bytes = piece_bytes(range, piece),
		.offset_bytes = range->offset_bytes + piece * PIECE_BYTES,
		.tag = slot,
	};

	d->done[slot] = false;
	if (bf_target_aligned(t, op.offset_bytes, op.bytes, 0)) {
		d->result[slot] = bf_ring_queue(d->ring, &op);
		d->done[slot] = d->result[slot] != 0;
		return;
	}
	d->result[slot] = read_buffered(t, bf_ring_buffer(d->ring, slot),
					op.offset_bytes, op.bytes);
	d->done[slot] = true;
}

static int collect(struct bf_digester *d, struct bf_error *err)
{
	struct pollfd pollfd = { .fd = d->event_fd, .events = POLLIN };
	struct bf_ring_done done[AHEAD];
	uint32_t nr, wait = d->event_fd < 0 ? 1 : 0;
	uint64_t count;
	int ret = bf_ring_reap(d->ring, wait, done, AHEAD, &nr, err);

	for (uint32_t i = 0; i < nr; i++) {
		d->done[done[i].tag] = true;
		d->result[done[i].tag] = done[i].result;
	}
	if (!ret)
		ret = d->tick(d->context, err);
	if (ret || nr)
		return ret;
	if (poll(&pollfd, 1, TICK_MS) > 0 &&
	    read(d->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "cannot read an eventfd: %s", strerror(errno));
	return 0;
}

static int finish_piece(struct bf_digester *d, const struct bf_target *t,
			const struct wire_digest *range, uint64_t piece,
			struct bf_error *err)
{
	uint32_t slot = piece % AHEAD;
	uint64_t offset = range->offset_bytes + piece * PIECE_BYTES;
	int ret = 0;

	while (!d->done[slot] && !ret)
		ret = collect(d, err);
	if (ret || !d->result[slot])
		return ret;
	return bf_fail(err, BF_E_TARGET_IO, -d->result[slot],
		       "target %s: reading %u bytes at %llu from %s failed: %s; look for the device's errors in the kernel log",
		       t->name, piece_bytes(range, piece),
		       (unsigned long long)offset, t->path,
		       d->result[slot] == BF_RING_END ? "it ends before them" :
		       strerror(-d->result[slot]));
}

static int digest_piece(struct bf_digester *d, const struct wire_digest *range,
			uint64_t piece, uint8_t (**digests)[WIRE_DIGEST_BYTES],
			struct bf_error *err)
{
	const uint8_t *data = bf_ring_buffer(d->ring, piece % AHEAD);
	uint64_t offset = range->offset_bytes + piece * PIECE_BYTES;
	uint32_t left = piece_bytes(range, piece);
	int ret = 0;

	while (left && !ret) {
		uint32_t bytes = left < range->block_bytes ? left :
							     range->block_bytes;

		ret = bf_codec_digest(d->codec, offset, data, bytes,
				      *(*digests)++, err);
		data += bytes;
		offset += bytes;
		left -= bytes;
	}
	return ret;
}

int bf_digest_range(struct bf_digester *digester, const struct bf_target *target,
		    const struct wire_digest *range,
		    uint8_t (*digests)[WIRE_DIGEST_BYTES], struct bf_error *err)
{
	uint64_t nr = (range->length_bytes + PIECE_BYTES - 1) / PIECE_BYTES;
	uint64_t started = 0;
	int ret = 0;

	for (uint64_t piece = 0; piece < nr && !ret; piece++) {
		while (started < nr && started < piece + AHEAD)
			start_piece(digester, target, range, started++);
		ret = finish_piece(digester, target, range, piece, err);
		if (!ret)
			ret = digest_piece(digester, range, piece, &digests, err);
	}
	return ret;
}
