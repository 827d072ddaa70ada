/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * blkferry: generic netlink contract of the block change tracker
 *
 * The module observes block I/O completions and records, for each tracker,
 * which blocks of a disk (or of one partition) changed. A consumer drains
 * these marks in two phases: BEGIN takes them out of the active map as a
 * numbered generation, COMMIT forgets them once the consumer has made the
 * blocks durable elsewhere. Whatever is not committed returns to the active
 * map. At every moment each changed block is in the active map, in an owned
 * generation, or committed.
 *
 * Access
 * ------
 * Family BLKFERRY_GENL_NAME, version BLKFERRY_GENL_VERSION, in the initial
 * network namespace only. Every command needs CAP_NET_ADMIN and CAP_SYS_ADMIN
 * in the initial user namespace, of the sender and of the socket's opener;
 * otherwise -EPERM. Events go to the multicast group BLKFERRY_GENL_MCGRP, which
 * anybody in that namespace may join: they tell names of trackers, no data.
 *
 * Units
 * -----
 * A sector is 512 bytes. All sectors are relative to the start of the tracked
 * device: the disk, or the partition if a partition is tracked. A block is
 * one granularity unit; block 0 starts at sector 0 of the tracked device. The
 * last block may be shorter than the granularity. 64-bit attributes are
 * native-endian and naturally sized; alignment padding is BLKFERRY_A_PAD.
 *
 * Commands
 * --------
 * Errors come as NLMSG_ERROR with an extended ACK message that names cause and
 * cure. "->" introduces the reply. [] marks optional attributes. Nests carry
 * NLA_F_NESTED. An attribute that is missing, of another size, out of bounds
 * or not named with its command is -EINVAL (-ERANGE from the netlink core for
 * some bounds). ENOMEM and, where a reply does not fit into the socket's
 * receive buffer, EAGAIN can come from any command; nothing was done then. The
 * largest replies are BEGIN (64 KiB) and WALK (9 KiB): give the socket room
 * for them.
 *
 * BLKFERRY_CMD_TRACK: create a tracker.
 *	DEV_FD		u32, open fd of the disk or partition, in the sender
 *	NAME		string, 1..BLKFERRY_NAME_MAX bytes, unique; letters,
 *			digits and "-_.:" only
 *	[GRANULARITY]	u32, bytes, power of two, BLKFERRY_GRANULARITY_MIN to
 *			BLKFERRY_GRANULARITY_MAX; default: 4 KiB up to 4 TiB,
 *			then doubled with each doubling of the size; the logical
 *			block size where that is larger
 *	[ALL_DIRTY]	flag: start with every block dirty; default clean
 *	-> TRACKER (nest, as in GET)
 *	Errors: EOPNOTSUPP not every change of this disk could be seen, which
 *	is so for bio-based disks that are not on the module's list (track the
 *	members instead);
 *	EEXIST the name is taken; ENOSPC more than BLKFERRY_TRACKERS_MAX; EBADF
 *	DEV_FD is not open; ENODEV it is no block device, has no sectors or is
 *	going away; E2BIG the granularity would need more than
 *	BLKFERRY_LEAVES_MAX leaves.
 *	Nobody needs to be quiet: a write that completed before the reply and
 *	is not marked had landed before, and is there to be read. One that is
 *	in flight then is marked when it completes, or raises UNSEEN.
 *
 * BLKFERRY_CMD_UNTRACK: delete a tracker.
 *	TRACKER_ID	u32
 *	Errors: ENOENT; EBUSY a generation is owned by an open drain fd.
 *
 * BLKFERRY_CMD_GET: one tracker, or all as a dump (NLM_F_DUMP, attributes are
 * not looked at; one tracker a message; trackers that come or go meanwhile may
 * be in it or not).
 *	TRACKER_ID	u32
 *	-> TRACKER (nest):
 *		TRACKER_ID u32, NAME string, UUID 16 bytes (new at each TRACK),
 *		DISK string (kernel name of the disk or partition),
 *		DEV u64 (major << 32 | minor),
 *		START_SECTOR u64 (of a partition on its disk, else 0),
 *		NR_SECTORS u64, GRANULARITY u32,
 *		GENERATION u64 (number of the last BEGIN, 0 before the first),
 *		COMMITTED_GENERATION u64, COMMITTED_SECTOR u64 (what the last
 *		COMMIT forgot: a target that remembers less has gone back in
 *		time and must be resynced; 0 before the first),
 *		DRAIN_OWNED u8 (0 or 1), WATERMARK_BYTES u64,
 *		STATS nest (BLKFERRY_STAT_*, each u64),
 *		REASONS nest of REASON nests, one for each reason ever raised:
 *			REASON_ID u32, REASON_RAISED u64, REASON_CLEARED u64
 *			("resync needed" stands while RAISED > CLEARED)
 *
 * BLKFERRY_CMD_SET: change a tracker.
 *	TRACKER_ID	u32
 *	WATERMARK_BYTES	u64, dirty bytes in the active map at which the event
 *			WATERMARK is sent once per generation; 0: never
 *
 * BLKFERRY_CMD_MARK: add extents to the active map.
 *	TRACKER_ID	u32
 *	EXTENTS		array of 1..BLKFERRY_MARK_EXTENTS_MAX struct
 *			blkferry_extent; every block touched is marked
 *	Errors: ENOENT; ERANGE an extent ends beyond the device or is empty.
 *	All or nothing.
 *
 * BLKFERRY_CMD_BEGIN: swap the active maps of one or several trackers, all or
 * none, with one grace period for all.
 *	BEGIN_LIST	nest of 1..BLKFERRY_BEGIN_MAX BEGIN_ENTRY nests:
 *		TRACKER_ID	u32
 *		DEV_FD		u32, open fd of the tracked device in the
 *				sender; start and length are compared with
 *				the tracker's
 *	-> BEGIN_LIST of BEGIN_ENTRY nests, in the order of the request:
 *		TRACKER_ID u32, DRAIN_FD u32, GENERATION u64,
 *		NR_BLOCKS u64 (dirty blocks in the generation),
 *		CARRIED_BLOCKS u64 (how many of them were marked again at the
 *		last BEGIN for writes in flight then, which may have landed
 *		since. Bio-based disks only, else 0. Where WRITES is 0 and
 *		NR_BLOCKS is no more than this, nothing was written since),
 *		WRITES u64 (changing operations seen in it: proof of life),
 *		REASONS nest (as in GET, read after the swap: a reason raised
 *		later has a higher counter)
 *	Each DRAIN_FD is a new close-on-exec descriptor of the sender and the
 *	only owner of its generation; it is there when the send that asked for
 *	it returns. When its last copy is closed, by whomever and however, what
 *	is uncommitted merges back into the active map and the event
 *	DRAIN_RETURNED is sent. If the reply cannot be delivered, nothing was
 *	begun, but for the generation's number, which is not used again.
 *	If start or length of DEV_FD differ from the tracker's, reason RESIZED
 *	is raised, and if the kernel counts media changes and there was one,
 *	MEDIA; the begin goes on.
 *	Errors: EBUSY a generation of a tracker is owned; ENOENT; EBADF or
 *	ENODEV DEV_FD is not the tracked device; EINVAL a tracker is named
 *	twice; EMFILE, ENFILE no descriptor left.
 *
 * BLKFERRY_CMD_WALK: read a window of an owned generation. Changes nothing,
 * can be repeated from anywhere.
 *	DRAIN_FD	u32
 *	GENERATION	u64, as BEGIN gave it
 *	FROM_SECTOR	u64, multiple of the granularity or NR_SECTORS; blocks
 *			before it or below the watermark are left out
 *	-> GENERATION u64, NEXT_SECTOR u64 (where the next WALK goes on), and
 *	   one of
 *		EXTENTS	array of 0..BLKFERRY_WALK_EXTENTS_MAX extents in
 *			ascending order, disjoint; each starts and, save at
 *			the device's end, ends on a block. An extent may be
 *			cut at a window's end: the consumer joins neighbours.
 *		BITMAP	BLKFERRY_LEAF_BYTES bytes with BITMAP_SECTOR u64, the
 *			first sector it speaks of, GRANULARITY u32 and
 *			NR_SECTORS u64 of the device: bit i of the
 *			little-endian bitmap is block i from there. Only where
 *			it is shorter than extents.
 *	   and, when the end of the device is reached, the trailer
 *		TOTAL_BLOCKS u64, dirty blocks of the generation above the
 *		watermark. A walk whose last answer lacks the trailer is not
 *		complete.
 *	Errors: EBADF not a drain fd; ESTALE another generation, or it was
 *	committed or aborted; EINVAL FROM_SECTOR unaligned or beyond the end.
 *
 * BLKFERRY_CMD_PEEK: like WALK, on the active map of a tracker (TRACKER_ID
 * instead of DRAIN_FD and GENERATION; the reply's GENERATION is that of the
 * last BEGIN). A hint only: the map changes meanwhile.
 *
 * BLKFERRY_CMD_COMMIT: forget what has been made durable elsewhere.
 *	DRAIN_FD, GENERATION
 *	THROUGH_SECTOR	u64: all dirty blocks that end at or before it are
 *			durable. A multiple of the granularity or NR_SECTORS,
 *			not below an earlier watermark.
 *	[NR_BLOCKS]	u64: makes it the final commit. THROUGH_SECTOR is then
 *			NR_SECTORS; NR_BLOCKS must equal what BEGIN said, else
 *			-EBADMSG and nothing changes. The generation ends; the
 *			fd can only be closed.
 *	[REASONS]	nest as BEGIN gave it, only with NR_BLOCKS: the consumer
 *			states that a resync which began with those counters
 *			is complete. Each reason is cleared up to the lower of
 *			the value given and the value at this BEGIN.
 *	Errors: EBADF, ESTALE, EINVAL, EBADMSG.
 *
 * BLKFERRY_CMD_ABORT: merge what is uncommitted back and end the generation.
 *	DRAIN_FD, GENERATION
 *	Errors: EBADF, ESTALE.
 *
 * BLKFERRY_CMD_EVENT: multicast only.
 *	EVENT u32 (enum blkferry_event), TRACKER_ID u32, NAME string,
 *	[REASON_ID u32] for RESYNC_NEEDED
 *	Several of one kind that come close together may become one. A socket
 *	that does not read, or memory that is short, loses events (ENOBUFS from
 *	its next receive): GET tells the state.
 *
 * The module stays loaded while a tracker or a drain descriptor exists (rmmod:
 * EBUSY). Its parameter leaves_max_bytes bounds the memory of all dirty maps,
 * by default to 1/16 of the machine's; beyond it, or where memory is short,
 * marks become coarse (COARSE_MARKS), never lost.
 */
