/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ini: a configuration file becomes checked calls. "[kind]" or "[kind name]"
 * opens a section, "key = value" belongs to it, lines that start with "#" or
 * ";" are comments. A value is the rest of its line, unquoted: a shell command
 * may hold ";" and "#". Nothing goes on over lines. No section or key comes
 * twice; upper and lower case are the same there, and nowhere else.
 */
#ifndef BF_LIB_INI_H
#define BF_LIB_INI_H

#include <stddef.h>

#include "error.h"

/*
 * A receiver's file takes some 200 bytes a source. The library looks names up
 * in lists: time grows with the square of their number.
 */
#define BF_INI_FILE_BYTES (256 * 1024)

struct bf_ini_ops {
	/* @name is "" where the section has none. */
	int (*section)(void *context, const char *kind, const char *name,
		       struct bf_error *err);
	int (*key)(void *context, const char *key, const char *value,
		   struct bf_error *err);
	/* The section ends; an error is said of the section. */
	int (*section_end)(void *context, struct bf_error *err);
};

/*
 * Stops at the first error, which names the file and the line, or the section
 * that it is about as a whole, and is BF_E_CONFIG (BF_E_NOT_FOUND or
 * BF_E_SYSTEM if the file cannot be read).
 */
int bf_ini_parse(const char *path, const struct bf_ini_ops *ops, void *context,
		 struct bf_error *err);

#endif /* BF_LIB_INI_H */
