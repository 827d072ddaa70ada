// SPDX-License-Identifier: Apache-2.0
/*
 * Skip: what filesystems say of their free space through GETFSMAP becomes
 * ranges of the disk. See skip.h. Keeps RULE 6: nothing that is told leads
 * beyond the device, and what is told out of order ends the asking.
 */
#include "source/skip.h"

#include <errno.h>
#include <linux/fsmap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "lib/cleanup.h"
#include "lib/transport.h"

#define SECTOR_BYTES 512u
#define RECORDS 1024u			/* of one answer */
#define SHORTEST_BYTES (64u << 10)	/* less is not worth a cut in a read */
#define SWAP_HEADER_BYTES (64u << 10)	/* a page, of the largest that there are */

static int read_number(dev_t dev, const char *file, uint64_t *number)
{
	_cleanup_fclose_ FILE *stream = NULL;
	unsigned long long value;
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev),
		 minor(dev), file);
	stream = fopen(path, "re");
	if (!stream || fscanf(stream, "%llu", &value) != 1)
		return -ENOENT;
	*number = value;
	return 0;
}

static bool is_partition_of(dev_t disk, dev_t dev)
{
	_cleanup_fclose_ FILE *stream = NULL;
	unsigned int of_major, of_minor;
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(dev),
		 minor(dev));
	stream = fopen(path, "re");
	return stream && fscanf(stream, "%u:%u", &of_major, &of_minor) == 2 &&
	       makedev(of_major, of_minor) == disk;
}

int bf_skip_place(dev_t disk, dev_t dev, uint64_t *offset_bytes,
		  uint64_t *length_bytes)
{
	uint64_t start = 0, sectors;

	if (dev != disk && (!is_partition_of(disk, dev) ||
			    read_number(dev, "start", &start)))
		return -ENODEV;
	if (read_number(dev, "size", &sectors))
		return -ENODEV;
	*offset_bytes = start * SECTOR_BYTES;
	*length_bytes = sectors * SECTOR_BYTES;
	return 0;
}

/* Rounded inwards; nothing if that leaves too little. */
static int add_inner(struct bf_ranges *out, uint64_t from_bytes,
		     uint64_t to_bytes, uint32_t granularity_bytes)
{
	uint64_t left = from_bytes % granularity_bytes;

	if (left)
		from_bytes += granularity_bytes - left;
	to_bytes -= to_bytes % granularity_bytes;
	if (to_bytes < from_bytes || to_bytes - from_bytes < SHORTEST_BYTES)
		return 0;
	return bf_ranges_append(out, from_bytes, to_bytes - from_bytes);
}

static bool is_free(const struct fsmap *record, dev_t dev)
{
	return record->fmr_flags & FMR_OF_SPECIAL_OWNER &&
	       record->fmr_owner == FMR_OWN_FREE &&
	       makedev(record->fmr_device >> 8 & 0xfff,
		       (record->fmr_device & 0xff) |
		       (record->fmr_device >> 12 & 0xfff00)) == dev;
}

/* Everything up to the end is asked for, from what was told last. */
static void set_keys(struct fsmap_head *head)
{
	memset(head, 0, sizeof(*head));
	head->fmh_count = RECORDS;
	head->fmh_keys[1] = (struct fsmap){
		.fmr_device = UINT32_MAX,
		.fmr_flags = UINT32_MAX,
		.fmr_physical = UINT64_MAX,
		.fmr_owner = UINT64_MAX,
		.fmr_offset = UINT64_MAX,
	};
}

static int take_record(const struct fsmap *record, dev_t dev,
		       uint64_t offset_bytes, uint64_t length_bytes,
		       uint32_t granularity_bytes, struct bf_ranges *out)
{
	uint64_t from = record->fmr_physical, bytes = record->fmr_length;

	if (!is_free(record, dev))
		return 0;
	if (from > length_bytes || bytes > length_bytes - from)
		return -ERANGE;
	return add_inner(out, offset_bytes + from, offset_bytes + from + bytes,
			 granularity_bytes);
}

int bf_skip_free_space(int fd, dev_t dev, uint64_t offset_bytes,
		       uint64_t length_bytes, uint32_t granularity_bytes,
		       uint64_t deadline_ns, struct bf_ranges *out)
{
	_cleanup_free_ struct fsmap_head *head = malloc(fsmap_sizeof(RECORDS));
	const struct fsmap *last;
	int ret = 0;

	if (!head)
		return -ENOMEM;
	set_keys(head);
	do {
		if (ioctl(fd, FS_IOC_GETFSMAP, head))
			return errno == ENOTTY ? -EOPNOTSUPP : -errno;
		if (!head->fmh_entries || head->fmh_entries > RECORDS)
			return 0;
		for (uint32_t i = 0; i < head->fmh_entries && !ret; i++)
			ret = take_record(&head->fmh_recs[i], dev, offset_bytes,
					  length_bytes, granularity_bytes, out);
		last = &head->fmh_recs[head->fmh_entries - 1];
		if (last->fmr_flags & FMR_OF_LAST)
			break;
		fsmap_advance(head);
	} while (!ret && bf_now_ns() < deadline_ns);
	/* A list that is full leaves the rest to be copied. */
	return ret == -ENOSPC ? 0 : ret;
}

int bf_skip_swap(uint64_t offset_bytes, uint64_t length_bytes,
		 uint32_t granularity_bytes, struct bf_ranges *out)
{
	if (length_bytes <= SWAP_HEADER_BYTES)
		return 0;
	return add_inner(out, offset_bytes + SWAP_HEADER_BYTES,
			 offset_bytes + length_bytes, granularity_bytes);
}
