/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As another release: the protocol versions and features that a program for tests
 * speaks are those that its environment names, else this release's. In front of
 * each file of `make faulty`.
 */
#ifndef BF_TESTS_RELEASE_H
#define BF_TESTS_RELEASE_H

#include <stdlib.h>

static inline unsigned long long bf_release(const char *name,
					    unsigned long long ours)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : ours;
}

#define WIRE_VERSION ((int)bf_release("BLKFERRY_VERSION", 1))
#define WIRE_VERSION_MIN ((int)bf_release("BLKFERRY_VERSION_MIN", 1))
#define WIRE_FEATURES bf_release("BLKFERRY_FEATURES", 0xf)

#endif /* BF_TESTS_RELEASE_H */
