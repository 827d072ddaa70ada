/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: small JSON files that survive a crash. Written to a temporary file,
 * fsynced, renamed over the old one, and the folder fsynced. The file is one
 * JSON object {"format_version": V, "kind": K, "checksum": "hex", "body": {}};
 * the checksum is SHA-256 of the body's compact, key-sorted text. A damaged
 * record, another kind or a later version is refused with words, never guessed
 * at.
 */
#ifndef BF_LIB_RECORD_H
#define BF_LIB_RECORD_H

#include <jansson.h>

#include "error.h"

#define BF_RECORD_VERSION 1

/* -ENOENT with BF_E_NOT_FOUND when there is none. *body: a new reference. */
int bf_record_load(const char *path, const char *kind, json_t **body,
		   struct bf_error *err);
/* Creates missing folders (0700). Durable when it returns 0. */
int bf_record_store(const char *path, const char *kind, json_t *body,
		    struct bf_error *err);
/* The same, but nothing is replaced: -EEXIST with BF_E_EXISTS. */
int bf_record_create(const char *path, const char *kind, json_t *body,
		     struct bf_error *err);
int bf_record_remove(const char *path, struct bf_error *err);

#endif /* BF_LIB_RECORD_H */
