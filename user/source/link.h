/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Link: one connection to a target and the thread that owns it. Frames are
 * queued in the order in which they travel and may become ready later; frames
 * that arrive are handed to one handler. Everything that ends the connection,
 * the target's own ERROR first, becomes the link's error, once.
 */
#ifndef BF_SOURCE_LINK_H
#define BF_SOURCE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/frame.h"
#include "lib/transport.h"
#include "source/bucket.h"

struct bf_link;

/*
 * A frame on its way out. It and its bytes stay the caller's and must live
 * until sent() has returned or the link is stopped.
 */
struct bf_link_item {
	const uint8_t *frame;		/* header and payload */
	size_t bytes;
	bool answered;			/* the target answers with one frame */
	bool ready;			/* guarded by the link */
	/* Called by the link's thread after the last byte; NULL: nobody cares. */
	void (*sent)(struct bf_link_item *item);
	struct bf_link_item *next;	/* the link's */
};

/* Both are called by the link's thread. */
struct bf_link_handler {
	/* An answer; an error from here ends the link with it. */
	int (*frame)(void *context, const struct bf_frame *frame,
		     struct bf_error *err);
	/* The link has failed: wake whoever waits for something from it. */
	void (*failed)(void *context);
	void *context;
};

struct bf_link_options {
	struct bf_link_handler handler;
	uint64_t timeout_ns;
	struct bf_bucket *bucket;		/* NULL: no limit */
	/* All are added to, by several links perhaps: socket bytes sent; time in
	 * which a frame was ready and the socket or the rate full; processor time
	 * spent on TLS and the socket. */
	_Atomic uint64_t *wire_bytes;
	_Atomic uint64_t *full_ns;
	_Atomic uint64_t *send_ns;
};

/* Takes over @transport, also on failure. */
int bf_link_start(struct bf_link **link, struct bf_transport *transport,
		  const struct bf_link_options *options, struct bf_error *err);
/* Joins the thread and closes the connection; what is queued is dropped. */
void bf_link_stop(struct bf_link *link);

/* The item travels after all that were queued before, once it is ready. */
void bf_link_queue(struct bf_link *link, struct bf_link_item *item);
/* Its frame is complete; from any thread, before or after bf_link_queue. */
void bf_link_ready(struct bf_link *link, struct bf_link_item *item);

/* How many items wait, or are being sent. */
uint32_t bf_link_backlog(struct bf_link *link);

/* Return: 0, or the link's error in *err. */
int bf_link_check(struct bf_link *link, struct bf_error *err);

#endif /* BF_SOURCE_LINK_H */
