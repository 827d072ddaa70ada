// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: what people write is understood or refused with words, never cut
 * and never wrapped around; what is printed can be read again.
 */
#include <errno.h>

#include "lib/units.h"
#include "tap.h"

static struct bf_error err;

static uint64_t size(const char *text)
{
	uint64_t bytes = 0;

	if (bf_parse_size(text, &bytes, &err))
		tap_fail(__FILE__, __LINE__, "\"%s\": %s", text, err.text);
	return bytes;
}

static uint64_t time_ns(const char *text)
{
	uint64_t ns = 0;

	if (bf_parse_time(text, &ns, &err))
		tap_fail(__FILE__, __LINE__, "\"%s\": %s", text, err.text);
	return ns;
}

static uint64_t rate(const char *text)
{
	uint64_t bytes = 0;

	if (bf_parse_rate(text, &bytes, &err))
		tap_fail(__FILE__, __LINE__, "\"%s\": %s", text, err.text);
	return bytes;
}

static void sizes(void)
{
	check_eq(size("0"), 0);
	check_eq(size("4096"), 4096);
	check_eq(size("4K"), 4096);
	check_eq(size("4k"), 4096);
	check_eq(size("4KiB"), 4096);
	check_eq(size("512B"), 512);
	check_eq(size("1.5G"), 3ll << 29);
	check_eq(size("64T"), 64ll << 40);
	check_eq(size("2P"), 2ll << 50);
	check(size("18446744073709551615") == UINT64_MAX);
}

static void bad_sizes(void)
{
	static const char *const bad[] = {
		"", "K", "-1", "+1", " 1", "1 K", "4X", "4KK", "1.", ".5",
		"1.5", "0x10", "18446744073709551616", "16384P", "1e3", "4Kb/s",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t bytes = 77;

		if (bf_parse_size(bad[i], &bytes, &err) != -EINVAL)
			tap_fail(__FILE__, __LINE__, "\"%s\" is taken as %llu",
				 bad[i], (unsigned long long)bytes);
		check_eq(err.code, BF_E_USAGE);
		check_says(err.text, "is not a size");
	}
}

static void times(void)
{
	check_eq(time_ns("0"), 0);
	check_eq(time_ns("30"), 30000000000);
	check_eq(time_ns("0.5"), 500000000);
	check_eq(time_ns("250ms"), 250000000);
	check_eq(time_ns("1.5s"), 1500000000);
	check_eq(time_ns("5m"), 300000000000);
	check_eq(time_ns("5min"), 300000000000);
	check_eq(time_ns("1h"), 3600000000000);
	check_eq(time_ns("1m30s"), 90000000000);
	check_eq(time_ns("1d12h"), 129600000000000);
	check_eq(time_ns("7ns"), 7);
}

static void bad_times(void)
{
	static const char *const bad[] = {
		"", "s", "-1s", "1x", "1m30", "1 s", "30s ", "1h-5m",
		"18446744073709551615s", "600000d",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t ns = 0;

		if (bf_parse_time(bad[i], &ns, &err) != -EINVAL)
			tap_fail(__FILE__, __LINE__, "\"%s\" is taken as %llu",
				 bad[i], (unsigned long long)ns);
		check_says(err.text, "is not a time");
	}
}

static void rates(void)
{
	check_eq(rate("0"), 0);
	check_eq(rate("10M"), 10 << 20);
	check_eq(rate("10M/s"), 10 << 20);
	check_eq(rate("1000/s"), 1000);
	check_eq(rate("100Mbit"), 12500000);
	check_eq(rate("1Gbit"), 125000000);
	check_eq(rate("1.5Mbit/s"), 187500);
	check_eq(rate("8bit"), 1);
}

