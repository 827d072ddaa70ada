/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session, from the inside: what the stages of the pipeline share.
 *
 *	drain -> (resync) -> read -> (ring) -> compress -> (workers) -> send -> (link)
 *		-> commit
 *
 * Threads: the job's thread walks, reads, commits and waits; the workers turn
 * slots into frames; each link's thread sends and receives. @lock guards what is
 * named below it and is never held while another lock is taken.
 */
#ifndef BF_SOURCE_SESSION_H
#define BF_SOURCE_SESSION_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/ring.h"
#include "source/link.h"
#include "source/pass.h"
#include "source/slot.h"
#include "source/drain.h"

#define BF_RING_DEPTH 1024		/* reads in flight */
#define BF_BARRIERS 4			/* on their way at once */

struct bf_workers;
struct bf_measure;
struct bf_compare;

/* A SYNC, on one data link; reused once it has been sent. */
struct bf_sync {
	struct bf_link_item item;
	struct bf_barrier *barrier;	/* that it goes with, or NULL */
	struct {
		struct wire_header header;
		struct wire_sync body;
	} frame;
};

/* A BARRIER, from being queued to its DURABLE. */
struct bf_barrier {
	struct bf_session *session;
	struct bf_link_item item;
	uint64_t sequence;
	/* Guarded by session->lock. */
	bool queued, on_wire, durable;
	uint32_t unsent;		/* the BARRIER and its SYNCs */
	uint64_t sent_ns;		/* the last of them */
	bool whole_job;			/* the END of all disks */
	uint32_t disk;			/* otherwise: of this one */
	uint64_t through_bytes, through_blocks;
	struct wire_totals durable_totals[WIRE_DISKS_MAX];
	struct bf_sync sync[WIRE_CONNECTIONS_MAX - 1];
	struct {
		struct wire_header header;
		struct wire_barrier body;
		struct wire_progress progress[WIRE_DISKS_MAX];
	} frame;
};

/* A disk in the running pass; the job's thread's. */
struct bf_pass_disk {
	struct bf_generation generation;
	bool owned;			/* neither finished nor given back */
	uint64_t planned_bytes;		/* walked, less what a resync found equal */
	uint64_t compared_bytes;	/* by a resync */
	uint64_t skipped_bytes;
	struct wire_totals before;	/* when the pass began */
	struct bf_link_item begin;
	struct {
		struct wire_header header;
		struct wire_begin body;
	} begin_frame;
	struct bf_sync sync[WIRE_CONNECTIONS_MAX - 1];
};

/* Disks whose extents are of one kind, while they begin together. */
struct bf_begin_group {
	struct bf_extents *extents[WIRE_DISKS_MAX];
	struct bf_generation generations[WIRE_DISKS_MAX];
	uint32_t disks[WIRE_DISKS_MAX];
	uint32_t nr;
};

struct bf_session {
	struct bf_session_options options;
	struct bf_session_settings *settings;
	struct bf_session_disk *disks;
	uint32_t nr_disks;
	bool claimed;
	bool spent;			/* something failed: close it */
	struct wire_welcome welcome;
	struct bf_bucket bucket;
	struct bf_link *link;		/* control */
	struct bf_link *data_links[WIRE_CONNECTIONS_MAX - 1];
	uint32_t nr_data_links;
	bool data_links_done;		/* the target ends them from now on */
	struct bf_ring *ring;
	struct bf_workers *workers;
	int wake_fd;			/* readable: something happened */
	_Atomic bool interrupted;
	_Atomic uint64_t link_full_ns, link_send_ns;
	struct bf_session_progress progress;

	struct bf_slot *slots;
	uint32_t nr_slots;
	uint8_t *rooms;

	/* The job's thread's: the running pass. */
	struct bf_pass_disk *pass_disks;
	struct bf_begin_group *group;
	struct bf_walker walker;
	struct bf_extent *window;
	bool resyncing;			/* the disk at hand, by digests, ... */
	uint64_t asked_to_bytes;	/* ... which were asked for to here */
	struct bf_bucket read_bucket;
	uint64_t read_bytes;		/* not yet taken out of it */
	uint64_t read_wait_ns;		/* until more may be read */
	bool hurry;			/* under a freeze */
	uint64_t barriers;		/* queued since the claim */
	uint64_t syncs;			/* BEGINs and BARRIERs since the claim */
	struct wire_totals sent[WIRE_DISKS_MAX];	/* to the last durable one */
	/* At the last one. */
	uint64_t barrier_ns, barrier_raw_bytes, barrier_through_bytes;
	uint64_t queued_raw_bytes;

	struct bf_link_item call_item;	/* one question at a time */
	struct {
		struct wire_header header;
		uint8_t payload[sizeof(struct wire_open)];
	} call;

	pthread_mutex_t lock;
	struct bf_slot *free_slots;
	uint32_t nr_free_slots;
	struct bf_barrier barrier[BF_BARRIERS];	/* sequence % BF_BARRIERS */
	/* What goes between two barriers, by the first one's sequence. */
	struct wire_totals interval[BF_BARRIERS + 1][WIRE_DISKS_MAX];
	uint16_t awaited;		/* type of the answer to a call, or 0 */
	bool answered;
	struct bf_frame answer;
	uint8_t answer_payload[sizeof(struct wire_claimed) + WIRE_DISKS_MAX * 16];
	struct bf_compare *compare;	/* made by the first comparison */
	struct bf_measure *measure;	/* made by the first measurement */
	void *report;			/* the frame of one on its way */
};

