// SPDX-License-Identifier: Apache-2.0
/* BUILD: user/cli/output.c */
/*
 * Policy: text and JSON come from one table of columns: a key that the table
 * does not name is in neither, a key that it names is always in JSON.
 */
#include <stdlib.h>

#include "cli/output.h"
#include "tap.h"

static const struct cli_column columns[] = {
	{ "name", "name", CLI_TEXT },
	{ "size_bytes", "size", CLI_SIZE },
	{ "age_ns", "age", CLI_TIME },
	{ "rate", "rate", CLI_RATE },
	{ "count", NULL, CLI_COUNT },
	{ "on", "on", CLI_BOOL },
	{ "reasons", "reasons", CLI_LIST },
	{ "pass.number", "pass", CLI_COUNT },
	{ "labels", "labels", CLI_PAIRS },
	{ 0 },
};

static json_t *row(void)
{
	return json_pack("{s:s, s:i, s:f, s:i, s:i, s:b, s:[s,s], s:{s:i}, s:s, s:{s:s, s:s}}",
			 "name", "vdb", "size_bytes", 4096, "age_ns", 1.5e9,
			 "rate", 1 << 20, "count", 7, "on", 1,
			 "reasons", "resized", "gone", "pass", "number", 3,
			 "secret", "x", "labels", "site", "berlin",
			 "owner", "shop");
}

static void expect_cell(size_t index, const json_t *object, const char *wanted)
{
	char *cell = cli_cell(&columns[index], object);

	if (strcmp(cell, wanted))
		tap_fail(__FILE__, __LINE__, "%s is \"%s\", wanted \"%s\"",
			 columns[index].key, cell, wanted);
	free(cell);
}

static void cells(void)
{
	json_t *object = row();

	expect_cell(0, object, "vdb");
	expect_cell(1, object, "4K");
	expect_cell(2, object, "1.5s");
	expect_cell(3, object, "1M/s");
	expect_cell(4, object, "7");
	expect_cell(5, object, "yes");
	expect_cell(6, object, "resized, gone");
	expect_cell(7, object, "3");
	expect_cell(8, object, "site=berlin owner=shop");
	json_decref(object);
}

static void nothing_is_a_dash(void)
{
	json_t *object = json_pack("{s:n, s:s, s:[], s:{}}", "size_bytes",
				   "name", "", "reasons", "labels");

	for (size_t i = 0; columns[i].key; i++)
		expect_cell(i, object, "-");
	json_decref(object);
}

static void table_text(void)
{
	json_t *rows = json_pack("[o]", row());
	struct bf_error err;
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	check(out && !cli_print_table(out, columns, rows, &err));
	fclose(out);
	check_says(text, "name size");
	check_says(text, "vdb    4K");
	check(!strstr(text, "count") && !strstr(text, "secret"));
	free(text);
	json_decref(rows);
}

static const struct cli_column said[] = {
	{ "text", "text", CLI_TEXT }, { "list", "list", CLI_TEXT },
	{ "pairs", "pairs", CLI_PAIRS }, { 0 }
};

/* A peer's words, alone and in a list: ESC, DEL, and CSI as UTF-8 writes it. */
static void no_control_characters(void)
{
	json_t *object = json_pack("{ss, s[s], s{ss, si}}", "text",
				   "a\033[2J\x7f b", "list",
				   "\xc2\x9b" "2J \xc3\xa9 \033c", "pairs",
				   "\033c", "\033c", "n", 7);
	char *text = cli_cell(&said[0], object);
	char *list = cli_cell(&said[1], object);
	char *pairs = cli_cell(&said[2], object);

	check(!strcmp(text, "a?[2J? b"));
	check(!strcmp(list, "??2J \xc3\xa9 ?c"));
	check(!strcmp(pairs, "?c=?c n=?"));
	free(text);
	free(list);
	free(pairs);
	json_decref(object);
}

static void empty_table(void)
{
	json_t *rows = json_array();
	struct bf_error err;
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	check(out && !cli_print_table(out, columns, rows, &err));
	fclose(out);
	check(!strstr(text, "vdb"));
	free(text);
	json_decref(rows);
}

static void fields_leave_out_nothing_known(void)
{
	json_t *object = json_pack("{s:s, s:n}", "name", "vdb", "age_ns");
	struct bf_error err;
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	check(out && !cli_print_fields(out, columns, object, &err));
	fclose(out);
	check(!strcmp(text, "  name     vdb\n"));
	free(text);
	json_decref(object);
}

static void json_has_the_columns(void)
{
	json_t *rows = json_pack("[o]", row());
	json_t *selected = cli_select_rows(columns, rows);
	const json_t *first = json_array_get(selected, 0);
	char *text = json_dumps(selected, JSON_COMPACT);

	check_eq(json_object_size(first), 9);
	check(!json_object_get(first, "secret"));
	check_eq(json_integer_value(json_object_get(first, "pass.number")), 3);
	check_says(text, "[{\"name\":\"vdb\",\"size_bytes\":4096,");
	free(text);
	json_decref(selected);
	json_decref(rows);
}

static void json_never_lacks_a_column(void)
{
	json_t *object = json_object();
	json_t *selected = cli_select_row(columns, object);

	check_eq(json_object_size(selected), 9);
	check(json_is_null(json_object_get(selected, "name")));
	json_decref(selected);
	json_decref(object);
}

int main(void)
{
	tap_run("cells in the unit of their column", cells);
	tap_run("null, missing and empty are a dash", nothing_is_a_dash);
	tap_run("a table with its headers", table_text);
	tap_run("no control characters", no_control_characters);
	tap_run("a table without rows", empty_table);
	tap_run("fields leave out what has no value", fields_leave_out_nothing_known);
	tap_run("JSON has the columns in their order, no other key",
		json_has_the_columns);
	tap_run("JSON says null rather than leave a column out",
		json_never_lacks_a_column);
	return tap_done();
}
