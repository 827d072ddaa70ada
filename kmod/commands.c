// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands: see commands.h. The contract is include/uapi/linux/blkferry.h.
 */
#include <linux/slab.h>
#include <net/genetlink.h>

#include "commands.h"
#include "device.h"
#include "drain.h"
#include "fault.h"
#include "reply.h"
#include "tracker.h"
#include "walk.h"

/* Inside BEGIN_ENTRY and REASON. */
static const struct nla_policy begin_policy[BLKFERRY_A_MAX + 1] = {
	[BLKFERRY_A_TRACKER_ID] = { .type = NLA_U32 },
	[BLKFERRY_A_DEV_FD] = { .type = NLA_U32 },
};

static const struct nla_policy reason_policy[BLKFERRY_A_MAX + 1] = {
	[BLKFERRY_A_REASON_ID] = NLA_POLICY_RANGE(NLA_U32,
			BLKFERRY_REASON_NONE + 1, BLKFERRY_REASON_MAX),
	[BLKFERRY_A_REASON_RAISED] = { .type = NLA_U64 },
	[BLKFERRY_A_REASON_CLEARED] = { .type = NLA_U64 },
};

static struct bf_tracker *find_tracker(u32 id, struct netlink_ext_ack *extack)
{
	struct bf_tracker *tracker = bf_tracker_find(id);

	if (!tracker)
		NL_SET_ERR_MSG(extack, "no tracker has this TRACKER_ID: it was untracked, or the module was reloaded; list them with GET");
	return tracker;
}

static struct bf_tracker *named_tracker(struct genl_info *info)
{
	return find_tracker(nla_get_u32(info->attrs[BLKFERRY_A_TRACKER_ID]),
			    info->extack);
}

static void tell(u32 tracker_id, const char *name, enum blkferry_event what)
{
	struct bf_event event = {
		.event = what,
		.tracker_id = tracker_id,
		.name = name,
	};

	bf_reply_event(&event);
}

static int create_and_reply(const struct bf_device *device,
			    struct genl_info *info)
{
	struct nlattr *granularity = info->attrs[BLKFERRY_A_GRANULARITY];
	struct bf_tracker_spec spec = {
		.name = nla_data(info->attrs[BLKFERRY_A_NAME]),
		.all_dirty = nla_get_flag(info->attrs[BLKFERRY_A_ALL_DIRTY]),
	};
	struct bf_tracker *tracker;
	int ret;

	if (granularity) {
		spec.granularity_bytes = nla_get_u32(granularity);
		if (!spec.granularity_bytes) {
			NL_SET_ERR_MSG(info->extack, "GRANULARITY must be a power of two from 4 KiB to 64 MiB");
			return -EINVAL;
		}
	}
	tracker = bf_tracker_create(device, &spec, info->extack);
	if (IS_ERR(tracker))
		return PTR_ERR(tracker);
	ret = bf_reply_tracker(info, tracker);
	if (ret) {
		bf_tracker_destroy(tracker);
		return ret;
	}
	tell(tracker->id, tracker->name, BLKFERRY_EVENT_TRACKED);
	return 0;
}

/**
 * bf_cmd_track() - begin to track a device
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0 or an error of the contract.
 */
int bf_cmd_track(struct genl_info *info)
{
	struct bf_device device;
	int ret;

	ret = bf_device_get(&device, nla_get_u32(info->attrs[BLKFERRY_A_DEV_FD]),
			    info->extack);
	if (ret)
		return ret;
	mutex_lock(&bf_control_mutex);
	ret = create_and_reply(&device, info);
	mutex_unlock(&bf_control_mutex);
	bf_device_put(&device);
	return ret;
}

/* The event comes when the name is free again. */
static int untrack(struct bf_tracker *tracker, struct netlink_ext_ack *extack)
{
	char name[BLKFERRY_NAME_MAX + 1];
	int ret = bf_fault(BF_FAULT_UNTRACK);
	u32 id = tracker->id;

	if (ret)
		return ret;
	if (tracker->drain) {
		NL_SET_ERR_MSG(extack, "a generation of this tracker is owned by an open drain descriptor: close it, or end the process that holds it, first");
		return -EBUSY;
	}
	strscpy(name, tracker->name, sizeof(name));
	bf_tracker_destroy(tracker);
	tell(id, name, BLKFERRY_EVENT_UNTRACKED);
	return 0;
}

