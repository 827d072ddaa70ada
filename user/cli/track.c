// SPDX-License-Identifier: Apache-2.0
/*
 * track: a device flows in, a tracker that records its changes from now on
 * flows out. Where the module refuses, the words say what to track instead.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/trackers.h"
#include "lib/cleanup.h"
#include "lib/units.h"

static char *name_given, *granularity_given;
static int all_dirty_given;

static const struct poptOption options[] = {
	{ "name", 'n', POPT_ARG_STRING, &name_given, 0,
	  "name of the tracker (default: the device's kernel name)", "NAME" },
	{ "granularity", 'g', POPT_ARG_STRING, &granularity_given, 0,
	  "block of one mark, 4K to 64M (default: by the device's size)", "SIZE" },
	{ "all-dirty", 'a', POPT_ARG_NONE, &all_dirty_given, 0,
	  "start with every block dirty", NULL },
	POPT_TABLEEND
};

/* The module's names are letters, digits and "-_.:"; jobs have the colon. */
static void make_name(char *name)
{
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			*name = '_';
	}
}

static int choose_name(dev_t dev, char name[CLI_KERNEL_NAME_BYTES],
		       struct bf_error *err)
{
	int ret;

	if (name_given) {
		if (strlen(name_given) > BLKFERRY_NAME_MAX)
			return cli_usage(err, "the name \"%.80s\" is longer than %d bytes",
					 name_given, BLKFERRY_NAME_MAX);
		if (strchr(name_given, ':'))
			return cli_usage(err, "the name \"%.80s\" has a colon: the trackers of jobs are called JOB:DISK, choose another name",
					 name_given);
		strcpy(name, name_given);
		return 0;
	}
	ret = cli_kernel_name(dev, name, err);
	make_name(name);
	return ret;
}

static int choose_granularity(uint32_t *bytes, struct bf_error *err)
{
	uint64_t size = 0;
	int ret = granularity_given ?
		bf_parse_size(granularity_given, &size, err) : 0;

	if (!ret && granularity_given &&
	    (size < BLKFERRY_GRANULARITY_MIN || size > BLKFERRY_GRANULARITY_MAX ||
	     size & (size - 1)))
		return cli_usage(err, "--granularity %s is not a power of two from 4K to 64M",
				 granularity_given);
	*bytes = (uint32_t)size;
	return ret;
}

/* The module knows why, /sys knows what to track instead. */
static int add_members(const char *path, dev_t dev, int ret, struct bf_error *err)
{
	char members[192], why[256];

	snprintf(why, sizeof(why), "%.255s", err->text);
	cli_device_members(dev, members, sizeof(members));
	return bf_fail(err, BF_E_UNTRACKABLE, -ret,
		       "%.100s cannot be tracked: %s; %s%s", path, why,
		       *members ? "what lies below it and can be: " :
		       "/sys knows no members of it", members);
}

static void print_tracker(const struct cli *cli, const struct bf_tracker *tracker)
{
	char size[BF_UNIT_TEXT_BYTES], granularity[BF_UNIT_TEXT_BYTES];

	if (cli->json) {
		json_t *row = cli_tracker_row(tracker);

		cli_print_json(json_pack("{s:o}", "tracker",
			cli_select_row(cli_tracker_columns, row)));
		json_decref(row);
		return;
	}
	printf("tracking %s as \"%s\": %s, granularity %s, %s\n", tracker->disk,
	       tracker->name,
	       bf_format_size(tracker->nr_sectors * BLKFERRY_SECTOR_BYTES, size),
	       bf_format_size(tracker->granularity_bytes, granularity),
	       all_dirty_given ? "all dirty" : "clean");
}

static int run(const struct cli *cli, struct bf_error *err)
{
	_cleanup_close_ int fd = -1;
	char name[CLI_KERNEL_NAME_BYTES];
	struct bf_tracker tracker;
	struct bf_netlink *nl = NULL;
	uint32_t granularity_bytes = 0;
	dev_t dev = 0;
	int ret = choose_granularity(&granularity_bytes, err);

	if (!ret)
		ret = cli_open_device(cli->arguments[0], &fd, &dev, err);
	if (!ret)
		ret = choose_name(dev, name, err);
	if (!ret)
		ret = bf_netlink_open(&nl, err);
	if (ret)
		return ret;
	ret = bf_tracker_create(nl, fd, name, granularity_bytes,
				all_dirty_given, &tracker, err);
	bf_netlink_close(nl);
	if (ret == -EOPNOTSUPP)
		return add_members(cli->arguments[0], dev, ret, err);
	if (!ret)
		print_tracker(cli, &tracker);
	return ret;
}

const struct cli_command cli_track = {
	.name = "track", .arguments = "DEVICE",
	.summary = "record which blocks of a disk or partition change",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
