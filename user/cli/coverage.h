/* SPDX-License-Identifier: Apache-2.0 */
/* Coverage: what of a device's changes a tracker would see, before the start. */
#ifndef BF_CLI_COVERAGE_H
#define BF_CLI_COVERAGE_H

#include <jansson.h>

#include "cli/output.h"

extern const struct cli_column cli_coverage_columns[];
/* Appends a row for each way to change @path. */
int cli_coverage(const char *path, json_t *list, struct bf_error *err);

#endif /* BF_CLI_COVERAGE_H */