/**
 * bf_cmd_untrack() - stop tracking
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0, -ENOENT or -EBUSY.
 */
int bf_cmd_untrack(struct genl_info *info)
{
	struct bf_tracker *tracker;
	int ret = -ENOENT;

	mutex_lock(&bf_control_mutex);
	tracker = named_tracker(info);
	if (tracker)
		ret = untrack(tracker, info->extack);
	mutex_unlock(&bf_control_mutex);
	return ret;
}

/**
 * bf_cmd_get() - describe a tracker
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0, -ENOENT or what sending fails with.
 */
int bf_cmd_get(struct genl_info *info)
{
	struct bf_tracker *tracker;
	int ret = -ENOENT;

	mutex_lock(&bf_control_mutex);
	tracker = named_tracker(info);
	if (tracker)
		ret = bf_reply_tracker(info, tracker);
	mutex_unlock(&bf_control_mutex);
	return ret;
}

/**
 * bf_cmd_set() - change a tracker
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0 or -ENOENT.
 */
int bf_cmd_set(struct genl_info *info)
{
	u64 bytes = nla_get_u64(info->attrs[BLKFERRY_A_WATERMARK_BYTES]);
	struct bf_tracker *tracker;
	int ret = -ENOENT;

	mutex_lock(&bf_control_mutex);
	tracker = named_tracker(info);
	if (tracker) {
		bf_tracker_set_watermark(tracker, bytes);
		ret = 0;
	}
	mutex_unlock(&bf_control_mutex);
	return ret;
}

/* Attributes are aligned to 4 bytes only. */
static struct blkferry_extent nth_extent(const struct nlattr *array, size_t i)
{
	struct blkferry_extent extent;

	memcpy(&extent, nla_data(array) + i * sizeof(extent), sizeof(extent));
	return extent;
}

static bool extents_fit(const struct bf_tracker *tracker,
			const struct nlattr *array, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		struct blkferry_extent extent = nth_extent(array, i);

		if (!extent.nr_sectors ||
		    extent.nr_sectors > tracker->nr_sectors ||
		    extent.sector > tracker->nr_sectors - extent.nr_sectors)
			return false;
	}
	return true;
}

static int mark_extents(struct bf_tracker *tracker, const struct nlattr *array,
			struct netlink_ext_ack *extack)
{
	size_t nr = nla_len(array) / sizeof(struct blkferry_extent);
	unsigned int shift = tracker->block_shift;
	int ret = bf_fault(BF_FAULT_MARK);
	size_t i;

	if (ret)
		return ret;
	if (nla_len(array) % sizeof(struct blkferry_extent)) {
		NL_SET_ERR_MSG(extack, "EXTENTS must be an array of struct blkferry_extent, 16 bytes each");
		return -EINVAL;
	}
	if (!extents_fit(tracker, array, nr)) {
		NL_SET_ERR_MSG(extack, "an extent is empty or ends beyond the device: sectors count from the start of the tracked device; nothing was marked");
		return -ERANGE;
	}
	for (i = 0; i < nr; i++) {
		struct blkferry_extent extent = nth_extent(array, i);

		bf_map_mark(bf_tracker_map(tracker), extent.sector >> shift,
			    (extent.sector + extent.nr_sectors - 1) >> shift);
	}
	return 0;
}

/**
 * bf_cmd_mark() - add extents to the active map
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0, -ENOENT, -EINVAL or -ERANGE.
 */
int bf_cmd_mark(struct genl_info *info)
{
	struct bf_tracker *tracker;
	int ret = -ENOENT;

	mutex_lock(&bf_control_mutex);
	tracker = named_tracker(info);
	if (tracker)
		ret = mark_extents(tracker, info->attrs[BLKFERRY_A_EXTENTS],
				   info->extack);
	mutex_unlock(&bf_control_mutex);
	return ret;
}

/* One BEGIN_ENTRY of the request. */
struct begin_request {
	u32 tracker_id;
	u32 dev_fd;
};

