/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits: what a job may take of network and processors, as its configuration
 * says it and as `blkferry set` changes it while it runs.
 *
 * Rate windows: "DAYS HH:MM-HH:MM RATE, ..." in local time. DAYS is "daily" or
 * days and spans joined by "+": "mon-fri", "sat+sun". A window that ends before
 * it begins goes on until the next day. The first that holds counts; outside of
 * all of them the rate does.
 */
#ifndef BF_LIB_LIMITS_H
#define BF_LIB_LIMITS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "error.h"

#define BF_RATE_WINDOWS_MAX	16
#define BF_RATE_WINDOWS_BYTES	512	/* of their text */
#define BF_CORES_MAX		1024

struct bf_rate_window {
	uint8_t days;			/* bit 0 is Monday */
	uint16_t from_minute, to_minute;	/* of the day, to 1440 */
	uint64_t rate_bytes;		/* a second; 0: no limit */
};

struct bf_limits {
	uint64_t rate_bytes;		/* of the wire, a second; 0: no limit */
	uint64_t read_rate_bytes;	/* of the disks, a second; 0: no limit */
	struct bf_rate_window windows[BF_RATE_WINDOWS_MAX];
	size_t nr_windows;
	int level;			/* BF_LEVEL_AUTO, 0, 1..19 */
	uint64_t interval_ns;
	unsigned int cores;		/* used at most; 0: all */
};

/* Keys: rate, rate-windows, read-rate, level (or compression), interval, cores. */
int bf_limits_set(struct bf_limits *limits, const char *key, const char *value,
		  struct bf_error *err);
/* "none" is 0. */
int bf_parse_limit_rate(const char *text, uint64_t *rate_bytes,
			struct bf_error *err);
int bf_parse_windows(const char *text, struct bf_limits *limits,
		     struct bf_error *err);
void bf_format_windows(const struct bf_limits *limits,
		       char text[BF_RATE_WINDOWS_BYTES]);
/* At this local time. */
uint64_t bf_limits_rate_at(const struct bf_limits *limits, const struct tm *at);

/*
 * All threads of this process run on so many of the processors in @given, what
 * sched_getaffinity said when it was started.
 */
int bf_cores_limit(unsigned int cores, const cpu_set_t *given);

#endif /* BF_LIB_LIMITS_H */
