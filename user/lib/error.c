// SPDX-License-Identifier: Apache-2.0
/*
 * Errors: a code, an errno and words flow in from where something failed, the
 * stable names and exit codes of the error table flow out.
 */
#include "lib/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int bf_fail(struct bf_error *err, enum bf_code code, int errnum,
	    const char *format, ...)
{
	va_list arguments;

	if (err) {
		err->code = code;
		err->errnum = errnum;
		va_start(arguments, format);
		vsnprintf(err->text, sizeof(err->text), format, arguments);
		va_end(arguments);
	}
	return errnum ? -errnum : -EIO;
}

int bf_fail_prefix(struct bf_error *err, int ret, const char *format, ...)
{
	char words[BF_ERROR_TEXT_BYTES];
	va_list arguments;
	size_t length;

	if (!err)
		return ret;
	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	length = strlen(words);
	snprintf(words + length, sizeof(words) - length, "%s", err->text);
	memcpy(err->text, words, sizeof(words));
	return ret;
}

const char *bf_code_name(enum bf_code code)
{
	switch (code) {
#define BF_ERROR_NAME(constant, number, name, exit_code) \
	case constant:					 \
		return name;
	BF_ERROR_TABLE(BF_ERROR_NAME)
#undef BF_ERROR_NAME
	}
	return "system";
}

enum bf_exit bf_code_exit(enum bf_code code)
{
	switch (code) {
#define BF_ERROR_EXIT(constant, number, name, exit_code) \
	case constant:					 \
		return exit_code;
	BF_ERROR_TABLE(BF_ERROR_EXIT)
#undef BF_ERROR_EXIT
	}
	return BF_EXIT_FAILED;
}

enum bf_code bf_code_from_number(uint32_t number)
{
	switch (number) {
#define BF_ERROR_NUMBER(constant, number_, name, exit_code) \
	case number_:					    \
		return constant;
	BF_ERROR_TABLE(BF_ERROR_NUMBER)
#undef BF_ERROR_NUMBER
	}
	return BF_E_SYSTEM;
}
