/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault points of the module, of one family with those of source and target
 * (user/lib/fault.h): places where a step fails, or the process that asked for
 * it dies, because a test wants to see that nothing is lost. Compiled in by
 * -DBF_FAULTS only, which `tools/vm --ko mistakes` asks for; without it they are
 * nothing.
 *
 * The module parameter "fault" says which: POINT:NTH:ERRNO lets the step fail
 * with that number the NTH time that anybody comes there, POINT:NTH:ERRNO:TIMES
 * so often from then on; POINT:NTH kills the process that comes there, whose
 * command goes on to its end all the same. "fault_points" lists them, a line each,
 * with how often that has happened.
 */
#ifndef BF_FAULT_H
#define BF_FAULT_H

/* X(constant, name): in the order of a tracker's life. */
#define BF_FAULT_TABLE(X)						\
	/* Loading. */							\
	X(BF_FAULT_LOAD_EVENTS,		"kmod-load-events")		\
	X(BF_FAULT_LOAD_LEAVES,		"kmod-load-leaves")		\
	X(BF_FAULT_LOAD_POWER,		"kmod-load-power")		\
	X(BF_FAULT_LOAD_CPU,		"kmod-load-cpu")		\
	X(BF_FAULT_LOAD_NETLINK,	"kmod-load-netlink")		\
	/* Any command; those that name a device. */			\
	X(BF_FAULT_COMMAND,		"kmod-command")			\
	X(BF_FAULT_DEVICE,		"kmod-device")			\
	/* TRACK. */							\
	X(BF_FAULT_KIND,		"kmod-kind")			\
	X(BF_FAULT_TRACK_MODULE,	"kmod-track-module")		\
	X(BF_FAULT_TRACK_MEMORY,	"kmod-track-memory")		\
	X(BF_FAULT_MAP_MEMORY,		"kmod-map-memory")		\
	X(BF_FAULT_LEAF_MEMORY,		"kmod-leaf-memory")		\
	X(BF_FAULT_TRACK_ID,		"kmod-track-id")		\
	X(BF_FAULT_WATCH_CLASS,		"kmod-watch-class")		\
	X(BF_FAULT_WATCH_REQUESTS,	"kmod-watch-requests")		\
	X(BF_FAULT_WATCH_UEVENTS,	"kmod-watch-uevents")		\
	X(BF_FAULT_BIND_UEVENTS,	"kmod-bind-uevents")		\
	X(BF_FAULT_WATCH_CHAIN,		"kmod-watch-chain")		\
	X(BF_FAULT_WATCH_BIOS,		"kmod-watch-bios")		\
	X(BF_FAULT_DISK_MEMORY,		"kmod-disk-memory")		\
	X(BF_FAULT_INFLIGHT_MEMORY,	"kmod-inflight-memory")		\
	X(BF_FAULT_DISK_QUEUE,		"kmod-disk-queue")		\
	X(BF_FAULT_ALIAS_MEMORY,	"kmod-alias-memory")		\
	X(BF_FAULT_TRACK_DYING,		"kmod-track-dying")		\
	X(BF_FAULT_TRACKER_REPLY,	"kmod-tracker-reply")		\
	/* What a probe sees, and what the worker tells. */		\
	X(BF_FAULT_INFLIGHT_SLOT,	"kmod-inflight-slot")		\
	X(BF_FAULT_INFLIGHT_FULL,	"kmod-inflight-full")		\
	X(BF_FAULT_BIO_UNSEEN,		"kmod-bio-unseen")		\
	X(BF_FAULT_MARK_BEYOND,		"kmod-mark-beyond")		\
	X(BF_FAULT_RESERVE_EMPTY,	"kmod-reserve-empty")		\
	X(BF_FAULT_REQUEST_UNKNOWN,	"kmod-request-unknown")		\
	X(BF_FAULT_PASSTHROUGH,		"kmod-passthrough")		\
	X(BF_FAULT_EVENT_MEMORY,	"kmod-event-memory")		\
	X(BF_FAULT_UEVENT_MEMORY,	"kmod-uevent-memory")		\
	X(BF_FAULT_UEVENT_LOST,		"kmod-uevent-lost")		\
	/* BEGIN. */							\
	X(BF_FAULT_BEGIN_MEMORY,	"kmod-begin-memory")		\
	X(BF_FAULT_BEGIN_DEVICE,	"kmod-begin-device")		\
	X(BF_FAULT_BEGIN_RESIZED,	"kmod-begin-resized")		\
	X(BF_FAULT_BEGIN_MEDIA,		"kmod-begin-media")		\
	X(BF_FAULT_BEGIN_DRAIN,		"kmod-begin-drain")		\
	X(BF_FAULT_BEGIN_FD,		"kmod-begin-fd")		\
	X(BF_FAULT_BEGIN_FILE,		"kmod-begin-file")		\
	X(BF_FAULT_BEGIN_REPLY,		"kmod-begin-reply")		\
	/* WALK, COMMIT, ABORT. */					\
	X(BF_FAULT_DRAIN_FILE,		"kmod-drain-file")		\
	X(BF_FAULT_DRAIN_LOCK,		"kmod-drain-lock")		\
	X(BF_FAULT_WALK_WINDOW,		"kmod-walk-window")		\
	X(BF_FAULT_WALK_REPLY,		"kmod-walk-reply")		\
	X(BF_FAULT_COMMIT_THROUGH,	"kmod-commit-through")		\
	X(BF_FAULT_COMMIT_FINAL,	"kmod-commit-final")		\
	X(BF_FAULT_ABORT,		"kmod-abort")			\
	/* The others. */						\
	X(BF_FAULT_MARK,		"kmod-mark")			\
	X(BF_FAULT_PEEK_WINDOW,		"kmod-peek-window")		\
	X(BF_FAULT_DUMP,		"kmod-dump")			\
	X(BF_FAULT_UNTRACK,		"kmod-untrack")

enum bf_fault {
#define BF_FAULT_ENUM(constant, name) constant,
	BF_FAULT_TABLE(BF_FAULT_ENUM)
#undef BF_FAULT_ENUM
	BF_FAULT_NR
};

#ifdef BF_FAULTS
int bf_fault(enum bf_fault point);
#else
#define bf_fault(point) 0
#endif

#endif /* BF_FAULT_H */
