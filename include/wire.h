/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blkferry replication protocol, version 1
 *
 * A session is a control connection and up to WIRE_CONNECTIONS_MAX - 1 data
 * connections: TCP, TLS 1.3 with both sides authenticated, frames in both
 * directions. A frame is a struct wire_header and `length` bytes of
 * payload. All integers are little-endian, all structs are packed by layout
 * (asserted below), all offsets and lengths of blocks are bytes from the start
 * of the replicated device. The sender of a frame is S (source) or T (target).
 *
 * Ladder of messages
 * ------------------
 *	S HELLO		versions, features, job name	-> T WELCOME or ERROR
 *	S OPEN		one for each disk, read-only	-> T OPENED or ERROR
 *	S CLAIM		become the writer, new epoch	-> T CLAIMED or ERROR
 *	S BEGIN		a generation of a disk starts	(no answer)
 *	S DATA		blocks and zero ranges of it	(no answer)
 *	S BARRIER	what was sent before it		-> T DURABLE or ERROR
 *	S CUTOVER	the final commit message	-> T CUTOVER_DONE or ERROR
 *	S DIGEST	hash a range			-> T DIGESTS or ERROR
 *	S MEASURE	bytes that mean nothing		-> T MEASURED if asked for
 *	S REPORT	of a job that is cut over	-> T REPORTED or ERROR
 *	S/T PING	at any time after HELLO		-> PONG
 *	S/T ERROR	number and words; then the connection closes
 * and on a data connection
 *	S ATTACH	join a session that has claimed	-> T ATTACHED or ERROR
 *	S DATA		as above			(no answer)
 *	S SYNC		what was sent before it		(no answer)
 *	S/T PING, ERROR	as above
 *
 * HELLO or ATTACH comes first. OPEN follows WELCOME. DIGEST needs its disk's
 * OPEN only. BEGIN, DATA, BARRIER and CUTOVER need CLAIM. MEASURE comes before
 * it, one REPORT after CUTOVER_DONE; both need their feature. A frame out of order,
 * of an unknown type, or whose length breaks its limit ends the connection with
 * ERROR; the length is checked before a byte of the payload is buffered.
 *
 * Rules
 * -----
 * Epochs. Each CLAIM names an epoch higher than any before for this job. T
 * answers CLAIMED only when all writes of older sessions have been cancelled
 * or have finished, and the epoch is in its durable record. A session whose
 * epoch has been passed is ended and writes nothing more.
 *
 * Order. DATA frames of a disk between two BEGINs never overlap. T waits for
 * all earlier writes of the disk at each BEGIN, so that a newer copy of a
 * block can not be overtaken by an older one.
 *
 * Several connections. DATA may take any connection of its session; the order
 * between them is given by sync points: the n-th BEGIN or BARRIER of the control
 * connection, and SYNC(n) on each data connection. At a sync point T waits until
 * all connections have come to it and what they brought before it has been
 * written, does what the control connection's frame says, and only then reads
 * on from any of them. All data connections ATTACH before the first sync point.
 * Extents of a session that has data connections begin at multiples of
 * WIRE_SHARED_BLOCK_BYTES, and end there or with the disk: no two connections
 * ever write to one page. The session ends with its control connection, and
 * with any data connection that breaks; after CUTOVER these end without a word.
 *
 * Durability. DURABLE(n) says: all DATA that came before BARRIER(n) has been
 * written, a flush submitted after these writes had completed was successful,
 * and the progress that the barrier states is in T's durable record. A failed
 * write or flush ends the session with ERROR: it is never retried silently.
 *
 * Proof. DURABLE carries totals since CLAIM for each disk: bytes, extents and
 * the sum of all frame checksums. S compares them with its own count of what
 * it sent and treats a difference as a failed pass.
 *
 * Life signs. Each side has a time-out of its own. T sends PING when it has
 * heard nothing for a third of its time-out, and each second while it is busy
 * with writes, a flush or digests; S answers with PONG and may do likewise. A
 * side that hears nothing for its whole time-out gives up; the time in which it
 * does not read because it is busy itself does not count.
 *
 * Cut over. CUTOVER moves the job's durable state from syncing to cut over,
 * for all its disks in one step; after that every CLAIM is refused until the
 * operator reopens the job's targets by name at the receiver.
 *
 * Checksums. A DATA frame's checksum is XXH3 (64 bit, seeded with the session's
 * checksum seed) of its extent table and its uncompressed blocks, taken before
 * compression and checked after decompression. Digests are 16-byte GMAC tags
 * (AES-128-GCM with the session's digest key, no plaintext, the block as
 * associated data, the nonce is the little-endian byte offset of the block,
 * 8 bytes, then 4 zero bytes). Seed and key are random, drawn by T for each
 * connection, travel inside TLS, and are kept nowhere. Whoever can write the
 * disk, and so choose blocks on either side, does not know the key: GMAC's
 * polynomial hash takes two different blocks of n bytes to the same tag for at
 * most n / 16 + 1 of 2^128 keys, whatever the blocks are, so a difference in a
 * block of 4 KiB stays hidden with a chance of 2^-119. No tag is ever shown to
 * whoever writes the disk, and the next connection draws another key. The same
 * nonce serves one offset on both sides, which is what makes tags comparable; a
 * key serves for comparison only: it authenticates nothing, TLS does that.
 *
 * Versions. S offers a range, T answers the highest that both know, or ERROR
 * with both ranges in words; nothing has been opened then. Features are the
 * intersection of what S offers and T knows: a bit that the other side does not
 * know is left out, never refused, and what a bit stands for is not used without
 * it. So what can be done without is a feature and what cannot is a version;
 * there are no minor versions. A release speaks its own protocol version and the
 * one before.
 */
