// SPDX-License-Identifier: Apache-2.0
/* Raw sync: see raw_sync.h. */
#include "source/raw_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_loop(const struct bf_holder_device *device)
{
	return !strncmp(device->name, "loop", 4);
}

/* What is no lower than one that stands on a disk may stand on it. */
static uint32_t lowest_loop(const struct bf_holders *holders)
{
	uint32_t depth = UINT32_MAX;

	for (size_t i = 0; i < holders->nr_devices; i++)
		if (is_loop(&holders->devices[i]) &&
		    holders->devices[i].depth &&
		    holders->devices[i].depth < depth)
			depth = holders->devices[i].depth;
	return depth;
}

/* One without a medium has no pages either. */
static int open_node(const struct bf_holder_device *device, int *fd,
		     struct bf_error *err)
{
	char path[96];

	snprintf(path, sizeof(path), "/dev/%s", device->name);
	for (char *at = path; (at = strchr(at, '!'));)
		*at = '/';	/* as the kernel writes it in sysfs */
	*fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (*fd >= 0 || errno == ENOMEDIUM || errno == ENXIO)
		return 0;
	return bf_fail(err, BF_E_FREEZE, errno,
		       "cannot open %s to sync what was written to it past any filesystem: %s",
		       path, strerror(errno));
}

int bf_raw_open(struct bf_raw_devices *raw, const struct bf_holders *holders,
		struct bf_error *err)
{
	uint32_t loop_depth = lowest_loop(holders);
	int ret = 0;

	*raw = (struct bf_raw_devices){
		.devices = calloc(holders->nr_devices + 1,
				  sizeof(*raw->devices)),
	};
	if (!raw->devices)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (size_t i = 0; i < holders->nr_devices && !ret; i++) {
		const struct bf_holder_device *device = &holders->devices[i];
		struct bf_raw_device *open = &raw->devices[raw->nr];

		open->may_wait = is_loop(device) || device->depth >= loop_depth;
		ret = open_node(device, &open->fd, err);
		if (!ret && open->fd >= 0)
			raw->nr++;
	}
	return ret;
}

void bf_raw_close(struct bf_raw_devices *raw)
{
	while (raw->nr)
		close(raw->devices[--raw->nr].fd);
	free(raw->devices);
	*raw = (struct bf_raw_devices){ 0 };
}

int bf_raw_sync(const struct bf_raw_devices *raw, bool frozen,
		struct bf_error *err)
{
	for (size_t i = 0; i < raw->nr; i++)
		if (!(frozen && raw->devices[i].may_wait) &&
		    fsync(raw->devices[i].fd))
			return bf_fail(err, BF_E_FREEZE, errno,
				       "a disk of the job, or a device on it, cannot be synced: %s; look into the kernel log",
				       strerror(errno));
	return 0;
}
