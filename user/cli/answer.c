// SPDX-License-Identifier: Apache-2.0
/*
 * Answers: results and errors flow in, one JSON line on standard output or
 * words on standard error flow out, the same shape for every subcommand.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"
#include "lib/control.h"
#include "lib/log.h"

void cli_print_json(json_t *object)
{
	json_t *line = json_pack("{s:i, s:b}", "format_version",
				 BF_FORMAT_VERSION, "ok", 1);

	json_object_update(line, object);
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(line);
	json_decref(object);
}

static void print_error_json(const struct bf_error *err)
{
	json_t *line = bf_control_error(err);

	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(line);
}

static void print_error_text(const struct cli_command *command,
			     const struct bf_error *err)
{
	/* A service's last words have fields as its others have. */
	if (bf_log_to_journal())
		bf_log_failure(err);
	else
		fprintf(stderr, "blkferry%s%s: %s\n", command ? " " : "",
			command ? command->name : "", err->text);
	if (command && err->code == BF_E_USAGE)
		fprintf(stderr,
			"usage: blkferry %s %s%s[OPTION...]; blkferry %s --help shows the options\n",
			command->name, command->arguments,
			*command->arguments ? " " : "", command->name);
}

int cli_print_error(bool json, const struct cli_command *command,
		    const struct bf_error *err)
{
	enum bf_exit status = bf_code_exit(err->code);

	fflush(stdout);
	if (json)
		print_error_json(err);
	else
		print_error_text(command, err);
	/* Whatever the code is, or another release made of it: no success. */
	return status == BF_EXIT_DONE ? BF_EXIT_FAILED : status;
}

int cli_usage(struct bf_error *err, const char *format, ...)
{
	char text[BF_ERROR_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return bf_fail(err, BF_E_USAGE, EINVAL, "%s", text);
}
