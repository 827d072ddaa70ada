// SPDX-License-Identifier: Apache-2.0
/*
 * Progress: a job's status flows in each second, lines that a person can
 * follow flow out to standard error.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/jobs.h"
#include "lib/transport.h"
#include "lib/units.h"

#define PLAIN_INTERVAL_NS (30 * BF_NSEC_PER_SEC)

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool has_number(const json_t *object, const char *key, uint64_t *number)
{
	const json_t *value = json_object_get(object, key);

	*number = 0;
	if (json_is_number(value) && json_number_value(value) >= 0)
		*number = json_is_integer(value) ?
			(uint64_t)json_integer_value(value) :
			(uint64_t)json_real_value(value);
	return json_is_number(value);
}

static void append(char line[CLI_PROGRESS_BYTES], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void append(char line[CLI_PROGRESS_BYTES], const char *format, ...)
{
	size_t used = strlen(line);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + used, CLI_PROGRESS_BYTES - used, format, arguments);
	va_end(arguments);
}

static void append_size(char line[CLI_PROGRESS_BYTES], const json_t *object,
			const char *key, const char *before, const char *after)
{
	char text[BF_UNIT_TEXT_BYTES];
	uint64_t bytes;

	if (has_number(object, key, &bytes))
		append(line, "%s%s%s", before, bf_format_size(bytes, text),
		       after);
}

static void append_time(char line[CLI_PROGRESS_BYTES], const json_t *object,
			const char *key, const char *before)
{
	char text[BF_UNIT_TEXT_BYTES];
	uint64_t ns;

	if (has_number(object, key, &ns))
		append(line, "%s%s", before, bf_format_time(ns, text));
}

static void append_pass(char line[CLI_PROGRESS_BYTES], const json_t *pass)
{
	uint64_t number, planned_bytes, done_bytes;

	if (has_number(pass, "number", &number))
		append(line, ", pass %" PRIu64, number);
	if (*text_of(pass, "kind"))
		append(line, " (%s)", text_of(pass, "kind"));
	if (!has_number(pass, "planned_bytes", &planned_bytes) || !planned_bytes)
		return;
	has_number(pass, "done_bytes", &done_bytes);
	append_size(line, pass, "done_bytes", ": ", "");
	append_size(line, pass, "planned_bytes", " of ", "");
	append(line, " (%.0f%%)", 100.0 * done_bytes / planned_bytes);
}

void cli_progress_line(const json_t *status, char line[CLI_PROGRESS_BYTES])
{
	*line = '\0';
	if (*text_of(status, "text")) {
		append(line, "%s", text_of(status, "text"));
		return;
	}
	append(line, "%s", *text_of(status, "state") ?
	       text_of(status, "state") : "working");
	/* Failed, or waiting for a receiver: then figures say nothing. */
	if (*text_of(json_object_get(status, "reason"), "text")) {
		append(line, ": %s", text_of(json_object_get(status, "reason"),
					     "text"));
		return;
	}
	append_pass(line, json_object_get(status, "pass"));
	append_size(line, status, "raw_rate", ", raw ", "/s");
	append_size(line, status, "wire_rate", ", wire ", "/s");
	append_size(line, status, "dirty_bytes", ", dirty ", "");
	append_time(line, status, "eta_ns", ", ETA ");
	append_time(line, status, "projected_downtime_ns", ", downtime ");
}

/* What makes a new plain line worth it: another state or pass. */
static void phase_of(const json_t *status, char phase[64])
{
	const json_t *pass = json_object_get(status, "pass");
	uint64_t number;

	has_number(pass, "number", &number);
	snprintf(phase, 64, "%.20s/%.20s/%" PRIu64, text_of(status, "state"),
		 text_of(pass, "kind"), number);
}

void cli_progress_init(struct cli_progress *progress, bool quiet)
{
	*progress = (struct cli_progress){
		.quiet = quiet,
		.terminal = isatty(STDERR_FILENO),
	};
}

/* The cursor stays at the line's start: a log line simply takes its place. */
static void show_on_terminal(struct cli_progress *progress, const char *line)
{
	fprintf(stderr, "%.*s\033[K\r", 160, line);
	progress->line_open = true;
}

static void show_plain(struct cli_progress *progress, const json_t *status,
		       const char *line)
{
	uint64_t now_ns = bf_now_ns();
	char phase[64];

	phase_of(status, phase);
	if (progress->said_ns && !strcmp(phase, progress->phase) &&
	    now_ns - progress->said_ns < PLAIN_INTERVAL_NS)
		return;
	progress->said_ns = now_ns;
	memcpy(progress->phase, phase, sizeof(phase));
	fprintf(stderr, "%s\n", line);
}

void cli_progress_show(void *context, const json_t *status)
{
	struct cli_progress *progress = context;
	char line[CLI_PROGRESS_BYTES];

	if (progress->quiet)
		return;
	cli_progress_line(status, line);
	if (progress->terminal)
		show_on_terminal(progress, line);
	else
		show_plain(progress, status, line);
}

void cli_progress_end(struct cli_progress *progress)
{
	if (progress->line_open)
		fputs("\033[K", stderr);
	progress->line_open = false;
}