static void bad_rates(void)
{
	static const char *const bad[] = {
		"", "fast", "10M/h", "10Mbits", "-5M", "10M/", "/s", "10Mbit/",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t bytes = 0;

		if (bf_parse_rate(bad[i], &bytes, &err) != -EINVAL)
			tap_fail(__FILE__, __LINE__, "\"%s\" is taken as %llu",
				 bad[i], (unsigned long long)bytes);
		check_says(err.text, "is not a rate");
	}
}

static void format_sizes(void)
{
	char text[BF_UNIT_TEXT_BYTES];

	check(!strcmp(bf_format_size(0, text), "0B"));
	check(!strcmp(bf_format_size(512, text), "512B"));
	check(!strcmp(bf_format_size(4096, text), "4K"));
	check(!strcmp(bf_format_size(3ull << 29, text), "1.5G"));
	check(!strcmp(bf_format_size(1ull << 40, text), "1T"));
	check(!strcmp(bf_format_size((1ull << 20) + (1ull << 14), text), "1.01M"));
	check(!strcmp(bf_format_size(UINT64_MAX, text), "16383P"));
	check(!strcmp(bf_format_rate(10 << 20, text), "10M/s"));
}

static void format_times(void)
{
	char text[BF_UNIT_TEXT_BYTES];

	check(!strcmp(bf_format_time(0, text), "0s"));
	check(!strcmp(bf_format_time(7, text), "7ns"));
	check(!strcmp(bf_format_time(250000000, text), "250ms"));
	check(!strcmp(bf_format_time(1500000000, text), "1.5s"));
	check(!strcmp(bf_format_time(90000000000, text), "1m30s"));
	check(!strcmp(bf_format_time(3720000000000, text), "1h02m"));
	check(!strcmp(bf_format_time(129600000000000, text), "1d12h"));
}

/* Three digits are kept: reading a printed value again errs by 1 % at most. */
static void round_trip(void)
{
	char text[BF_UNIT_TEXT_BYTES];

	for (uint64_t n = 1; n < 1ull << 58; n = n * 3 + 7) {
		uint64_t again = size(bf_format_size(n, text));

		check(again <= n && n - again <= n / 99 + 1);
		again = rate(bf_format_rate(n, text));
		check(again <= n && n - again <= n / 99 + 1);
		again = time_ns(bf_format_time(n, text));
		check(again <= n && n - again <= n / 23);
	}
}

static void uuids(void)
{
	static const char written[] = "00112233-4455-6677-8899-aabbccddeeff";
	uint8_t uuid[16];
	char text[37];

	check_eq(bf_parse_uuid(written, uuid), 0);
	check_eq(uuid[0], 0x00);
	check_eq(uuid[15], 0xff);
	bf_format_uuid(uuid, text);
	check(!strcmp(text, written));
	check_eq(bf_parse_uuid("00112233-4455-6677-8899-AABBCCDDEEFF", uuid), 0);
	check_eq(uuid[10], 0xaa);
	check_eq(bf_parse_uuid("", uuid), -EINVAL);
	check_eq(bf_parse_uuid("00112233445566778899aabbccddeeff", uuid), -EINVAL);
	check_eq(bf_parse_uuid("00112233-4455-6677-8899-aabbccddeefg", uuid),
		 -EINVAL);
	check_eq(bf_parse_uuid("00112233-4455-6677-8899-aabbccddeeff0", uuid),
		 -EINVAL);
	check_eq(bf_parse_uuid("00112233+4455-6677-8899-aabbccddeeff", uuid),
		 -EINVAL);
}

int main(void)
{
	tap_run("sizes are binary", sizes);
	tap_run("what is no size is refused", bad_sizes);
	tap_run("times, also of several units", times);
	tap_run("what is no time is refused", bad_times);
	tap_run("rates in bytes and in bits", rates);
	tap_run("what is no rate is refused", bad_rates);
	tap_run("sizes as people read them", format_sizes);
	tap_run("times as people read them", format_times);
	tap_run("what is printed can be read again", round_trip);
	tap_run("UUIDs both ways", uuids);
	return tap_done();
}
