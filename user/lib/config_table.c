// SPDX-License-Identifier: Apache-2.0
/*
 * Config table: sections and keys of a file flow in, each is found in its
 * table, checked and stored. Nothing unknown passes, no name comes twice; a
 * section or key that does has been refused by the reader.
 */
#include "lib/config_table.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/ini.h"

/* A file being read: where the keys of the open section go. */
struct binding {
	void *config;
	const struct bf_config_section *sections;
	const struct bf_config_section *section;
	void *fields;
	uint32_t seen;			/* bit i: keys[i] was given */
};

int bf_config_fail(struct bf_error *err, const char *format, const char *what)
{
	return bf_fail(err, BF_E_CONFIG, EINVAL, format, what);
}

static const struct bf_config_key *
find_key(const struct bf_config_section *section, const char *name)
{
	for (const struct bf_config_key *key = section->keys; key->name; key++) {
		if (!strcmp(key->name, name))
			return key;
	}
	return NULL;
}

static int on_section(void *context, const char *kind, const char *name,
		      struct bf_error *err)
{
	struct binding *binding = context;
	const struct bf_config_section *section = binding->sections;

	while (section->kind && strcmp(section->kind, kind))
		section++;
	if (!section->kind)
		return bf_config_fail(err, "there is no section of the kind \"%.40s\"; see the manual page for those there are", kind);
	if (!section->named && *name)
		return bf_config_fail(err, "[%.40s] takes no name", kind);
	if (section->named && !bf_name_valid(name))
		return bf_config_fail(err, "\"%.80s\" is not a name: 1 to 63 letters, digits and -_., starting with none of -.", name);
	binding->section = section;
	binding->seen = 0;
	binding->fields = section->open(binding->config, name, err);
	return binding->fields ? 0 : -EINVAL;
}

/* Bytes of @value before a blank and "#", without the blanks there. */
static size_t before_comment(const char *value)
{
	size_t kept = 0;

	for (size_t i = 0; value[i]; i++) {
		if (value[i] == '#' && (kept < i || !i))
			break;
		if (!isblank((unsigned char)value[i]))
			kept = i + 1;
	}
	return kept;
}

static int parse_value(const struct bf_config_key *key, const char *value,
		       void *field, struct bf_error *err)
{
	_cleanup_free_ char *text = NULL;

	if (key->parse == bf_field_command)
		return bf_field_command(value, field, key->bytes, err);
	text = strndup(value, before_comment(value));
	if (!text)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	return key->parse(text, field, key->bytes, err);
}

static int on_key(void *context, const char *name, const char *value,
		  struct bf_error *err)
{
	struct binding *binding = context;
	const struct bf_config_key *key = find_key(binding->section, name);
	int ret;

	if (!key)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "[%s] has no key \"%.40s\"; see the manual page for those it has",
			       binding->section->kind, name);
	binding->seen |= 1u << (key - binding->section->keys);
	ret = parse_value(key, value, (char *)binding->fields + key->offset,
			  err);
	return ret ? bf_fail_prefix(err, ret, "%s: ", name) : 0;
}

static int on_section_end(void *context, struct bf_error *err)
{
	struct binding *binding = context;
	const struct bf_config_key *keys = binding->section->keys;

	for (size_t i = 0; keys[i].name; i++) {
		if (keys[i].required && !(binding->seen & 1u << i))
			return bf_config_fail(err, "it needs the key %s", keys[i].name);
	}
	return 0;
}

static const struct bf_ini_ops binding_ops = {
	.section = on_section,
	.key = on_key,
	.section_end = on_section_end,
};

void *bf_config_add(void *array_field, size_t *nr, size_t element_bytes,
		    size_t max, const char *name, struct bf_error *err)
{
	char *array = *(void **)array_field, *element;

	for (size_t i = 0; i < *nr; i++) {
		if (!strcmp(array + i * element_bytes, name)) {
			bf_config_fail(err, "\"%s\" is given twice", name);
			return NULL;
		}
	}
	if (*nr == max) {
		bf_config_fail(err, "\"%s\" is one too many", name);
		return NULL;
	}
	array = reallocarray(array, *nr + 1, element_bytes);
	if (!array) {
		bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
		return NULL;
	}
	*(void **)array_field = array;
	element = array + (*nr)++ * element_bytes;
	memset(element, 0, element_bytes);
	strcpy(element, name);	/* each struct starts with its name */
	return element;
}

int bf_config_read(const char *path, const struct bf_config_section *sections,
		   void *config, struct bf_error *err)
{
	struct binding binding = { .config = config, .sections = sections };

	return bf_ini_parse(path, &binding_ops, &binding, err);
}
