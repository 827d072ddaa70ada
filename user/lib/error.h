/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: what goes wrong flows up as a stable code and one sentence that
 * names cause and cure, and leaves at the command layer as text, JSON and an
 * exit code, or at the receiver as an ERROR frame.
 *
 * Functions that can fail return 0 or a negative errno and fill in the struct
 * bf_error that the caller passed. Nothing below the command layer prints or
 * exits.
 */
#ifndef BF_LIB_ERROR_H
#define BF_LIB_ERROR_H

#include <stdint.h>

/* Exit codes of the command: one meaning each, part of the interface. */
enum bf_exit {
	BF_EXIT_DONE		= 0,
	BF_EXIT_FAILED		= 1,
	BF_EXIT_FALSE		= 2,	/* differs, not in sync */
	BF_EXIT_USAGE		= 3,
	BF_EXIT_PARTIAL		= 4,	/* done in part */
	BF_EXIT_PEER		= 5,	/* cannot reach the peer, try again */
	BF_EXIT_ROLLED_BACK	= 6,	/* cutover bound passed, not converging */
	BF_EXIT_REFUSED		= 7,	/* refused for safety */
};

/*
 * X(constant, number, name, exit code). Numbers travel in ERROR frames and
 * names in JSON: both are stable, new ones go to the end.
 */
#define BF_ERROR_TABLE(X)						\
	X(BF_E_NONE,		0,  "none",		BF_EXIT_DONE)	\
	X(BF_E_SYSTEM,		1,  "system",		BF_EXIT_FAILED)	\
	X(BF_E_USAGE,		2,  "usage",		BF_EXIT_USAGE)	\
	X(BF_E_CONFIG,		3,  "config",		BF_EXIT_USAGE)	\
	X(BF_E_NO_MODULE,	4,  "no-module",	BF_EXIT_FAILED)	\
	X(BF_E_PERMISSION,	5,  "permission",	BF_EXIT_REFUSED)\
	X(BF_E_NOT_FOUND,	6,  "not-found",	BF_EXIT_FAILED)	\
	X(BF_E_EXISTS,		7,  "exists",		BF_EXIT_FAILED)	\
	X(BF_E_BUSY,		8,  "busy",		BF_EXIT_REFUSED)\
	X(BF_E_UNTRACKABLE,	9,  "untrackable",	BF_EXIT_REFUSED)\
	X(BF_E_TRACKER,		10, "tracker",		BF_EXIT_FAILED)	\
	X(BF_E_STALE,		11, "stale-generation",	BF_EXIT_FAILED)	\
	X(BF_E_INCOMPLETE,	12, "incomplete",	BF_EXIT_FAILED)	\
	X(BF_E_SOURCE_IO,	13, "source-io",	BF_EXIT_FAILED)	\
	X(BF_E_TARGET_IO,	14, "target-io",	BF_EXIT_FAILED)	\
	X(BF_E_UNREACHABLE,	15, "unreachable",	BF_EXIT_PEER)	\
	X(BF_E_CONNECTION,	16, "connection-lost",	BF_EXIT_PEER)	\
	X(BF_E_TIMEOUT,		17, "timeout",		BF_EXIT_PEER)	\
	X(BF_E_KEY,		18, "key",		BF_EXIT_FAILED)	\
	X(BF_E_UNKNOWN_PEER,	19, "unknown-peer",	BF_EXIT_REFUSED)\
	X(BF_E_NOT_LISTED,	20, "target-not-listed", BF_EXIT_REFUSED)\
	X(BF_E_TOO_SMALL,	21, "target-too-small",	BF_EXIT_REFUSED)\
	X(BF_E_SIGNATURE,	22, "target-has-data",	BF_EXIT_REFUSED)\
	X(BF_E_IN_USE,		23, "target-in-use",	BF_EXIT_REFUSED)\
	X(BF_E_CUT_OVER,	24, "target-cut-over",	BF_EXIT_REFUSED)\
	X(BF_E_STALE_SESSION,	25, "stale-session",	BF_EXIT_REFUSED)\
	X(BF_E_PROTOCOL,	26, "protocol",		BF_EXIT_FAILED)	\
	X(BF_E_VERSION,		27, "version",		BF_EXIT_FAILED)	\
	X(BF_E_CORRUPT,		28, "corrupt",		BF_EXIT_FAILED)	\
	X(BF_E_TOTALS,		29, "totals-differ",	BF_EXIT_FAILED)	\
	X(BF_E_DIFFERS,		30, "differs",		BF_EXIT_FALSE)	\
	X(BF_E_NOT_CONVERGING,	31, "not-converging",	BF_EXIT_ROLLED_BACK)\
	X(BF_E_DOWNTIME,	32, "downtime-exceeded", BF_EXIT_ROLLED_BACK)\
	X(BF_E_FREEZE,		33, "freeze",		BF_EXIT_ROLLED_BACK)\
	X(BF_E_HOOK,		34, "hook",		BF_EXIT_ROLLED_BACK)\
	X(BF_E_MOUNTED,		35, "mounted",		BF_EXIT_REFUSED)\
	X(BF_E_RECORD,		36, "record",		BF_EXIT_FAILED)	\
	X(BF_E_NOT_RUNNING,	37, "not-running",	BF_EXIT_FAILED)	\
	X(BF_E_STATE,		38, "wrong-state",	BF_EXIT_REFUSED)\
	X(BF_E_RESYNC,		39, "resync-needed",	BF_EXIT_FAILED)	\
	X(BF_E_CANCELLED,	40, "cancelled",	BF_EXIT_PARTIAL)\
	X(BF_E_PLAN,		41, "plan",		BF_EXIT_REFUSED)\
	X(BF_E_QUEUED,		42, "queued",		BF_EXIT_PEER)

enum bf_code {
#define BF_ERROR_ENUM(constant, number, name, exit_code) constant = (number),
	BF_ERROR_TABLE(BF_ERROR_ENUM)
#undef BF_ERROR_ENUM
};

#define BF_ERROR_TEXT_BYTES 512

struct bf_error {
	enum bf_code code;
	int errnum;			/* positive errno, 0 if none applies */
	/* Cause and cure, no newline; of a disk, "disk NAME: " comes first. */
	char text[BF_ERROR_TEXT_BYTES];
};

/*
 * bf_fail - fill in @err (which may be NULL)
 * @errnum: positive errno of the cause, 0 if there is none
 *
 * Return: -@errnum, or -EIO if @errnum is 0, so that callers can write
 * "return bf_fail(err, ...)".
 */
int bf_fail(struct bf_error *err, enum bf_code code, int errnum,
	    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Put words in front of an error from below, as they are: "disk %s: ". */
int bf_fail_prefix(struct bf_error *err, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

const char *bf_code_name(enum bf_code code);
enum bf_exit bf_code_exit(enum bf_code code);
/* A number from the wire; unknown ones become BF_E_SYSTEM. */
enum bf_code bf_code_from_number(uint32_t number);

#endif /* BF_LIB_ERROR_H */
