/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log: one line an event on standard error, plain; when standard error is the
 * journal, an entry there instead, with the fields PRIORITY, BLKFERRY_JOB and,
 * for an error, BLKFERRY_ERROR (its code's name, as in JSON). Never
 * called between the first FIFREEZE and the thaw: standard error may be a file
 * on a frozen filesystem. Lines asked for in that window go to a fixed buffer
 * and are written after it (bf_log_hold, bf_log_release).
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

void bf_log_set_level(enum bf_log_level level);
/* What entries of the journal name as their job; at most 63 bytes are kept. */
void bf_log_set_job(const char *job);
void bf_log(enum bf_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void bf_log_error(const struct bf_error *err);

/* Thread-safe. Between these nothing is written; overflow is counted. */
void bf_log_hold(void);
void bf_log_release(void);

#define bf_info(...) bf_log(BF_LOG_INFO, __VA_ARGS__)
/* Who did what: "audit: " and a sentence. */
#define bf_audit(...) bf_log(BF_LOG_NOTICE, "audit: " __VA_ARGS__)
#define bf_warn(...) bf_log(BF_LOG_WARNING, __VA_ARGS__)
#define bf_debug(...) bf_log(BF_LOG_DEBUG, __VA_ARGS__)

#endif /* BF_LIB_LOG_H */
