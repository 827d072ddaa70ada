// SPDX-License-Identifier: Apache-2.0
/*
 * Units: text of a person or a configuration file flows in, checked 64-bit
 * numbers flow out, and back. Keeps RULE 6: no value wraps around silently.
 * What is formatted here can be parsed here.
 */
#include "lib/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NR(array) (sizeof(array) / sizeof((array)[0]))

struct unit {
	const char *name;
	uint64_t factor;
};

/* Longest name first where one starts another. */
static const struct unit size_units[] = {
	{ "KiB", 1ull << 10 }, { "MiB", 1ull << 20 }, { "GiB", 1ull << 30 },
	{ "TiB", 1ull << 40 }, { "PiB", 1ull << 50 },
	{ "K", 1ull << 10 }, { "M", 1ull << 20 }, { "G", 1ull << 30 },
	{ "T", 1ull << 40 }, { "P", 1ull << 50 }, { "B", 1 },
};

static const struct unit time_units[] = {
	{ "ns", 1 }, { "us", 1000 }, { "ms", 1000000 },
	{ "min", 60 * 1000000000ull }, { "s", 1000000000 },
	{ "m", 60 * 1000000000ull }, { "h", 3600 * 1000000000ull },
	{ "d", 86400 * 1000000000ull },
};

/* In bits a second; the quotient by 8 is taken once, at the end. */
static const struct unit bit_units[] = {
	{ "Kbit", 1000 }, { "Mbit", 1000000 }, { "Gbit", 1000000000 },
	{ "Tbit", 1000000000000ull }, { "bit", 1 },
};

/* "12" or "12.5": a whole part and a fraction in billionths. */
struct number {
	uint64_t whole;
	uint64_t billionths;
};

static const char *parse_number(const char *text, struct number *number)
{
	uint64_t weight = 100000000;

	*number = (struct number){ 0 };
	if (!isdigit((unsigned char)*text))
		return NULL;
	for (; isdigit((unsigned char)*text); text++) {
		if (__builtin_mul_overflow(number->whole, 10, &number->whole) ||
		    __builtin_add_overflow(number->whole, *text - '0',
					   &number->whole))
			return NULL;
	}
	if (*text != '.')
		return text;
	if (!isdigit((unsigned char)*++text))
		return NULL;
	for (; isdigit((unsigned char)*text); text++, weight /= 10)
		number->billionths += weight * (*text - '0');
	return text;
}

static const char *parse_unit(const char *text, const struct unit *units,
			      size_t nr, uint64_t *factor)
{
	for (size_t i = 0; i < nr; i++) {
		size_t length = strlen(units[i].name);

		if (!strncasecmp(text, units[i].name, length)) {
			*factor = units[i].factor;
			return text + length;
		}
	}
	return NULL;
}

/* Rounds down. Return: false if the product does not fit 64 bits. */
static bool multiply(const struct number *number, uint64_t factor,
		     uint64_t *value)
{
	unsigned __int128 product = (unsigned __int128)number->whole * factor +
		(unsigned __int128)number->billionths * factor / 1000000000;

	*value = (uint64_t)product;
	return product <= UINT64_MAX;
}

int bf_parse_size(const char *text, uint64_t *bytes, struct bf_error *err)
{
	struct number number;
	uint64_t factor = 1;
	const char *at = parse_number(text, &number);

	if (at && *at)
		at = parse_unit(at, size_units, NR(size_units), &factor);
	else if (at && number.billionths)
		at = NULL;
	if (!at || *at || !multiply(&number, factor, bytes))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%s\" is not a size: write bytes or a number with K, M, G, T or P, such as 4K or 1.5G",
			       text);
	return 0;
}

/* One or more numbers with a unit each: "90s", "1m30s". */
static bool parse_compound_time(const char *text, uint64_t *ns)
{
	uint64_t sum = 0;

	do {
		struct number number;
		uint64_t factor, part;

		text = parse_number(text, &number);
		if (text)
			text = parse_unit(text, time_units, NR(time_units),
					  &factor);
		if (!text || !multiply(&number, factor, &part) ||
		    __builtin_add_overflow(sum, part, &sum))
			return false;
	} while (*text);
	*ns = sum;
	return true;
}

int bf_parse_time(const char *text, uint64_t *ns, struct bf_error *err)
{
	struct number number;
	const char *at = parse_number(text, &number);

	if (at && !*at && multiply(&number, 1000000000, ns))
		return 0;
	if (at && *at && parse_compound_time(text, ns))
		return 0;
	return bf_fail(err, BF_E_USAGE, EINVAL,
		       "\"%s\" is not a time: write seconds or a number with ms, s, m, h or d, such as 250ms or 1m30s",
		       text);
}

static const char *skip_per_second(const char *text)
{
	return text && !strcasecmp(text, "/s") ? text + 2 : text;
}

