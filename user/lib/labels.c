// SPDX-License-Identifier: Apache-2.0
/*
 * Labels: text of a configuration flows in, an object flows out, or words on
 * what is no label.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/control.h"
#include "lib/labels.h"

#define BLANKS " \t"
#define PAIR_BYTES 256			/* of a text of BF_TEXT_BYTES */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool bf_label_key_valid(const char *key)
{
	if (!is_letter(*key))
		return false;
	for (; *key; key++)
		if (!is_letter(*key) && !(*key >= '0' && *key <= '9') &&
		    *key != '_')
			return false;
	return true;
}

/*
 * The next pair is cut in two. Return: where to look for the one behind it; NULL:
 * there is none. *value: NULL if it has no "=".
 */
static const char *next_pair(const char *text, char pair[PAIR_BYTES],
			     char **value)
{
	size_t length;

	text += strspn(text, BLANKS);
	length = strcspn(text, BLANKS);
	if (!length)
		return NULL;
	snprintf(pair, PAIR_BYTES, "%.*s", (int)length, text);
	*value = strchr(pair, '=');
	if (*value)
		*(*value)++ = '\0';
	return text + length;
}

static int check_pair(const json_t *before, const char *key, const char *value,
		      struct bf_error *err)
{
	if (!value || !*value)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.80s\" is no label: KEY=VALUE, with no blank in it; longer words go to description",
			       key);
	if (!bf_label_key_valid(key))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.80s\" is no key of a label: a letter, then letters, digits and \"_\"",
			       key);
	if (json_object_get(before, key))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "label %.80s is given twice", key);
	return 0;
}

static int parse(const char *text, json_t *labels, struct bf_error *err)
{
	char pair[PAIR_BYTES], *value;
	int ret = 0;

	while (!ret && (text = next_pair(text, pair, &value))) {
		ret = check_pair(labels, pair, value, err);
		if (!ret)
			json_object_set_new(labels, pair,
					    bf_control_string(value));
	}
	return ret;
}

int bf_labels_check(const char *text, struct bf_error *err)
{
	json_t *labels = json_object();
	int ret = parse(text, labels, err);

	json_decref(labels);
	return ret;
}

json_t *bf_labels_object(const char *text)
{
	json_t *labels = json_object();

	parse(text, labels, NULL);
	return labels;
}
