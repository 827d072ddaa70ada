// SPDX-License-Identifier: Apache-2.0
/*
 * Verify: ranges flow in, blocks whose digests differ between source and target
 * flow out. Each slot holds one range of up to 1 MiB: the target hashes it
 * while it is read and hashed here, several at a time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "source/session.h"

#define REAP_MAX BF_SLOTS
#define BLOCK_MIN_BYTES 4096u

/* A range on its way. @answered and @digests are guarded by session->lock. */
struct check {
	bool active, read, answered;
	uint64_t offset_bytes;
	uint32_t length_bytes, nr_blocks;
	struct bf_link_item item;
	struct {
		struct wire_header header;
		struct wire_digest body;
	} frame;
	uint8_t digests[WIRE_RAW_MAX / BLOCK_MIN_BYTES][WIRE_DIGEST_BYTES];
};

struct bf_verify {
	struct bf_codec *codec;
	/* A ring: check i reads into slot i's buffer, the oldest is compared. */
	struct check checks[BF_SLOTS];
	uint32_t oldest, nr_active;

	uint32_t disk;
	uint32_t block_bytes;
	const struct bf_extent *what;
	size_t nr, next;		/* ranges, the one at hand */
	uint64_t done_bytes;		/* of it */
	int (*differ)(void *, uint64_t, uint64_t);
	void *context;
	struct bf_verify_result *result;
};

void bf_verify_free(struct bf_verify *verify)
{
	if (!verify)
		return;
	bf_codec_free(verify->codec);
	free(verify);
}

/* --- the link's thread ------------------------------------------------------------ */

static struct check *find_check(struct bf_verify *v, uint64_t offset_bytes)
{
	uint32_t i;

	for (i = 0; i < BF_SLOTS; i++)
		if (v->checks[i].active && !v->checks[i].answered &&
		    v->checks[i].offset_bytes == offset_bytes)
			return &v->checks[i];
	return NULL;
}

int bf_verify_frame(struct bf_session *session, const struct bf_frame *frame,
		    struct bf_error *err)
{
	struct bf_verify *v = session->verify;
	struct wire_digests answer;
	const uint8_t *digests;
	struct check *check;
	int ret = bf_check_digests(frame, &answer, &digests, err);

	if (ret)
		return ret;
	check = v && frame->disk == v->disk ?
		find_check(v, answer.offset_bytes) : NULL;
	if (!check || answer.nr_digests != check->nr_blocks ||
	    answer.block_bytes != v->block_bytes)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target sent digests of disk %u at byte %llu, which were not asked for",
			       frame->disk,
			       (unsigned long long)answer.offset_bytes);
	memcpy(check->digests, digests, answer.nr_digests * WIRE_DIGEST_BYTES);
	check->answered = true;
	return 0;
}

/* --- the job's thread -------------------------------------------------------------- */

static void ask(struct bf_session *s, struct check *check)
{
	struct bf_verify *v = s->verify;

	bf_frame_header(&check->frame.header, WIRE_DIGEST, v->disk,
			sizeof(check->frame.body));
	check->frame.body = (struct wire_digest){
		.offset_bytes = check->offset_bytes,
		.length_bytes = check->length_bytes,
		.block_bytes = v->block_bytes,
	};
	bf_wire_swap_digest(&check->frame.body);
	check->item = (struct bf_link_item){
		.frame = (const uint8_t *)&check->frame,
		.bytes = sizeof(check->frame),
		.answered = true,
		.ready = true,
	};
	bf_link_queue(s->link, &check->item);
}

