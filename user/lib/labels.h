/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels: what an operator sorts jobs by, "KEY=VALUE KEY=VALUE ...", as a
 * configuration writes it. A key is what a label's name is to Prometheus, and
 * there once; a value is at least one character and has no blank in it.
 */
#ifndef BF_LIB_LABELS_H
#define BF_LIB_LABELS_H

#include <stdbool.h>

#include <jansson.h>

#include "error.h"

/* BF_E_CONFIG with words that name what is wrong. Blank @text: no labels. */
int bf_labels_check(const char *text, struct bf_error *err);
/* {"KEY": "VALUE", ...} in their order, of what was checked. */
json_t *bf_labels_object(const char *text);
/* A letter, then letters, digits and "_". */
bool bf_label_key_valid(const char *key);

#endif /* BF_LIB_LABELS_H */