/* session.c */
void bf_session_wake(struct bf_session *session);
/*
 * Until something happens: a wake, or a read that completes. Look at what you
 * wait for after bf_session_listen and before this, or a wake is missed.
 */
void bf_session_wait(struct bf_session *session);
/* One question, one answer: it lies in session->answer. After a failure there is
 * no next one, and @frame lives until the session is closed. */
int bf_session_ask(struct bf_session *session, struct bf_link *link,
		   const void *frame, size_t bytes, uint16_t answer,
		   struct bf_error *err);
/* The same with a payload that fits session->call. */
int bf_session_call(struct bf_session *session, struct bf_link *link,
		    uint16_t type, uint16_t disk, const void *payload,
		    uint32_t bytes, uint16_t answer, struct bf_error *err);
/* A link's thread: it has come. */
int bf_session_answer(struct bf_session *session, const struct bf_frame *frame,
		      struct bf_error *err);
/* A connection to the peer that was asked for. */
int bf_session_connect(const struct bf_session_options *options,
		       struct bf_transport **transport, struct bf_error *err);
/* Takes over @transport, also on failure. */
int bf_session_link(struct bf_session *session,
		    const struct bf_link_handler *handler,
		    struct bf_transport *transport, struct bf_link **link,
		    struct bf_error *err);
struct bf_slot *bf_session_take_slot(struct bf_session *session);
void bf_session_give_slot(struct bf_session *session, struct bf_slot *slot);

/* reads.c: what the disks' own users leave to us. */
/* Return: ns until more may be read, 0: now; bf_session_wait heeds it. */
uint64_t bf_reads_wait_ns(struct bf_session *session);
/* So much is being read. */
void bf_reads_count(struct bf_session *session, uint64_t bytes);

/* read.c: extents become blocks in slots. */
/* Packs and queues. Return: 1, 0 if nothing is left, -EINPROGRESS (without
 * words) if a comparison must be waited for, or another negative errno. */
int bf_read_fill(struct bf_session *session, struct bf_slot *slot,
		 struct bf_error *err);
/* The slot is in the link's queue: it may go on once its reads are done. */
void bf_read_release(struct bf_session *session, struct bf_slot *slot);
int bf_read_reap(struct bf_session *session, uint32_t wait, struct bf_error *err);

/* compress.c: slots become frames. */
int bf_workers_new(struct bf_workers **workers, unsigned int nr,
		   struct bf_session *session, struct bf_error *err);
void bf_workers_free(struct bf_workers *workers);
void bf_workers_give(struct bf_workers *workers, struct bf_slot *slot);

/* links.c: several links for the blocks of one session. */
/* To be asked for in a claim, the control link included. */
uint16_t bf_links_wanted(const struct bf_session *session);
/* As many as this claim was granted. */
int bf_links_open(struct bf_session *session,
		  const struct wire_claimed *claimed, struct bf_error *err);
void bf_links_close(struct bf_session *session);
int bf_links_check(struct bf_session *session, struct bf_error *err);
/* For the next slot. */
struct bf_link *bf_links_pick(struct bf_session *session);
/* The next sync point, on all data links; sent() as in struct bf_link_item. */
void bf_links_sync(struct bf_session *session, struct bf_sync sync[],
		   void (*sent)(struct bf_link_item *item));

/* send.c: frames leave in order and are counted. */
void bf_send_begin(struct bf_session *session, uint32_t disk,
		   enum wire_pass_kind kind);
void bf_send_slot(struct bf_session *session, struct bf_slot *slot);
/* Its frame is made: the totals are known, it may leave. Any thread. */
void bf_send_ready(struct bf_session *session, struct bf_slot *slot);
void bf_send_barrier(struct bf_session *session, struct bf_barrier *barrier);
/* Barrier @sequence is durable: session->sent is what went before it. */
void bf_send_counted(struct bf_session *session, uint64_t sequence);

/* commit.c: barriers, their answers, and what follows from these. */
/* A step of the disk at hand, if one is due and possible. */
void bf_commit_step(struct bf_session *session, uint32_t disk);
/* Queues the END of all disks; -EAGAIN while all barriers are on their way. */
int bf_commit_end(struct bf_session *session, bool complete);
/* Compares and commits what has become durable. *ended: the END was among it. */
int bf_commit_durable(struct bf_session *session, uint64_t *ended_sent_ns,
		      bool *ended, struct bf_error *err);
/* The link's thread: a DURABLE has come. */
int bf_commit_frame(struct bf_session *session, const struct bf_frame *frame,
		    struct bf_error *err);

/* resync.c: between the walker and the reader, where digests are to be asked. */
int bf_resync_start(struct bf_session *session, uint32_t disk,
		    struct bf_error *err);
/* Proof that all that was walked was compared or passed on; fills in @disk. */
int bf_resync_end(struct bf_session *session, struct bf_pass_disk *disk,
		  struct bf_error *err);
/*
 * The next extent to read and send, by the walker or by what differs of its
 * extents: as bf_walker_peek, and -EINPROGRESS (without words) when it is not
 * known yet; as bf_walker_take and bf_walker_through.
 */
int bf_plan_peek(struct bf_session *session, uint64_t want_bytes,
		 struct bf_extent *out, struct bf_error *err);
void bf_plan_take(struct bf_session *session, uint64_t bytes);
uint64_t bf_plan_through(struct bf_session *session, uint64_t *blocks);

#endif /* BF_SOURCE_SESSION_H */
