// SPDX-License-Identifier: Apache-2.0
/*
 * Limits: text flows in, checked figures flow out; a local time flows in, the
 * rate that holds then flows out. See limits.h.
 */
#include "lib/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/config_table.h"
#include "lib/units.h"

#define DAY_MINUTES 1440
#define EVERY_DAY 0x7f

static const char *const day_names[7] = {
	"mon", "tue", "wed", "thu", "fri", "sat", "sun"
};

int bf_parse_limit_rate(const char *text, uint64_t *rate_bytes,
			struct bf_error *err)
{
	if (!strcmp(text, "none")) {
		*rate_bytes = 0;
		return 0;
	}
	return bf_parse_rate(text, rate_bytes, err);
}

/* ---- windows ---- */

static int day_of(const char *name)
{
	for (int i = 0; i < 7; i++)
		if (!strcmp(name, day_names[i]))
			return i;
	return -1;
}

/* "mon" or "mon-fri"; "fri-mon" goes over the weekend. */
static int parse_span(char *text, uint8_t *days)
{
	char *to = strchr(text, '-');
	int first, last;

	if (to)
		*to++ = '\0';
	first = day_of(text);
	last = to ? day_of(to) : first;
	if (first < 0 || last < 0)
		return -EINVAL;
	for (int day = first; ; day = (day + 1) % 7) {
		*days |= 1u << day;
		if (day == last)
			return 0;
	}
}

static int parse_days(char *text, uint8_t *days)
{
	char *state = NULL;
	int ret = 0;

	*days = 0;
	if (!strcmp(text, "daily")) {
		*days = EVERY_DAY;
		return 0;
	}
	for (char *span = strtok_r(text, "+", &state); span && !ret;
	     span = strtok_r(NULL, "+", &state))
		ret = parse_span(span, days);
	return ret ? ret : *days ? 0 : -EINVAL;
}

static int parse_hours(const char *text, struct bf_rate_window *window)
{
	unsigned int h1, m1, h2, m2;
	int used = 0;

	if (sscanf(text, "%2u:%2u-%2u:%2u%n", &h1, &m1, &h2, &m2, &used) != 4 ||
	    text[used] || m1 > 59 || m2 > 59)
		return -EINVAL;
	window->from_minute = h1 * 60 + m1;
	window->to_minute = h2 * 60 + m2;
	return window->from_minute < DAY_MINUTES &&
	       window->to_minute <= DAY_MINUTES &&
	       window->from_minute != window->to_minute ? 0 : -EINVAL;
}

static int parse_window(char *text, struct bf_rate_window *window,
			struct bf_error *err)
{
	char days[64], hours[32], rate[32];
	int used = 0;

	if (sscanf(text, " %63s %31s %31s %n", days, hours, rate, &used) != 3 ||
	    text[used] || parse_days(days, &window->days) ||
	    parse_hours(hours, window))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%.80s\" is not a rate window: DAYS HH:MM-HH:MM RATE, for example mon-fri 08:00-18:00 20Mbit",
			       text);
	return bf_parse_limit_rate(rate, &window->rate_bytes, err);
}

int bf_parse_windows(const char *text, struct bf_limits *limits,
		     struct bf_error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	struct bf_rate_window windows[BF_RATE_WINDOWS_MAX];
	char *state = NULL;
	size_t nr = 0;

	if (!copy)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	if (!strcmp(text, "none")) {
		limits->nr_windows = 0;
		return 0;
	}
	for (char *one = strtok_r(copy, ",", &state); one;
	     one = strtok_r(NULL, ",", &state)) {
		if (nr == BF_RATE_WINDOWS_MAX)
			return bf_fail(err, BF_E_USAGE, E2BIG,
				       "there are more than %d rate windows",
				       BF_RATE_WINDOWS_MAX);
		if (parse_window(one, &windows[nr++], err))
			return -EINVAL;
	}
	if (!nr)
		return bf_fail(err, BF_E_USAGE, EINVAL, "no rate window is named");
	memcpy(limits->windows, windows, nr * sizeof(windows[0]));
	limits->nr_windows = nr;
	return 0;
}

