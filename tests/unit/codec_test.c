/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codec. Policy: what is encoded comes back bit by bit at every level; what
 * does not get smaller travels as it is; damaged or lying input is refused with
 * BF_E_CORRUPT; checksums and digests depend on seed, key, place and content.
 */
#include <stdlib.h>

#include "lib/cleanup.h"
#include "lib/codec.h"
#include "tap.h"

#define BYTES (256u << 10)

static struct bf_codec *codec;
static uint8_t raw[BYTES], room[BYTES], back[BYTES];

static void fill_random(uint8_t *to, size_t bytes, uint64_t seed)
{
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		to[i] = seed >> 56;
	}
}

static void fill_text(uint8_t *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = "a block of text that repeats, now and then "[i % 43] ^
			(i % 1021 == 0);
}

static size_t encode(int level, const void **out, uint16_t *id)
{
	return bf_codec_encode(codec, level, raw, BYTES, room,
			       bf_codec_bound(BYTES), out, id);
}

static void every_level_comes_back(void)
{
	static const int levels[] = { 1, 3, 9, 19 };
	struct bf_error err = { 0 };

	fill_text(raw, BYTES);
	for (size_t i = 0; i < 4; i++) {
		const void *out;
		uint16_t id;
		size_t n = encode(levels[i], &out, &id);

		check_eq(id, WIRE_CODEC_ZSTD);
		check(out == room && n < BYTES / 4);
		memset(back, 0xee, BYTES);
		check_eq(bf_codec_decode(codec, id, out, n, back, BYTES, &err), 0);
		check(!memcmp(raw, back, BYTES));
	}
}

static void level_none_is_the_blocks_themselves(void)
{
	const void *out;
	uint16_t id;

	fill_text(raw, BYTES);
	check_eq(encode(0, &out, &id), BYTES);
	check(out == raw);
	check_eq(id, WIRE_CODEC_NONE);
	check_eq(bf_codec_decode(codec, id, out, BYTES, back, BYTES, NULL), 0);
	check(!memcmp(raw, back, BYTES));
}

static void what_does_not_shrink_stays(void)
{
	const void *out;
	uint16_t id;

	fill_random(raw, BYTES, 7);
	check_eq(encode(3, &out, &id), BYTES);
	check(out == raw);
	check_eq(id, WIRE_CODEC_NONE);
}

static void nothing_encodes_to_nothing(void)
{
	const void *out;
	uint16_t id;

	check_eq(bf_codec_encode(codec, 3, raw, 0, room, BYTES, &out, &id), 0);
	check_eq(id, WIRE_CODEC_NONE);
	check_eq(bf_codec_decode(codec, id, room, 0, back, 0, NULL), 0);
}

static void refuse(uint16_t id, const void *in, size_t n, size_t bytes)
{
	struct bf_error err = { 0 };

	check(bf_codec_decode(codec, id, in, n, back, bytes, &err) < 0);
	check_eq(err.code, BF_E_CORRUPT);
	check(err.text[0]);
}

static void damaged_input_is_refused(void)
{
	const void *out;
	uint16_t id;
	size_t n;

	fill_text(raw, BYTES);
	n = encode(1, &out, &id);
	refuse(id, out, n - 1, BYTES);
	refuse(id, out, n, BYTES - 512);	/* longer than announced */
}

static void lengths_must_be_exact(void)
{
	static uint8_t more[2 * BYTES];
	struct bf_error err = { 0 };
	const void *out;
	uint16_t id;
	size_t n;

	fill_text(raw, BYTES);
	n = encode(1, &out, &id);
	check(bf_codec_decode(codec, id, out, n, more, BYTES + 512, &err) < 0);
	check_eq(err.code, BF_E_CORRUPT);
	refuse(WIRE_CODEC_NONE, raw, BYTES - 512, BYTES);
	refuse(77, raw, BYTES, BYTES);
}

