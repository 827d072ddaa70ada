/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an acknowledgement covers. Every sector that acked_source writes says
 * which write it is of, and its ledger says which writes came before each
 * barrier; log_judge reads both. The ledger is text, one record a line:
 *
 *	seed SEED
 *	bytes BYTES				of the disk
 *	write SEQ OFFSET LENGTH data|zero	SEQ is 1, 2, 3 ...
 *	barrier N SEQ GENERATION THROUGH	covers the writes up to SEQ
 *	ack N SEQ				the writes up to SEQ were sent
 *						when it came
 */
#ifndef BF_TESTS_ACKED_H
#define BF_TESTS_ACKED_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SECTOR_BYTES 512u
#define SECTOR_WORDS (SECTOR_BYTES / sizeof(uint64_t))

static inline uint64_t acked_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* Sector number @sector as write @seq leaves it: noise, or what compresses. */
static inline void acked_fill(uint64_t words[SECTOR_WORDS], uint64_t seed,
			      uint64_t seq, uint64_t sector)
{
	uint64_t noise = (seed * 31 + seq) * 0x9e3779b97f4a7c15ull + sector + 1;

	words[0] = seq;
	words[1] = sector;
	words[2] = seed;
	for (uint32_t i = 3; i < SECTOR_WORDS; i++)
		words[i] = seq % 2 ? acked_random(&noise) : seq;
}

/* The write that the whole sector is of; 0: of none. */
static inline uint64_t acked_seq(const uint8_t *content, uint64_t seed,
				 uint64_t sector)
{
	uint64_t wanted[SECTOR_WORDS], seq;

	memcpy(&seq, content, sizeof(seq));
	acked_fill(wanted, seed, seq, sector);
	return memcmp(content, wanted, SECTOR_BYTES) ? 0 : seq;
}

#endif /* BF_TESTS_ACKED_H */
