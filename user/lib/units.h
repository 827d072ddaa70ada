/* SPDX-License-Identifier: Apache-2.0 */
/* Units: sizes, rates and times as people write them, and back. */
#ifndef BF_LIB_UNITS_H
#define BF_LIB_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* "4096", "4K", "1.5G": K M G T P are binary. */
int bf_parse_size(const char *text, uint64_t *bytes, struct bf_error *err);
/* "250ms", "30s", "5m", "1h"; a bare number is seconds. */
int bf_parse_time(const char *text, uint64_t *ns, struct bf_error *err);
/* "10M" is bytes/s; "100Mbit" is decimal bits/s. */
int bf_parse_rate(const char *text, uint64_t *bytes_per_second,
		  struct bf_error *err);

#define BF_UNIT_TEXT_BYTES 32
const char *bf_format_size(uint64_t bytes, char text[BF_UNIT_TEXT_BYTES]);
const char *bf_format_time(uint64_t ns, char text[BF_UNIT_TEXT_BYTES]);
const char *bf_format_rate(uint64_t bytes_per_second,
			   char text[BF_UNIT_TEXT_BYTES]);
/* 36 characters and NUL; parse returns -EINVAL for anything else. */
void bf_format_uuid(const uint8_t uuid[16], char text[37]);
int bf_parse_uuid(const char *text, uint8_t uuid[16]);

#endif /* BF_LIB_UNITS_H */