static int parse_begin_entry(const struct nlattr *nest,
			     struct begin_request *request,
			     struct netlink_ext_ack *extack)
{
	struct nlattr *attrs[BLKFERRY_A_MAX + 1];
	int ret;

	if (nla_type(nest) != BLKFERRY_A_BEGIN_ENTRY) {
		NL_SET_ERR_MSG(extack, "BEGIN_LIST holds BEGIN_ENTRY nests and nothing else");
		return -EINVAL;
	}
	ret = nla_parse_nested(attrs, BLKFERRY_A_MAX, nest, begin_policy, extack);
	if (ret)
		return ret;
	if (!attrs[BLKFERRY_A_TRACKER_ID] || !attrs[BLKFERRY_A_DEV_FD]) {
		NL_SET_ERR_MSG(extack, "a BEGIN_ENTRY needs TRACKER_ID and DEV_FD");
		return -EINVAL;
	}
	request->tracker_id = nla_get_u32(attrs[BLKFERRY_A_TRACKER_ID]);
	request->dev_fd = nla_get_u32(attrs[BLKFERRY_A_DEV_FD]);
	return 0;
}

/* Return: how many entries there are, or a negative errno. */
static int parse_begin_list(const struct nlattr *list,
			    struct begin_request *requests,
			    struct netlink_ext_ack *extack)
{
	const struct nlattr *nest;
	int nr = 0;
	int rest, ret;

	nla_for_each_nested(nest, list, rest) {
		if (nr == BLKFERRY_BEGIN_MAX) {
			NL_SET_ERR_MSG(extack, "BEGIN_LIST holds too many entries: " __stringify(BLKFERRY_BEGIN_MAX) " trackers at most begin at once");
			return -EINVAL;
		}
		ret = parse_begin_entry(nest, &requests[nr++], extack);
		if (ret)
			return ret;
	}
	if (!nr) {
		NL_SET_ERR_MSG(extack, "BEGIN_LIST is empty: name at least one tracker");
		return -EINVAL;
	}
	return nr;
}

/* The descriptor must be the tracked device; what has changed sets a reason. */
static int check_begin_device(struct bf_tracker *tracker, u32 fd,
			      struct netlink_ext_ack *extack)
{
	struct bf_device device;
	int ret = bf_device_get(&device, fd, extack);

	if (ret)
		return ret;
	if (device.queue == tracker->disk->queue &&
	    device.devt == tracker->devt && !bf_fault(BF_FAULT_BEGIN_DEVICE)) {
		bf_tracker_check(tracker, &device);
		ret = bf_disk_check(tracker->disk, &device);
	} else {
		NL_SET_ERR_MSG(extack, "DEV_FD is not the tracked device: open the device that GET names as DISK");
		ret = -ENODEV;
	}
	bf_device_put(&device);
	return ret;
}

static bool named_before(const struct bf_begin *begins, unsigned int nr,
			 const struct bf_tracker *tracker)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (begins[i].tracker == tracker)
			return true;
	return false;
}

static int resolve_begin(const struct begin_request *requests,
			 struct bf_begin *begins, unsigned int nr,
			 struct netlink_ext_ack *extack)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct bf_tracker *tracker;
		int ret;

		tracker = find_tracker(requests[i].tracker_id, extack);
		if (!tracker)
			return -ENOENT;
		if (named_before(begins, i, tracker)) {
			NL_SET_ERR_MSG(extack, "BEGIN_LIST names a tracker twice");
			return -EINVAL;
		}
		if (tracker->drain) {
			NL_SET_ERR_MSG(extack, "a generation of this tracker is owned by another drain descriptor: wait for the event DRAIN_RETURNED, or end its owner");
			return -EBUSY;
		}
		ret = check_begin_device(tracker, requests[i].dev_fd, extack);
		if (ret)
			return ret;
		begins[i].tracker = tracker;
	}
	return 0;
}

/*
 * The descriptors are numbered and their files made first, then comes the
 * swap, then the reply; only when that is queued does the sender get them.
 */
static int begin_and_reply(const struct begin_request *requests,
			   struct bf_begin *begins, unsigned int nr,
			   struct genl_info *info)
{
	int ret;

