// SPDX-License-Identifier: Apache-2.0
/* Errors: see error.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

struct code_row {
	enum bf_code code;
	const char *name;
	enum bf_exit exit_code;
};

static const struct code_row rows[] = {
#define ROW(constant, number, name, exit_code) { constant, name, exit_code },
	BF_ERROR_TABLE(ROW)
#undef ROW
};

static const struct code_row *find_row(uint32_t number)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((uint32_t)rows[i].code == number)
			return &rows[i];
	return NULL;
}

/* The text goes to messages of one line: no control characters. */
static void keep_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

int bf_fail(struct bf_error *err, enum bf_code code, int errnum,
	    const char *format, ...)
{
	if (err) {
		va_list args;

		err->code = code;
		err->errnum = errnum;
		va_start(args, format);
		vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
		keep_one_line(err->text);
	}
	return errnum ? -errnum : -EIO;
}

int bf_fail_prefix(struct bf_error *err, int ret, const char *format, ...)
{
	char below[BF_ERROR_TEXT_BYTES];
	size_t length;
	va_list args;

	if (!err)
		return ret;
	memcpy(below, err->text, sizeof(below));
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	length = strlen(err->text);
	snprintf(err->text + length, sizeof(err->text) - length, "%s", below);
	keep_one_line(err->text);
	return ret;
}

const char *bf_code_name(enum bf_code code)
{
	const struct code_row *row = find_row(code);

	return row ? row->name : "system";
}

enum bf_exit bf_code_exit(enum bf_code code)
{
	const struct code_row *row = find_row(code);

	return row ? row->exit_code : BF_EXIT_FAILED;
}

enum bf_code bf_code_from_number(uint32_t number)
{
	const struct code_row *row = find_row(number);

	return row ? row->code : BF_E_SYSTEM;
}
