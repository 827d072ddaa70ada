// SPDX-License-Identifier: Apache-2.0
/*
 * main: finds the subcommand in the one table there is and has it run.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "source/guardian.h"

/* In the order in which a newcomer meets them. */
static const struct cli_command *const commands[] = {
	&cli_track, &cli_untrack, &cli_stats, &cli_extents, &cli_plan, &cli_copy,
	&cli_run, &cli_receive, &cli_status, &cli_sync, &cli_pause,
	&cli_resume, &cli_cancel, &cli_cutover, &cli_thaw, &cli_verify, &cli_set,
	&cli_report, &cli_targets, &cli_key, &cli_metrics, &cli_diag,
};

static void print_overview(FILE *out)
{
	fputs("usage: blkferry COMMAND [ARGUMENT...] [--json]\n\n"
	      "Moves the disks of a running machine and proves that nothing was lost.\n\n",
	      out);
	for (size_t i = 0; i < CLI_NR(commands); i++)
		fprintf(out, "  %-8s %-16s %s\n", commands[i]->name,
			commands[i]->arguments, commands[i]->summary);
	fputs("\nblkferry COMMAND --help shows its options; blkferry(8) has the exit codes.\n",
	      out);
}

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < CLI_NR(commands); i++) {
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	}
	return NULL;
}

static int no_such_command(int argc, char **argv)
{
	struct bf_error err;

	cli_usage(&err, "there is no subcommand \"%s\"; blkferry --help lists them",
		  argv[1]);
	return cli_end(cli_print_error(cli_json_wanted(argc, argv), NULL, &err));
}

int main(int argc, char **argv)
{
	const struct cli_command *command;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && !strcmp(argv[1], "--guardian"))
		return bf_guardian_main(argc, argv);
	if (argc < 2) {
		print_overview(stderr);
		return BF_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		print_overview(stdout);
		return cli_end(BF_EXIT_DONE);
	}
	if (!strcmp(argv[1], "--version")) {
		puts("blkferry " CLI_VERSION);
		return cli_end(BF_EXIT_DONE);
	}
	command = find_command(argv[1]);
	return command ? cli_main(command, argc - 1, argv + 1) :
			 no_such_command(argc, argv);
}
