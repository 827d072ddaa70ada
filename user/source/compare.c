// SPDX-License-Identifier: Apache-2.0
/*
 * Compare: ranges of a disk flow in, ascending; those of their blocks whose
 * digests differ between source and target flow out, in the same order. The
 * target is asked for the digests of a few MiB at a time, several questions
 * ahead, and hashes them while the same ranges are read and hashed here.
 *
 * Digests are tags of a MAC with a key that the target draws for each
 * connection and that no content of a disk was chosen with in mind: whoever
 * can write to a disk cannot make two different blocks look equal. See wire.h.
 *
 * Never waits: the caller's loop does (bf_session_wait), and has other things
 * to look after meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/fault.h"
#include "source/compare.h"
#include "source/unreadable.h"

#define ASKS 8				/* questions on their way */
#ifndef BF_ASK_BYTES		/* a resync's steps begin and end with them */
#define BF_ASK_BYTES (8u << 20)
#endif
#define READS 8				/* of READ_BYTES, in flight or read */
#define READ_BYTES (1u << 20)
#define BLOCK_MIN_BYTES 4096u
#define FOUND_MAX (READ_BYTES / BLOCK_MIN_BYTES / 2 + 1)
/* Pieces in a row that are equal: then the caller looks after the rest. */
#define EQUAL_MAX 64

/* A range on its way. @answered and @digests are guarded by session->lock. */
struct ask {
	struct bf_compare_range range;
	uint64_t read_bytes, compared_bytes;	/* from its start */
	bool active, answered;
	struct bf_link_item item;
	struct {
		struct wire_header header;
		struct wire_digest body;
	} frame;
	uint8_t digests[WIRE_DIGESTS_MAX][WIRE_DIGEST_BYTES];
};

struct piece {
	struct ask *ask;
	uint64_t offset_bytes;
	uint32_t bytes;
	bool done;
	bool unread;			/* taken for different: the reader sees to it */
};

struct bf_compare {
	struct bf_session *session;
	struct bf_codec *codec;
	struct bf_ring *ring;		/* piece i is read into buffer i */
	struct bf_compare_input input;
	uint32_t disk, block_bytes;
	bool input_ended;

	/* Both are rings: asked and read, and compared, in order. */
	struct ask asks[ASKS];
	uint32_t oldest_ask, nr_asks;
	struct piece pieces[READS];
	uint32_t oldest_piece, nr_pieces;

	/* What differs in the piece that was compared last. */
	struct bf_extent found[FOUND_MAX];
	uint32_t nr_found, next_found;
	uint64_t found_mark[2];

	struct bf_compare_totals totals;
};

static struct ask *ask_at(struct bf_compare *c, uint32_t i)
{
	return &c->asks[(c->oldest_ask + i) % ASKS];
}

void bf_compare_free(struct bf_compare *compare)
{
	if (!compare)
		return;
	bf_ring_free(compare->ring);
	bf_codec_free(compare->codec);
	free(compare);
}

int bf_compare_event_fd(const struct bf_compare *compare)
{
	return bf_ring_event_fd(compare->ring);
}

/* --- the link's thread ------------------------------------------------------------ */

static struct ask *find_ask(struct bf_compare *c, uint64_t offset_bytes)
{
	for (uint32_t i = 0; i < ASKS; i++)
		if (c->asks[i].active && !c->asks[i].answered &&
		    c->asks[i].range.extent.offset_bytes == offset_bytes)
			return &c->asks[i];
	return NULL;
}

static uint32_t nr_blocks(const struct bf_compare *c, const struct ask *ask)
{
	return (ask->range.extent.length_bytes + c->block_bytes - 1) /
	       c->block_bytes;
}

int bf_compare_frame(struct bf_compare *compare, const struct bf_frame *frame,
		     struct bf_error *err)
{
	struct wire_digests answer;
	const uint8_t *digests;
	struct ask *ask;
	int ret = bf_check_digests(frame, &answer, &digests, err);

	if (ret)
		return ret;
	ask = compare && frame->disk == compare->disk ?
	      find_ask(compare, answer.offset_bytes) : NULL;
	if (!ask || answer.nr_digests != nr_blocks(compare, ask) ||
	    answer.block_bytes != compare->block_bytes)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target sent digests of disk %u at byte %llu, which were not asked for",
			       frame->disk,
			       (unsigned long long)answer.offset_bytes);
	memcpy(ask->digests, digests, answer.nr_digests * WIRE_DIGEST_BYTES);
	ask->answered = true;
	return 0;
}