static int start_check(struct bf_session *s, uint32_t index, struct bf_error *err)
{
	struct bf_verify *v = s->verify;
	struct check *check = &v->checks[index];
	const struct bf_extent *range = &v->what[v->next];
	uint64_t left = range->length_bytes - v->done_bytes;
	uint32_t bytes = left < WIRE_RAW_MAX ? left : WIRE_RAW_MAX;
	struct bf_ring_op op = {
		.fd = s->disks[v->disk].fd,
		.buffer = index,
		.buffer_offset = BF_SLOT_BLOCKS_AT,
		.bytes = bytes,
		.offset_bytes = range->offset_bytes + v->done_bytes,
		.tag = index,
	};
	int ret = bf_ring_queue(s->ring, &op);

	if (ret)
		return bf_fail(err, BF_E_SYSTEM, -ret,
			       "disk %s: a read of %u bytes is refused",
			       s->disks[v->disk].name, bytes);
	pthread_mutex_lock(&s->lock);
	check->offset_bytes = op.offset_bytes;
	check->length_bytes = bytes;
	check->nr_blocks = (bytes + v->block_bytes - 1) / v->block_bytes;
	check->read = false;
	check->answered = false;
	check->active = true;
	pthread_mutex_unlock(&s->lock);
	ask(s, check);
	v->nr_active++;
	v->done_bytes += bytes;
	if (v->done_bytes == range->length_bytes) {
		v->next++;
		v->done_bytes = 0;
	}
	return 0;
}

static int differs(struct bf_verify *v, uint64_t offset_bytes,
		   uint32_t length_bytes)
{
	struct bf_verify_result *r = v->result;
	struct bf_extent *last = r->nr_first ? &r->first[r->nr_first - 1] : NULL;

	r->differing_blocks++;
	if (last && last->offset_bytes + last->length_bytes == offset_bytes)
		last->length_bytes += length_bytes;
	else if (r->nr_first < sizeof(r->first) / sizeof(r->first[0]))
		r->first[r->nr_first++] =
			(struct bf_extent){ offset_bytes, length_bytes };
	return v->differ ? v->differ(v->context, offset_bytes, length_bytes) : 0;
}

static int compare(struct bf_session *s, uint32_t index, struct bf_error *err)
{
	struct bf_verify *v = s->verify;
	struct check *check = &v->checks[index];
	const uint8_t *blocks = s->slots[index].raw;
	uint8_t digest[WIRE_DIGEST_BYTES];
	uint32_t i, at;
	int ret;

	for (i = 0, at = 0; i < check->nr_blocks; i++, at += v->block_bytes) {
		uint32_t left = check->length_bytes - at;
		uint32_t bytes = left < v->block_bytes ? left : v->block_bytes;

		ret = bf_codec_digest(v->codec, check->offset_bytes + at,
				      blocks + at, bytes, digest, err);
		if (!ret && memcmp(digest, check->digests[i], sizeof(digest)))
			ret = differs(v, check->offset_bytes + at, bytes);
		if (ret)
			return ret;
	}
	v->result->compared_bytes += check->length_bytes;
	return 0;
}

static int reap(struct bf_session *s, struct bf_error *err)
{
	struct bf_ring_done done[REAP_MAX];
	struct bf_verify *v = s->verify;
	uint32_t nr, i;
	int ret = bf_ring_reap(s->ring, 0, done, REAP_MAX, &nr, err);

	if (ret)
		return ret;
	for (i = 0; i < nr; i++) {
		struct check *check = &v->checks[done[i].tag];

		if (done[i].result)
			return bf_fail(err, BF_E_SOURCE_IO, -done[i].result,
				       "disk %s: reading %u sectors from sector %llu failed: %s; check the disk with its kernel log",
				       s->disks[v->disk].name,
				       check->length_bytes / WIRE_BLOCK_BYTES,
				       (unsigned long long)check->offset_bytes /
				       WIRE_BLOCK_BYTES,
				       strerror(-done[i].result));
		check->read = true;
	}
	return 0;
}

/* In ascending order, so that differences are told in order too. */
static int compare_oldest(struct bf_session *s, struct bf_error *err)
{
	struct bf_verify *v = s->verify;
	struct check *check = &v->checks[v->oldest];
	int ret = compare(s, v->oldest, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&s->lock);
	check->active = false;
	pthread_mutex_unlock(&s->lock);
	v->oldest = (v->oldest + 1) % BF_SLOTS;
	v->nr_active--;
	return 0;
}

static bool oldest_is_complete(struct bf_session *s)
{
	const struct check *check = &s->verify->checks[s->verify->oldest];
	bool answered;

	pthread_mutex_lock(&s->lock);
	answered = check->answered;
	pthread_mutex_unlock(&s->lock);
	return check->read && answered;
}