#ifndef BF_WIRE_H
#define BF_WIRE_H

#include <stdint.h>

#define WIRE_MAGIC		0x59524642u	/* "BFRY" as bytes */
#ifndef WIRE_VERSION			/* tests/fault/release.h speaks as others */
#define WIRE_VERSION		1
#define WIRE_VERSION_MIN	1
#endif
#define WIRE_DEFAULT_PORT	4712

#define WIRE_FEATURE_ZSTD	(1ull << 0)	/* DATA may be compressed */
#define WIRE_FEATURE_GMAC	(1ull << 1)	/* DIGEST is understood */
#define WIRE_FEATURE_MEASURE	(1ull << 2)	/* MEASURE is understood */
#define WIRE_FEATURE_REPORT	(1ull << 3)	/* REPORT is understood */
#ifndef WIRE_FEATURES			/* of this release */
#define WIRE_FEATURES	(WIRE_FEATURE_ZSTD | WIRE_FEATURE_GMAC | \
			 WIRE_FEATURE_MEASURE | WIRE_FEATURE_REPORT)
#endif

#define WIRE_NAME_BYTES		64	/* NUL-terminated, NUL-padded */
#define WIRE_DISKS_MAX		256	/* in a job */
#define WIRE_CONNECTIONS_MAX	8	/* of a session, the control one included */
#define WIRE_SHARED_BLOCK_BYTES	4096
#define WIRE_TICKET_BYTES	16
#define WIRE_RAW_MAX		(1u << 20)	/* block bytes in a DATA frame */
#define WIRE_EXTENTS_MAX	512	/* data and zero extents in a frame */
#define WIRE_BLOCK_BYTES	512	/* offsets and lengths are multiples */
#define WIRE_DIGEST_BYTES	16
#define WIRE_DIGESTS_MAX	4096	/* in a DIGESTS frame */
#define WIRE_ERROR_TEXT_MAX	512
#define WIRE_MEASURE_MAX	(64u << 10)	/* bytes that mean nothing */
#define WIRE_REPORT_TEXT_MAX	(256u << 10)
#define WIRE_DEVICE_BYTES_MAX	(1ull << 62)
#define WIRE_EPOCH_MAX		((1ull << 63) - 1)	/* of generations too */

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_WELCOME = 2,
	WIRE_OPEN = 3,
	WIRE_OPENED = 4,
	WIRE_CLAIM = 5,
	WIRE_CLAIMED = 6,
	WIRE_BEGIN = 7,
	WIRE_DATA = 8,
	WIRE_BARRIER = 9,
	WIRE_DURABLE = 10,
	WIRE_CUTOVER = 11,
	WIRE_CUTOVER_DONE = 12,
	WIRE_DIGEST = 13,
	WIRE_DIGESTS = 14,
	WIRE_PING = 15,
	WIRE_PONG = 16,
	WIRE_ERROR = 17,
	WIRE_ATTACH = 18,
	WIRE_ATTACHED = 19,
	WIRE_SYNC = 20,
	WIRE_MEASURE = 21,
	WIRE_MEASURED = 22,
	WIRE_REPORT = 23,
	WIRE_REPORTED = 24,
	WIRE_TYPE_MAX = WIRE_REPORTED,
};

/* Every frame. 8 bytes. */
struct wire_header {
	uint32_t length;	/* of the payload, limit by type */
	uint16_t type;		/* enum wire_type */
	uint16_t disk;		/* index given by S in OPEN, 0 if none applies */
};

/* S -> T, 88 bytes. */
struct wire_hello {
	uint32_t magic;
	uint16_t version_min;
	uint16_t version_max;
	uint64_t features;
	uint64_t reserved;	/* 0 */
	char job[WIRE_NAME_BYTES];
};