int bf_parse_rate(const char *text, uint64_t *bytes_per_second,
		  struct bf_error *err)
{
	struct number number;
	uint64_t factor = 1, value;
	const char *at = parse_number(text, &number), *unit = at;

	if (at && (at = parse_unit(unit, bit_units, NR(bit_units), &factor))) {
		at = skip_per_second(at);
		if (!*at && multiply(&number, factor, &value)) {
			*bytes_per_second = value / 8;
			return 0;
		}
	} else if (unit) {
		at = unit;
		if (*at && *at != '/')
			at = parse_unit(at, size_units, NR(size_units), &factor);
		at = skip_per_second(at);
		if (at && !*at && multiply(&number, factor, bytes_per_second))
			return 0;
	}
	return bf_fail(err, BF_E_USAGE, EINVAL,
		       "\"%s\" is not a rate: write bytes a second such as 10M, or bits a second such as 100Mbit",
		       text);
}

/* Three digits at least, so that 1.5G is not called 1G. */
static void format_scaled(uint64_t value, uint64_t factor, const char *unit,
			  char text[BF_UNIT_TEXT_BYTES])
{
	uint64_t whole = value / factor;
	uint64_t hundredths = (uint64_t)((unsigned __int128)(value % factor) *
					 100 / factor);

	if (whole >= 100 || !hundredths)
		snprintf(text, BF_UNIT_TEXT_BYTES, "%llu%s",
			 (unsigned long long)whole, unit);
	else if (whole >= 10 || hundredths % 10 == 0)
		snprintf(text, BF_UNIT_TEXT_BYTES, "%llu.%llu%s",
			 (unsigned long long)whole,
			 (unsigned long long)hundredths / 10, unit);
	else
		snprintf(text, BF_UNIT_TEXT_BYTES, "%llu.%02llu%s",
			 (unsigned long long)whole,
			 (unsigned long long)hundredths, unit);
}

const char *bf_format_size(uint64_t bytes, char text[BF_UNIT_TEXT_BYTES])
{
	static const char *const names[] = { "B", "K", "M", "G", "T", "P" };
	size_t i = 0;

	while (i + 1 < NR(names) && bytes >> (10 * (i + 1)))
		i++;
	format_scaled(bytes, 1ull << (10 * i), names[i], text);
	return text;
}

/* From a minute on two units tell more than a fraction does: "1m30s". */
static void format_long_time(uint64_t seconds, char text[BF_UNIT_TEXT_BYTES])
{
	unsigned long long s = seconds;

	if (s >= 86400)
		snprintf(text, BF_UNIT_TEXT_BYTES, "%llud%lluh", s / 86400,
			 s / 3600 % 24);
	else if (s >= 3600)
		snprintf(text, BF_UNIT_TEXT_BYTES, "%lluh%02llum", s / 3600,
			 s / 60 % 60);
	else
		snprintf(text, BF_UNIT_TEXT_BYTES, "%llum%02llus", s / 60,
			 s % 60);
}

const char *bf_format_time(uint64_t ns, char text[BF_UNIT_TEXT_BYTES])
{
	if (ns >= 60 * 1000000000ull)
		format_long_time(ns / 1000000000, text);
	else if (ns >= 1000000000)
		format_scaled(ns, 1000000000, "s", text);
	else if (ns >= 1000000)
		format_scaled(ns, 1000000, "ms", text);
	else if (ns >= 1000)
		format_scaled(ns, 1000, "us", text);
	else if (ns)
		format_scaled(ns, 1, "ns", text);
	else
		snprintf(text, BF_UNIT_TEXT_BYTES, "0s");
	return text;
}

const char *bf_format_rate(uint64_t bytes_per_second,
			   char text[BF_UNIT_TEXT_BYTES])
{
	bf_format_size(bytes_per_second, text);
	strcat(text, "/s");	/* at most 8 characters stand there */
	return text;
}

/* Bytes of a UUID before which a dash stands: 4, 6, 8 and 10. */
static bool dash_before(size_t byte)
{
	return byte >= 4 && byte <= 10 && byte % 2 == 0;
}

void bf_format_uuid(const uint8_t uuid[16], char text[37])
{
	for (size_t i = 0; i < 16; i++) {
		if (dash_before(i))
			*text++ = '-';
		snprintf(text, 3, "%02x", uuid[i]);
		text += 2;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int bf_parse_uuid(const char *text, uint8_t uuid[16])
{
	if (strlen(text) != 36)
		return -EINVAL;
	for (size_t i = 0; i < 16; i++) {
		int high, low;

		if (dash_before(i) && *text++ != '-')
			return -EINVAL;
		high = hex_digit(*text++);
		low = hex_digit(*text++);
		if (high < 0 || low < 0)
			return -EINVAL;
		uuid[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
