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
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "error.h"
#include "log.h"

#define LINE_BYTES	1024
#define HELD_BYTES	(64 * 1024)

static struct {
	pthread_mutex_t lock;		/* protects all of this */
	enum bf_log_level level;
	int journal;			/* -1: not looked yet */
	char job[64];
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

/* A line is "<level code>text\n": the code is empty or an error's name. */
static void to_journal(char *line)
{
	char *code = strchr(line, ' ') + 1, *text = strchr(line, '>') + 1;
	int priority = atoi(line + 1);

	text[-1] = '\0';
	if (*code)
		sd_journal_send("MESSAGE=%s", text, "PRIORITY=%d", priority,
				"BLKFERRY_JOB=%s", state.job,
				"BLKFERRY_ERROR=%s", code, NULL);
	else
		sd_journal_send("MESSAGE=%s", text, "PRIORITY=%d", priority,
				"BLKFERRY_JOB=%s", state.job, NULL);
}

static void to_stderr(const char *line)
{
	const char *text = strchr(line, '>') + 1;
	int level = atoi(line + 1);
	char plain[LINE_BYTES + 16];

	write_out(plain, snprintf(plain, sizeof(plain), "%s%s",
				  level == BF_LOG_ERROR ? "error: " :
				  level == BF_LOG_WARNING ? "warning: " : "",
				  text));
}

/* @line has @length bytes and a terminator behind them. */
static void emit(char *line, size_t length)
{
	if (state.journal < 0)
		state.journal = stderr_is_journal();
	if (!state.journal) {
		to_stderr(line);
		return;
	}
	line[length - 1] = '\0';
	to_journal(line);
}

/* Return: the line's length, with the newline, which is its only one. */
static size_t format_line(char *line, enum bf_log_level level, const char *code,
			  const char *format, va_list args)
{
	size_t length = snprintf(line, LINE_BYTES, "<%d %s>", level, code);

	vsnprintf(line + length, LINE_BYTES - length - 1, format, args);
	for (; line[length]; length++)
		if (line[length] == '\n')
			line[length] = ' ';
	line[length++] = '\n';
	line[length] = '\0';
	return length;
}

static void put_line(char *line, size_t length)
{
	if (!state.holds) {
		emit(line, length);
	} else if (length < HELD_BYTES - state.held_bytes) {
		memcpy(state.held + state.held_bytes, line, length + 1);
		state.held_bytes += length + 1;
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

void bf_log_set_job(const char *job)
{
	pthread_mutex_lock(&state.lock);
	snprintf(state.job, sizeof(state.job), "%s", job);
	pthread_mutex_unlock(&state.lock);
}

static void log_args(enum bf_log_level level, const char *code,
		     const char *format, va_list args)
{
	char line[LINE_BYTES + 1];

	pthread_mutex_lock(&state.lock);
	if (level <= state.level || level == BF_LOG_NOTICE)
		put_line(line, format_line(line, level, code, format, args));
	pthread_mutex_unlock(&state.lock);
}

void bf_log(enum bf_log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(level, "", format, args);
	va_end(args);
}

static void log_coded(const char *code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void log_coded(const char *code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(BF_LOG_ERROR, code, format, args);
	va_end(args);
}

void bf_log_error(const struct bf_error *err)
{
	const char *code = bf_code_name(err->code);

	log_coded(code, "%s (%s)", err->text, code);
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
	size_t length;

	for (size_t at = 0; at < state.held_bytes; at += length + 1) {
		length = strlen(state.held + at);
		emit(state.held + at, length);
	}
	state.held_bytes = 0;
	if (!state.lost_lines)
		return;
	emit(line, snprintf(line, sizeof(line),
			    "<%d >%u more lines did not fit while held\n",
			    BF_LOG_INFO, state.lost_lines));
	state.lost_lines = 0;
}

void bf_log_release(void)
{
	pthread_mutex_lock(&state.lock);
	if (state.holds && !--state.holds)
		release_held();
	pthread_mutex_unlock(&state.lock);
}
