/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log: one line an event on standard error, plain; when standard error is the
 * journal, an entry there instead, with the field PRIORITY and, where they are
 * known, BLKFERRY_JOB, BLKFERRY_DISK, BLKFERRY_ERROR (an error's code by name, as
 * in JSON) and, of what somebody may wait for, MESSAGE_ID. Never called between
 * the first FIFREEZE and the thaw: standard error may be a file on a frozen
 * filesystem. Lines asked for in that window go to a fixed buffer and are written
 * after it (bf_log_hold, bf_log_release).
 */
#ifndef BF_LIB_LOG_H
#define BF_LIB_LOG_H

#include <stdbool.h>

enum bf_log_level {
	BF_LOG_ERROR = 3,
	BF_LOG_WARNING = 4,
	BF_LOG_NOTICE = 5,	/* audit lines: written whatever the level is */
	BF_LOG_INFO = 6,
	BF_LOG_DEBUG = 7,
};

struct bf_error;

/* X(constant, MESSAGE_ID): part of the interface, as error codes are. */
#define BF_EVENT_TABLE(X)						\
	X(BF_EVENT_NONE,		"")				\
	X(BF_EVENT_RESYNC_NEEDED,	"ab54f54671f446abab54029f0a717b9e") \
	X(BF_EVENT_CUT_OVER,		"1128a0bb28314c26b74dcc8b184b92e8") \
	X(BF_EVENT_ROLLED_BACK,		"df31a184ff6b471a89dce478a08b0659") \
	X(BF_EVENT_JOB_FAILED,		"48f095249f134492baaa8c3cb50942a1")

enum bf_event {
#define BF_EVENT_ENUM(constant, id) constant,
	BF_EVENT_TABLE(BF_EVENT_ENUM)
#undef BF_EVENT_ENUM
};

/* What an entry of the journal says of itself; 0 or NULL: nothing. */
struct bf_log_about {
	enum bf_log_level level;
	enum bf_event event;
	const char *disk;		/* its name in the job */
	const struct bf_error *why;	/* for its code alone */
};

void bf_log_set_level(enum bf_log_level level);
/* What entries of the journal name as their job; at most 63 bytes are kept. */
void bf_log_set_job(const char *job);
void bf_log(enum bf_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Of the disk that it names in its first words, "disk NAME: ". */
void bf_log_error(const struct bf_error *err);
/* The one that this process ends with; where it has a job, of that. */
void bf_log_failure(const struct bf_error *err);
void bf_log_about(const struct bf_log_about *about, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Entries with fields are what a message on standard error becomes. */
bool bf_log_to_journal(void);

/* Thread-safe. Between these nothing is written; overflow is counted. */
void bf_log_hold(void);
void bf_log_release(void);

#define bf_info(...) bf_log(BF_LOG_INFO, __VA_ARGS__)
/* Who did what: "audit: " and a sentence. */
#define bf_audit(...) bf_log(BF_LOG_NOTICE, "audit: " __VA_ARGS__)
#define bf_warn(...) bf_log(BF_LOG_WARNING, __VA_ARGS__)
#define bf_debug(...) bf_log(BF_LOG_DEBUG, __VA_ARGS__)

#endif /* BF_LIB_LOG_H */
