// SPDX-License-Identifier: Apache-2.0
/*
 * Drain, as netlink.h offers it: generations and windows of dirty blocks flow
 * in from the module and are checked (RULE 6), watermarks flow out.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "netlink.h"
#include "netlink_private.h"

/* The answer to BEGIN, matched with what was asked for. */
struct begin_answer {
	struct bf_drain *drains;
	size_t nr;
};

static bool parse_begin_entry(struct nlattr *nest, struct bf_drain *drain)
{
	struct nlattr *attrs[BLKFERRY_A_MAX + 1];
	uint32_t id, fd;

	if (nla_type(nest) != BLKFERRY_A_BEGIN_ENTRY ||
	    nla_parse_nested(attrs, BLKFERRY_A_MAX, nest, NULL) ||
	    !bf_attr_u32(attrs[BLKFERRY_A_DRAIN_FD], &fd) || fd > INT32_MAX)
		return false;
	drain->fd = fd;
	return bf_attr_u32(attrs[BLKFERRY_A_TRACKER_ID], &id) &&
	       id == drain->tracker_id &&
	       bf_attr_u64(attrs[BLKFERRY_A_GENERATION], &drain->generation) &&
	       bf_attr_u64(attrs[BLKFERRY_A_NR_BLOCKS], &drain->nr_blocks) &&
	       bf_attr_u64(attrs[BLKFERRY_A_CARRIED_BLOCKS],
			   &drain->carried_blocks) &&
	       bf_attr_u64(attrs[BLKFERRY_A_WRITES], &drain->writes) &&
	       bf_attr_reasons(attrs[BLKFERRY_A_REASONS], &drain->reasons);
}

static int parse_begin(struct nlattr **attrs, void *out, struct bf_error *err)
{
	struct begin_answer *answer = out;
	struct nlattr *nest;
	bool bad = false;
	size_t nr = 0;
	int rest;

	if (!attrs[BLKFERRY_A_BEGIN_LIST])
		return bf_answer_bad(err, "no list of generations");
	/* To the end in any case: each entry may hold a descriptor to close. */
	nla_for_each_nested(nest, attrs[BLKFERRY_A_BEGIN_LIST], rest)
		if (nr == answer->nr ||
		    !parse_begin_entry(nest, &answer->drains[nr++]))
			bad = true;
	if (bad)
		return bf_answer_bad(err, "a generation that cannot be read");
	if (nr != answer->nr)
		return bf_answer_bad(err, "fewer generations than were asked for");
	return 0;
}

static void put_begin_entry(struct bf_request *request, uint32_t tracker_id,
			    int dev_fd)
{
	struct nlattr *entry = bf_request_nest(request, BLKFERRY_A_BEGIN_ENTRY);

	bf_request_put_u32(request, BLKFERRY_A_TRACKER_ID, tracker_id);
	bf_request_put_u32(request, BLKFERRY_A_DEV_FD, dev_fd);
	bf_request_nest_end(request, entry);
}

int bf_drain_begin(struct bf_netlink *nl, struct bf_drain *drains,
		   const int *dev_fds, size_t nr, struct bf_error *err)
{
	struct begin_answer answer = { .drains = drains, .nr = nr };
	struct bf_request request;
	struct nlattr *list;
	int ret;

	for (size_t i = 0; i < nr; i++)
		drains[i].fd = -1;
	if (nr == 0 || nr > BLKFERRY_BEGIN_MAX)
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "begin is possible on 1 to %d trackers at once, not on %zu: split the job",
			       BLKFERRY_BEGIN_MAX, nr);
	ret = bf_request_open(&request, nl, BLKFERRY_CMD_BEGIN, 0, err);
	if (ret)
		return ret;
	list = bf_request_nest(&request, BLKFERRY_A_BEGIN_LIST);
	for (size_t i = 0; i < nr; i++)
		put_begin_entry(&request, drains[i].tracker_id, dev_fds[i]);
	bf_request_nest_end(&request, list);
	ret = bf_request_run(&request, nl, parse_begin, &answer, err);
	for (size_t i = 0; ret && i < nr; i++)
		bf_drain_close(&drains[i]);
	return ret;
}

