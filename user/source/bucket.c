// SPDX-License-Identifier: Apache-2.0
/*
 * Bucket: see bucket.h. Holds a twentieth of a second's bytes, so that a pause
 * is no licence for a burst.
 */
#include "lib/transport.h"
#include "source/bucket.h"

#define BURST_PER_SECOND 20

void bf_bucket_init(struct bf_bucket *bucket, const _Atomic uint64_t *rate_bytes)
{
	*bucket = (struct bf_bucket){ .rate_bytes = rate_bytes };
	pthread_mutex_init(&bucket->lock, NULL);
}

void bf_bucket_destroy(struct bf_bucket *bucket)
{
	pthread_mutex_destroy(&bucket->lock);
}

static int64_t burst_bytes(uint64_t rate_bytes)
{
	int64_t burst = rate_bytes / BURST_PER_SECOND;

	return burst < BF_BUCKET_MIN_BYTES ? BF_BUCKET_MIN_BYTES : burst;
}

static void fill(struct bf_bucket *b, uint64_t rate_bytes, uint64_t now_ns)
{
	int64_t burst = burst_bytes(rate_bytes);
	double refill = (double)rate_bytes * (now_ns - b->filled_ns) /
			BF_NSEC_PER_SEC;

	if (refill < 1)		/* let the fraction grow */
		return;
	b->tokens_bytes = refill >= burst - b->tokens_bytes ?
		burst : b->tokens_bytes + (int64_t)refill;
	b->filled_ns = now_ns;
}

static uint64_t wait_ns(const struct bf_bucket *b, uint64_t rate_bytes)
{
	if (b->tokens_bytes > 0)
		return 0;
	return (uint64_t)((double)(1 - b->tokens_bytes) * BF_NSEC_PER_SEC /
			  rate_bytes);
}

uint64_t bf_bucket_take(struct bf_bucket *bucket, uint64_t sent_bytes,
			uint64_t *may_bytes)
{
	uint64_t rate_bytes = atomic_load_explicit(bucket->rate_bytes,
						   memory_order_relaxed);
	uint64_t now_ns = bf_now_ns(), ns = 0;

	*may_bytes = UINT64_MAX;
	pthread_mutex_lock(&bucket->lock);
	if (rate_bytes) {
		bucket->tokens_bytes -= sent_bytes;
		fill(bucket, rate_bytes, now_ns);
		ns = wait_ns(bucket, rate_bytes);
		*may_bytes = ns ? 0 : bucket->tokens_bytes;
	} else {
		bucket->tokens_bytes = 0;
		bucket->filled_ns = now_ns;
	}
	pthread_mutex_unlock(&bucket->lock);
	return ns;
}
