/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unreadable: what a disk of the source does not give. A read that failed is
 * tried again in smaller and smaller pieces, so that only the sectors that are
 * really lost count as such; what then becomes of them the operator has said.
 */
#ifndef BF_SOURCE_UNREADABLE_H
#define BF_SOURCE_UNREADABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "source/session.h"

/* More than this is no bad spot but a disk that dies: never replaced. */
#define BF_UNREADABLE_MAX_BYTES (64ull << 20)

/* An error of the medium; after any other there is nothing to try again. */
bool bf_unreadable_error(int error);

/*
 * bf_read_again - read extent @e of @disk into @data, which a read refused
 * @error: positive errno of that read
 *
 * Return: 0 with @data whole: everything could be read after all, or the
 * session's disk takes zeroes and has the lost sectors in its list, which is
 * recorded. Otherwise an error that names the sectors.
 */
int bf_read_again(struct bf_session *session, uint32_t disk,
		  const struct bf_extent *e, uint8_t *data, int error,
		  struct bf_error *err);

#endif /* BF_SOURCE_UNREADABLE_H */
