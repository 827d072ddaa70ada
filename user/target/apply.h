/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apply: checked DATA frames become writes on targets. Owns the ring of one
 * session and two buffers, more come from the receiver's pool: their number
 * bounds its memory, whatever a source sends.
 */
#ifndef BF_TARGET_APPLY_H
#define BF_TARGET_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include <wire.h>

#include "lib/codec.h"
#include "lib/frame.h"
#include "target/pool.h"
#include "target/target.h"

struct bf_apply;

/*
 * Called before anything is written and again and again while writes are
 * waited for: gives signs of life, and a negative errno ends the wait.
 */
typedef int (*bf_apply_tick)(void *context, struct bf_error *err);

int bf_apply_new(struct bf_apply **apply, struct bf_pool *pool,
		 struct bf_codec *codec, uint64_t seed, bf_apply_tick tick,
		 void *context, struct bf_error *err);
/* Waits out what is in flight: afterwards this session writes nothing more. */
void bf_apply_free(struct bf_apply *apply);

/* Disks are added in the order of their indices; @target outlives @apply. */
void bf_apply_add(struct bf_apply *apply, struct bf_target *target);
/*
 * BF_FRAME_ROOM_BYTES for the next DATA frame; plain blocks that came into it
 * are written from there. Waits for a buffer; the same until one was used.
 */
int bf_apply_room(struct bf_apply *apply, uint8_t **room, struct bf_error *err);
/*
 * Decode, check, write. BF_E_CORRUPT before anything is written; BF_E_TARGET_IO
 * may speak of an earlier frame.
 */
int bf_apply_data(struct bf_apply *apply, uint32_t disk,
		  const struct bf_data_view *view, struct bf_error *err);
/* Wait for the writes of @disk. */
int bf_apply_settle(struct bf_apply *apply, uint32_t disk, struct bf_error *err);
int bf_apply_settle_all(struct bf_apply *apply, struct bf_error *err);
/* Wait for all writes, then flush every target written since the last time. */
int bf_apply_flush(struct bf_apply *apply, struct bf_error *err);
/* Collect completions, without waiting. */
int bf_apply_poll(struct bf_apply *apply, struct bf_error *err);
/* Has anything been written since the last successful flush? */
bool bf_apply_unflushed(const struct bf_apply *apply);
/* Since the beginning, by disk. */
const struct wire_totals *bf_apply_totals(const struct bf_apply *apply,
					  uint32_t disk);

/* Of two that write to the same disks, neither of which writes now. */
void bf_apply_add_totals(const struct bf_apply *apply, uint32_t disk,
			 struct wire_totals *sum);
/* What @from has written unflushed, @apply flushes. */
void bf_apply_take_unflushed(struct bf_apply *apply, struct bf_apply *from);

#endif /* BF_TARGET_APPLY_H */
