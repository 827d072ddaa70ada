/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Config table: a configuration is a table of sections, a section a table of
 * keys, a key a name, a field and a parser. Private to the configuration.
 */
#ifndef BF_LIB_CONFIG_TABLE_H
#define BF_LIB_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* Checks @value and stores it; @bytes is the room of a text field. */
typedef int (*bf_field_parser)(const char *value, void *field, size_t bytes,
			       struct bf_error *err);

struct bf_config_key {
	const char *name;
	bf_field_parser parse;
	size_t offset, bytes;
	bool required;
};

struct bf_config_section {
	const char *kind;
	bool named;
	const struct bf_config_key *keys;	/* ends with a name of NULL */
	/* The struct that its keys go to; NULL with @err: refused. */
	void *(*open)(void *config, const char *name, struct bf_error *err);
};

#define BF_CONFIG_KEY(type, key, field, parser) \
	{ key, parser, offsetof(type, field), \
	  sizeof(((type *)0)->field), false }
#define BF_CONFIG_KEY_REQUIRED(type, key, field, parser) \
	{ key, parser, offsetof(type, field), \
	  sizeof(((type *)0)->field), true }

/* @sections ends with a kind of NULL. */
int bf_config_read(const char *path, const struct bf_config_section *sections,
		   void *config, struct bf_error *err);

/* "one %s in the format": BF_E_CONFIG. */
int bf_config_fail(struct bf_error *err, const char *format, const char *what);

/*
 * Append a zeroed element to an array and name it; names are unique and stand
 * first in the element. NULL with @err: refused.
 */
void *bf_config_add(void *array_field, size_t *nr, size_t element_bytes,
		    size_t max, const char *name, struct bf_error *err);

/* Parsers. */
int bf_field_text(const char *, void *, size_t, struct bf_error *);
/* A text to which a "#" means something: what follows it is no comment. */
int bf_field_command(const char *, void *, size_t, struct bf_error *);
int bf_field_path(const char *, void *, size_t, struct bf_error *);
int bf_field_fingerprint(const char *, void *, size_t, struct bf_error *);
int bf_field_bool(const char *, void *, size_t, struct bf_error *);
int bf_field_interval(const char *, void *, size_t, struct bf_error *);
int bf_field_timeout(const char *, void *, size_t, struct bf_error *);
int bf_field_full_copies(const char *, void *, size_t, struct bf_error *);
int bf_field_more_connections(const char *, void *, size_t, struct bf_error *);
int bf_field_granularity(const char *, void *, size_t, struct bf_error *);
int bf_field_in_flight(const char *, void *, size_t, struct bf_error *);	/* uint64_t */
int bf_field_level(const char *, void *, size_t, struct bf_error *);
int bf_field_read_error(const char *, void *, size_t, struct bf_error *);	/* bool */
int bf_field_connections(const char *, void *, size_t, struct bf_error *);	/* uint32_t */

#endif /* BF_LIB_CONFIG_TABLE_H */
