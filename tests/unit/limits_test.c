// SPDX-License-Identifier: Apache-2.0
/*
 * Limits. Policy: a window holds from its first minute to before its last, on
 * its days, over midnight too; what is written back reads the same; whatever
 * cannot be meant is refused with words and changes nothing.
 */
#include "lib/config.h"
#include "tap.h"

static struct bf_limits limits;
static struct bf_error err;

static uint64_t at(int wday, int hour, int minute)
{
	const struct tm tm = { .tm_wday = wday, .tm_hour = hour, .tm_min = minute };

	return bf_limits_rate_at(&limits, &tm);
}

static void windows_hold(void)
{
	limits = (struct bf_limits){ .rate_bytes = 7 };
	check_eq(bf_parse_windows("mon-fri 08:00-18:00 8Mbit, sat+sun 00:00-24:00 none",
				  &limits, &err), 0);
	check_eq(limits.nr_windows, 2);
	check_eq(at(1, 7, 59), 7);
	check_eq(at(1, 8, 0), 1000000);
	check_eq(at(5, 17, 59), 1000000);
	check_eq(at(5, 18, 0), 7);
	check_eq(at(6, 0, 0), 0);
	check_eq(at(0, 23, 59), 0);
}

static void windows_go_over_midnight(void)
{
	limits = (struct bf_limits){ .rate_bytes = 7 };
	check_eq(bf_parse_windows("fri 22:00-06:00 1M", &limits, &err), 0);
	check_eq(at(5, 21, 59), 7);
	check_eq(at(5, 22, 0), 1 << 20);
	check_eq(at(6, 5, 59), 1 << 20);
	check_eq(at(6, 6, 0), 7);
	check_eq(at(5, 1, 0), 7);
	check_eq(at(0, 1, 0), 7);
}

static void the_first_that_holds_counts(void)
{
	limits = (struct bf_limits){ 0 };
	check_eq(bf_parse_windows("daily 12:00-13:00 1K, fri-mon 00:00-24:00 2K",
				  &limits, &err), 0);
	check_eq(at(6, 12, 30), 1024);
	check_eq(at(6, 13, 0), 2048);
	check_eq(at(1, 1, 0), 2048);
	check_eq(at(3, 1, 0), 0);
}

static void windows_read_back(void)
{
	char text[BF_RATE_WINDOWS_BYTES], again[BF_RATE_WINDOWS_BYTES];

	check_eq(bf_parse_windows("sun-tue 00:05-23:59 4M,daily 01:00-02:00 none",
				  &limits, &err), 0);
	bf_format_windows(&limits, text);
	check_says(text, "mon+tue+sun 00:05-23:59 4M/s, daily 01:00-02:00 none");
	check_eq(bf_limits_set(&limits, "rate-windows", "none", &err), 0);
	bf_format_windows(&limits, again);
	check_says(again, "none");
	check_eq(limits.nr_windows, 0);
}

static void refused(const char *key, const char *value)
{
	struct bf_limits before = limits;

	memset(&err, 0, sizeof(err));
	check(bf_limits_set(&limits, key, value, &err) < 0);
	check(err.text[0]);
	check(!memcmp(&before, &limits, sizeof(limits)));
}

static void nonsense_is_refused(void)
{
	static const char *const windows[] = {
		"", ",", "mon", "mon 8-9 1M", "mon 08:00-09:00", "may 08:00-09:00 1M",
		"mon-xyz 08:00-09:00 1M", "mon 24:00-25:00 1M", "mon 08:60-09:00 1M",
		"mon 08:00-08:00 1M", "mon 08:00-09:00 1M more", "+ 08:00-09:00 1M",
		"mon 08:00-09:00 fast", "mon 08:00-09:00x 1M",
	};
	char many[BF_RATE_WINDOWS_BYTES] = "";

	limits = (struct bf_limits){ .rate_bytes = 3, .cores = 2, .level = 5 };
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
		refused("rate-windows", windows[i]);
	for (int i = 0; i <= BF_RATE_WINDOWS_MAX; i++)
		strcat(many, "mon 01:00-02:00 1M,");
	refused("rate-windows", many);
	refused("rate", "fast");
	refused("read-rate", "fast");
	refused("level", "20");
	refused("interval", "31d");
	refused("cores", "0");
	refused("cores", "-1");
	refused("cores", "many");
	refused("speed", "1M");
}

static void each_can_be_set(void)
{
	limits = (struct bf_limits){ 0 };
	check_eq(bf_limits_set(&limits, "rate", "100Mbit", &err), 0);
	check_eq(limits.rate_bytes, 12500000);
	check_eq(bf_limits_set(&limits, "rate", "none", &err), 0);
	check_eq(limits.rate_bytes, 0);
	check_eq(bf_limits_set(&limits, "level", "auto", &err), 0);
	check_eq(limits.level, BF_LEVEL_AUTO);
	check_eq(bf_limits_set(&limits, "compression", "none", &err), 0);
	check_eq(limits.level, 0);
	check_eq(bf_limits_set(&limits, "interval", "5m", &err), 0);
	check_eq(limits.interval_ns, 300000000000);
	check_eq(bf_limits_set(&limits, "cores", "3", &err), 0);
	check_eq(limits.cores, 3);
	check_eq(bf_limits_set(&limits, "cores", "all", &err), 0);
	check_eq(limits.cores, 0);
}

static void cores_are_limited(void)
{
	cpu_set_t given, now;

	check_eq(sched_getaffinity(0, sizeof(given), &given), 0);
	check_eq(bf_cores_limit(1, &given), 0);
	check_eq(sched_getaffinity(0, sizeof(now), &now), 0);
	check_eq(CPU_COUNT(&now), 1);
	check_eq(bf_cores_limit(BF_CORES_MAX, &given), 0);
	check_eq(sched_getaffinity(0, sizeof(now), &now), 0);
	check(CPU_EQUAL(&now, &given));
}

int main(void)
{
	tap_run("windows hold", windows_hold);
	tap_run("windows go over midnight", windows_go_over_midnight);
	tap_run("the first that holds counts", the_first_that_holds_counts);
	tap_run("windows read back", windows_read_back);
	tap_run("nonsense is refused", nonsense_is_refused);
	tap_run("each can be set", each_can_be_set);
	tap_run("cores are limited", cores_are_limited);
	return tap_done();
}