static void format_days(uint8_t days, char text[32])
{
	size_t used = 0;

	if (days == EVERY_DAY) {
		snprintf(text, 32, "daily");
		return;
	}
	for (int i = 0; i < 7; i++)
		if (days & 1u << i)
			used += snprintf(text + used, 32 - used, "%s%s",
					 used ? "+" : "", day_names[i]);
}

void bf_format_windows(const struct bf_limits *limits,
		       char text[BF_RATE_WINDOWS_BYTES])
{
	size_t used = 0;

	snprintf(text, BF_RATE_WINDOWS_BYTES, "none");
	for (size_t i = 0; i < limits->nr_windows &&
	     used < BF_RATE_WINDOWS_BYTES; i++) {
		const struct bf_rate_window *w = &limits->windows[i];
		char days[32], rate[BF_UNIT_TEXT_BYTES];

		format_days(w->days, days);
		used += snprintf(text + used, BF_RATE_WINDOWS_BYTES - used,
				 "%s%s %02u:%02u-%02u:%02u %s", used ? ", " : "",
				 days, w->from_minute / 60, w->from_minute % 60,
				 w->to_minute / 60, w->to_minute % 60,
				 w->rate_bytes ?
				 bf_format_rate(w->rate_bytes, rate) : "none");
	}
}

static bool holds(const struct bf_rate_window *window, int day, int minute)
{
	int before = (day + 6) % 7;

	if (window->from_minute < window->to_minute)
		return window->days & 1u << day &&
		       minute >= window->from_minute &&
		       minute < window->to_minute;
	return (window->days & 1u << day && minute >= window->from_minute) ||
	       (window->days & 1u << before && minute < window->to_minute);
}

uint64_t bf_limits_rate_at(const struct bf_limits *limits, const struct tm *at)
{
	int day = (at->tm_wday + 6) % 7, minute = at->tm_hour * 60 + at->tm_min;

	for (size_t i = 0; i < limits->nr_windows; i++)
		if (holds(&limits->windows[i], day, minute))
			return limits->windows[i].rate_bytes;
	return limits->rate_bytes;
}

/* ---- one by name ---- */

static int parse_cores(const char *text, unsigned int *cores,
		       struct bf_error *err)
{
	unsigned long number;
	char *end;

	if (!strcmp(text, "all")) {
		*cores = 0;
		return 0;
	}
	number = strtoul(text, &end, 10);
	if (end == text || *end || *text == '-' || !number ||
	    number > BF_CORES_MAX)
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%.40s\" is not a number of cores: all, or 1 to %d",
			       text, BF_CORES_MAX);
	*cores = number;
	return 0;
}

int bf_limits_set(struct bf_limits *limits, const char *key, const char *value,
		  struct bf_error *err)
{
	int ret;

	if (!strcmp(key, "rate"))
		ret = bf_parse_limit_rate(value, &limits->rate_bytes, err);
	else if (!strcmp(key, "rate-windows"))
		ret = bf_parse_windows(value, limits, err);
	else if (!strcmp(key, "read-rate"))
		ret = bf_parse_limit_rate(value, &limits->read_rate_bytes, err);
	else if (!strcmp(key, "level") || !strcmp(key, "compression"))
		ret = bf_parse_level(value, &limits->level, err);
	else if (!strcmp(key, "interval"))
		ret = bf_field_interval(value, &limits->interval_ns,
					sizeof(limits->interval_ns), err);
	else if (!strcmp(key, "cores"))
		ret = parse_cores(value, &limits->cores, err);
	else
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%.40s\" cannot be set: rate, rate-windows, read-rate, level, interval and cores can",
			       key);
	return ret ? bf_fail_prefix(err, ret, "%s: ", key) : 0;
}
