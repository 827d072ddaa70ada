/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bucket: a rate limit that several links share. Tokens are bytes; they flow in
 * with time, and what a link has really sent, TLS included, is taken out after
 * the fact. Any thread; takes no lock but its own.
 */
#ifndef BF_SOURCE_BUCKET_H
#define BF_SOURCE_BUCKET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* The least that a link is let send at once. */
#define BF_BUCKET_MIN_BYTES 4096

struct bf_bucket {
	const _Atomic uint64_t *rate_bytes;	/* a second; 0: no limit */
	pthread_mutex_t lock;			/* of the rest */
	int64_t tokens_bytes;
	uint64_t filled_ns;
};

void bf_bucket_init(struct bf_bucket *bucket, const _Atomic uint64_t *rate_bytes);
void bf_bucket_destroy(struct bf_bucket *bucket);
/*
 * Take out @sent_bytes. *may_bytes: what may be sent now, UINT64_MAX without a
 * limit. Return: ns until something may be, 0: now.
 */
uint64_t bf_bucket_take(struct bf_bucket *bucket, uint64_t sent_bytes,
			uint64_t *may_bytes);

#endif /* BF_SOURCE_BUCKET_H */
