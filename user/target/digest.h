/* SPDX-License-Identifier: Apache-2.0 */
/* Digest: a range of a target becomes one digest for each of its blocks. */
#ifndef BF_TARGET_DIGEST_H
#define BF_TARGET_DIGEST_H

#include "target/apply.h"

struct bf_digester;

int bf_digester_new(struct bf_digester **digester, struct bf_codec *codec,
		    bf_apply_tick tick, void *context, struct bf_error *err);
void bf_digester_free(struct bf_digester *digester);
/*
 * @range was checked against the device; @digests has room for its blocks. No
 * write to the range may be in flight. BF_E_TARGET_IO if it cannot be read.
 */
int bf_digest_range(struct bf_digester *digester, const struct bf_target *target,
		    const struct wire_digest *range,
		    uint8_t (*digests)[WIRE_DIGEST_BYTES], struct bf_error *err);

#endif /* BF_TARGET_DIGEST_H */
