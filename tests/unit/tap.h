/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP for unit tests: a case is a function; what it checks flows out as one
 * line a case. A failed check ends its case, not the file.
 */
#ifndef BF_TESTS_TAP_H
#define BF_TESTS_TAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static jmp_buf tap_case;
static int tap_number, tap_failures;

static inline void __attribute__((noreturn, format(printf, 3, 4)))
tap_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("# %s:%d: ", file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	longjmp(tap_case, 1);
}

static inline void __attribute__((noreturn)) tap_skip(const char *why)
{
	printf("# SKIP %s\n", why);
	longjmp(tap_case, 2);
}

#define check(condition) do {						\
	if (!(condition))						\
		tap_fail(__FILE__, __LINE__, "not so: %s", #condition);	\
} while (0)

#define check_eq(got, wanted) do {					\
	long long _got = (got), _wanted = (wanted);			\
	if (_got != _wanted)						\
		tap_fail(__FILE__, __LINE__, "%s is %lld, wanted %lld",	\
			 #got, _got, _wanted);				\
} while (0)

#define check_says(text, words) do {					\
	if (!strstr((text), (words)))					\
		tap_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"",\
			 (text), (words));				\
} while (0)

static inline void tap_run(const char *name, void (*function)(void))
{
	/* volatile: lives across the longjmp */
	volatile int number = ++tap_number;

	switch (setjmp(tap_case)) {
	case 0:
		function();
		printf("ok %d - %s\n", number, name);
		break;
	case 2:
		printf("ok %d - %s # SKIP not here\n", number, name);
		break;
	default:
		printf("not ok %d - %s\n", number, name);
		tap_failures++;
	}
	fflush(stdout);
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_number);
	return tap_failures ? 1 : 0;
}

#endif /* BF_TESTS_TAP_H */