/* --- asking and reading: the job's thread from here on ------------------------------ */

static void send_ask(struct bf_compare *c, struct ask *ask)
{
	bf_frame_header(&ask->frame.header, WIRE_DIGEST, c->disk,
			sizeof(ask->frame.body));
	ask->frame.body = (struct wire_digest){
		.offset_bytes = ask->range.extent.offset_bytes,
		.length_bytes = ask->range.extent.length_bytes,
		.block_bytes = c->block_bytes,
	};
	bf_wire_swap_digest(&ask->frame.body);
	ask->item = (struct bf_link_item){
		.frame = (const uint8_t *)&ask->frame,
		.bytes = sizeof(ask->frame),
		.answered = true,
		.ready = true,
	};
	bf_link_queue(c->session->link, &ask->item);
}

static uint64_t ask_max_bytes(const struct bf_compare *c)
{
	uint64_t bytes = (uint64_t)c->block_bytes * WIRE_DIGESTS_MAX;

	return bytes < BF_ASK_BYTES ? bytes : BF_ASK_BYTES;
}

static int start_asks(struct bf_compare *c, struct bf_error *err)
{
	while (c->nr_asks < ASKS && !c->input_ended) {
		struct ask *ask = ask_at(c, c->nr_asks);
		struct bf_compare_range range = { .compare = true };
		int ret = c->input.next(c->input.context, ask_max_bytes(c),
					&range, err);

		if (ret < 0)
			return ret;
		if (!ret) {
			c->input_ended = true;
			break;
		}
		pthread_mutex_lock(&c->session->lock);
		ask->range = range;
		ask->read_bytes = ask->compared_bytes = 0;
		ask->active = range.compare;
		ask->answered = false;
		pthread_mutex_unlock(&c->session->lock);
		c->nr_asks++;
		if (range.compare)
			send_ask(c, ask);
	}
	return 0;
}

static int start_piece(struct bf_compare *c, struct ask *ask, struct bf_error *err)
{
	uint32_t index = (c->oldest_piece + c->nr_pieces) % READS;
	uint64_t left = ask->range.extent.length_bytes - ask->read_bytes;
	const struct bf_session_disk *disk = &c->session->disks[c->disk];
	struct bf_ring_op op = {
		.fd = disk->fd,
		.buffer = index,
		.bytes = left < READ_BYTES ? left : READ_BYTES,
		.offset_bytes = ask->range.extent.offset_bytes + ask->read_bytes,
		.tag = index,
		.background = true,
	};
	int ret = bf_ring_queue(c->ring, &op);

	if (ret)
		return bf_fail(err, BF_E_SYSTEM, -ret,
			       "disk %s: a read of %u bytes is refused",
			       disk->name, op.bytes);
	c->pieces[index] = (struct piece){
		.ask = ask,
		.offset_bytes = op.offset_bytes,
		.bytes = op.bytes,
	};
	c->nr_pieces++;
	ask->read_bytes += op.bytes;
	bf_reads_count(c->session, op.bytes);
	return 0;
}

static int start_pieces(struct bf_compare *c, struct bf_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < c->nr_asks && !ret; i++) {
		struct ask *ask = ask_at(c, i);

		while (ask->range.compare && c->nr_pieces < READS && !ret &&
		       ask->read_bytes < ask->range.extent.length_bytes &&
		       !bf_reads_wait_ns(c->session))
			ret = start_piece(c, ask, err);
	}
	return ret;
}

static int reap(struct bf_compare *c, struct bf_error *err)
{
	struct bf_ring_done done[READS];
	uint32_t nr;
	int ret = bf_ring_reap(c->ring, 0, done, READS, &nr, err);

	for (uint32_t i = 0; i < nr && !ret; i++) {
		struct piece *piece = &c->pieces[done[i].tag];

		piece->done = true;
		piece->unread = c->session->resyncing &&
				bf_unreadable_error(-done[i].result);
		if (done[i].result && !piece->unread)
			ret = bf_fail(err, BF_E_SOURCE_IO, -done[i].result,
				      "disk %s: reading %u sectors from sector %llu failed: %s; check the disk with its kernel log",
				      c->session->disks[c->disk].name,
				      piece->bytes / WIRE_BLOCK_BYTES,
				      (unsigned long long)piece->offset_bytes /
				      WIRE_BLOCK_BYTES,
				      done[i].result == BF_RING_END ?
				      "the device ends before them" :
				      strerror(-done[i].result));
	}
	return ret;
}

