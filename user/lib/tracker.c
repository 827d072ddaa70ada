// SPDX-License-Identifier: Apache-2.0
/*
 * Trackers, as netlink.h offers them: what describes a tracker flows in from
 * the module and is checked (RULE 6), commands flow out.
 */
#include <dirent.h>
#include <errno.h>
#include <netlink/genl/genl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"
#include "netlink.h"
#include "netlink_private.h"

static bool parse_stats(struct nlattr *nest, struct bf_tracker *tracker)
{
	struct nlattr *attr;
	int rest;

	if (!nest)
		return false;
	nla_for_each_nested(attr, nest, rest) {
		uint64_t value;

		if (nla_type(attr) <= BLKFERRY_STAT_MAX && bf_attr_u64(attr, &value))
			tracker->stats[nla_type(attr)] = value;
	}
	return true;
}

static bool parse_identity(struct nlattr **attrs, struct bf_tracker *tracker)
{
	struct nlattr *uuid = attrs[BLKFERRY_A_UUID];
	uint64_t dev;

	if (!bf_attr_u32(attrs[BLKFERRY_A_TRACKER_ID], &tracker->id) ||
	    !bf_attr_string(attrs[BLKFERRY_A_NAME], tracker->name,
			sizeof(tracker->name)) ||
	    !bf_attr_string(attrs[BLKFERRY_A_DISK], tracker->disk,
			sizeof(tracker->disk)) ||
	    !bf_attr_u64(attrs[BLKFERRY_A_DEV], &dev) ||
	    !uuid || nla_len(uuid) != BLKFERRY_UUID_BYTES)
		return false;
	memcpy(tracker->uuid, nla_data(uuid), BLKFERRY_UUID_BYTES);
	tracker->dev_major = dev >> 32;
	tracker->dev_minor = (uint32_t)dev;
	return true;
}

static bool granularity_is_valid(uint32_t bytes)
{
	return bytes >= BLKFERRY_GRANULARITY_MIN &&
	       bytes <= BLKFERRY_GRANULARITY_MAX && !(bytes & (bytes - 1));
}

static bool parse_geometry(struct nlattr **attrs, struct bf_tracker *tracker)
{
	return bf_attr_u64(attrs[BLKFERRY_A_START_SECTOR], &tracker->start_sector) &&
	       bf_attr_u64(attrs[BLKFERRY_A_NR_SECTORS], &tracker->nr_sectors) &&
	       bf_attr_u32(attrs[BLKFERRY_A_GRANULARITY],
		       &tracker->granularity_bytes) &&
	       granularity_is_valid(tracker->granularity_bytes);
}

static int parse_tracker(struct nlattr **attrs, void *out, struct bf_error *err)
{
	struct nlattr *inner[BLKFERRY_A_MAX + 1];
	struct bf_tracker *tracker = out;
	uint8_t drain_owned;

	memset(tracker, 0, sizeof(*tracker));
	if (!attrs[BLKFERRY_A_TRACKER] ||
	    nla_parse_nested(inner, BLKFERRY_A_MAX, attrs[BLKFERRY_A_TRACKER],
			     NULL) ||
	    !parse_identity(inner, tracker) ||
	    !parse_geometry(inner, tracker) ||
	    !bf_attr_u64(inner[BLKFERRY_A_GENERATION], &tracker->generation) ||
	    !bf_attr_u64(inner[BLKFERRY_A_COMMITTED_GENERATION],
			 &tracker->committed_generation) ||
	    !bf_attr_u64(inner[BLKFERRY_A_COMMITTED_SECTOR],
			 &tracker->committed_sector) ||
	    !bf_attr_u64(inner[BLKFERRY_A_WATERMARK_BYTES],
		     &tracker->watermark_bytes) ||
	    !bf_attr_u8(inner[BLKFERRY_A_DRAIN_OWNED], &drain_owned) ||
	    !parse_stats(inner[BLKFERRY_A_STATS], tracker) ||
	    !bf_attr_reasons(inner[BLKFERRY_A_REASONS], &tracker->reasons))
		return bf_answer_bad(err, "a tracker that cannot be read");
	tracker->drain_owned = drain_owned;
	return 0;
}

/* /sys/dev/block/M:N/slaves names what a bio-based disk is made of. */
static void add_members(int dev_fd, struct bf_error *err)
{
	char path[64];
	struct dirent *entry;
	struct stat st;
	size_t length;
	DIR *slaves;

	if (!err || fstat(dev_fd, &st))
		return;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/slaves",
		 major(st.st_rdev), minor(st.st_rdev));
	slaves = opendir(path);
	if (!slaves)
		return;
	while ((entry = readdir(slaves))) {
		if (entry->d_name[0] == '.')
			continue;
		length = strlen(err->text);
		snprintf(err->text + length, sizeof(err->text) - length,
			 " [member: /dev/%s]", entry->d_name);
	}
	closedir(slaves);
}

