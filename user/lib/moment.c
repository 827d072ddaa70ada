// SPDX-License-Identifier: Apache-2.0
/*
 * Moment: a point in time as an operator writes it flows in, seconds since the
 * epoch flow out. Local time, as the clock on the wall has it.
 */
#include "lib/moment.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/units.h"

#define NS_PER_S 1000000000ull

static int not_understood(const char *text, struct bf_error *err)
{
	return bf_fail(err, BF_E_USAGE, EINVAL,
		       "\"%.60s\" is no moment: 02:00, 2026-11-22 02:00, or +30m",
		       text);
}

/* True if @text is nothing but what @format says. */
static bool reads_as(const char *text, const char *format, struct tm *tm)
{
	const char *end = strptime(text, format, tm);

	return end && !*end;
}

/* The next time that the clock shows it. */
static time_t next_of_day(struct tm *tm, time_t now)
{
	struct tm today;
	time_t at;

	localtime_r(&now, &today);
	today.tm_hour = tm->tm_hour;
	today.tm_min = tm->tm_min;
	today.tm_sec = tm->tm_sec;
	today.tm_isdst = -1;
	at = mktime(&today);
	if (at >= now)
		return at;
	today.tm_mday++;
	today.tm_hour = tm->tm_hour;
	today.tm_isdst = -1;
	return mktime(&today);
}

int bf_parse_moment(const char *text, time_t now, time_t *at,
		    struct bf_error *err)
{
	static const char *const of_day[] = { "%H:%M", "%H:%M:%S" };
	static const char *const dates[] = { "%Y-%m-%d %H:%M",
					     "%Y-%m-%d %H:%M:%S",
					     "%Y-%m-%dT%H:%M",
					     "%Y-%m-%dT%H:%M:%S" };
	struct tm tm = { .tm_isdst = -1 };
	uint64_t ns;

	if (*text == '+') {
		if (bf_parse_time(text + 1, &ns, err))
			return not_understood(text, err);
		*at = now + (ns + NS_PER_S - 1) / NS_PER_S;
		return 0;
	}
	for (size_t i = 0; i < 2; i++)
		if (reads_as(text, of_day[i], &tm)) {
			*at = next_of_day(&tm, now);
			return 0;
		}
	for (size_t i = 0; i < 4; i++) {
		tm = (struct tm){ .tm_isdst = -1 };
		if (reads_as(text, dates[i], &tm)) {
			*at = mktime(&tm);
			return 0;
		}
	}
	return not_understood(text, err);
}
