/* SPDX-License-Identifier: Apache-2.0 */
/* Trackers: what DEVICE|NAME on the command line means, and rows of them. */
#ifndef BF_CLI_TRACKERS_H
#define BF_CLI_TRACKERS_H

#include <jansson.h>
#include <sys/types.h>

#include "cli/output.h"
#include "lib/netlink.h"

#define CLI_KERNEL_NAME_BYTES 64

/* A block device, opened read-only; anything else is a usage error. */
int cli_open_device(const char *path, int *fd, dev_t *dev, struct bf_error *err);
/* "vda1", as /sys has it. */
int cli_kernel_name(dev_t dev, char name[CLI_KERNEL_NAME_BYTES],
		    struct bf_error *err);
/*
 * The devices without slaves of their own that @dev is made of, as "/dev/vda2,
 * /dev/vdb": what can be tracked where @dev cannot. Empty: none is known.
 */
void cli_device_members(dev_t dev, char *text, size_t bytes);

/* By name first, then by device; a device with several trackers needs a name. */
int cli_find_tracker(struct bf_netlink *nl, const char *text,
		     struct bf_tracker *tracker, struct bf_error *err);

extern const struct cli_column cli_tracker_columns[];
extern const struct cli_column cli_reason_columns[];
json_t *cli_tracker_row(const struct bf_tracker *tracker);

#endif /* BF_CLI_TRACKERS_H */
