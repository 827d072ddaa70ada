/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session: one connection of a source, served by one thread: frames flow in,
 * writes flow to targets, answers flow back. include/wire.h says what is
 * allowed when.
 */
#ifndef BF_TARGET_SESSION_H
#define BF_TARGET_SESSION_H

#include <stdbool.h>

#include "lib/frame.h"
#include "lib/transport.h"
#include "target/registry.h"

struct bf_target_session;

enum bf_cancel {
	BF_CANCEL_NONE,
	BF_CANCEL_STALE,		/* a newer session has claimed the job */
	BF_CANCEL_STOPPING,		/* the receiver stops */
};

/* Takes over @transport, also on failure. @local: of this process, trusted. */
int bf_target_session_new(struct bf_target_session **session,
			  struct bf_registry *registry,
			  struct bf_transport *transport, bool local,
			  struct bf_error *err);
/*
 * Serves until the source hangs up or something ends the session, says to the
 * source what that was, and gives everything back. 0 at an orderly end.
 */
int bf_target_session_run(struct bf_target_session *session, struct bf_error *err);
void bf_target_session_free(struct bf_target_session *session);

/* Of the peer, for words. */
const char *bf_target_session_address(const struct bf_target_session *session);
/* Has the peer shown a key that is known? From any thread. */
bool bf_target_session_admitted(const struct bf_target_session *session);
/* From any thread: end soon, orderly. */
void bf_target_session_cancel(struct bf_target_session *session,
			      enum bf_cancel why);
/* From any thread: look at the registry's rules again. */
void bf_target_session_look(struct bf_target_session *session);
/* From any thread: whatever it waits for from its peer fails now. */
void bf_target_session_cut_off(struct bf_target_session *session);

/*
 * One frame, as run does it: for tests and fuzzers, which may feed frames from
 * memory. Answers go to the transport. After an error only end and free.
 */
int bf_target_session_step(struct bf_target_session *session,
			   const struct bf_frame *frame, struct bf_error *err);
/* Wait out the writes and give up all rights; run calls it. */
void bf_target_session_end(struct bf_target_session *session);

#endif /* BF_TARGET_SESSION_H */
