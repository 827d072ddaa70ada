// SPDX-License-Identifier: Apache-2.0
/*
 * extents: a tracker flows in, what is dirty in its active map flows out, in
 * the form that `copy --extents` reads. A look only: nothing is committed, and
 * the map changes meanwhile. Keeps RULE 4: without the trailer it fails.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/trackers.h"
#include "lib/cleanup.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static const struct cli_column columns[] = {
	{ "offset_bytes", "offset", CLI_COUNT },
	{ "length_bytes", "length", CLI_COUNT },
	{ 0 },
};

struct listing {
	json_t *rows;			/* NULL: text, as it comes */
	uint64_t offset_bytes, length_bytes;	/* of the extent being joined */
	uint64_t total_bytes;
};

static void put_extent(struct listing *listing)
{
	if (!listing->length_bytes)
		return;
	listing->total_bytes += listing->length_bytes;
	if (listing->rows)
		json_array_append_new(listing->rows, json_pack("{s:I, s:I}",
			columns[0].key, (json_int_t)listing->offset_bytes,
			columns[1].key, (json_int_t)listing->length_bytes));
	else
		printf("%" PRIu64 " %" PRIu64 "\n", listing->offset_bytes,
		       listing->length_bytes);
}

/* Extents are cut at a window's end: neighbours are joined here. */
static void add_extent(struct listing *listing, const struct blkferry_extent *e)
{
	uint64_t offset_bytes = e->sector * BLKFERRY_SECTOR_BYTES;
	uint64_t length_bytes = e->nr_sectors * BLKFERRY_SECTOR_BYTES;

	if (listing->offset_bytes + listing->length_bytes == offset_bytes) {
		listing->length_bytes += length_bytes;
		return;
	}
	put_extent(listing);
	listing->offset_bytes = offset_bytes;
	listing->length_bytes = length_bytes;
}

static int walk(struct bf_netlink *nl, const struct bf_tracker *tracker,
		struct listing *listing, struct bf_error *err)
{
	_cleanup_free_ struct bf_walk_window *window = malloc(sizeof(*window));
	uint64_t from_sector = 0;
	int ret;

	if (!window)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	do {
		ret = bf_tracker_peek(nl, tracker->id, from_sector, window, err);
		if (ret)
			return ret;
		for (size_t i = 0; i < window->nr_extents; i++)
			add_extent(listing, &window->extents[i]);
		if (!window->end && window->next_sector <= from_sector)
			return bf_fail(err, BF_E_INCOMPLETE, EPROTO,
				       "the walk stands still at sector %" PRIu64 ": module and command differ in release",
				       from_sector);
		from_sector = window->next_sector;
	} while (!window->end);
	put_extent(listing);
	return 0;
}

static int list(const struct cli *cli, struct bf_netlink *nl,
		const struct bf_tracker *tracker, struct bf_error *err)
{
	struct listing listing = { .rows = cli->json ? json_array() : NULL };
	int ret;

	if (!cli->json)
		printf("# dirty on %s, tracker %s: offset and length in bytes\n",
		       tracker->disk, tracker->name);
	ret = walk(nl, tracker, &listing, err);
	if (ret) {
		json_decref(listing.rows);
		return ret;
	}
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:s, s:I, s:I, s:o}",
			"name", tracker->name, "disk", tracker->disk,
			"granularity_bytes",
				(json_int_t)tracker->granularity_bytes,
			"total_bytes", (json_int_t)listing.total_bytes,
			"extents", listing.rows));
	else
		printf("# end: %" PRIu64 " bytes\n", listing.total_bytes);
	return 0;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	struct bf_tracker tracker;
	struct bf_netlink *nl;
	int ret = bf_netlink_open(&nl, err);

	if (ret)
		return ret;
	ret = cli_find_tracker(nl, cli->arguments[0], &tracker, err);
	if (!ret)
		ret = list(cli, nl, &tracker, err);
	bf_netlink_close(nl);
	return ret;
}

const struct cli_command cli_extents = {
	.name = "extents", .arguments = "DEVICE|NAME",
	.summary = "list what is dirty now, without taking it",
	.min_arguments = 1, .max_arguments = 1,
	.options = options, .run = run,
};
