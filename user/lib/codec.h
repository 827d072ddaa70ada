/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codec: blocks become checksummed, compressed bytes and back; digests of
 * blocks. A codec belongs to one thread and keeps its contexts for reuse.
 */
#ifndef BF_LIB_CODEC_H
#define BF_LIB_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wire.h>

#include "error.h"

struct bf_codec;

int bf_codec_new(struct bf_codec **codec, struct bf_error *err);
void bf_codec_free(struct bf_codec *codec);

/* Of the extent table as it travels and the uncompressed blocks. */
uint64_t bf_codec_checksum(struct bf_codec *codec, uint64_t seed,
			   const void *table, size_t table_bytes,
			   const void *blocks, size_t block_bytes);

/* Room that bf_codec_encode needs for @raw_bytes. */
size_t bf_codec_bound(size_t raw_bytes);
/*
 * Compress at @level (0: do not). *out points to @room or, where compression
 * does not pay, to @raw itself.
 * Return: bytes at *out; *codec_id says how they are encoded.
 */
size_t bf_codec_encode(struct bf_codec *codec, int level, const void *raw,
		       size_t raw_bytes, void *room, size_t room_bytes,
		       const void **out, uint16_t *codec_id);
/* Exactly @raw_bytes must come out, else -EBADMSG with BF_E_CORRUPT. */
int bf_codec_decode(struct bf_codec *codec, uint16_t codec_id,
		    const void *encoded, size_t encoded_bytes, void *raw,
		    size_t raw_bytes, struct bf_error *err);

int bf_codec_digest_key(struct bf_codec *codec, const uint8_t key[16],
			struct bf_error *err);
int bf_codec_digest(struct bf_codec *codec, uint64_t offset_bytes,
		    const void *block, size_t bytes,
		    uint8_t digest[WIRE_DIGEST_BYTES], struct bf_error *err);

bool bf_is_zero(const void *data, size_t bytes);

#endif /* BF_LIB_CODEC_H */
