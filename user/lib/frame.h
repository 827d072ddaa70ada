/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: bytes of a transport become checked frames and back. include/wire.h
 * is the specification. Keeps RULE 6: the length of a frame is checked against
 * its type's limit before a byte of the payload is buffered, and each message
 * has one validator that checks all counts, offsets and lengths inside.
 *
 * Validators copy into the wire struct in host byte order. Pointers in their
 * results point into the frame's payload, which may be unaligned and is valid
 * until the next read.
 */
#ifndef BF_LIB_FRAME_H
#define BF_LIB_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wire.h>

#include "error.h"
#include "transport.h"

struct bf_frame {
	uint16_t type;
	uint16_t disk;
	uint32_t length;
	uint8_t *payload;
};

/* Largest payload that @role may receive in a frame of @type; 0: not allowed. */
uint32_t bf_frame_limit(enum bf_role receiver, uint16_t type);
/* Smallest payload, and name ("BARRIER") for words. */
uint32_t bf_frame_minimum(uint16_t type);
const char *bf_frame_name(uint16_t type);

/*
 * Room for a DATA frame that its reader is lent: whatever the length of the
 * extent table, the blocks come to lie at BF_FRAME_BLOCKS_AT, a page's start, so
 * that they can be written to a disk from where they are.
 */
#define BF_FRAME_BLOCKS_AT 12288u
#define BF_FRAME_ROOM_BYTES (BF_FRAME_BLOCKS_AT + WIRE_EXTENTS_MAX * \
			     sizeof(struct wire_extent) + WIRE_RAW_MAX)

/* Reads frames incrementally; its buffer grows to the largest frame seen. */
struct bf_frame_reader {
	enum bf_role role;		/* of the reading side */
	uint8_t header[sizeof(struct wire_header)];
	size_t header_have;
	uint8_t *room;			/* lent, for DATA; NULL: none */
	uint8_t data_head[sizeof(struct wire_data)];	/* decides on its place */
	uint8_t *payload;
	size_t payload_size, payload_have;
	struct bf_frame frame;
};

void bf_frame_reader_init(struct bf_frame_reader *reader, enum bf_role role);
void bf_frame_reader_free(struct bf_frame_reader *reader);
/* BF_FRAME_ROOM_BYTES for the DATA frames to come; between two frames only. */
void bf_frame_reader_lend(struct bf_frame_reader *reader, uint8_t *room);
/* Between two frames: nothing of the next one has come. */
bool bf_frame_reader_idle(const struct bf_frame_reader *reader);
/*
 * Return: 1 with *frame, 0 at an orderly end between frames, -EAGAIN, or a
 * negative errno with @err (BF_E_PROTOCOL, BF_E_CONNECTION).
 */
int bf_frame_read(struct bf_frame_reader *reader, struct bf_transport *transport,
		  struct bf_frame **frame, struct bf_error *err);
/* The same from memory: consumes from *data; for tests and fuzzing. */
int bf_frame_feed(struct bf_frame_reader *reader, const uint8_t **data,
		  size_t *bytes, struct bf_frame **frame, struct bf_error *err);

/* Fill in a header, little-endian. */
void bf_frame_header(struct wire_header *header, uint16_t type, uint16_t disk,
		     uint32_t length);
/* Header and payload, blocking until @deadline_ns. */
int bf_frame_send(struct bf_transport *transport, uint16_t type, uint16_t disk,
		  const void *payload, uint32_t length, uint64_t deadline_ns,
		  struct bf_error *err);
int bf_frame_send_error(struct bf_transport *transport,
			const struct bf_error *what, uint64_t deadline_ns);

/* Validators, one a message. They also serve to encode: */
void bf_wire_swap_hello(struct wire_hello *m);	/* host <-> little-endian */
void bf_wire_swap_welcome(struct wire_welcome *m);
void bf_wire_swap_open(struct wire_open *m);
void bf_wire_swap_opened(struct wire_opened *m);
void bf_wire_swap_claim(struct wire_claim *m);
void bf_wire_swap_claimed(struct wire_claimed *m);
void bf_wire_swap_attach(struct wire_attach *m);
void bf_wire_swap_attached(struct wire_attached *m);
void bf_wire_swap_sync(struct wire_sync *m);
void bf_wire_swap_begin(struct wire_begin *m);
void bf_wire_swap_data(struct wire_data *m);
void bf_wire_swap_extent(struct wire_extent *m);
void bf_wire_swap_barrier(struct wire_barrier *m);
void bf_wire_swap_progress(struct wire_progress *m);
void bf_wire_swap_durable(struct wire_durable *m);
void bf_wire_swap_totals(struct wire_totals *m);
void bf_wire_swap_cutover(struct wire_cutover *m);
void bf_wire_swap_cutover_done(struct wire_cutover_done *m);
void bf_wire_swap_digest(struct wire_digest *m);
void bf_wire_swap_digests(struct wire_digests *m);
void bf_wire_swap_ping(struct wire_ping *m);
void bf_wire_swap_error(struct wire_error *m);
void bf_wire_swap_measure(struct wire_measure *m);
void bf_wire_swap_measured(struct wire_measured *m);
void bf_wire_swap_report(struct wire_report *m);

