// SPDX-License-Identifier: Apache-2.0
/*
 * stats: one tracker or all flow in, every statistic by name and every reason
 * with its cause and cure flow out; or a device, and what a tracker on it would
 * see. --watch shows it again each second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/coverage.h"
#include "cli/trackers.h"
#include "lib/cleanup.h"

#define CLEAR_SCREEN "\033[H\033[2J"

static int coverage_wanted, watch_wanted;

static const struct poptOption options[] = {
	{ "coverage", 'c', POPT_ARG_NONE, &coverage_wanted, 0,
	  "what of this device's changes a tracker sees, finds out about or misses", NULL },
	{ "watch", 'w', POPT_ARG_NONE, &watch_wanted, 0,
	  "again each second, until it is interrupted", NULL },
	POPT_TABLEEND
};

/* A statistic's unit is the end of its name. */
static enum cli_format stat_format(const char *name)
{
	const char *end = name + strlen(name);

	if (end - name > 6 && !strcmp(end - 6, "_bytes"))
		return CLI_SIZE;
	if (end - name > 3 && !strcmp(end - 3, "_ns"))
		return CLI_TIME;
	return CLI_COUNT;
}

static int print_stats(const json_t *stats, struct bf_error *err)
{
	struct cli_column columns[BLKFERRY_STAT_MAX + 2] = { 0 };
	size_t nr = 0;

	for (uint32_t id = 0; id <= BLKFERRY_STAT_MAX; id++) {
		const char *name = bf_stat_name(id);

		if (name)
			columns[nr++] = (struct cli_column){
				name, name, stat_format(name),
			};
	}
	return cli_print_fields(stdout, columns, stats, err);
}

static int print_tracker(const json_t *row, struct bf_error *err)
{
	const json_t *reasons = json_object_get(row, "reasons");
	int ret = cli_print_fields(stdout, cli_tracker_columns, row, err);

	if (!ret)
		ret = print_stats(json_object_get(row, "stats"), err);
	if (!ret && json_array_size(reasons)) {
		putchar('\n');
		ret = cli_print_table(stdout, cli_reason_columns, reasons, err);
	}
	return ret;
}

static int print_all(const json_t *rows, struct bf_error *err)
{
	size_t index;
	json_t *row;
	int ret = 0;

	if (!json_array_size(rows))
		puts("nothing is tracked");
	json_array_foreach(rows, index, row) {
		if (!ret && index)
			putchar('\n');
		if (!ret)
			ret = print_tracker(row, err);
	}
	return ret;
}

static int collect(const struct cli *cli, json_t *rows, struct bf_error *err)
{
	_cleanup_free_ struct bf_tracker *trackers = NULL;
	struct bf_tracker tracker;
	struct bf_netlink *nl;
	size_t nr = 0;
	int ret = bf_netlink_open(&nl, err);

	if (ret)
		return ret;
	if (cli->nr_arguments) {
		ret = cli_find_tracker(nl, cli->arguments[0], &tracker, err);
		if (!ret)
			json_array_append_new(rows, cli_tracker_row(&tracker));
	} else {
		ret = bf_tracker_list(nl, &trackers, &nr, err);
		for (size_t i = 0; i < nr && !ret; i++)
			json_array_append_new(rows,
					      cli_tracker_row(&trackers[i]));
	}
	bf_netlink_close(nl);
	return ret;
}

static int show_trackers(const struct cli *cli, struct bf_error *err)
{
	json_t *rows = json_array();
	int ret = collect(cli, rows, err);

	if (!ret && cli->json)
		cli_print_json(json_pack("{s:o}", "trackers",
			cli_select_rows(cli_tracker_columns, rows)));
	else if (!ret)
		ret = print_all(rows, err);
	json_decref(rows);
	return ret;
}

static int show_coverage(const struct cli *cli, struct bf_error *err)
{
	json_t *rows = json_array();
	int ret = cli->nr_arguments ? cli_coverage(cli->arguments[0], rows, err) :
		  cli_usage(err, "--coverage wants a DEVICE");

	if (!ret && cli->json)
		cli_print_json(json_pack("{s:o}", "coverage",
			cli_select_rows(cli_coverage_columns, rows)));
	else if (!ret)
		ret = cli_print_table(stdout, cli_coverage_columns, rows, err);
	json_decref(rows);
	return ret;
}

/* On a terminal in its place, elsewhere one after the other. */
static int watch_trackers(const struct cli *cli, struct bf_error *err)
{
	bool terminal = isatty(STDOUT_FILENO) && !cli->json, again = false;
	_cleanup_close_ int stop_fd = -1;
	int ret = cli_stop_fd(&stop_fd, err);

	if (ret)
		return ret;
	do {
		if (terminal)
			fputs(CLEAR_SCREEN, stdout);
		else if (again && !cli->json)
			putchar('\n');
		again = true;
		ret = show_trackers(cli, err);
	} while (!ret && !fflush(stdout) && !cli_stop_wait(stop_fd));
	return ret;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	if (coverage_wanted && watch_wanted)
		return cli_usage(err, "--coverage does not change while it is watched: give one of the two");
	if (coverage_wanted)
		return show_coverage(cli, err);
	return watch_wanted ? watch_trackers(cli, err) : show_trackers(cli, err);
}

const struct cli_command cli_stats = {
	.name = "stats", .arguments = "[DEVICE|NAME]",
	.summary = "statistics of trackers, and why a resync may be needed",
	.max_arguments = 1,
	.options = options, .run = run,
};