static void every_flipped_byte_is_seen(void)
{
	uint64_t sum;

	fill_text(raw, 4096);
	fill_random(room, 64, 3);
	sum = bf_codec_checksum(codec, 5, room, 64, raw, 4096);
	for (size_t i = 0; i < 4096; i++) {
		raw[i] ^= 0x10;
		check(bf_codec_checksum(codec, 5, room, 64, raw, 4096) != sum);
		raw[i] ^= 0x10;
	}
	room[3] ^= 1;
	check(bf_codec_checksum(codec, 5, room, 64, raw, 4096) != sum);
	room[3] ^= 1;
	check(bf_codec_checksum(codec, 6, room, 64, raw, 4096) != sum);
	check(bf_codec_checksum(codec, 5, room, 64, raw, 4096) == sum);
}

static void digest(uint8_t key_byte, uint64_t offset, uint8_t out[16])
{
	uint8_t key[16] = { key_byte };

	check_eq(bf_codec_digest_key(codec, key, NULL), 0);
	check_eq(bf_codec_digest(codec, offset, raw, 4096, out, NULL), 0);
}

static void digests_depend_on_key_place_and_content(void)
{
	uint8_t a[16], b[16];

	fill_random(raw, 4096, 11);
	digest(1, 8192, a);
	digest(1, 8192, b);
	check(!memcmp(a, b, 16));
	digest(2, 8192, b);
	check(memcmp(a, b, 16));
	digest(1, 4096, b);
	check(memcmp(a, b, 16));
	raw[4095] ^= 1;
	digest(1, 8192, b);
	check(memcmp(a, b, 16));
}

/* NIST's GCM test with an all-zero key and nonce and no data at all. */
static void digest_is_gmac(void)
{
	static const uint8_t tag[16] = {
		0x58, 0xe2, 0xfc, 0xce, 0xfa, 0x7e, 0x30, 0x61,
		0x36, 0x7f, 0x1d, 0x57, 0xa4, 0xe7, 0x45, 0x5a,
	};
	uint8_t key[16] = { 0 }, out[16];

	check_eq(bf_codec_digest_key(codec, key, NULL), 0);
	check_eq(bf_codec_digest(codec, 0, raw, 0, out, NULL), 0);
	check(!memcmp(out, tag, 16));
}

static void digest_without_a_key_is_refused(void)
{
	struct bf_codec *fresh;
	struct bf_error err = { 0 };
	uint8_t out[16];

	check_eq(bf_codec_new(&fresh, NULL), 0);
	check(bf_codec_digest(fresh, 0, raw, 16, out, &err) < 0);
	bf_codec_free(fresh);
}

static void zeroes_are_recognised_to_the_last_byte(void)
{
	static const size_t lengths[] = { 1, 15, 16, 17, 512, 4096, 4097 };

	memset(raw, 0, BYTES);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t n = lengths[i];

		for (size_t at = 0; at < n; at++) {
			check(bf_is_zero(raw, n));
			raw[at] = 0x80;
			check(!bf_is_zero(raw, n));
			raw[at] = 0;
		}
	}
	check(bf_is_zero(raw, 0));
}

int main(void)
{
	if (bf_codec_new(&codec, NULL))
		return 1;
	tap_run("every level comes back", every_level_comes_back);
	tap_run("level none is the blocks themselves",
		level_none_is_the_blocks_themselves);
	tap_run("what does not shrink stays", what_does_not_shrink_stays);
	tap_run("nothing encodes to nothing", nothing_encodes_to_nothing);
	tap_run("damaged input is refused", damaged_input_is_refused);
	tap_run("lengths must be exact", lengths_must_be_exact);
	tap_run("every flipped byte is seen", every_flipped_byte_is_seen);
	tap_run("digests depend on key, place and content",
		digests_depend_on_key_place_and_content);
	tap_run("a digest is a GMAC", digest_is_gmac);
	tap_run("a digest without a key is refused",
		digest_without_a_key_is_refused);
	tap_run("zeroes are recognised to the last byte",
		zeroes_are_recognised_to_the_last_byte);
	bf_codec_free(codec);
	return tap_done();
}