static int parse_extents(struct nlattr *attr, struct bf_walk_window *window,
			 struct bf_error *err)
{
	size_t bytes = nla_len(attr);

	if (bytes % sizeof(window->extents[0]) ||
	    bytes > BLKFERRY_WALK_EXTENTS_MAX * sizeof(window->extents[0]))
		return bf_answer_bad(err, "an array of extents that cannot be read");
	memcpy(window->extents, nla_data(attr), bytes);
	window->nr_extents = bytes / sizeof(window->extents[0]);
	return 0;
}

/* Next block from @block on whose bit is @value, BLKFERRY_LEAF_BLOCKS if none. */
static unsigned int next_bit(const uint64_t *words, unsigned int block, bool value)
{
	while (block < BLKFERRY_LEAF_BLOCKS) {
		uint64_t word = le64toh(words[block / 64]);

		word = (value ? word : ~word) >> block % 64;
		if (word)
			return block + __builtin_ctzll(word);
		block = (block / 64 + 1) * 64;
	}
	return BLKFERRY_LEAF_BLOCKS;
}

static void bitmap_to_extents(const uint64_t *words, uint64_t first_sector,
			      uint64_t block_sectors, uint64_t nr_sectors,
			      struct bf_walk_window *window)
{
	unsigned int block = next_bit(words, 0, true);

	while (block < BLKFERRY_LEAF_BLOCKS) {
		unsigned int end = next_bit(words, block, false);
		uint64_t sector = first_sector + block * block_sectors;
		uint64_t last = first_sector + end * block_sectors;

		if (last > nr_sectors)
			last = nr_sectors;
		if (sector >= last)
			return;
		window->extents[window->nr_extents++] = (struct blkferry_extent){
			.sector = sector,
			.nr_sectors = last - sector,
		};
		block = next_bit(words, end, true);
	}
}

static int parse_bitmap(struct nlattr **attrs, struct bf_walk_window *window,
			struct bf_error *err)
{
	uint64_t words[BLKFERRY_LEAF_BYTES / sizeof(uint64_t)];
	uint64_t first_sector, nr_sectors;
	uint32_t granularity_bytes;

	if (nla_len(attrs[BLKFERRY_A_BITMAP]) != BLKFERRY_LEAF_BYTES ||
	    !bf_attr_u64(attrs[BLKFERRY_A_BITMAP_SECTOR], &first_sector) ||
	    !bf_attr_u64(attrs[BLKFERRY_A_NR_SECTORS], &nr_sectors) ||
	    !bf_attr_u32(attrs[BLKFERRY_A_GRANULARITY], &granularity_bytes) ||
	    granularity_bytes < BLKFERRY_GRANULARITY_MIN ||
	    granularity_bytes > BLKFERRY_GRANULARITY_MAX ||
	    first_sector >= nr_sectors || nr_sectors > INT64_MAX)
		return bf_answer_bad(err, "a bitmap that cannot be read");
	memcpy(words, nla_data(attrs[BLKFERRY_A_BITMAP]), sizeof(words));
	bitmap_to_extents(words, first_sector,
			  granularity_bytes / BLKFERRY_SECTOR_BYTES,
			  nr_sectors, window);
	return 0;
}

static int parse_window(struct nlattr **attrs, void *out, struct bf_error *err)
{
	struct bf_walk_window *window = out;
	int ret;

	window->nr_extents = 0;
	window->total_blocks = 0;
	if (!bf_attr_u64(attrs[BLKFERRY_A_NEXT_SECTOR], &window->next_sector))
		return bf_answer_bad(err, "no next sector");
	if (attrs[BLKFERRY_A_BITMAP])
		ret = parse_bitmap(attrs, window, err);
	else if (attrs[BLKFERRY_A_EXTENTS])
		ret = parse_extents(attrs[BLKFERRY_A_EXTENTS], window, err);
	else
		ret = bf_answer_bad(err, "neither extents nor a bitmap");
	window->end = bf_attr_u64(attrs[BLKFERRY_A_TOTAL_BLOCKS],
				  &window->total_blocks);
	return ret;
}