/* Compare what is there on both sides, and ask for more in its place. */
static int turn(struct bf_session *s, struct bf_error *err)
{
	struct bf_verify *v = s->verify;
	int ret = bf_session_check(s, err);

	if (!ret)
		ret = reap(s, err);
	while (!ret && v->nr_active && oldest_is_complete(s))
		ret = compare_oldest(s, err);
	while (!ret && v->next < v->nr && v->nr_active < BF_SLOTS)
		ret = start_check(s, (v->oldest + v->nr_active) % BF_SLOTS, err);
	/* Reads queued in this turn start now. */
	return ret ? ret : reap(s, err);
}

static int run(struct bf_session *s, struct bf_error *err)
{
	for (;;) {
		int ret;

		bf_session_listen(s);
		ret = turn(s, err);
		if (ret || !s->verify->nr_active)
			return ret;
		bf_session_wait(s);
	}
}

static int check_ranges(const struct bf_session_disk *disk,
			const struct bf_extent *what, size_t nr,
			struct bf_error *err)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (!what[i].length_bytes ||
		    what[i].length_bytes > disk->size_bytes ||
		    what[i].offset_bytes > disk->size_bytes - what[i].length_bytes ||
		    what[i].offset_bytes % WIRE_BLOCK_BYTES ||
		    what[i].length_bytes % WIRE_BLOCK_BYTES)
			return bf_fail(err, BF_E_USAGE, ERANGE,
				       "disk %s: the range of %llu bytes at byte %llu is empty, unaligned or beyond its end",
				       disk->name,
				       (unsigned long long)what[i].length_bytes,
				       (unsigned long long)what[i].offset_bytes);
	return 0;
}

static int prepare(struct bf_session *s, uint32_t block_bytes,
		   struct bf_error *err)
{
	int ret;

	if (block_bytes < BLOCK_MIN_BYTES || block_bytes > WIRE_RAW_MAX ||
	    block_bytes & (block_bytes - 1))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "digests are of blocks of %u to %u bytes, a power of two, not %u",
			       BLOCK_MIN_BYTES, WIRE_RAW_MAX, block_bytes);
	if (s->spent)
		return bf_fail(err, BF_E_STATE, EINVAL,
			       "the session has failed before; open a new one");
	if (!(s->welcome.features & WIRE_FEATURE_GMAC))
		return bf_fail(err, BF_E_VERSION, EPROTO,
			       "the target does not know digests; use the same release on both sides");
	if (s->verify)
		return 0;
	s->verify = calloc(1, sizeof(*s->verify));
	if (!s->verify)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory for digests");
	ret = bf_codec_new(&s->verify->codec, err);
	return ret ? ret : bf_codec_digest_key(s->verify->codec,
					       s->welcome.digest_key, err);
}

int bf_session_verify(struct bf_session *session, uint32_t index,
		      const struct bf_extent *what, size_t nr,
		      uint32_t block_bytes,
		      int (*differ)(void *context, uint64_t offset_bytes,
				    uint64_t length_bytes), void *context,
		      struct bf_verify_result *result, struct bf_error *err)
{
	const struct bf_session_disk *disk = &session->disks[index];
	const struct bf_extent all = { .length_bytes = disk->size_bytes };
	struct bf_verify *v;
	int ret = prepare(session, block_bytes, err);

	memset(result, 0, sizeof(*result));
	if (!what) {
		what = &all;
		nr = 1;
	}
	if (!ret)
		ret = check_ranges(disk, what, nr, err);
	if (ret)
		return ret;
	v = session->verify;
	pthread_mutex_lock(&session->lock);
	v->disk = index;
	v->block_bytes = block_bytes;
	pthread_mutex_unlock(&session->lock);
	v->what = what;
	v->nr = nr;
	v->next = 0;
	v->done_bytes = 0;
	v->differ = differ;
	v->context = context;
	v->result = result;
	ret = run(session, err);
	if (ret)
		session->spent = true;
	return ret;
}
