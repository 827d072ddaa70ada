/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass: one generation of every disk of a session goes the whole way: begin,
 * walk, read, compress, send, barrier, durable, compare, commit. Keeps RULE 2
 * (commit only after "durable") and RULE 4 (planned and applied compared).
 *
 * A session is a link to the target with all disks of a job opened and, unless
 * it only reads, claimed. It belongs to one thread (the job's); the threads of
 * the link and of the pipeline live inside.
 */
#ifndef BF_SOURCE_PASS_H
#define BF_SOURCE_PASS_H

#include <stdbool.h>
#include <stdint.h>

#include <wire.h>

#include "lib/error.h"
#include "lib/transport.h"
#include "source/extents.h"
#include "source/ranges.h"

struct bf_session_disk {
	const char *name;		/* for words */
	int fd;				/* O_DIRECT where possible, the caller's */
	uint64_t size_bytes;
	const char *target;		/* name at the receiver */
	uint8_t source_uuid[16];	/* the tracker's; 0 without one */
	struct bf_extents *extents;
	/* A pass of kind WIRE_PASS_RESYNC asks for digests of this disk. */
	bool in_doubt;
	/*
	 * The caller's. What a full pass leaves out: filled in by begun(), for
	 * that pass only. What the target therefore lacks: here everything that
	 * is sent is taken out of it.
	 */
	struct bf_ranges *skip, *unsent;
	/*
	 * The caller's; NULL: a sector that cannot be read ends the pass. Else
	 * zeroes take its place, and it is in this list until it can be read.
	 */
	struct bf_ranges *unreadable;
	/* Out: what the target knows (OPENED), and after the claim its cookie. */
	struct wire_opened opened;
	uint8_t cookie[16];
};

#define BF_WORKERS_MAX 4		/* threads that compress */

/* All may be changed while a pass runs; read with relaxed atomics. */
struct bf_session_settings {
	_Atomic int level;		/* BF_LEVEL_AUTO, 0, 1..19 */
	_Atomic uint64_t rate_bytes;	/* of the wire, a second; 0: no limit */
	_Atomic uint64_t read_rate_bytes;	/* of the disks, likewise */
};

struct bf_session_options {
	const char *job;
	const char *address;		/* NULL: use transport */
	const char *from;		/* address or interface to connect from */
	int nice;			/* 0..19, of the threads that work */
	const char *peer;		/* fingerprint that must answer */
	struct bf_tls *tls;
	struct bf_transport *transport;	/* taken over; in-process target */
	uint64_t timeout_ns;		/* of silence; 0: wait for ever */
	uint32_t connections;		/* to the peer, if it allows them; 0: one */
	uint64_t in_flight_bytes;	/* bound of blocks read and not sent; 0: 16 MiB */
	unsigned int workers;		/* compression threads; 0: choose */
	struct bf_session_settings *settings;	/* the caller's, outlives it */
	struct bf_session_disk *disks;		/* the caller's, outlives it */
	uint32_t nr_disks;
	bool read_only;			/* OPEN read-only, no claim: verify */
	/* A full pass has begun on all disks; nothing of it is sent yet. */
	int (*begun)(void *context, struct bf_error *err);
	/* A list of unreadable sectors has grown: it is to become durable. */
	int (*unread)(void *context, struct bf_error *err);
	void *callback_context;
};

struct bf_session;

/* Connects, HELLO, OPEN of all disks; nothing is written or claimed yet. */
int bf_session_open(struct bf_session **session,
		    const struct bf_session_options *options,
		    struct bf_error *err);
const struct wire_welcome *bf_session_welcome(const struct bf_session *session);
/* @restart: a full copy follows. Fills in the disks' cookies. */
int bf_session_claim(struct bf_session *session, uint64_t epoch, bool restart,
		     struct bf_error *err);
/* Aborts what a pass still owns, then closes the link. */
void bf_session_close(struct bf_session *session);
/* False once anything has failed on it: then it can only be closed. */
bool bf_session_alive(struct bf_session *session);
/* Return: 0, or why the session cannot go on: the link's error, cancelled. */
int bf_session_check(struct bf_session *session, struct bf_error *err);
/*
 * Between passes: an eventfd that is readable when something has happened to the
 * session, such as its end. Clear it with bf_session_listen, then look, then wait.
 */
int bf_session_event_fd(const struct bf_session *session);
void bf_session_listen(struct bf_session *session);
/* Makes a running pass fail soon with BF_E_CANCELLED; from any thread. */
void bf_session_interrupt(struct bf_session *session);

/* Running figures, for progress; relaxed atomics, read from any thread. */
struct bf_disk_progress {
	_Atomic uint64_t raw_bytes;	/* of the session */
	_Atomic uint64_t planned_bytes;	/* of the running pass, or the last */
	_Atomic uint64_t done_bytes;
};

struct bf_session_progress {
	_Atomic uint64_t raw_bytes;	/* blocks and zero ranges handed on */
	_Atomic uint64_t data_bytes;	/* of them, not zero */
	_Atomic uint64_t wire_bytes;	/* socket bytes, TLS included */
	_Atomic uint64_t durable_bytes;	/* acknowledged */
	_Atomic uint64_t planned_bytes;	/* of the running pass */
	_Atomic uint64_t pass_done_bytes;
	_Atomic uint32_t disk;		/* being sent */
	struct bf_disk_progress disks[WIRE_DISKS_MAX];
};
struct bf_session_progress *bf_session_progress(struct bf_session *session);

struct bf_pass_disk_result {
	uint64_t generation;
	uint64_t nr_blocks;
	uint64_t carried_blocks;	/* of them, see bf_generation */
	uint64_t writes;		/* UINT64_MAX: not known */
	uint64_t data_bytes, zero_bytes, skipped_bytes;
	struct bf_reasons reasons;
	struct bf_extent still_written[16];	/* first extents, for words */
	size_t nr_still_written;
};

struct bf_pass_result {
	uint64_t nr_blocks;		/* over all disks */
	uint64_t raw_bytes;		/* of the generation's blocks */
	uint64_t data_bytes, zero_bytes, skipped_bytes;
	uint64_t compared_bytes;	/* by digests */
	uint64_t wire_bytes;
	uint64_t duration_ns, begin_ns;
	uint64_t barrier_ns;		/* last byte handed on -> durable */
	bool reasons_stand;		/* on any disk, after the swap */
	struct bf_pass_disk_result disks[WIRE_DISKS_MAX];
};

/*
 * bf_pass_run - one pass over all disks
 * @complete: this pass makes the target whole for the first time (full copy or
 *	resync): recorded there with its last barrier
 * @resynced: NULL, or for each disk the reasons that its finish clears
 *
 * On error every generation it owns has been given back to its origin and
 * nothing uncommitted is lost; the session can not be used any further.
 * result may be large: allocate it. During a pass of kind WIRE_PASS_LAST
 * nothing is logged and no file is touched.
 */
int bf_pass_run(struct bf_session *session, enum wire_pass_kind kind,
		bool complete, const struct bf_reasons *resynced,
		struct bf_pass_result *result, struct bf_error *err);

/* The final commit message; BF_E_CONNECTION: the answer may have been lost. */
int bf_session_cutover(struct bf_session *session, uint64_t epoch,
		       struct bf_error *err);

/*
 * bf_session_measure - what the link carries
 * @time_ns: how long to send
 * @rate: bytes a second
 * @round_ns: of a question and its answer
 *
 * Before the session is claimed. -EOPNOTSUPP: the target knows no such thing,
 * and the session is as good as before.
 */
int bf_session_measure(struct bf_session *session, uint64_t time_ns,
		       double *rate, uint64_t *round_ns, struct bf_error *err);

/*
 * What became of the job, one JSON object, for the receiver to keep; after the
 * cutover. -EOPNOTSUPP: the target knows no such thing, or it is too long.
 */
int bf_session_report(struct bf_session *session, const char *text,
		      struct bf_error *err);

struct bf_verify_result {
	uint64_t compared_bytes;
	uint64_t differing_blocks;
	struct bf_extent first[16];
	size_t nr_first;
};
/*
 * Compares digests of @what (NULL: the whole disk) of disk @index in blocks of
 * @block_bytes. Differing blocks go to @differ if it is not NULL.
 */
int bf_session_verify(struct bf_session *session, uint32_t index,
		      const struct bf_extent *what, size_t nr,
		      uint32_t block_bytes,
		      int (*differ)(void *context, uint64_t offset_bytes,
				    uint64_t length_bytes), void *context,
		      struct bf_verify_result *result, struct bf_error *err);

#endif /* BF_SOURCE_PASS_H */