int bf_check_hello(const struct bf_frame *f, struct wire_hello *m, struct bf_error *err);
int bf_check_welcome(const struct bf_frame *f, struct wire_welcome *m, struct bf_error *err);
int bf_check_open(const struct bf_frame *f, struct wire_open *m, struct bf_error *err);
int bf_check_opened(const struct bf_frame *f, struct wire_opened *m, struct bf_error *err);
int bf_check_claim(const struct bf_frame *f, struct wire_claim *m, struct bf_error *err);
int bf_check_claimed(const struct bf_frame *f, struct wire_claimed *m,
		     uint32_t nr_disks, const uint8_t (**cookies)[16],
		     struct bf_error *err);
int bf_check_attach(const struct bf_frame *f, struct wire_attach *m, struct bf_error *err);
int bf_check_attached(const struct bf_frame *f, struct wire_attached *m,
		      struct bf_error *err);
int bf_check_sync(const struct bf_frame *f, struct wire_sync *m, struct bf_error *err);
int bf_check_begin(const struct bf_frame *f, struct wire_begin *m, struct bf_error *err);

struct bf_data_view {
	struct wire_data head;
	/* nr_data then nr_zero, host byte order, ascending within each kind */
	struct wire_extent extents[WIRE_EXTENTS_MAX];
	const uint8_t *extent_bytes;	/* the table as it came: checksummed */
	size_t extent_table_bytes;
	const uint8_t *encoded;
};
/* @device_bytes: every extent must lie within. */
int bf_check_data(const struct bf_frame *f, uint64_t device_bytes,
		  struct bf_data_view *view, struct bf_error *err);

int bf_check_barrier(const struct bf_frame *f, struct wire_barrier *m,
		     uint32_t nr_disks, struct wire_progress *progress,
		     struct bf_error *err);
int bf_check_durable(const struct bf_frame *f, struct wire_durable *m,
		     uint32_t nr_disks, struct wire_totals *totals,
		     struct bf_error *err);
int bf_check_cutover(const struct bf_frame *f, struct wire_cutover *m, struct bf_error *err);
int bf_check_cutover_done(const struct bf_frame *f, struct wire_cutover_done *m,
			  struct bf_error *err);
int bf_check_digest(const struct bf_frame *f, uint64_t device_bytes,
		    struct wire_digest *m, struct bf_error *err);
int bf_check_digests(const struct bf_frame *f, struct wire_digests *m,
		     const uint8_t **digests, struct bf_error *err);
int bf_check_ping(const struct bf_frame *f, struct wire_ping *m, struct bf_error *err);
int bf_check_measure(const struct bf_frame *f, struct wire_measure *m,
		     struct bf_error *err);
int bf_check_measured(const struct bf_frame *f, struct wire_measured *m,
		      struct bf_error *err);
/* *text: m->text_bytes of it, whatever they say. */
int bf_check_report(const struct bf_frame *f, struct wire_report *m,
		    const char **text, struct bf_error *err);
/* Turns the peer's ERROR into *err; always fails. */
int bf_check_error(const struct bf_frame *f, struct bf_error *err);

/*
 * Ladder: which types may come next. One for each connection on the target;
 * pure, so that tests and fuzzers can drive it.
 */
enum bf_ladder_state {
	BF_LADDER_HELLO,		/* waiting for HELLO */
	BF_LADDER_OPEN,			/* WELCOME sent; OPEN, DIGEST, CLAIM */
	BF_LADDER_CLAIMED,		/* may write */
	BF_LADDER_CUT_OVER,		/* DIGEST, REPORT and PING only */
	BF_LADDER_ATTACHED,		/* a data connection */
};
/* Return: 0 and the new *state, or -EPROTO with @err. */
int bf_ladder_step(enum bf_ladder_state *state, uint16_t type,
		   struct bf_error *err);

#endif /* BF_LIB_FRAME_H */
