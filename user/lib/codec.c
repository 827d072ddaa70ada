// SPDX-License-Identifier: Apache-2.0
/*
 * Codec: uncompressed blocks flow in, checksummed and compressed bytes flow
 * out, and back. The checksum is taken before compression and checked after
 * decompression by the caller, so it covers the codec itself. Keeps RULE 6:
 * a decoded block has exactly the length its frame announced, or it is refused.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include <endian.h>
#include <openssl/evp.h>
#ifdef BF_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif
#include <zstd.h>

#include "cleanup.h"
#include "codec.h"

#define NONCE_BYTES 12		/* what GCM takes without being told */
#define PAYS_SHIFT 5		/* compression must save 1/32 of a frame */
#define SAMPLE_BYTES 8192u
#define FAST_LEVEL 2		/* these give up by themselves */

struct bf_codec {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
	XXH3_state_t *hash;
	EVP_CIPHER_CTX *gmac;	/* NULL until a digest key is set */
};

static void codec_cleanup(struct bf_codec **codec)
{
	bf_codec_free(*codec);
}

int bf_codec_new(struct bf_codec **codec, struct bf_error *err)
{
	_cleanup_(codec_cleanup) struct bf_codec *c = calloc(1, sizeof(*c));

	if (c) {
		c->compress = ZSTD_createCCtx();
		c->decompress = ZSTD_createDCtx();
		c->hash = XXH3_createState();
	}
	if (!c || !c->compress || !c->decompress || !c->hash)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory for a compression context");
	*codec = bf_take_pointer(c);
	return 0;
}

void bf_codec_free(struct bf_codec *codec)
{
	if (!codec)
		return;
	ZSTD_freeCCtx(codec->compress);
	ZSTD_freeDCtx(codec->decompress);
	XXH3_freeState(codec->hash);
	EVP_CIPHER_CTX_free(codec->gmac);
	free(codec);
}

uint64_t bf_codec_checksum(struct bf_codec *codec, uint64_t seed,
			   const void *table, size_t table_bytes,
			   const void *blocks, size_t block_bytes)
{
	XXH3_64bits_reset_withSeed(codec->hash, seed);
	XXH3_64bits_update(codec->hash, table, table_bytes);
	XXH3_64bits_update(codec->hash, blocks, block_bytes);
	return XXH3_64bits_digest(codec->hash);
}

/*
 * What does not get smaller is sent as it is, so the room never has to hold
 * more than the blocks themselves, and zstd may give up once it is full.
 */
size_t bf_codec_bound(size_t raw_bytes)
{
	return raw_bytes;
}

static size_t encode_plain(const void *raw, size_t raw_bytes, const void **out,
			   uint16_t *codec_id)
{
	*out = raw;
	*codec_id = WIRE_CODEC_NONE;
	return raw_bytes;
}

/*
 * What fast compression finds nothing in at three places is left alone: a high
 * level would take its whole time to find nothing either.
 */
static bool worth_trying(struct bf_codec *codec, const uint8_t *raw,
			 size_t raw_bytes, void *room, size_t room_bytes)
{
	const size_t limit = SAMPLE_BYTES - (SAMPLE_BYTES >> PAYS_SHIFT);

	if (raw_bytes < 8 * SAMPLE_BYTES || room_bytes < limit)
		return true;
	for (int i = 0; i < 3; i++) {
		size_t at = (raw_bytes - SAMPLE_BYTES) / 2 * i;

		if (!ZSTD_isError(ZSTD_compressCCtx(codec->compress, room, limit,
						    raw + at, SAMPLE_BYTES, 1)))
			return true;
	}
	return false;
}

size_t bf_codec_encode(struct bf_codec *codec, int level, const void *raw,
		       size_t raw_bytes, void *room, size_t room_bytes,
		       const void **out, uint16_t *codec_id)
{
	size_t limit = raw_bytes - (raw_bytes >> PAYS_SHIFT);
	size_t bytes;

	if (level <= 0 || !raw_bytes)
		return encode_plain(raw, raw_bytes, out, codec_id);
	if (limit > room_bytes)
		limit = room_bytes;
	if (level > FAST_LEVEL &&
	    !worth_trying(codec, raw, raw_bytes, room, room_bytes))
		return encode_plain(raw, raw_bytes, out, codec_id);
	bytes = ZSTD_compressCCtx(codec->compress, room, limit, raw, raw_bytes,
				  level);
	if (ZSTD_isError(bytes))
		return encode_plain(raw, raw_bytes, out, codec_id);
	*out = room;
	*codec_id = WIRE_CODEC_ZSTD;
	return bytes;
}

