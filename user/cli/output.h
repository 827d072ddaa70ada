/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output: one table of columns gives both text and JSON. A row is a JSON
 * object; a column says which of its keys is shown, under which header and in
 * which unit. A key is stable once released. "pass.number" looks inside.
 */
#ifndef BF_CLI_OUTPUT_H
#define BF_CLI_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

#include "lib/error.h"

enum cli_format {
	CLI_TEXT,
	CLI_COUNT,
	CLI_SIZE,		/* bytes */
	CLI_TIME,		/* nanoseconds */
	CLI_RATE,		/* bytes a second */
	CLI_BOOL,
	CLI_LIST,		/* of strings */
	CLI_PAIRS,		/* an object's keys and strings */
};

/* A table of them ends with a key of NULL. */
struct cli_column {
	const char *key;
	const char *header;	/* NULL: in JSON only */
	enum cli_format format;
};

/* What a person reads; "-" for null or nothing. For the caller to free. */
char *cli_cell(const struct cli_column *column, const json_t *row);

/* Rows of an array below a line of headers. */
int cli_print_table(FILE *out, const struct cli_column *columns,
		    const json_t *rows, struct bf_error *err);
/* One row, a line for each column; what has no value is left out. */
int cli_print_fields(FILE *out, const struct cli_column *columns,
		     const json_t *row, struct bf_error *err);
/* The rows at @key of @object as a table below an empty line, if there are any. */
int cli_print_part(FILE *out, const struct cli_column *columns,
		   const json_t *object, const char *key, struct bf_error *err);
/* A new object or array with the columns' keys, in their order, no others. */
json_t *cli_select_row(const struct cli_column *columns, const json_t *row);
json_t *cli_select_rows(const struct cli_column *columns, const json_t *rows);

#endif /* BF_CLI_OUTPUT_H */
