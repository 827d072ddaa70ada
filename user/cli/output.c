// SPDX-License-Identifier: Apache-2.0
/*
 * Output: rows and a table of columns flow in, aligned text (libsmartcols) or
 * JSON flows out.
 */
#include "cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/units.h"

/* "pass.number": the key "number" of the object "pass". */
static const json_t *look_up(const json_t *row, const char *key)
{
	_cleanup_free_ char *path = strdup(key);
	char *state = NULL;

	for (char *part = strtok_r(path, ".", &state); part && row;
	     part = strtok_r(NULL, ".", &state))
		row = json_object_get(row, part);
	return row;
}

/*
 * Some of it was said by a peer: no control characters on a terminal, neither
 * those of one byte nor those that UTF-8 writes as 0xc2 and another.
 */
static char *make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; c && *c; c++) {
		if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			*c++ = '?';
		else if (*c >= ' ' && *c != 0x7f)
			continue;
		*c = '?';
	}
	return text;
}

static char *join_list(const json_t *list)
{
	char *text = NULL;
	size_t bytes = 0, index;
	json_t *item;
	FILE *out;

	if (!json_array_size(list))
		return strdup("-");
	out = open_memstream(&text, &bytes);
	if (!out)
		return NULL;
	json_array_foreach(list, index, item)
		fprintf(out, "%s%s", index ? ", " : "",
			json_is_string(item) ? json_string_value(item) : "?");
	fclose(out);
	return make_printable(text);
}

/* {"site": "berlin", "owner": "shop"}: "site=berlin owner=shop". */
static char *join_pairs(json_t *object)
{
	char *text = NULL;
	size_t bytes = 0;
	const char *key;
	json_t *value;
	FILE *out;

	if (!json_object_size(object))
		return strdup("-");
	out = open_memstream(&text, &bytes);
	if (!out)
		return NULL;
	json_object_foreach(object, key, value)
		fprintf(out, "%s%s=%s", ftell(out) ? " " : "", key,
			json_is_string(value) ? json_string_value(value) : "?");
	fclose(out);
	return make_printable(text);
}

/* Figures may come as JSON integers or reals; none is negative. */
static uint64_t number_of(const json_t *value)
{
	if (json_is_real(value))
		return json_real_value(value) > 0 ?
			(uint64_t)json_real_value(value) : 0;
	return (uint64_t)json_integer_value(value);
}

static char *format_number(enum cli_format format, uint64_t number)
{
	char text[BF_UNIT_TEXT_BYTES];

	switch (format) {
	case CLI_SIZE:
		return strdup(bf_format_size(number, text));
	case CLI_TIME:
		return strdup(bf_format_time(number, text));
	case CLI_RATE:
		return strdup(bf_format_rate(number, text));
	default:
		snprintf(text, sizeof(text), "%" PRIu64, number);
		return strdup(text);
	}
}

char *cli_cell(const struct cli_column *column, const json_t *row)
{
	const json_t *value = look_up(row, column->key);

	if (json_is_number(value))
		return format_number(column->format, number_of(value));
	if (json_is_boolean(value))
		return strdup(json_is_true(value) ? "yes" : "no");
	if (json_is_array(value))
		return join_list(value);
	if (json_is_object(value))
		return join_pairs((json_t *)value);
	if (json_is_string(value) && *json_string_value(value))
		return make_printable(strdup(json_string_value(value)));
	return strdup("-");
}

static bool right_aligned(enum cli_format format)
{
	return format == CLI_COUNT || format == CLI_SIZE ||
	       format == CLI_TIME || format == CLI_RATE;
}

static int add_columns(struct libscols_table *table,
		       const struct cli_column *columns)
{
	for (; columns->key; columns++) {
		if (columns->header &&
		    !scols_table_new_column(table, columns->header, 0,
					    right_aligned(columns->format) ?
					    SCOLS_FL_RIGHT : 0))
			return -ENOMEM;
	}
	return 0;
}

static int add_row(struct libscols_table *table,
		   const struct cli_column *columns, const json_t *row)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	size_t index = 0;

	if (!line)
		return -ENOMEM;
	for (; columns->key; columns++) {
		char *cell;

		if (!columns->header)
			continue;
		cell = cli_cell(columns, row);
		if (!cell || scols_line_refer_data(line, index++, cell)) {
			free(cell);
			return -ENOMEM;
		}
	}
	return 0;
}

int cli_print_table(FILE *out, const struct cli_column *columns,
		    const json_t *rows, struct bf_error *err)
{
	struct libscols_table *table = scols_new_table();
	int ret = table ? add_columns(table, columns) : -ENOMEM;
	size_t index;
	json_t *row;

	json_array_foreach(rows, index, row) {
		if (!ret)
			ret = add_row(table, columns, row);
	}
	if (!ret) {
		scols_table_set_stream(table, out);
		ret = scols_print_table(table);
	}
	scols_unref_table(table);
	return ret ? bf_fail(err, BF_E_SYSTEM, -ret, "cannot print a table: %s",
			     strerror(-ret)) : 0;
}

int cli_print_part(FILE *out, const struct cli_column *columns,
		   const json_t *object, const char *key, struct bf_error *err)
{
	const json_t *rows = json_object_get(object, key);

	if (!json_array_size(rows))
		return 0;
	fputc('\n', out);
	return cli_print_table(out, columns, rows, err);
}

static size_t header_width(const struct cli_column *columns)
{
	size_t width = 0;

	for (; columns->key; columns++) {
		if (columns->header && strlen(columns->header) > width)
			width = strlen(columns->header);
	}
	return width;
}

int cli_print_fields(FILE *out, const struct cli_column *columns,
		     const json_t *row, struct bf_error *err)
{
	int width = (int)header_width(columns);

	for (; columns->key; columns++) {
		_cleanup_free_ char *cell = NULL;

		if (!columns->header)
			continue;
		cell = cli_cell(columns, row);
		if (!cell)
			return bf_fail(err, BF_E_SYSTEM, ENOMEM,
				       "out of memory");
		if (strcmp(cell, "-"))
			fprintf(out, "  %-*s  %s\n", width, columns->header,
				cell);
	}
	return 0;
}

json_t *cli_select_row(const struct cli_column *columns, const json_t *row)
{
	json_t *selected = json_object();

	for (; columns->key; columns++) {
		const json_t *value = look_up(row, columns->key);

		json_object_set_new(selected, columns->key,
				    value ? json_incref((json_t *)value) :
				    json_null());
	}
	return selected;
}

json_t *cli_select_rows(const struct cli_column *columns, const json_t *rows)
{
	json_t *selected = json_array(), *row;
	size_t index;

	json_array_foreach(rows, index, row)
		json_array_append_new(selected, cli_select_row(columns, row));
	return selected;
}
