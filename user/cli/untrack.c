// SPDX-License-Identifier: Apache-2.0
/* untrack: a tracker's name or device flows in; it and its marks are gone. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/trackers.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static int run(const struct cli *cli, struct bf_error *err)
{
	struct bf_tracker tracker;
	struct bf_netlink *nl;
	int ret = bf_netlink_open(&nl, err);

	if (ret)
		return ret;
	ret = cli_find_tracker(nl, cli->arguments[0], &tracker, err);
	if (!ret)
		ret = bf_tracker_delete(nl, tracker.id, err);
	bf_netlink_close(nl);
	if (ret)
		return ret;
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:s}", "name", tracker.name,
					 "disk", tracker.disk));
	else
		printf("%s on %s is no longer tracked\n", tracker.name,
		       tracker.disk);
	return 0;
}

const struct cli_command cli_untrack = {
	.name = "untrack", .arguments = "DEVICE|NAME",
	.summary = "end a tracker",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