int bf_tracker_create(struct bf_netlink *nl, int dev_fd, const char *name,
		      uint32_t granularity_bytes, bool all_dirty,
		      struct bf_tracker *out, struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = bf_request_open(&request, nl, BLKFERRY_CMD_TRACK, 0, err);
	if (ret)
		return ret;
	bf_request_put_u32(&request, BLKFERRY_A_DEV_FD, dev_fd);
	bf_request_put(&request, BLKFERRY_A_NAME, name, strlen(name) + 1);
	if (granularity_bytes)
		bf_request_put_u32(&request, BLKFERRY_A_GRANULARITY,
				granularity_bytes);
	if (all_dirty)
		bf_request_put(&request, BLKFERRY_A_ALL_DIRTY, NULL, 0);
	ret = bf_request_run(&request, nl, parse_tracker, out, err);
	if (ret == -EOPNOTSUPP)
		add_members(dev_fd, err);
	return ret;
}

int bf_tracker_delete(struct bf_netlink *nl, uint32_t id, struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = bf_request_open(&request, nl, BLKFERRY_CMD_UNTRACK, 0, err);
	if (ret)
		return ret;
	bf_request_put_u32(&request, BLKFERRY_A_TRACKER_ID, id);
	return bf_request_run(&request, nl, NULL, NULL, err);
}

int bf_tracker_try(struct bf_netlink *nl, int dev_fd, const char *name,
		   struct bf_error *err)
{
	struct bf_tracker tracker;
	int ret = bf_tracker_create(nl, dev_fd, name, 0, false, &tracker, err);

	return ret ? ret : bf_tracker_delete(nl, tracker.id, err);
}

int bf_tracker_get(struct bf_netlink *nl, uint32_t id, struct bf_tracker *out,
		   struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = bf_request_open(&request, nl, BLKFERRY_CMD_GET, 0, err);
	if (ret)
		return ret;
	bf_request_put_u32(&request, BLKFERRY_A_TRACKER_ID, id);
	return bf_request_run(&request, nl, parse_tracker, out, err);
}

struct tracker_list {
	struct bf_tracker *trackers;
	size_t nr;
};

static int parse_list(struct nlattr **attrs, void *out, struct bf_error *err)
{
	struct tracker_list *list = out;
	struct bf_tracker *grown;

	if (list->nr == BLKFERRY_TRACKERS_MAX)
		return bf_answer_bad(err, "more trackers than there can be");
	grown = realloc(list->trackers, (list->nr + 1) * sizeof(*grown));
	if (!grown)
		return bf_netlink_no_memory(err);
	list->trackers = grown;
	return parse_tracker(attrs, &list->trackers[list->nr++], err);
}

int bf_tracker_list(struct bf_netlink *nl, struct bf_tracker **trackers,
		    size_t *nr, struct bf_error *err)
{
	struct tracker_list list = {};
	struct bf_request request;
	int ret;

	*trackers = NULL;
	*nr = 0;
	ret = bf_request_open(&request, nl, BLKFERRY_CMD_GET, NLM_F_DUMP, err);
	if (ret)
		return ret;
	ret = bf_request_run(&request, nl, parse_list, &list, err);
	if (ret) {
		free(list.trackers);
		return ret;
	}
	*trackers = list.trackers;
	*nr = list.nr;
	return 0;
}

int bf_tracker_find(struct bf_netlink *nl, const char *name,
		    struct bf_tracker *out, struct bf_error *err)
{
	_cleanup_free_ struct bf_tracker *trackers = NULL;
	size_t nr;
	int ret;

	ret = bf_tracker_list(nl, &trackers, &nr, err);
	if (ret)
		return ret;
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(trackers[i].name, name)) {
			*out = trackers[i];
			return 0;
		}
	return bf_fail(err, BF_E_NOT_FOUND, ENOENT,
		       "no tracker has the name %s: `blkferry stats` lists them, `blkferry track` makes one",
		       name);
}

int bf_tracker_set_watermark(struct bf_netlink *nl, uint32_t id,
			     uint64_t watermark_bytes, struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = bf_request_open(&request, nl, BLKFERRY_CMD_SET, 0, err);
	if (ret)
		return ret;
	bf_request_put_u32(&request, BLKFERRY_A_TRACKER_ID, id);
	bf_request_put_u64(&request, BLKFERRY_A_WATERMARK_BYTES, watermark_bytes);
	return bf_request_run(&request, nl, NULL, NULL, err);
}

static int mark_some(struct bf_netlink *nl, uint32_t id,
		     const struct blkferry_extent *extents, size_t nr,
		     struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = bf_request_open(&request, nl, BLKFERRY_CMD_MARK, 0, err);
	if (ret)
		return ret;
	bf_request_put_u32(&request, BLKFERRY_A_TRACKER_ID, id);
	bf_request_put(&request, BLKFERRY_A_EXTENTS, extents,
		       nr * sizeof(*extents));
	return bf_request_run(&request, nl, NULL, NULL, err);
}

int bf_tracker_mark(struct bf_netlink *nl, uint32_t id,
		    const struct blkferry_extent *extents, size_t nr,
		    struct bf_error *err)
{
	while (nr > 0) {
		size_t some = nr < BLKFERRY_MARK_EXTENTS_MAX ?
			      nr : BLKFERRY_MARK_EXTENTS_MAX;
		int ret = mark_some(nl, id, extents, some, err);

		if (ret)
			return ret;
		extents += some;
		nr -= some;
	}
	return 0;
}