#ifndef _UAPI_LINUX_BLKFERRY_H
#define _UAPI_LINUX_BLKFERRY_H

#include <linux/types.h>

#define BLKFERRY_GENL_NAME		"blkferry"
#define BLKFERRY_GENL_VERSION		1
#define BLKFERRY_GENL_MCGRP		"events"

#define BLKFERRY_SECTOR_BYTES		512
#define BLKFERRY_NAME_MAX		63	/* bytes, without the NUL */
#define BLKFERRY_UUID_BYTES		16
#define BLKFERRY_GRANULARITY_MIN	4096u
#define BLKFERRY_GRANULARITY_MAX	(64u << 20)
#define BLKFERRY_TRACKERS_MAX		1024
#define BLKFERRY_BEGIN_MAX		100
#define BLKFERRY_LEAF_BYTES		4096
#define BLKFERRY_LEAF_BLOCKS		(BLKFERRY_LEAF_BYTES * 8)
#define BLKFERRY_LEAVES_MAX		(1u << 20)
#define BLKFERRY_WALK_EXTENTS_MAX	512
#define BLKFERRY_MARK_EXTENTS_MAX	1024

/* A run of sectors, relative to the tracked device. */
struct blkferry_extent {
	__u64 sector;
	__u64 nr_sectors;
};

