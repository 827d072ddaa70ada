/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: where the control connection of a session and its data
 * connections meet. Each is a struct bf_target_session with a thread of its
 * own; at a sync point the data connections wait here until the control one has
 * done what its frame says. The first failure of any is the failure of all.
 *
 * Shared by reference: the control connection holds one, each data connection
 * another. All functions may be called from any thread and take no lock but
 * their own, which is a leaf; the ticks are called without it.
 */
#ifndef BF_TARGET_CONNECTIONS_H
#define BF_TARGET_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <wire.h>

#include "lib/error.h"
#include "target/apply.h"

struct bf_connections;
struct bf_target_session;

/* Over all disks, for the log. */
struct bf_connection_sum {
	uint64_t data_bytes, zero_bytes, received_bytes;
};

/* @control: woken when a data connection fails; @max: with it, at most. */
int bf_connections_new(struct bf_connections **connections,
		       struct bf_target_session *control, uint64_t epoch,
		       uint16_t max, struct bf_error *err);
struct bf_connections *bf_connections_get(struct bf_connections *connections);
/* Lets go of a reference; NULL: nothing. */
void bf_connections_put(struct bf_connections *connections);

const uint8_t *bf_connections_ticket(const struct bf_connections *connections);
/* Valid for a data connection until it leaves. */
struct bf_target_session *bf_connections_control(struct bf_connections *connections);
/* Is any other than the control connection there, or was it? */
bool bf_connections_shared(struct bf_connections *connections);

/* 0, or what has ended the others: then this one ends, too. */
int bf_connections_check(struct bf_connections *connections,
			 struct bf_error *err);
/* What ends this one ends the others. The first one's words stay. */
void bf_connections_fail(struct bf_connections *connections, int error,
			 const struct bf_error *err);

/* --- a data connection ------------------------------------------------------ */

/* By ticket and epoch, before the first sync point. Then it must leave. */
int bf_connections_join(struct bf_connections *connections,
			struct bf_target_session *member,
			const struct wire_attach *attach, struct bf_error *err);
/* Its blocks flow through @apply, read by the control one at sync points. */
void bf_connections_set_apply(struct bf_connections *connections,
			      const struct bf_target_session *member,
			      struct bf_apply *apply);
/* Its apply is about to go: nobody else looks at it from now on. */
void bf_connections_detach(struct bf_connections *connections,
			   const struct bf_target_session *member);
/* After that. Nothing of it is in flight; @unflushed: some of it has not been flushed. */
void bf_connections_leave(struct bf_connections *connections,
			  const struct bf_target_session *member,
			  const struct bf_connection_sum *sum, bool unflushed);
/* It has come to sync point @number: returns when all have passed it. */
int bf_connections_reach(struct bf_connections *connections,
			 const struct bf_target_session *member,
			 uint64_t number, bf_apply_tick tick, void *context,
			 struct bf_error *err);
/* Has the control connection ended in order? */
bool bf_connections_ended(struct bf_connections *connections);

/* --- the control connection ------------------------------------------------- */

/* The next sync point: returns when all others have come to it and wait. */
int bf_connections_gather(struct bf_connections *connections,
			  bf_apply_tick tick, void *context,
			  struct bf_error *err);
/*
 * While they wait. Their sum is added to @totals, of @disk; what they have not
 * flushed is now @apply's to flush. Either fails if one has gone meanwhile.
 */
int bf_connections_totals(struct bf_connections *connections, uint32_t disk,
			  struct wire_totals *totals, struct bf_error *err);
int bf_connections_hand_over(struct bf_connections *connections,
			     struct bf_apply *apply, struct bf_error *err);
/* All go on. */
void bf_connections_pass(struct bf_connections *connections);
/*
 * Ends the others and waits until they have left: then nothing of the session
 * is in flight. Theirs is added to @sum. Return: true if one has left something
 * unflushed.
 */
bool bf_connections_close(struct bf_connections *connections,
			  struct bf_connection_sum *sum);
/* Whatever the others wait for from their peer fails now. */
void bf_connections_cut_off(struct bf_connections *connections);

#endif /* BF_TARGET_CONNECTIONS_H */