static int decode_zstd(struct bf_codec *codec, const void *encoded,
		       size_t encoded_bytes, void *raw, size_t raw_bytes,
		       struct bf_error *err)
{
	size_t bytes = ZSTD_decompressDCtx(codec->decompress, raw, raw_bytes,
					   encoded, encoded_bytes);

	if (ZSTD_isError(bytes))
		return bf_fail(err, BF_E_CORRUPT, EBADMSG,
			       "compressed blocks cannot be decompressed: %s",
			       ZSTD_getErrorName(bytes));
	if (bytes != raw_bytes)
		return bf_fail(err, BF_E_CORRUPT, EBADMSG,
			       "decompressed blocks are %zu bytes, not the %zu announced",
			       bytes, raw_bytes);
	return 0;
}

int bf_codec_decode(struct bf_codec *codec, uint16_t codec_id,
		    const void *encoded, size_t encoded_bytes, void *raw,
		    size_t raw_bytes, struct bf_error *err)
{
	switch (codec_id) {
	case WIRE_CODEC_NONE:
		if (encoded_bytes != raw_bytes)
			return bf_fail(err, BF_E_CORRUPT, EBADMSG,
				       "uncompressed blocks are %zu bytes, not the %zu announced",
				       encoded_bytes, raw_bytes);
		if (raw_bytes)
			memcpy(raw, encoded, raw_bytes);
		return 0;
	case WIRE_CODEC_ZSTD:
		return decode_zstd(codec, encoded, encoded_bytes, raw,
				   raw_bytes, err);
	default:
		return bf_fail(err, BF_E_CORRUPT, EBADMSG,
			       "blocks come in the unknown encoding %u; use releases that are at most one apart",
			       codec_id);
	}
}

int bf_codec_digest_key(struct bf_codec *codec, const uint8_t key[16],
			struct bf_error *err)
{
	if (!codec->gmac)
		codec->gmac = EVP_CIPHER_CTX_new();
	if (!codec->gmac)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory for a digest context");
	if (EVP_EncryptInit_ex(codec->gmac, EVP_aes_128_gcm(), NULL, key,
			       NULL) != 1)
		return bf_fail(err, BF_E_SYSTEM, ENOSYS,
			       "the OpenSSL library refuses AES-128-GCM, which digests need");
	return 0;
}

int bf_codec_digest(struct bf_codec *codec, uint64_t offset_bytes,
		    const void *block, size_t bytes,
		    uint8_t digest[WIRE_DIGEST_BYTES], struct bf_error *err)
{
	uint8_t nonce[NONCE_BYTES] = { 0 }, none[WIRE_DIGEST_BYTES];
	uint64_t offset = htole64(offset_bytes);
	int n;

	if (!codec->gmac || bytes > INT_MAX)
		return bf_fail(err, BF_E_SYSTEM, EINVAL,
			       "a digest was asked for without a key or of too long a block");
	memcpy(nonce, &offset, sizeof(offset));
	if (EVP_EncryptInit_ex(codec->gmac, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_EncryptUpdate(codec->gmac, NULL, &n, block, bytes) != 1 ||
	    EVP_EncryptFinal_ex(codec->gmac, none, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(codec->gmac, EVP_CTRL_GCM_GET_TAG,
				WIRE_DIGEST_BYTES, digest) != 1)
		return bf_fail(err, BF_E_SYSTEM, EIO,
			       "the OpenSSL library failed to compute a digest");
	return 0;
}

/* The block is compared with itself, shifted: libc does that at full speed. */
bool bf_is_zero(const void *data, size_t bytes)
{
	static const uint8_t zeroes[16];
	const uint8_t *p = data;

	if (bytes <= sizeof(zeroes))
		return !memcmp(p, zeroes, bytes);
	return !memcmp(p, zeroes, sizeof(zeroes)) &&
	       !memcmp(p, p + sizeof(zeroes), bytes - sizeof(zeroes));
}
