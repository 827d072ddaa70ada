/* SPDX-License-Identifier: Apache-2.0 */
/* Watch: status --watch, on a terminal and elsewhere. */
#ifndef BF_CLI_WATCH_H
#define BF_CLI_WATCH_H

#include "cli/cli.h"

/* Both until @stop_fd is readable; the screen also until "q" is pressed. */
int cli_watch_screen(const struct cli *cli, int stop_fd, struct bf_error *err);
/* A line when a job begins something new, and now and then. */
int cli_watch_events(const struct cli *cli, int stop_fd, struct bf_error *err);

#endif /* BF_CLI_WATCH_H */
