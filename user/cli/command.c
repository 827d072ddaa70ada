// SPDX-License-Identifier: Apache-2.0
/*
 * command: a subcommand and its words flow in; libpopt reads its options, it runs,
 * and its result flows out as an exit code, its error as words or JSON.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/config.h"
#include "lib/log.h"

static int json_given, help_given, verbose_given;
static char *run_dir_given, *records_dir_given;

static const struct poptOption common_options[] = {
	{ "json", 'j', POPT_ARG_NONE, &json_given, 0,
	  "print JSON, errors too", NULL },
	{ "verbose", 'v', POPT_ARG_NONE, &verbose_given, 0,
	  "log more", NULL },
	{ "run-dir", '\0', POPT_ARG_STRING, &run_dir_given, 0,
	  "control sockets (default " BF_RUN_DIR ")", "DIR" },
	{ "records-dir", '\0', POPT_ARG_STRING, &records_dir_given, 0,
	  "durable records (default below /var/lib/blkferry)", "DIR" },
	{ "help", 'h', POPT_ARG_NONE, &help_given, 0, "show this help", NULL },
	POPT_TABLEEND
};

/* An error in the options themselves should come out as JSON as well. */
bool cli_json_wanted(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "-j"))
			return true;
	}
	return false;
}

static int read_options(poptContext context, const struct cli_command *command,
			struct cli *cli, struct bf_error *err)
{
	int ret = poptGetNextOpt(context);

	if (ret < -1)
		return cli_usage(err, "%s: %s",
				 poptBadOption(context, POPT_BADOPTION_NOALIAS),
				 poptStrerror(ret));
	cli->arguments = poptGetArgs(context);
	while (cli->arguments && cli->arguments[cli->nr_arguments])
		cli->nr_arguments++;
	if (help_given)
		return 0;
	if (cli->nr_arguments < command->min_arguments)
		return cli_usage(err, "%s is missing", command->arguments);
	if (cli->nr_arguments > command->max_arguments)
		return cli_usage(err, "\"%s\" is one argument too many",
				 cli->arguments[command->max_arguments]);
	return 0;
}

static void print_help(poptContext context, const struct cli_command *command)
{
	printf("blkferry %s: %s\n\n", command->name, command->summary);
	poptPrintHelp(context, stdout, 0);
}

static int run_command(const struct cli_command *command, int argc, char **argv,
		       struct cli *cli, struct bf_error *err)
{
	struct poptOption options[] = {
		{ NULL, '\0', POPT_ARG_INCLUDE_TABLE, (void *)command->options,
		  0, "Options:", NULL },
		{ NULL, '\0', POPT_ARG_INCLUDE_TABLE, (void *)common_options, 0,
		  "Of every subcommand:", NULL },
		POPT_TABLEEND
	};
	static char program[64];	/* outlives the call, as argv does */
	char usage[64];
	poptContext context;
	int ret;

	snprintf(program, sizeof(program), "blkferry %s", command->name);
	argv[0] = program;		/* what the help calls it */
	context = poptGetContext("blkferry", argc, (const char **)argv, options,
				 0);
	snprintf(usage, sizeof(usage), "%s%s[OPTION...]", command->arguments,
		 *command->arguments ? " " : "");
	poptSetOtherOptionHelp(context, usage);
	ret = read_options(context, command, cli, err);
	cli->json = json_given;
	if (run_dir_given)
		cli->run_dir = run_dir_given;
	cli->records_dir = records_dir_given;
	cli->verbose = verbose_given;
	if (verbose_given)
		bf_log_set_level(BF_LOG_DEBUG);
	if (!ret && help_given)
		print_help(context, command);
	else if (!ret)
		ret = command->run(cli, err);
	poptFreeContext(context);
	return ret;
}

/* A report that did not arrive is no success. */
int cli_end(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "blkferry: cannot write the output: %s\n",
		strerror(errno));
	return status ? status : BF_EXIT_FAILED;
}

int cli_main(const struct cli_command *command, int argc, char **argv)
{
	struct cli cli = { .run_dir = BF_RUN_DIR };
	struct bf_error err = { .code = BF_E_SYSTEM };
	bool json = cli_json_wanted(argc, argv);
	int ret;

	signal(SIGPIPE, SIG_IGN);	/* a helper may be run by its own name */
	ret = command->run ? run_command(command, argc, argv, &cli, &err) :
			     cli_run_helper(command, argv, &err);
	return cli_end(ret < 0 ? cli_print_error(json, command, &err) : ret);
}