enum wire_job_state {
	WIRE_JOB_NEW = 0,	/* T has no record of this job */
	WIRE_JOB_SYNCING = 1,
	WIRE_JOB_CUT_OVER = 2,
};

/* T -> S, 64 bytes. */
struct wire_welcome {
	uint32_t magic;
	uint16_t version;
	uint16_t reserved;
	uint64_t features;
	uint64_t last_epoch;		/* highest claimed, 0 for a new job */
	uint64_t cutover_epoch;		/* that cut over, 0 if none has */
	uint64_t checksum_seed;
	uint8_t digest_key[16];
	uint32_t state;			/* enum wire_job_state */
	uint32_t reserved2;
};

#define WIRE_OPEN_READ_ONLY	(1u << 0)	/* for digests: no lock, no checks
						 * of use and signature */
/* S -> T, 104 bytes. Disk indices are 0, 1, 2 ... in the order of OPEN. */
struct wire_open {
	uint64_t size_bytes;
	uint32_t granularity_bytes;
	uint32_t flags;
	uint8_t source_uuid[16];	/* of the tracker, 0 if there is none */
	uint64_t reserved;
	char target[WIRE_NAME_BYTES];
};

#define WIRE_OPENED_COMPLETE	(1u << 0)	/* a full copy or resync is durable */

/* T -> S, 72 bytes: what T knows of the disk from its durable record. */
struct wire_opened {
	uint64_t size_bytes;		/* of the target, >= the source's */
	uint8_t cookie[16];		/* identity of this target's content, new
					 * whenever a full copy starts */
	uint8_t source_uuid[16];	/* tracker the content belongs to */
	uint64_t generation;		/* of the last progress recorded */
	uint64_t through_bytes;		/* durable up to here in it */
	uint32_t flags;
	uint32_t reserved;
	uint64_t reserved2;
};

#define WIRE_CLAIM_RESTART	(1u << 0)	/* a full copy or a resync follows:
						 * draw new cookies, forget COMPLETE */
/* S -> T, 16 bytes. */
struct wire_claim {
	uint64_t epoch;
	uint32_t nr_disks;		/* opened before */
	uint16_t flags;
	uint16_t connections;		/* wanted, 1..WIRE_CONNECTIONS_MAX */
};

/* T -> S, 32 bytes and nr_disks cookies of 16 bytes. */
struct wire_claimed {
	uint64_t epoch;
	uint32_t nr_disks;
	uint16_t connections;		/* granted, 1..those wanted: fewer while T
					 * has many, 1 where a target writes
					 * blocks larger than a shared one */
	uint16_t reserved;
	uint8_t ticket[WIRE_TICKET_BYTES];	/* for ATTACH; random, kept nowhere */
};

/* S -> T, 96 bytes; by the key that claimed. */
struct wire_attach {
	uint32_t magic;
	uint16_t version;		/* that WELCOME told */
	uint16_t reserved;
	uint64_t epoch;			/* of the session */
	uint8_t ticket[WIRE_TICKET_BYTES];
	char job[WIRE_NAME_BYTES];
};

/* T -> S, 8 bytes. */
struct wire_attached {
	uint64_t epoch;
};

/* S -> T, 8 bytes. */
struct wire_sync {
	uint64_t number;	/* 1, 2, 3 ... of the session's sync points */
};

enum wire_pass_kind {
	WIRE_PASS_FULL = 1,
	WIRE_PASS_DELTA = 2,
	WIRE_PASS_LAST = 3,	/* under the freeze */
	WIRE_PASS_RESYNC = 4,	/* of what was planned, only what differs */
};

/* S -> T, 24 bytes. */
struct wire_begin {
	uint64_t generation;
	uint64_t nr_blocks;	/* planned, of the disk's granularity */
	uint32_t kind;		/* enum wire_pass_kind */
	uint32_t reserved;
};

enum wire_codec {
	WIRE_CODEC_NONE = 0,
	WIRE_CODEC_ZSTD = 1,
};

/*
 * S -> T, 32 bytes, then nr_data + nr_zero struct wire_extent (the data extents
 * first), then the blocks of the data extents in that order, encoded by codec.
 * Each of the two lists ascends; no block is in two extents. encoded_bytes is
 * raw_bytes without an encoding and less than it with one.
 */
struct wire_data {
	uint64_t generation;
	uint64_t checksum;
	uint32_t raw_bytes;	/* sum of the data extents' lengths */
	uint32_t encoded_bytes;	/* what follows the extent table */
	uint16_t codec;		/* enum wire_codec */
	uint16_t nr_data;
	uint16_t nr_zero;
	uint16_t reserved;
};

/* 16 bytes; multiples of WIRE_BLOCK_BYTES, length > 0, within the device. */
struct wire_extent {
	uint64_t offset_bytes;
	uint64_t length_bytes;
};

