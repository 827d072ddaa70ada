// SPDX-License-Identifier: Apache-2.0
/*
 * Codec: encoded blocks as a peer sends them never write beyond what was
 * announced; what is encoded here decodes to itself.
 */
#include "fuzz.h"
#include "lib/codec.h"

#define RAW_MAX (64u << 10)

static struct bf_codec *codec;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t key[16] = "a digest's key..";

	bf_log_set_level((enum bf_log_level)0);
	if (bf_codec_new(&codec, NULL) || bf_codec_digest_key(codec, key, NULL))
		abort();
	return 0;
}

static void decode(struct input *in)
{
	uint16_t id = take(in, 1);
	size_t raw_bytes = take(in, 2);
	uint8_t *raw = malloc(raw_bytes + 1);

	bf_codec_decode(codec, id, in->at, in->left, raw, raw_bytes, NULL);
	free(raw);
}

static void round_trip(struct input *in)
{
	int level = (int)take(in, 1) % 20;
	size_t raw_bytes = in->left < RAW_MAX ? in->left : RAW_MAX, bytes;
	uint8_t *room = malloc(bf_codec_bound(raw_bytes) + 1);
	uint8_t *back = malloc(raw_bytes + 1), digests[2][WIRE_DIGEST_BYTES];
	const void *encoded;
	uint16_t id;

	bytes = bf_codec_encode(codec, level, in->at, raw_bytes, room,
				bf_codec_bound(raw_bytes), &encoded, &id);
	if (bytes > raw_bytes ||
	    bf_codec_decode(codec, id, encoded, bytes, back, raw_bytes, NULL) ||
	    memcmp(back, in->at, raw_bytes))
		abort();
	if (bf_codec_digest(codec, 0, in->at, raw_bytes, digests[0], NULL) ||
	    bf_codec_digest(codec, 0, back, raw_bytes, digests[1], NULL) ||
	    memcmp(digests[0], digests[1], sizeof(digests[0])))
		abort();
	if (bf_is_zero(back, raw_bytes) !=
	    (raw_bytes == 0 || (!back[0] && !memcmp(back, back + 1, raw_bytes - 1))))
		abort();
	free(room);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input in = { data, bytes };

	if (take(&in, 1) & 1)
		round_trip(&in);
	else
		decode(&in);
	return 0;
}
