/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a session: what session.c, receive.c and acknowledge.c share. */
#ifndef BF_TARGET_SESSION_PRIVATE_H
#define BF_TARGET_SESSION_PRIVATE_H

#include <stdatomic.h>

#include "lib/codec.h"
#include "target/apply.h"
#include "target/connections.h"
#include "target/digest.h"
#include "target/session.h"

struct session_disk {
	struct wire_open open;		/* host byte order */
	struct bf_hold *hold;		/* opened for writing, shared */
	struct bf_target own;		/* opened for reading only */
	struct bf_target *target;	/* one of the two */
	bool begun;
	uint64_t generation;		/* of the last BEGIN */
};

/*
 * Belongs to its thread, save @cancel, @admitted and @wake_fd. The registry's
 * lock keeps @transport open while others cut it off: the session is no
 * writer any more, and off the receiver's list, before it is freed.
 */
struct bf_target_session {
	struct bf_registry *registry;
	struct bf_transport *transport;
	bool local;
	char peer_name[BF_NAME_BYTES];
	unsigned int rules_seen;	/* the registry's version of them */
	char address[BF_ADDRESS_BYTES];
	_Atomic int cancel;		/* enum bf_cancel */
	_Atomic bool admitted;
	bool entered;			/* counted among those of its key */
	int wake_fd;			/* readable: look at @cancel */

	struct bf_frame_reader reader;
	enum bf_ladder_state ladder;
	uint64_t heard_ns, spoke_ns;
	uint64_t heard_bytes;

	char job[BF_NAME_BYTES];	/* empty before HELLO */
	struct bf_writer *writer;
	uint64_t features;
	uint64_t checksum_seed;
	struct bf_codec *codec;
	struct bf_digester *digester;	/* made at the first DIGEST */
	struct session_disk *disks[WIRE_DISKS_MAX];
	uint32_t nr_disks;
	struct bf_data_view view;
	uint64_t measure_since_ns, measured_bytes;	/* 0: no MEASURE yet */

	/* From CLAIM, or ATTACH, on. */
	struct bf_connections *connections;
	bool joined;			/* as a data connection */
	uint16_t data_connections;	/* granted to this one */
	struct bf_ledger *ledger;
	struct bf_apply *apply;
	int job_lock_fd;
	uint64_t epoch;
	uint64_t last_barrier;
	struct bf_connection_sum sum;	/* over all disks, for the log */
	bool cut_over, reported;
};

/* The key by which the source is known, NULL if it is local. */
const char *session_key(const struct bf_target_session *s);
/* What names a target among all jobs; a local job's names are its own: NULL. */
const char *session_target_name(const struct bf_target_session *s,
				const char *name);
uint64_t session_deadline(const struct bf_target_session *s);
/* Answer; host byte order is the caller's business. */
int session_reply(struct bf_target_session *s, uint16_t type, uint16_t disk,
		  const void *payload, uint32_t length, struct bf_error *err);
/* bf_apply_tick: signs of life to the peer; fails when cancelled. */
int session_tick(void *session, struct bf_error *err);
/* The disk that @frame names, if it was opened. */
int session_disk(const struct bf_target_session *s, const struct bf_frame *frame,
		 struct session_disk **disk, struct bf_error *err);
void session_disk_free(struct bf_target_session *s, struct session_disk *disk);
/* Give up the right to write, once nothing is in flight. Return: true if
 * something was written that has not been flushed. */
bool session_release(struct bf_target_session *s);

/* attach.c */
bool session_is_data(const struct bf_target_session *s);
int session_attach(struct bf_target_session *s, const struct bf_frame *f,
		   struct bf_error *err);
int session_sync(struct bf_target_session *s, const struct bf_frame *f,
		 struct bf_error *err);
/* A data connection's disks, which close nothing. */
void session_return_disks(struct bf_target_session *s);
/* The control connection's next sync point: the others are there. */
int session_gather(struct bf_target_session *s, struct bf_error *err);
/* Where several connections write, none may touch a page of another's. */
int session_check_shareable(struct bf_target_session *s,
			    const struct session_disk *disk,
			    const struct bf_data_view *view,
			    struct bf_error *err);

/* receive.c */
int session_hello(struct bf_target_session *s, const struct bf_frame *f,
		  struct bf_error *err);
int session_open(struct bf_target_session *s, const struct bf_frame *f,
		 struct bf_error *err);
int session_begin(struct bf_target_session *s, const struct bf_frame *f,
		  struct bf_error *err);
int session_data(struct bf_target_session *s, const struct bf_frame *f,
		 struct bf_error *err);
int session_digest(struct bf_target_session *s, const struct bf_frame *f,
		   struct bf_error *err);
int session_measure(struct bf_target_session *s, const struct bf_frame *f,
		    struct bf_error *err);

/* report.c */
int session_report(struct bf_target_session *s, const struct bf_frame *f,
		   struct bf_error *err);

/* acknowledge.c */
int session_claim(struct bf_target_session *s, const struct bf_frame *f,
		  struct bf_error *err);
int session_barrier(struct bf_target_session *s, const struct bf_frame *f,
		    struct bf_error *err);
int session_cutover(struct bf_target_session *s, const struct bf_frame *f,
		    struct bf_error *err);

#endif /* BF_TARGET_SESSION_PRIVATE_H */
