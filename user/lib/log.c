// SPDX-License-Identifier: Apache-2.0
/*
 * Log: see log.h. The state is one for the process, as standard error is; it
 * is a fixed piece of memory that a held line can be put into while
 * filesystems are frozen.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "log.h"

#define LINE_BYTES	1024
#define HELD_BYTES	(64 * 1024)

static struct {
	pthread_mutex_t lock;		/* protects all of this */
	enum bf_log_level level;
	int journal;			/* -1: not looked yet */
	unsigned int holds;
	size_t held_bytes;
	unsigned int lost_lines;
	char held[HELD_BYTES];
} state = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.level = BF_LOG_INFO,
	.journal = -1,
};

/* systemd names the device and inode of the journal's stream. */
static int stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) &&
	       st.st_dev == dev && st.st_ino == inode;
}

static void write_out(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(STDERR_FILENO, bytes, length);

		if (n <= 0)
			return;	/* nowhere left to complain */
		bytes += n;
		length -= n;
	}
}

/* Format a line with its level and newline; return its length. */
static size_t format_line(char *line, enum bf_log_level level,
			  const char *format, va_list args)
{
	size_t length = 0;

	if (state.journal < 0)
		state.journal = stderr_is_journal();
	if (state.journal)
		length = snprintf(line, LINE_BYTES, "<%d>", level);
	else if (level <= BF_LOG_WARNING)
		length = snprintf(line, LINE_BYTES, "%s: ",
				  level == BF_LOG_ERROR ? "error" : "warning");
	vsnprintf(line + length, LINE_BYTES - length - 1, format, args);
	length = strlen(line);
	line[length++] = '\n';
	return length;
}

static void put_line(const char *line, size_t length)
{
	if (!state.holds) {
		write_out(line, length);
	} else if (length <= HELD_BYTES - state.held_bytes) {
		memcpy(state.held + state.held_bytes, line, length);
		state.held_bytes += length;
	} else {
		state.lost_lines++;
	}
}

void bf_log_set_level(enum bf_log_level level)
{
	pthread_mutex_lock(&state.lock);
	state.level = level;
	pthread_mutex_unlock(&state.lock);
}

void bf_log(enum bf_log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	pthread_mutex_lock(&state.lock);
	if (level <= state.level || level == BF_LOG_NOTICE) {
		va_start(args, format);
		put_line(line, format_line(line, level, format, args));
		va_end(args);
	}
	pthread_mutex_unlock(&state.lock);
}

void bf_log_error(const struct bf_error *err)
{
	bf_log(BF_LOG_ERROR, "%s (%s)", err->text, bf_code_name(err->code));
}

void bf_log_hold(void)
{
	pthread_mutex_lock(&state.lock);
	state.holds++;
	pthread_mutex_unlock(&state.lock);
}

static void release_held(void)
{
	char line[64];

	write_out(state.held, state.held_bytes);
	state.held_bytes = 0;
	if (!state.lost_lines)
		return;
	write_out(line, snprintf(line, sizeof(line),
				 "%u more lines did not fit while held\n",
				 state.lost_lines));
	state.lost_lines = 0;
}

void bf_log_release(void)
{
	pthread_mutex_lock(&state.lock);
	if (state.holds && !--state.holds)
		release_held();
	pthread_mutex_unlock(&state.lock);
}