	ret = resolve_begin(requests, begins, nr, info->extack);
	if (!ret)
		ret = bf_drain_begin(begins, nr, info->extack);
	if (ret)
		return ret;
	ret = bf_reply_begin(info, begins, nr);
	if (ret)
		bf_drain_cancel(begins, nr);
	else
		bf_drain_install(begins, nr);
	return ret;
}

/**
 * bf_cmd_begin() - swap the maps of trackers
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0 or an error of the contract.
 */
int bf_cmd_begin(struct genl_info *info)
{
	struct begin_request *requests;
	struct bf_begin *begins;
	int ret = -ENOMEM;

	requests = kcalloc(BLKFERRY_BEGIN_MAX, sizeof(*requests), GFP_KERNEL);
	begins = kcalloc(BLKFERRY_BEGIN_MAX, sizeof(*begins), GFP_KERNEL);
	if (!requests || !begins || bf_fault(BF_FAULT_BEGIN_MEMORY))
		goto out;
	ret = parse_begin_list(info->attrs[BLKFERRY_A_BEGIN_LIST], requests,
			       info->extack);
	if (ret < 0)
		goto out;
	mutex_lock(&bf_control_mutex);
	ret = begin_and_reply(requests, begins, ret, info);
	mutex_unlock(&bf_control_mutex);
out:
	kfree(begins);
	kfree(requests);
	return ret;
}

static int reply_window(struct genl_info *info, const struct bf_walk *walk,
			const struct bf_walk_window *window,
			u64 generation, u64 total_blocks)
{
	struct bf_walk_answer answer = {
		.window = window,
		.generation = generation,
		.block_shift = walk->block_shift,
		.nr_sectors = walk->nr_sectors,
		.nr_blocks = walk->map->nr_blocks,
		.total_blocks = total_blocks,
	};

	return bf_reply_walk(info, &answer);
}

static int walk_drain(struct bf_drain *drain, struct bf_walk_window *window,
		      struct genl_info *info)
{
	struct bf_walk walk;
	int ret;

	ret = bf_drain_lock(drain,
			    nla_get_u64(info->attrs[BLKFERRY_A_GENERATION]),
			    info->extack);
	if (ret)
		return ret;
	ret = bf_drain_walk(drain,
			    nla_get_u64(info->attrs[BLKFERRY_A_FROM_SECTOR]),
			    window, info->extack);
	walk = bf_tracker_walk(drain->tracker, drain->map);
	if (!ret)
		ret = reply_window(info, &walk, window, drain->generation,
				   drain->left_blocks);
	bf_drain_unlock(drain);
	return ret;
}

/**
 * bf_cmd_walk() - read a window of a generation
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0 or an error of the contract.
 */
int bf_cmd_walk(struct genl_info *info)
{
	struct bf_walk_window *window;
	struct file *file;
	int ret = -ENOMEM;

	file = bf_drain_file(nla_get_u32(info->attrs[BLKFERRY_A_DRAIN_FD]),
			     info->extack);
	if (IS_ERR(file))
		return PTR_ERR(file);
	window = bf_fault(BF_FAULT_WALK_WINDOW) ? NULL :
		 kmalloc(sizeof(*window), GFP_KERNEL);
	if (window)
		ret = walk_drain(file->private_data, window, info);
	kfree(window);
	fput(file);
	return ret;
}

static int peek(struct bf_tracker *tracker, struct bf_walk_window *window,
		struct genl_info *info)
{
	struct bf_dirtymap *map = bf_tracker_map(tracker);
	struct bf_walk walk = bf_tracker_walk(tracker, map);
	u64 from;

	if (bf_walk_block(&walk, nla_get_u64(info->attrs[BLKFERRY_A_FROM_SECTOR]),
			  &from)) {
		NL_SET_ERR_MSG(info->extack, "FROM_SECTOR must be a multiple of the granularity, not beyond the device");
		return -EINVAL;
	}
	bf_walk(&walk, from, window);
	return reply_window(info, &walk, window, tracker->generation,
			    bf_map_dirty_blocks(map));
}

/**
 * bf_cmd_peek() - read a window of an active map
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0 or an error of the contract.
 */