/* --- comparing ---------------------------------------------------------------------- */

static void add_found(struct bf_compare *c, uint64_t offset_bytes,
		      uint64_t length_bytes)
{
	struct bf_extent *last = c->nr_found ? &c->found[c->nr_found - 1] : NULL;

	if (last && last->offset_bytes + last->length_bytes == offset_bytes)
		last->length_bytes += length_bytes;
	else
		c->found[c->nr_found++] =
			(struct bf_extent){ offset_bytes, length_bytes };
}

static int compare_piece(struct bf_compare *c, const struct piece *piece,
			 struct bf_error *err)
{
	const struct ask *ask = piece->ask;
	const uint8_t *blocks = bf_ring_buffer(c->ring, c->oldest_piece);
	const uint8_t (*expected)[WIRE_DIGEST_BYTES] =
		ask->digests + ask->compared_bytes / c->block_bytes;
	uint8_t digest[WIRE_DIGEST_BYTES];

	for (uint32_t at = 0; at < piece->bytes; at += c->block_bytes) {
		uint32_t left = piece->bytes - at;
		uint32_t bytes = left < c->block_bytes ? left : c->block_bytes;
		int ret = bf_codec_digest(c->codec, piece->offset_bytes + at,
					  blocks + at, bytes, digest, err);

		if (ret)
			return ret;
		if (!memcmp(digest, *expected++, sizeof(digest)) &&
		    !piece->unread)
			continue;
		add_found(c, piece->offset_bytes + at, bytes);
		c->totals.differing_bytes += bytes;
	}
	c->totals.compared_bytes += piece->bytes;
	return 0;
}

static void start_found(struct bf_compare *c, const struct ask *ask)
{
	c->nr_found = c->next_found = 0;
	memcpy(c->found_mark, ask->range.mark, sizeof(c->found_mark));
}

static void drop_oldest_ask(struct bf_compare *c)
{
	pthread_mutex_lock(&c->session->lock);
	c->asks[c->oldest_ask].active = false;
	pthread_mutex_unlock(&c->session->lock);
	c->oldest_ask = (c->oldest_ask + 1) % ASKS;
	c->nr_asks--;
}

static bool is_answered(struct bf_compare *c, const struct ask *ask)
{
	bool answered;

	pthread_mutex_lock(&c->session->lock);
	answered = ask->answered;
	pthread_mutex_unlock(&c->session->lock);
	return answered;
}

/* What is equal is as good as sent. */
static void note_equal(struct bf_session_progress *progress, uint32_t disk,
		       uint64_t bytes)
{
	atomic_fetch_add_explicit(&progress->pass_done_bytes, bytes,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&progress->disks[disk].done_bytes, bytes,
				  memory_order_relaxed);
}

/* The oldest piece: blocks that are equal are done with. */
static int compare_oldest(struct bf_compare *c, struct ask *ask,
			  struct bf_error *err)
{
	const struct piece *piece = &c->pieces[c->oldest_piece];
	uint64_t differing_bytes = c->totals.differing_bytes;
	int ret;

	if (!c->nr_pieces || !piece->done || !is_answered(c, ask))
		return -EINPROGRESS;
	start_found(c, ask);
	ret = compare_piece(c, piece, err);
	if (ret)
		return ret;
	differing_bytes = c->totals.differing_bytes - differing_bytes;
	note_equal(&c->session->progress, c->disk,
		   piece->bytes - differing_bytes);
	ask->compared_bytes += piece->bytes;
	c->oldest_piece = (c->oldest_piece + 1) % READS;
	c->nr_pieces--;
	ret = bf_fault(BF_FAULT_SOURCE_COMPARED, err);
	if (ret)
		return ret;
	if (ask->compared_bytes == ask->range.extent.length_bytes)
		drop_oldest_ask(c);
	return 0;
}

