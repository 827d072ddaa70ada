/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a copy over TLS with end-to-end checksums cannot do without, as this
 * machine's libraries do it: prints the seconds of one core for a GiB sealed and
 * opened (AES-128-GCM in records of TLS's size), and for a GiB checksummed (the
 * protocol's, a frame at a time). The least of several rounds: what else runs
 * can only add to it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "lib/codec.h"

#define GIB (1ull << 30)
#define FRAME_BYTES (1u << 20)
#define RECORD_BYTES 16384
#define ROUNDS 5
#define ROUND_BYTES (GIB / 4)

static uint8_t frame[FRAME_BYTES], sealed[FRAME_BYTES];
static volatile uint64_t sink;

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + t.tv_nsec / 1e9;
}

static void need(int good)
{
	if (!good)
		exit(1);
}

/* Return: seconds for ROUND_BYTES. */
static double record_round(EVP_CIPHER_CTX *cipher, int encrypt)
{
	static const uint8_t key[16], nonce[12];
	double start = cpu_seconds();
	uint8_t tag[16];
	int bytes;

	for (uint64_t done = 0; done < ROUND_BYTES; done += RECORD_BYTES) {
		uint32_t at = done % FRAME_BYTES;

		need(EVP_CipherInit_ex(cipher, done ? NULL : EVP_aes_128_gcm(),
				       NULL, done ? NULL : key, nonce, encrypt));
		need(EVP_CipherUpdate(cipher, sealed + at, &bytes, frame + at,
				      RECORD_BYTES));
		if (encrypt) {
			need(EVP_CipherFinal_ex(cipher, tag, &bytes));
			need(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG,
						 sizeof(tag), tag));
		}
	}
	return cpu_seconds() - start;
}

static double checksum_round(struct bf_codec *codec)
{
	double start = cpu_seconds();

	for (uint64_t done = 0; done < ROUND_BYTES; done += FRAME_BYTES)
		sink += bf_codec_checksum(codec, done, frame, 16, frame,
					  FRAME_BYTES);
	return cpu_seconds() - start;
}

int main(void)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	double tls = 1e9, checksum = 1e9;
	struct bf_codec *codec;

	need(cipher && !bf_codec_new(&codec, NULL));
	memset(frame, 0x5a, sizeof(frame));
	for (int i = 0; i < ROUNDS; i++) {
		double t = record_round(cipher, 1) + record_round(cipher, 0);
		double c = checksum_round(codec);

		tls = t < tls ? t : tls;
		checksum = c < checksum ? c : checksum;
	}
	bf_codec_free(codec);
	EVP_CIPHER_CTX_free(cipher);
	printf("%.3f %.3f\n", tls * GIB / ROUND_BYTES,
	       checksum * GIB / ROUND_BYTES);
	return 0;
}
