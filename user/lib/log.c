// SPDX-License-Identifier: Apache-2.0
/*
 * Log: one event flows in, one line flows out to standard error in a single
 * write(2). Keeps the freeze's rule: while lines are held they stay in memory
 * that was there before, and nothing is written.
 */
#include "lib/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/error.h"

#define HELD_BYTES 16384
#define LINE_BYTES 1024

/* The one log of the process; every field by lock. */
static struct {
	pthread_mutex_t lock;
	enum bf_log_level level;
	int to_journal;			/* -1: not looked yet */
	unsigned int holds;
	unsigned long lost_lines;
	size_t held_bytes;
	char held[HELD_BYTES];
} state = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.level = BF_LOG_INFO,
	.to_journal = -1,
};

/* systemd says which file is its journal: "device:inode". */
static int find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device &&
	       st.st_ino == inode;
}

static void write_out(const char *text, size_t bytes)
{
	while (bytes) {
		ssize_t written = write(STDERR_FILENO, text, bytes);

		if (written <= 0)
			return;		/* nowhere left to say it */
		text += written;
		bytes -= written;
	}
}

static void hold_line(const char *line, size_t bytes)
{
	if (bytes > sizeof(state.held) - state.held_bytes) {
		state.lost_lines++;
		return;
	}
	memcpy(state.held + state.held_bytes, line, bytes);
	state.held_bytes += bytes;
}

/* Return: bytes of the line, newline included. */
static size_t format_line(char line[LINE_BYTES], enum bf_log_level level,
			  const char *format, va_list arguments)
{
	size_t bytes = 0;

	if (state.to_journal < 0)
		state.to_journal = find_journal();
	if (state.to_journal)
		bytes = snprintf(line, LINE_BYTES, "<%d>", level);
	else if (level <= BF_LOG_WARNING)
		bytes = snprintf(line, LINE_BYTES, "%s: ",
				 level == BF_LOG_ERROR ? "error" : "warning");
	bytes += vsnprintf(line + bytes, LINE_BYTES - bytes, format, arguments);
	if (bytes > LINE_BYTES - 2)
		bytes = LINE_BYTES - 2;
	line[bytes++] = '\n';
	return bytes;
}

void bf_log(enum bf_log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;
	size_t bytes;

	pthread_mutex_lock(&state.lock);
	if (level <= state.level) {
		va_start(arguments, format);
		bytes = format_line(line, level, format, arguments);
		va_end(arguments);
		if (state.holds)
			hold_line(line, bytes);
		else
			write_out(line, bytes);
	}
	pthread_mutex_unlock(&state.lock);
}

void bf_log_error(const struct bf_error *err)
{
	bf_log(BF_LOG_ERROR, "%s (%s)", err->text, bf_code_name(err->code));
}

void bf_log_set_level(enum bf_log_level level)
{
	pthread_mutex_lock(&state.lock);
	state.level = level;
	pthread_mutex_unlock(&state.lock);
}

/* Looks for the journal now: no question is put to a file later. */
void bf_log_hold(void)
{
	pthread_mutex_lock(&state.lock);
	if (state.to_journal < 0)
		state.to_journal = find_journal();
	state.holds++;
	pthread_mutex_unlock(&state.lock);
}

void bf_log_release(void)
{
	unsigned long lost = 0;

	pthread_mutex_lock(&state.lock);
	if (state.holds && !--state.holds) {
		write_out(state.held, state.held_bytes);
		state.held_bytes = 0;
		lost = state.lost_lines;
		state.lost_lines = 0;
	}
	pthread_mutex_unlock(&state.lock);
	if (lost)
		bf_warn("%lu lines of the freeze did not fit the log's buffer",
			lost);
}