static void pass_on(struct bf_compare *c, const struct ask *ask)
{
	start_found(c, ask);
	add_found(c, ask->range.extent.offset_bytes,
		  ask->range.extent.length_bytes);
	c->totals.unasked_bytes += ask->range.extent.length_bytes;
	drop_oldest_ask(c);
}

/* Everything under way moves on. Return: 0, -EINPROGRESS if nothing is to be found yet. */
static int turn(struct bf_compare *c, struct bf_error *err)
{
	struct ask *ask;
	int ret = start_asks(c, err);

	if (!ret)
		ret = start_pieces(c, err);
	if (!ret)
		ret = reap(c, err);
	if (ret || !c->nr_asks)
		return ret;
	ask = ask_at(c, 0);
	if (ask->range.compare)
		return compare_oldest(c, ask, err);
	pass_on(c, ask);
	return 0;
}

int bf_compare_peek(struct bf_compare *compare, struct bf_extent *out,
		    struct bf_error *err)
{
	unsigned int turns = 0;

	while (compare->next_found == compare->nr_found) {
		int ret = turn(compare, err);

		if (ret)
			return ret;
		if (++turns == EQUAL_MAX) {
			/* There is more to do: it does not wait for long. */
			bf_session_wake(compare->session);
			return -EINPROGRESS;
		}
		if (compare->input_ended && !compare->nr_asks &&
		    compare->next_found == compare->nr_found)
			return 0;
	}
	*out = compare->found[compare->next_found];
	return 1;
}

void bf_compare_take(struct bf_compare *compare, uint64_t bytes)
{
	struct bf_extent *head = &compare->found[compare->next_found];

	head->offset_bytes += bytes;
	head->length_bytes -= bytes;
	if (!head->length_bytes)
		compare->next_found++;
}

const uint64_t *bf_compare_mark(const struct bf_compare *compare)
{
	if (compare->next_found < compare->nr_found)
		return compare->found_mark;
	return compare->nr_asks ?
	       compare->asks[compare->oldest_ask].range.mark : NULL;
}

const struct bf_compare_totals *bf_compare_totals(const struct bf_compare *compare)
{
	return &compare->totals;
}

/* --- beginning ------------------------------------------------------------------------ */

static int check(const struct bf_session *s, uint32_t block_bytes,
		 struct bf_error *err)
{
	if (block_bytes < BLOCK_MIN_BYTES || block_bytes > READ_BYTES ||
	    block_bytes & (block_bytes - 1))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "digests are of blocks of %u to %u bytes, a power of two, not %u",
			       BLOCK_MIN_BYTES, READ_BYTES, block_bytes);
	if (!(s->welcome.features & WIRE_FEATURE_GMAC))
		return bf_fail(err, BF_E_VERSION, EPROTO,
			       "the target does not know digests; use the same release on both sides");
	return 0;
}

static int make(struct bf_session *s, struct bf_error *err)
{
	struct bf_compare *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory for digests");
	c->session = s;
	ret = bf_ring_new(&c->ring, READS, READS, READ_BYTES, err);
	if (!ret && bf_ring_event_fd(c->ring) < 0)
		ret = bf_fail(err, BF_E_SYSTEM, EIO,
			      "io_uring gives no event descriptor");
	if (!ret)
		ret = bf_codec_new(&c->codec, err);
	if (!ret)
		ret = bf_codec_digest_key(c->codec, s->welcome.digest_key, err);
	if (ret) {
		bf_compare_free(c);
		return ret;
	}
	pthread_mutex_lock(&s->lock);
	s->compare = c;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int bf_compare_start(struct bf_session *session, uint32_t disk,
		     uint32_t block_bytes, const struct bf_compare_input *input,
		     struct bf_error *err)
{
	int ret = check(session, block_bytes, err);
	struct bf_compare *c;

	if (!ret && !session->compare)
		ret = make(session, err);
	if (ret)
		return ret;
	c = session->compare;
	pthread_mutex_lock(&session->lock);
	c->disk = disk;
	c->block_bytes = block_bytes;
	pthread_mutex_unlock(&session->lock);
	c->input = *input;
	c->input_ended = false;
	c->nr_found = c->next_found = 0;
	c->totals = (struct bf_compare_totals){ 0 };
	return 0;
}