int bf_cmd_peek(struct genl_info *info)
{
	struct bf_walk_window *window = bf_fault(BF_FAULT_PEEK_WINDOW) ? NULL :
					kmalloc(sizeof(*window), GFP_KERNEL);
	struct bf_tracker *tracker;
	int ret = -ENOENT;

	if (!window)
		return -ENOMEM;
	mutex_lock(&bf_control_mutex);
	tracker = named_tracker(info);
	if (tracker)
		ret = peek(tracker, window, info);
	mutex_unlock(&bf_control_mutex);
	kfree(window);
	return ret;
}

static int parse_reason(const struct nlattr *nest, u64 *resynced,
			struct netlink_ext_ack *extack)
{
	struct nlattr *attrs[BLKFERRY_A_MAX + 1];
	int ret;

	if (nla_type(nest) != BLKFERRY_A_REASON) {
		NL_SET_ERR_MSG(extack, "REASONS holds REASON nests and nothing else");
		return -EINVAL;
	}
	ret = nla_parse_nested(attrs, BLKFERRY_A_MAX, nest, reason_policy, extack);
	if (ret)
		return ret;
	if (!attrs[BLKFERRY_A_REASON_ID] || !attrs[BLKFERRY_A_REASON_RAISED]) {
		NL_SET_ERR_MSG(extack, "a REASON needs REASON_ID and REASON_RAISED");
		return -EINVAL;
	}
	resynced[nla_get_u32(attrs[BLKFERRY_A_REASON_ID])] =
		nla_get_u64(attrs[BLKFERRY_A_REASON_RAISED]);
	return 0;
}

static int parse_reasons(const struct nlattr *list, u64 *resynced,
			 struct netlink_ext_ack *extack)
{
	const struct nlattr *nest;
	int rest, ret;

	nla_for_each_nested(nest, list, rest) {
		ret = parse_reason(nest, resynced, extack);
		if (ret)
			return ret;
	}
	return 0;
}

static int parse_commit(struct genl_info *info, struct bf_commit *commit,
			u64 *resynced)
{
	struct nlattr *nr_blocks = info->attrs[BLKFERRY_A_NR_BLOCKS];
	struct nlattr *reasons = info->attrs[BLKFERRY_A_REASONS];

	commit->through_sector =
		nla_get_u64(info->attrs[BLKFERRY_A_THROUGH_SECTOR]);
	if (nr_blocks) {
		commit->final = true;
		commit->nr_blocks = nla_get_u64(nr_blocks);
	}
	if (!reasons)
		return 0;
	if (!nr_blocks) {
		NL_SET_ERR_MSG(info->extack, "REASONS come with the final commit only, that is with NR_BLOCKS");
		return -EINVAL;
	}
	commit->resynced = resynced;
	return parse_reasons(reasons, resynced, info->extack);
}

/**
 * bf_cmd_commit() - forget what is durable elsewhere
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0 or an error of the contract.
 */
int bf_cmd_commit(struct genl_info *info)
{
	u64 resynced[BLKFERRY_REASON_MAX + 1] = {};
	struct bf_commit commit = {};
	struct file *file;
	int ret;

	ret = parse_commit(info, &commit, resynced);
	if (ret)
		return ret;
	file = bf_drain_file(nla_get_u32(info->attrs[BLKFERRY_A_DRAIN_FD]),
			     info->extack);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = bf_drain_commit(file->private_data,
			      nla_get_u64(info->attrs[BLKFERRY_A_GENERATION]),
			      &commit, info->extack);
	fput(file);
	return ret;
}

/**
 * bf_cmd_abort() - merge a generation back
 * @info: the request, checked for its attributes
 *
 * Context: Process, of the sender.
 * Return: 0, -EBADF or -ESTALE.
 */
int bf_cmd_abort(struct genl_info *info)
{
	struct file *file;
	int ret;

	file = bf_drain_file(nla_get_u32(info->attrs[BLKFERRY_A_DRAIN_FD]),
			     info->extack);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = bf_fault(BF_FAULT_ABORT) ?:
	      bf_drain_abort(file->private_data,
			     nla_get_u64(info->attrs[BLKFERRY_A_GENERATION]),
			     info->extack);
	fput(file);
	return ret;
}
