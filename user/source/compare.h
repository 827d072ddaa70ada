/* SPDX-License-Identifier: Apache-2.0 */
/* Compare: digests of both sides become the extents in which they differ. */
#ifndef BF_SOURCE_COMPARE_H
#define BF_SOURCE_COMPARE_H

#include "source/session.h"

struct bf_compare_range {
	struct bf_extent extent;
	bool compare;			/* false: passed on, unread */
	uint64_t mark[2];		/* the caller's: what lay before it */
};

struct bf_compare_input {
	/*
	 * The next range, of @max_bytes at most, behind all before it. The
	 * caller fills in the extent, and what else it wants.
	 * Return: 1, 0 at the end, or a negative errno.
	 */
	int (*next)(void *context, uint64_t max_bytes,
		    struct bf_compare_range *range, struct bf_error *err);
	void *context;
};

/*
 * One comparison at a time; the last one was read to its end, or the session is
 * over. BF_E_VERSION if the target knows no digests.
 */
int bf_compare_start(struct bf_session *session, uint32_t disk,
		     uint32_t block_bytes, const struct bf_compare_input *input,
		     struct bf_error *err);
void bf_compare_free(struct bf_compare *compare);

/*
 * The next extent that differs. Stays until it is taken.
 * Return: 1, 0 at the end, -EINPROGRESS (without words): wait and ask again, or
 * another negative errno.
 */
int bf_compare_peek(struct bf_compare *compare, struct bf_extent *out,
		    struct bf_error *err);
void bf_compare_take(struct bf_compare *compare, uint64_t bytes);
/*
 * The mark of the first range that is not done with: of what lies before it
 * all is equal or was taken. NULL: none is left of what was asked for.
 */
const uint64_t *bf_compare_mark(const struct bf_compare *compare);

struct bf_compare_totals {
	uint64_t compared_bytes;
	uint64_t differing_bytes;	/* of them */
	uint64_t unasked_bytes;		/* passed on */
};
/* Since the start. */
const struct bf_compare_totals *bf_compare_totals(const struct bf_compare *compare);

/* Readable when a read has completed, for bf_session_wait. */
int bf_compare_event_fd(const struct bf_compare *compare);
/* The link's thread, with session->lock held: DIGESTS have come. */
int bf_compare_frame(struct bf_compare *compare, const struct bf_frame *frame,
		     struct bf_error *err);

#endif /* BF_SOURCE_COMPARE_H */
