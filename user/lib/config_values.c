// SPDX-License-Identifier: Apache-2.0
/*
 * Config values: the text behind a key flows in, a checked value flows out to
 * its field. Keeps RULE 6: everything has a stated limit.
 */
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/config.h"
#include "lib/config_table.h"
#include "lib/units.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))
#define TIMEOUT_MIN_NS 100000000ull
#define FULL_COPIES_MAX 64
/* With those of 256 jobs themselves, the 512 that a receiver serves. */
#define MORE_CONNECTIONS_MAX 256

bool bf_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (!length || length >= BF_NAME_BYTES || *name == '.' || *name == '-')
		return false;
	for (; *name; name++) {
		if (!isascii((unsigned char)*name) ||
		    (!isalnum((unsigned char)*name) && !strchr("-_.", *name)))
			return false;
	}
	return true;
}

bool bf_job_name_valid(const char *name)
{
	static const char *const taken[] = { ".guardian", ".skipped" };
	size_t length = strlen(name);

	for (size_t i = 0; i < NR(taken); i++) {
		size_t end = strlen(taken[i]);

		if (length >= end && !strcmp(name + length - end, taken[i]))
			return false;
	}
	return bf_name_valid(name);
}

static const char *const then_names[] = {
	[BF_THEN_HOLD] = "hold",
	[BF_THEN_POWEROFF] = "poweroff",
	[BF_THEN_THAW] = "thaw",
};

const char *bf_then_name(enum bf_then then)
{
	return (size_t)then < NR(then_names) ? then_names[then] : "unknown";
}

int bf_parse_then(const char *text, enum bf_then *then, struct bf_error *err)
{
	for (size_t i = 0; i < NR(then_names); i++) {
		if (!strcmp(text, then_names[i])) {
			*then = i;
			return 0;
		}
	}
	return bf_fail(err, BF_E_USAGE, EINVAL,
		       "\"%.40s\" is not what can follow a cutover: hold, poweroff or thaw",
		       text);
}

int bf_parse_level(const char *text, int *level, struct bf_error *err)
{
	char *end;
	long number;

	if (!strcmp(text, "auto")) {
		*level = BF_LEVEL_AUTO;
		return 0;
	}
	if (!strcmp(text, "none")) {
		*level = 0;
		return 0;
	}
	number = strtol(text, &end, 10);
	if (end == text || *end || number < 0 || number > 19 ||
	    !isdigit((unsigned char)*text))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%.40s\" is not a compression: auto, none, or a level from 1 to 19",
			       text);
	*level = (int)number;
	return 0;
}

int bf_field_text(const char *value, void *field, size_t bytes,
		      struct bf_error *err)
{
	if (!*value)
		return bf_fail(err, BF_E_CONFIG, EINVAL, "the value is empty");
	if (strlen(value) >= bytes)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "the value is longer than %zu bytes", bytes - 1);
	memcpy(field, value, strlen(value) + 1);
	return 0;
}

/* A text to which a "#" means something. */
int bf_field_command(const char *value, void *field, size_t bytes,
			 struct bf_error *err)
{
	return bf_field_text(value, field, bytes, err);
}

int bf_field_path(const char *value, void *field, size_t bytes,
		      struct bf_error *err)
{
	if (*value != '/')
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.80s\" is not a path: it must start with /",
			       value);
	return bf_field_text(value, field, bytes, err);
}

int bf_field_fingerprint(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	if (!bf_fingerprint_valid(value))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.80s\" is not a fingerprint: take the line SHA256:... that `blkferry key` prints on the peer",
			       value);
	return bf_field_text(value, field, bytes, err);
}

int bf_field_bool(const char *value, void *field, size_t bytes,
		      struct bf_error *err)
{
	static const char *const words[] = { "no", "yes", "false", "true",
					     "off", "on", "0", "1" };

	for (size_t i = 0; i < NR(words); i++) {
		if (!strcasecmp(value, words[i])) {
			*(bool *)field = i & 1;
			return 0;
		}
	}
	return bf_fail(err, BF_E_CONFIG, EINVAL,
		       "\"%.40s\" is neither yes nor no", value);
}

int bf_field_interval(const char *value, void *field, size_t bytes,
			  struct bf_error *err)
{
	uint64_t ns;
	int ret = bf_parse_time(value, &ns, err);

	if (!ret && ns > BF_TIME_MAX_NS)
		ret = bf_fail(err, BF_E_CONFIG, EINVAL,
			      "%.40s is more than 30 days", value);
	if (!ret)
		*(uint64_t *)field = ns;
	return ret;
}

int bf_field_timeout(const char *value, void *field, size_t bytes,
			 struct bf_error *err)
{
	uint64_t ns;
	int ret = bf_field_interval(value, &ns, sizeof(ns), err);

	if (!ret && ns < TIMEOUT_MIN_NS)
		ret = bf_fail(err, BF_E_CONFIG, EINVAL,
			      "%.40s is less than 100ms", value);
	if (!ret)
		*(uint64_t *)field = ns;
	return ret;
}

static int field_number(const char *value, unsigned long from,
			unsigned long to, uint32_t *field, struct bf_error *err)
{
	char *end;
	unsigned long nr = strtoul(value, &end, 10);

	if (end == value || *end || *value == '-' || nr < from || nr > to)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.40s\" is not a number from %lu to %lu",
			       value, from, to);
	*field = nr;
	return 0;
}

int bf_field_full_copies(const char *value, void *field, size_t bytes,
			 struct bf_error *err)
{
	return field_number(value, 1, FULL_COPIES_MAX, field, err);
}

int bf_field_more_connections(const char *value, void *field, size_t bytes,
			      struct bf_error *err)
{
	return field_number(value, 0, MORE_CONNECTIONS_MAX, field, err);
}

int bf_field_granularity(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	uint64_t size;
	int ret = bf_parse_size(value, &size, err);

	if (!ret && (size < 4096 || size > 64u << 20 || size & (size - 1)))
		ret = bf_fail(err, BF_E_CONFIG, EINVAL,
			      "%.40s is not a power of two from 4K to 64M",
			      value);
	if (!ret)
		*(uint32_t *)field = (uint32_t)size;
	return ret;
}

int bf_field_in_flight(const char *value, void *field, size_t bytes,
		       struct bf_error *err)
{
	uint64_t size;
	int ret = bf_parse_size(value, &size, err);

	if (!ret && (size < BF_IN_FLIGHT_MIN || size > BF_IN_FLIGHT_MAX))
		ret = bf_fail(err, BF_E_CONFIG, EINVAL,
			      "%.40s is out of range: 2M to 256M", value);
	if (!ret)
		*(uint64_t *)field = size;
	return ret;
}

int bf_field_level(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	return bf_parse_level(value, field, err);
}

int bf_field_connections(const char *value, void *field, size_t bytes,
			 struct bf_error *err)
{
	return field_number(value, 1, WIRE_CONNECTIONS_MAX, field, err);
}
