// SPDX-License-Identifier: Apache-2.0
/*
 * Trackers: structs of the netlink client flow in, rows for text and JSON flow
 * out; DEVICE|NAME of the command line is resolved to one of them.
 */
#include "cli/trackers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/units.h"

const struct cli_column cli_tracker_columns[] = {
	{ "name", "name", CLI_TEXT },
	{ "disk", "disk", CLI_TEXT },
	{ "device", "device", CLI_TEXT },
	{ "id", NULL, CLI_COUNT },
	{ "uuid", "uuid", CLI_TEXT },
	{ "start_sector", NULL, CLI_COUNT },
	{ "size_bytes", "size", CLI_SIZE },
	{ "granularity_bytes", "granularity", CLI_SIZE },
	{ "generation", "generation", CLI_COUNT },
	{ "drain_owned", "drain owned", CLI_BOOL },
	{ "watermark_bytes", NULL, CLI_SIZE },
	{ "resync_needed", "resync needed", CLI_BOOL },
	{ "stats", NULL, CLI_TEXT },
	{ "reasons", NULL, CLI_TEXT },
	{ 0 },
};

const struct cli_column cli_reason_columns[] = {
	{ "name", "reason", CLI_TEXT },
	{ "raised", "raised", CLI_COUNT },
	{ "cleared", "cleared", CLI_COUNT },
	{ "stands", "stands", CLI_BOOL },
	{ "text", "cause and cure", CLI_TEXT },
	{ 0 },
};

static json_t *stats_object(const struct bf_tracker *tracker)
{
	json_t *stats = json_object();

	for (uint32_t id = 0; id <= BLKFERRY_STAT_MAX; id++) {
		if (bf_stat_name(id))
			json_object_set_new(stats, bf_stat_name(id),
					    json_integer((json_int_t)
							 tracker->stats[id]));
	}
	return stats;
}

static json_t *reasons_array(const struct bf_reasons *reasons)
{
	json_t *array = json_array();

	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++) {
		const struct bf_reason_counts *counts = &reasons->by_id[id];

		if (counts->raised)
			json_array_append_new(array, json_pack(
				"{s:s, s:I, s:I, s:b, s:s}",
				"name", bf_reason_name(id),
				"raised", (json_int_t)counts->raised,
				"cleared", (json_int_t)counts->cleared,
				"stands", counts->raised > counts->cleared,
				"text", bf_reason_text(id)));
	}
	return array;
}

json_t *cli_tracker_row(const struct bf_tracker *tracker)
{
	char uuid[37], device[32];

	bf_format_uuid(tracker->uuid, uuid);
	snprintf(device, sizeof(device), "%u:%u", tracker->dev_major,
		 tracker->dev_minor);
	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:b, s:I, s:b, s:o, s:o}",
			 "name", tracker->name, "disk", tracker->disk,
			 "device", device, "id", (int)tracker->id,
			 "uuid", uuid,
			 "start_sector", (json_int_t)tracker->start_sector,
			 "size_bytes", (json_int_t)tracker->nr_sectors *
				BLKFERRY_SECTOR_BYTES,
			 "granularity_bytes",
				(json_int_t)tracker->granularity_bytes,
			 "generation", (json_int_t)tracker->generation,
			 "drain_owned", tracker->drain_owned,
			 "watermark_bytes",
				(json_int_t)tracker->watermark_bytes,
			 "resync_needed",
				bf_reasons_stand(&tracker->reasons, NULL),
			 "stats", stats_object(tracker),
			 "reasons", reasons_array(&tracker->reasons));
}

/* Return: trackers of the device; the last of them goes to *found. */
static size_t trackers_of(const struct bf_tracker *trackers, size_t nr,
			  dev_t dev, const struct bf_tracker **found)
{
	size_t matches = 0;

	for (size_t i = 0; i < nr; i++) {
		if (trackers[i].dev_major == major(dev) &&
		    trackers[i].dev_minor == minor(dev)) {
			*found = &trackers[i];
			matches++;
		}
	}
	return matches;
}

static int find_by_device(const struct bf_tracker *trackers, size_t nr,
			  const char *path, struct bf_tracker *tracker,
			  struct bf_error *err)
{
	const struct bf_tracker *found = NULL;
	struct stat st;
	size_t matches;

	if (stat(path, &st) || !S_ISBLK(st.st_mode))
		return bf_fail(err, BF_E_NOT_FOUND, ENOENT,
			       "%s is neither the name of a tracker nor a block device: blkferry stats lists the trackers",
			       path);
	matches = trackers_of(trackers, nr, st.st_rdev, &found);
	if (!matches)
		return bf_fail(err, BF_E_NOT_FOUND, ENOENT,
			       "%s is not tracked: blkferry track %s starts that",
			       path, path);
	if (matches > 1)
		return cli_usage(err, "%s has %zu trackers: give the name of the one you mean, blkferry stats lists them",
				 path, matches);
	*tracker = *found;
	return 0;
}

int cli_find_tracker(struct bf_netlink *nl, const char *text,
		     struct bf_tracker *tracker, struct bf_error *err)
{
	_cleanup_free_ struct bf_tracker *trackers = NULL;
	size_t nr = 0;
	int ret = bf_tracker_list(nl, &trackers, &nr, err);

	if (ret)
		return ret;
	for (size_t i = 0; i < nr; i++) {
		if (!strcmp(trackers[i].name, text)) {
			*tracker = trackers[i];
			return 0;
		}
	}
	return find_by_device(trackers, nr, text, tracker, err);
}