enum blkferry_cmd {
	BLKFERRY_CMD_UNSPEC,
	BLKFERRY_CMD_TRACK,
	BLKFERRY_CMD_UNTRACK,
	BLKFERRY_CMD_GET,
	BLKFERRY_CMD_SET,
	BLKFERRY_CMD_MARK,
	BLKFERRY_CMD_BEGIN,
	BLKFERRY_CMD_WALK,
	BLKFERRY_CMD_PEEK,
	BLKFERRY_CMD_COMMIT,
	BLKFERRY_CMD_ABORT,
	BLKFERRY_CMD_EVENT,
	__BLKFERRY_CMD_MAX
};
#define BLKFERRY_CMD_MAX (__BLKFERRY_CMD_MAX - 1)

enum blkferry_attr {
	BLKFERRY_A_UNSPEC,
	BLKFERRY_A_PAD,
	BLKFERRY_A_TRACKER,		/* nest */
	BLKFERRY_A_TRACKER_ID,		/* u32 */
	BLKFERRY_A_DEV_FD,		/* u32 */
	BLKFERRY_A_NAME,		/* string */
	BLKFERRY_A_UUID,		/* 16 bytes */
	BLKFERRY_A_DISK,		/* string */
	BLKFERRY_A_DEV,			/* u64 */
	BLKFERRY_A_START_SECTOR,	/* u64 */
	BLKFERRY_A_NR_SECTORS,		/* u64 */
	BLKFERRY_A_GRANULARITY,		/* u32, bytes */
	BLKFERRY_A_ALL_DIRTY,		/* flag */
	BLKFERRY_A_WATERMARK_BYTES,	/* u64 */
	BLKFERRY_A_DRAIN_OWNED,		/* u8 */
	BLKFERRY_A_STATS,		/* nest of BLKFERRY_STAT_* */
	BLKFERRY_A_REASONS,		/* nest of BLKFERRY_A_REASON */
	BLKFERRY_A_REASON,		/* nest */
	BLKFERRY_A_REASON_ID,		/* u32, enum blkferry_reason */
	BLKFERRY_A_REASON_RAISED,	/* u64, times raised since TRACK */
	BLKFERRY_A_REASON_CLEARED,	/* u64, RAISED value last cleared */
	BLKFERRY_A_BEGIN_LIST,		/* nest of BLKFERRY_A_BEGIN_ENTRY */
	BLKFERRY_A_BEGIN_ENTRY,		/* nest */
	BLKFERRY_A_DRAIN_FD,		/* u32 */
	BLKFERRY_A_GENERATION,		/* u64 */
	BLKFERRY_A_NR_BLOCKS,		/* u64 */
	BLKFERRY_A_WRITES,		/* u64 */
	BLKFERRY_A_FROM_SECTOR,		/* u64 */
	BLKFERRY_A_NEXT_SECTOR,		/* u64 */
	BLKFERRY_A_THROUGH_SECTOR,	/* u64 */
	BLKFERRY_A_EXTENTS,		/* array of struct blkferry_extent */
	BLKFERRY_A_BITMAP,		/* BLKFERRY_LEAF_BYTES bytes */
	BLKFERRY_A_BITMAP_SECTOR,	/* u64 */
	BLKFERRY_A_TOTAL_BLOCKS,	/* u64 */
	BLKFERRY_A_EVENT,		/* u32, enum blkferry_event */
	BLKFERRY_A_COMMITTED_GENERATION,	/* u64 */
	BLKFERRY_A_COMMITTED_SECTOR,	/* u64, THROUGH_SECTOR of that COMMIT */
	BLKFERRY_A_CARRIED_BLOCKS,	/* u64 */
	__BLKFERRY_A_MAX
};
#define BLKFERRY_A_MAX (__BLKFERRY_A_MAX - 1)

