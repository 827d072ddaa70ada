/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command layer: words of the command line flow in, calls of the library flow
 * down, rows, errors and an exit code flow out. The only layer that prints,
 * exits, or keeps globals (the variables that option tables point to).
 */
#ifndef BF_CLI_CLI_H
#define BF_CLI_CLI_H

#include <jansson.h>
#include <popt.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"

#define CLI_VERSION "0.1"
#define CLI_NR(array) (sizeof(array) / sizeof((array)[0]))

/* One call of the command: what every subcommand is given. */
struct cli {
	const char **arguments;		/* nr_arguments of them, then NULL */
	size_t nr_arguments;
	bool json;
	bool verbose;
	const char *run_dir;
	const char *records_dir;	/* NULL: the role's default */
};

struct cli_command {
	const char *name;
	const char *arguments;		/* "DEVICE", "[JOB]", "" */
	const char *summary;
	size_t min_arguments, max_arguments;
	const struct poptOption *options;	/* ends with POPT_TABLEEND */
	/*
	 * Return: an exit code, its output done, or a negative errno with
	 * @err, which becomes words, JSON and an exit code in one place.
	 * NULL: it is a program of its own, blkferry-NAME (helper.c).
	 */
	int (*run)(const struct cli *cli, struct bf_error *err);
};

extern const struct cli_command cli_cancel, cli_copy, cli_cutover, cli_diag, cli_extents,
	cli_key, cli_metrics, cli_pause, cli_plan, cli_receive, cli_report,
	cli_resume, cli_run, cli_set, cli_stats, cli_targets,
	cli_status, cli_sync, cli_thaw, cli_track, cli_untrack, cli_verify;

/* --- one subcommand (command.c) --- */

/* Runs @command; @argv[0] is its name. Return: the exit code, all written. */
int cli_main(const struct cli_command *command, int argc, char **argv);
/* An error in the options themselves should come out as JSON as well. */
bool cli_json_wanted(int argc, char **argv);
/* All output is where it should be: @status, else a failure. */
int cli_end(int status);
/* Becomes its program. Return: only with an error. */
int cli_run_helper(const struct cli_command *command, char **argv,
		   struct bf_error *err);

/* --- answers (answer.c) --- */

/* Takes @object; prints it on one line with format_version and ok. */
void cli_print_json(json_t *object);
/* Words on standard error, or JSON on standard output. Return: exit code. */
int cli_print_error(bool json, const struct cli_command *command,
		    const struct bf_error *err);
/* "no --then given": a usage error with the subcommand's usage line. */
int cli_usage(struct bf_error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* --- stopping (signals.c) --- */

/* SIGTERM and SIGINT make the returned fd readable instead of killing. */
int cli_stop_fd(int *fd, struct bf_error *err);
/* Likewise for SIGHUP; each is a struct signalfd_siginfo to be read. */
int cli_reload_fd(int *fd, struct bf_error *err);
/* Wait up to a second for it. Return: true if it is time to stop. */
bool cli_stop_wait(int stop_fd);

#endif /* BF_CLI_CLI_H */
