// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: a time of day means its next occurrence, a date that very moment, a
 * plus so long from now; everything else is refused in words.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/moment.h"
#include "tap.h"

static struct bf_error err;
static const time_t noon = 1795348800;	/* 2026-11-22 12:00 UTC */

static void means(const char *text, long from_noon_s)
{
	time_t at;

	check_eq(bf_parse_moment(text, noon, &at, &err), 0);
	check_eq(at - noon, from_noon_s);
}

static void times_of_day(void)
{
	means("12:00", 0);
	means("12:30", 30 * 60);
	means("12:00:01", 1);
	means("11:59", 24 * 3600 - 60);
	means("00:00", 12 * 3600);
}

static void dates(void)
{
	means("2026-11-22 13:00", 3600);
	means("2026-11-22T13:00:05", 3605);
	means("2026-11-21 12:00", -24 * 3600);
}

static void from_now(void)
{
	means("+0", 0);
	means("+30m", 1800);
	means("+1500ms", 2);		/* not before it */
}

/* In spring 02:30 does not exist; the day after, the clock goes by itself. */
static void across_a_change_of_clocks(void)
{
	time_t at, evening = 1774728000;	/* 2026-03-28 21:00 in Berlin */

	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	check_eq(bf_parse_moment("06:00", evening, &at, &err), 0);
	check_eq(at - evening, 8 * 3600);	/* not 9: an hour is skipped */
	setenv("TZ", "UTC", 1);
	tzset();
}

static void refused(void)
{
	static const char *const texts[] = { "", "now", "25:00", "12:60", "+",
		"+x", "12", "2026-13-01 10:00", "12:00 tomorrow" };
	time_t at;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		check_eq(bf_parse_moment(texts[i], noon, &at, &err), -EINVAL);
		check_eq(err.code, BF_E_USAGE);
		check_says(err.text, "+30m");
	}
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	tap_run("times of day are the next ones", times_of_day);
	tap_run("dates", dates);
	tap_run("so long from now", from_now);
	tap_run("a night in which the clock changes", across_a_change_of_clocks);
	tap_run("all else is refused", refused);
	return tap_done();
}