#define WIRE_PROGRESS_END	(1u << 0)	/* the generation is sent whole */
#define WIRE_PROGRESS_COMPLETE	(1u << 1)	/* with END: the target now holds
						 * all of a full copy */
/* S -> T, 16 bytes and nr_disks struct wire_progress. */
struct wire_barrier {
	uint64_t sequence;	/* 1, 2, 3 ... in a session */
	uint32_t nr_disks;
	uint32_t reserved;
};

/* 32 bytes, by ascending disk. What T records before it answers. */
struct wire_progress {
	uint64_t generation;
	uint64_t through_bytes;	/* all of the generation below it was sent */
	uint16_t disk;
	uint16_t reserved;
	uint32_t flags;
	uint64_t reserved2;
};

/* T -> S, 16 bytes and nr_disks (of CLAIM) struct wire_totals, by disk. */
struct wire_durable {
	uint64_t sequence;
	uint32_t nr_disks;
	uint32_t reserved;
};

/* 40 bytes, since CLAIM. */
struct wire_totals {
	uint64_t data_bytes;
	uint64_t zero_bytes;
	uint64_t extents;
	uint64_t frames;
	uint64_t checksum_sum;	/* of all frame checksums, modulo 2^64 */
};

/* S -> T, 16 bytes; the last BARRIER has been answered. */
struct wire_cutover {
	uint64_t epoch;
	uint64_t reserved;
};

/* T -> S, 16 bytes. */
struct wire_cutover_done {
	uint64_t epoch;
	uint64_t reserved;
};

/* S -> T, 24 bytes. */
struct wire_digest {
	uint64_t offset_bytes;
	uint64_t length_bytes;
	uint32_t block_bytes;	/* 4096..1 MiB, a power of two; the last block
				 * of the range may be shorter */
	uint32_t reserved;
};

/* T -> S, 16 bytes and nr_digests * WIRE_DIGEST_BYTES. */
struct wire_digests {
	uint64_t offset_bytes;
	uint32_t nr_digests;
	uint32_t block_bytes;
};

#define WIRE_MEASURE_ANSWER	(1u << 0)	/* MEASURED is to follow */

/* S -> T, 8 bytes and up to WIRE_MEASURE_MAX that are thrown away. */
struct wire_measure {
	uint32_t flags;
	uint32_t reserved;
};

/*
 * T -> S, 16 bytes: payloads of the MEASURE frames that came after the first one
 * since the last MEASURED, and the time from when that had come.
 */
struct wire_measured {
	uint64_t bytes;
	uint64_t time_ns;
};

/* S -> T, 8 bytes and text_bytes of JSON, one object. */
struct wire_report {
	uint32_t text_bytes;
	uint32_t reserved;
};

/* T -> S, 8 bytes: it is kept. */
struct wire_reported {
	uint64_t reserved;
};

/* Both ways, 8 bytes, echoed. */
struct wire_ping {
	uint64_t cookie;
};

/* Both ways, 8 bytes and text_bytes of UTF-8 without NUL. */
struct wire_error {
	uint32_t code;		/* enum bf_code */
	uint16_t text_bytes;
	uint16_t reserved;
};

#define WIRE_ASSERT(type, bytes) \
	_Static_assert(sizeof(struct type) == (bytes), #type " has padding")
WIRE_ASSERT(wire_header, 8);
WIRE_ASSERT(wire_hello, 88);
WIRE_ASSERT(wire_welcome, 64);
WIRE_ASSERT(wire_open, 104);
WIRE_ASSERT(wire_opened, 72);
WIRE_ASSERT(wire_claim, 16);
WIRE_ASSERT(wire_claimed, 32);
WIRE_ASSERT(wire_attach, 96);
WIRE_ASSERT(wire_attached, 8);
WIRE_ASSERT(wire_sync, 8);
WIRE_ASSERT(wire_begin, 24);
WIRE_ASSERT(wire_data, 32);
WIRE_ASSERT(wire_extent, 16);
WIRE_ASSERT(wire_barrier, 16);
WIRE_ASSERT(wire_progress, 32);
WIRE_ASSERT(wire_durable, 16);
WIRE_ASSERT(wire_totals, 40);
WIRE_ASSERT(wire_cutover, 16);
WIRE_ASSERT(wire_cutover_done, 16);
WIRE_ASSERT(wire_digest, 24);
WIRE_ASSERT(wire_digests, 16);
WIRE_ASSERT(wire_ping, 8);
WIRE_ASSERT(wire_measure, 8);
WIRE_ASSERT(wire_measured, 16);
WIRE_ASSERT(wire_report, 8);
WIRE_ASSERT(wire_reported, 8);
WIRE_ASSERT(wire_error, 8);

#endif /* BF_WIRE_H */
