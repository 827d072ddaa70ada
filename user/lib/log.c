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
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "error.h"
#include "log.h"

#define LINE_BYTES	1024
#define NAME_BYTES	64
#define HELD_BYTES	(64 * 1024)

static struct {
	pthread_mutex_t lock;		/* protects all of this */
	enum bf_log_level level;
	int journal;			/* -1: not looked yet */
	char job[NAME_BYTES];
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

static const char *const event_ids[] = {
#define BF_EVENT_ID(constant, id) [constant] = id,
	BF_EVENT_TABLE(BF_EVENT_ID)
#undef BF_EVENT_ID
};

/*
 * A line is "<level event code disk>text\n", where "-" is no code or disk;
 * neither has a blank in it.
 */
struct head {
	int level;
	unsigned int event;
	char code[NAME_BYTES], disk[NAME_BYTES];
};

static const char *read_head(const char *line, struct head *head)
{
	if (sscanf(line, "<%d %u %63[^ >] %63[^ >]>", &head->level, &head->event,
		   head->code, head->disk) != 4)
		*head = (struct head){ BF_LOG_ERROR, BF_EVENT_NONE, "-", "-" };
	return strchr(line, '>') + 1;
}

/* The fields of an entry: what is not known is not there. */
struct entry {
	struct iovec fields[6];
	int nr;
	char text[6][LINE_BYTES + NAME_BYTES];
};

static void add_field(struct entry *entry, const char *name, const char *value)
{
	char *text = entry->text[entry->nr];

	if (!*value || !strcmp(value, "-"))
		return;
	snprintf(text, sizeof(entry->text[0]), "%s=%s", name, value);
	entry->fields[entry->nr++] = (struct iovec){ text, strlen(text) };
}

static void to_journal(const char *line)
{
	struct entry entry = { .nr = 0 };
	struct head head;
	const char *text = read_head(line, &head);
	char priority[16];

	snprintf(priority, sizeof(priority), "%d", head.level);
	add_field(&entry, "MESSAGE", text);
	add_field(&entry, "PRIORITY", priority);
	add_field(&entry, "BLKFERRY_JOB", state.job);
	add_field(&entry, "BLKFERRY_DISK", head.disk);
	add_field(&entry, "BLKFERRY_ERROR", head.code);
	add_field(&entry, "MESSAGE_ID", event_ids[head.event]);
	sd_journal_sendv(entry.fields, entry.nr);
}

static void to_stderr(const char *line)
{
	struct head head;
	const char *text = read_head(line, &head);
	char plain[LINE_BYTES + 16];

	write_out(plain, snprintf(plain, sizeof(plain), "%s%s",
				  head.level == BF_LOG_ERROR ? "error: " :
				  head.level == BF_LOG_WARNING ? "warning: " : "",
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
static size_t format_line(char *line, const struct bf_log_about *about,
			  const char *format, va_list args)
{
	size_t length = snprintf(line, LINE_BYTES, "<%d %u %s %s>",
				 about->level, (unsigned int)about->event,
				 about->why ? bf_code_name(about->why->code) : "-",
				 about->disk && *about->disk ? about->disk : "-");

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

static void log_args(const struct bf_log_about *about, const char *format,
		     va_list args)
{
	char line[LINE_BYTES + 1];

	pthread_mutex_lock(&state.lock);
	if (about->level <= state.level || about->level == BF_LOG_NOTICE)
		put_line(line, format_line(line, about, format, args));
	pthread_mutex_unlock(&state.lock);
}

void bf_log(enum bf_log_level level, const char *format, ...)
{
	const struct bf_log_about about = { .level = level };
	va_list args;

	va_start(args, format);
	log_args(&about, format, args);
	va_end(args);
}

void bf_log_about(const struct bf_log_about *about, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(about, format, args);
	va_end(args);
}

/* By its first words, which are a convention: "disk NAME: ". */
static void disk_of(const struct bf_error *err, char disk[NAME_BYTES])
{
	int end = 0;

	if (sscanf(err->text, "disk %63[A-Za-z0-9_.-]: %n", disk, &end) != 1 ||
	    !end)
		*disk = '\0';
}

static void log_error(const struct bf_error *err, enum bf_event event)
{
	char disk[NAME_BYTES];

	disk_of(err, disk);
	bf_log_about(&(struct bf_log_about){ .level = BF_LOG_ERROR,
			.event = event, .disk = disk, .why = err },
		     "%s (%s)", err->text, bf_code_name(err->code));
}

void bf_log_error(const struct bf_error *err)
{
	log_error(err, BF_EVENT_NONE);
}

void bf_log_failure(const struct bf_error *err)
{
	bool of_job;

	pthread_mutex_lock(&state.lock);
	of_job = *state.job;
	pthread_mutex_unlock(&state.lock);
	log_error(err, of_job ? BF_EVENT_JOB_FAILED : BF_EVENT_NONE);
}

bool bf_log_to_journal(void)
{
	bool journal;

	pthread_mutex_lock(&state.lock);
	if (state.journal < 0)
		state.journal = stderr_is_journal();
	journal = state.journal;
	pthread_mutex_unlock(&state.lock);
	return journal;
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
			    "<%d %u - ->%u more lines did not fit while held\n",
			    BF_LOG_INFO, BF_EVENT_NONE, state.lost_lines));
	state.lost_lines = 0;
}

void bf_log_release(void)
{
	pthread_mutex_lock(&state.lock);
	if (state.holds && !--state.holds)
		release_held();
	pthread_mutex_unlock(&state.lock);
}