/* A window that does not go forward would be asked for again for ever. */
static int check_progress(const struct bf_walk_window *window,
			  uint64_t from_sector, struct bf_error *err)
{
	if (!window->end && window->next_sector <= from_sector)
		return bf_answer_bad(err, "a window that does not go forward");
	return 0;
}

int bf_tracker_peek(struct bf_netlink *nl, uint32_t id, uint64_t from_sector,
		    struct bf_walk_window *window, struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = bf_request_open(&request, nl, BLKFERRY_CMD_PEEK, 0, err);
	if (ret)
		return ret;
	bf_request_put_u32(&request, BLKFERRY_A_TRACKER_ID, id);
	bf_request_put_u64(&request, BLKFERRY_A_FROM_SECTOR, from_sector);
	ret = bf_request_run(&request, nl, parse_window, window, err);
	return ret ? ret : check_progress(window, from_sector, err);
}

static int owner_request(struct bf_request *request, struct bf_netlink *nl,
			 uint8_t command, const struct bf_drain *drain,
			 struct bf_error *err)
{
	int ret = bf_request_open(request, nl, command, 0, err);

	if (ret)
		return ret;
	bf_request_put_u32(request, BLKFERRY_A_DRAIN_FD, drain->fd);
	bf_request_put_u64(request, BLKFERRY_A_GENERATION, drain->generation);
	return 0;
}

int bf_drain_walk(struct bf_netlink *nl, const struct bf_drain *drain,
		  uint64_t from_sector, struct bf_walk_window *window,
		  struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = owner_request(&request, nl, BLKFERRY_CMD_WALK, drain, err);
	if (ret)
		return ret;
	bf_request_put_u64(&request, BLKFERRY_A_FROM_SECTOR, from_sector);
	ret = bf_request_run(&request, nl, parse_window, window, err);
	return ret ? ret : check_progress(window, from_sector, err);
}

int bf_drain_commit(struct bf_netlink *nl, const struct bf_drain *drain,
		    uint64_t through_sector, struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = owner_request(&request, nl, BLKFERRY_CMD_COMMIT, drain, err);
	if (ret)
		return ret;
	bf_request_put_u64(&request, BLKFERRY_A_THROUGH_SECTOR, through_sector);
	return bf_request_run(&request, nl, NULL, NULL, err);
}

static void put_reasons(struct bf_request *request,
			const struct bf_reasons *reasons)
{
	struct nlattr *list = bf_request_nest(request, BLKFERRY_A_REASONS);

	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++) {
		const struct bf_reason_counts *counts = &reasons->by_id[id];
		struct nlattr *reason;

		if (!counts->raised)
			continue;
		reason = bf_request_nest(request, BLKFERRY_A_REASON);
		bf_request_put_u32(request, BLKFERRY_A_REASON_ID, id);
		bf_request_put_u64(request, BLKFERRY_A_REASON_RAISED,
				   counts->raised);
		bf_request_nest_end(request, reason);
	}
	bf_request_nest_end(request, list);
}

int bf_drain_finish(struct bf_netlink *nl, struct bf_drain *drain,
		    uint64_t nr_sectors, uint64_t nr_blocks,
		    const struct bf_reasons *resynced, struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = owner_request(&request, nl, BLKFERRY_CMD_COMMIT, drain, err);
	if (ret)
		return ret;
	bf_request_put_u64(&request, BLKFERRY_A_THROUGH_SECTOR, nr_sectors);
	bf_request_put_u64(&request, BLKFERRY_A_NR_BLOCKS, nr_blocks);
	if (resynced)
		put_reasons(&request, resynced);
	return bf_request_run(&request, nl, NULL, NULL, err);
}

int bf_drain_abort(struct bf_netlink *nl, struct bf_drain *drain,
		   struct bf_error *err)
{
	struct bf_request request;
	int ret;

	ret = owner_request(&request, nl, BLKFERRY_CMD_ABORT, drain, err);
	if (ret)
		return ret;
	return bf_request_run(&request, nl, NULL, NULL, err);
}

void bf_drain_close(struct bf_drain *drain)
{
	if (drain->fd >= 0)
		close(drain->fd);
	drain->fd = -1;
}
