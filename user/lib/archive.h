/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archive: records of one kind that are kept side by side, numbered in the order
 * in which they came: STEM@0001.json, STEM@0002.json, ... None is ever replaced,
 * whatever clocks say. A stem is a path whose last part is a job's name, which
 * has no "@" in it.
 */
#ifndef BF_LIB_ARCHIVE_H
#define BF_LIB_ARCHIVE_H

#include <limits.h>

#include <jansson.h>

#include "error.h"

#define BF_ARCHIVE_MAX 9999

/* BF_E_RECORD when it is full: nobody but the operator takes records away. */
int bf_archive_add(const char *stem, const char *kind, json_t *body,
		   struct bf_error *err);
void bf_archive_path(const char *stem, unsigned int number, char path[PATH_MAX]);
/* *number: of the newest; 0: there is none. */
int bf_archive_newest(const char *stem, unsigned int *number,
		      struct bf_error *err);

#endif /* BF_LIB_ARCHIVE_H */
