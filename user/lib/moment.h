/* SPDX-License-Identifier: Apache-2.0 */
/* Moment: "02:00", "2026-11-22 02:00" or "+30m" as seconds since the epoch. */
#ifndef BF_LIB_MOMENT_H
#define BF_LIB_MOMENT_H

#include <time.h>

#include "error.h"

/* A time of day is the next one from @now on; a date may lie in the past. */
int bf_parse_moment(const char *text, time_t now, time_t *at,
		    struct bf_error *err);

#endif /* BF_LIB_MOMENT_H */