/*
 * Statistics of a tracker, all u64. Operations count since TRACK, as seen at
 * completion, on bio-based disks at submission; an operation that only touches
 * a tracked partition in part counts for it. Gauges are marked; they are read
 * without stopping I/O.
 */
enum blkferry_stat {
	BLKFERRY_STAT_UNSPEC,
	BLKFERRY_STAT_PAD,
	BLKFERRY_STAT_WRITES,		/* changing operations, all kinds */
	BLKFERRY_STAT_WRITE_BYTES,	/* their bytes within the tracked range */
	BLKFERRY_STAT_DISCARDS,		/* of WRITES: discard, secure erase */
	BLKFERRY_STAT_ZEROES,		/* of WRITES: write zeroes */
	BLKFERRY_STAT_ZONE_OPS,		/* of WRITES: zone append, reset, finish */
	BLKFERRY_STAT_FAILED,		/* of WRITES: completed with an error */
	BLKFERRY_STAT_NEW_BLOCKS,	/* became dirty; not: merged back, carried */
	BLKFERRY_STAT_COARSE_MARKS,	/* marks without a leaf (1/32 leaf each) */
	BLKFERRY_STAT_PASSTHROUGH_HARMLESS,	/* cannot change blocks */
	BLKFERRY_STAT_PASSTHROUGH_RANGED,	/* of WRITES: marked exactly */
	BLKFERRY_STAT_PASSTHROUGH_OPAQUE,	/* raised the reason */
	BLKFERRY_STAT_DIRTY_BYTES,	/* gauge: active map */
	BLKFERRY_STAT_DRAIN_BYTES,	/* gauge: owned generation at BEGIN */
	BLKFERRY_STAT_MEMORY_BYTES,	/* gauge: directories, leaves, reserve */
	BLKFERRY_STAT_RESERVE_LEAVES,	/* gauge: free leaves ready for marks */
	BLKFERRY_STAT_AGE_NS,		/* gauge: since TRACK, CLOCK_BOOTTIME */
	BLKFERRY_STAT_INFLIGHT,		/* gauge: writes that have not ended (bio-based) */
	BLKFERRY_STAT_LATE,		/* of WRITES: marked at their end, begun unseen */
	__BLKFERRY_STAT_MAX
};
#define BLKFERRY_STAT_MAX (__BLKFERRY_STAT_MAX - 1)

/*
 * Why a resync may be needed: each names what the tracker may have missed.
 * A reason stands until a resync that began after it was raised is complete.
 */
enum blkferry_reason {
	BLKFERRY_REASON_NONE,
	BLKFERRY_REASON_PASSTHROUGH,	/* a command that may write, range unknown */
	BLKFERRY_REASON_UNKNOWN_OP,	/* a block operation this module predates */
	BLKFERRY_REASON_OVERFLOW,	/* a write beyond the disk's capacity */
	BLKFERRY_REASON_RESIZED,	/* start or length changed */
	BLKFERRY_REASON_GONE,		/* the disk was removed */
	BLKFERRY_REASON_HIBERNATION,	/* the image was written or restored */
	BLKFERRY_REASON_TABLE,		/* a dm disk resumed, perhaps with another table */
	BLKFERRY_REASON_MEDIA,		/* the medium was changed */
	BLKFERRY_REASON_CPU_OFFLINE,	/* a processor went: it may have ended a write unseen */
	BLKFERRY_REASON_UNSEEN,		/* begun before TRACK, or too many at once */
	__BLKFERRY_REASON_MAX
};
#define BLKFERRY_REASON_MAX (__BLKFERRY_REASON_MAX - 1)

enum blkferry_event {
	BLKFERRY_EVENT_UNSPEC,
	BLKFERRY_EVENT_RESYNC_NEEDED,	/* a reason was raised */
	BLKFERRY_EVENT_GONE,		/* the disk was removed */
	BLKFERRY_EVENT_RESIZED,		/* found at BEGIN */
	/* Dirty bytes crossed WATERMARK_BYTES; late by an eighth at most. */
	BLKFERRY_EVENT_WATERMARK,
	BLKFERRY_EVENT_DRAIN_RETURNED,	/* a generation merged back, by ABORT or close */
	BLKFERRY_EVENT_TRACKED,		/* a tracker was created */
	BLKFERRY_EVENT_UNTRACKED,	/* a tracker was deleted */
	__BLKFERRY_EVENT_MAX
};
#define BLKFERRY_EVENT_MAX (__BLKFERRY_EVENT_MAX - 1)

#endif /* _UAPI_LINUX_BLKFERRY_H */
