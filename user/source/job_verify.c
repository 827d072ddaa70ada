// SPDX-License-Identifier: Apache-2.0
/*
 * Job, verify: digests of both sides flow in; "identical", or the blocks that
 * really differ, flow out. Never cries wolf: trackers of its own
 * (JOB:DISK:verify) say what was written meanwhile. A round is: drain them, a
 * pass of the job, compare what is suspect. A block that differs and was
 * written since the drain stays suspect; one that was not has a strike, and
 * two strikes in a row are a difference: a write that was in flight over one
 * round cannot be in flight, unseen, over two.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "source/job_state.h"

#define ROUNDS_MAX 50
#define STRIKES 2
#define BLOCK_BYTES (64u << 10)		/* finest unit is the tracker's anyway */
#define SUSPECTS_MAX (1u << 20)

struct suspects {
	struct bf_extent *extents;
	uint8_t *strikes;		/* without a write, so far */
	size_t nr, room;
};

struct verify_disk {
	struct bf_job_disk *disk;
	uint32_t index;
	struct bf_tracker tracker;
	struct bf_extents *extents;	/* what was written meanwhile */
	bool created;
	struct suspects suspects;	/* of the last round, ascending */
	bool left_out;			/* some of it was not compared */
	uint64_t compared_bytes;
	uint64_t differing_blocks, differing_bytes;
	struct bf_extent first;
};

static void suspects_free(struct suspects *suspects)
{
	free(suspects->extents);
	free(suspects->strikes);
	*suspects = (struct suspects){ 0 };
}

static int suspects_add(struct suspects *suspects, uint64_t offset_bytes,
			uint64_t length_bytes, uint8_t strikes)
{
	size_t room = suspects->room ? suspects->room * 2 : 64;

	if (suspects->nr >= SUSPECTS_MAX)
		return -E2BIG;
	if (suspects->nr == suspects->room) {
		struct bf_extent *extents = reallocarray(suspects->extents,
							 room, sizeof(*extents));
		uint8_t *grown;

		if (extents)
			suspects->extents = extents;
		grown = realloc(suspects->strikes, room);
		if (grown)
			suspects->strikes = grown;
		if (!extents || !grown)
			return -ENOMEM;
		suspects->room = room;
	}
	suspects->extents[suspects->nr] =
		(struct bf_extent){ offset_bytes, length_bytes };
	suspects->strikes[suspects->nr++] = strikes;
	return 0;
}

/* ---- the trackers of a verify ---- */

static int verify_name(const struct bf_job_disk *disk,
		       char name[BLKFERRY_NAME_MAX + 1], struct bf_error *err)
{
	int length = snprintf(name, BLKFERRY_NAME_MAX + 1, "%s:verify",
			      disk->tracker.name);

	return length <= BLKFERRY_NAME_MAX ? 0 :
	       bf_fail(err, BF_E_CONFIG, ENAMETOOLONG,
		       "the name of tracker %s is too long to add :verify: shorten the names of job or disk",
		       disk->tracker.name);
}

int bf_job_verify_forget(struct bf_job *job, const struct bf_job_disk *disk,
			 struct bf_error *err)
{
	char name[BLKFERRY_NAME_MAX + 1];
	struct bf_tracker left;
	int ret = verify_name(disk, name, err);

	if (ret || bf_tracker_find(job->nl, name, &left, err))
		return 0;
	return bf_tracker_delete(job->nl, left.id, err);
}

static int open_tracker(struct bf_job *job, struct verify_disk *verify,
			struct bf_error *err)
{
	struct bf_job_disk *disk = verify->disk;
	char name[BLKFERRY_NAME_MAX + 1];
	int ret = verify_name(disk, name, err);

	if (!ret)
		ret = bf_job_verify_forget(job, disk, err);
	if (!ret)
		ret = bf_tracker_create(job->nl, disk->fd, name,
					disk->tracker.granularity_bytes, false,
					&verify->tracker, err);
	if (ret)
		return ret;
	verify->created = true;
	return bf_extents_netlink(&verify->extents, job->nl, &verify->tracker,
				  disk->fd, err);
}

static void close_tracker(struct bf_job *job, struct verify_disk *verify)
{
	struct bf_error err;

	if (verify->extents)
		verify->extents->ops->close(verify->extents);
	if (verify->created &&
	    bf_tracker_delete(job->nl, verify->tracker.id, &err))
		bf_warn("%s", err.text);
	suspects_free(&verify->suspects);
}

/* Forgets what was written so far. */
static int drain_away(struct verify_disk *verify, struct bf_error *err)
{
	struct bf_generation generation;
	int ret = verify->extents->ops->begin(&verify->extents, 1, &generation,
					      err);

	return ret ? ret : verify->extents->ops->finish(verify->extents,
							generation.nr_blocks,
							NULL, err);
}

/* ---- one comparison ---- */

struct comparison {
	struct suspects found;
	const struct suspects *before;	/* NULL: the first round */
	size_t at;			/* in before: both ascend */
	struct bf_error *err;
};

/* Strikes of what was suspect before; the whole disk has none. */
static uint8_t strikes_before(struct comparison *comparison,
			      uint64_t offset_bytes)
{
	const struct suspects *before = comparison->before;

	while (before && comparison->at < before->nr &&
	       before->extents[comparison->at].offset_bytes +
	       before->extents[comparison->at].length_bytes <= offset_bytes)
		comparison->at++;
	return before && comparison->at < before->nr ?
	       before->strikes[comparison->at] : 0;
}

static int on_differ(void *context, uint64_t offset_bytes,
		     uint64_t length_bytes)
{
	struct comparison *comparison = context;

	if (!suspects_add(&comparison->found, offset_bytes, length_bytes,
			  strikes_before(comparison, offset_bytes)))
		return 0;
	return bf_fail(comparison->err, BF_E_DIFFERS, E2BIG,
		       "source and target differ in more than %zu places, or there is no memory to note them: is it the right target?",
		       comparison->found.nr);
}

static bool overlap(const struct bf_extent *a, const struct bf_extent *b)
{
	return a->offset_bytes < b->offset_bytes + b->length_bytes &&
	       b->offset_bytes < a->offset_bytes + a->length_bytes;
}

/* A written block starts anew, an unwritten one gets a strike. */
static void judge(struct suspects *found, const struct bf_extent *written,
		  size_t nr_written, uint8_t *touched, size_t *from)
{
	size_t i = *from;

	for (size_t w = 0; w < nr_written; w++) {
		while (i < found->nr &&
		       found->extents[i].offset_bytes +
		       found->extents[i].length_bytes <=
		       written[w].offset_bytes)
			i++;
		for (size_t k = i; k < found->nr &&
		     overlap(&found->extents[k], &written[w]); k++)
			touched[k] = 1;
	}
	*from = i;
}

/* Walks what was written since drain_away and judges the suspects by it. */
static int judge_all(struct verify_disk *verify, struct suspects *found,
		     struct bf_error *err)
{
	_cleanup_free_ uint8_t *touched = calloc(found->nr + 1, 1);
	struct bf_generation generation;
	uint64_t from_bytes = 0, total;
	struct bf_extent written[256];
	size_t nr, at = 0;
	bool end = false;
	int ret;

	if (!touched)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	ret = verify->extents->ops->begin(&verify->extents, 1, &generation,
					  err);
	while (!ret && !end) {
		ret = verify->extents->ops->walk(verify->extents, from_bytes,
						 written, 256, &nr, &from_bytes,
						 &end, &total, err);
		if (!ret)
			judge(found, written, nr, touched, &at);
	}
	if (!ret)
		ret = verify->extents->ops->finish(verify->extents,
						   generation.nr_blocks, NULL,
						   err);
	for (size_t i = 0; i < found->nr; i++)
		found->strikes[i] = touched[i] ? 0 : found->strikes[i] + 1;
	return ret;
}

/* What the target lacks, and what the source's disk does not give, is left out. */
static int to_compare(const struct bf_job_disk *disk, struct bf_ranges *sent)
{
	_cleanup_(bf_ranges_free) struct bf_ranges left_out = { 0 };
	int ret = bf_ranges_add(&left_out, &disk->unsent);

	if (!ret)
		ret = bf_ranges_add(&left_out, &disk->unreadable);
	return ret ? ret : bf_ranges_complement(&left_out, disk->size_bytes,
						sent);
}

static int compare(struct bf_job *job, struct verify_disk *verify, bool first,
		   struct bf_error *err)
{
	_cleanup_(suspects_free) struct suspects before = verify->suspects;
	_cleanup_(bf_ranges_free) struct bf_ranges sent = { 0 };
	struct comparison comparison = {
		.before = first ? NULL : &before,
		.err = err,
	};
	uint32_t block_bytes = verify->disk->tracker.granularity_bytes;
	struct bf_verify_result result;
	int ret;

	if (block_bytes > WIRE_RAW_MAX)
		block_bytes = WIRE_RAW_MAX;

	verify->suspects = (struct suspects){ 0 };
	if (!first && !before.nr)
		return 0;
	/* Whole disks in larger blocks first: fewer digests travel. */
	if (first && block_bytes < BLOCK_BYTES)
		block_bytes = BLOCK_BYTES;
	if (first && to_compare(verify->disk, &sent))
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	if (first)
		verify->left_out = bf_ranges_bytes(&sent) !=
				   verify->disk->size_bytes;
	ret = bf_session_verify(job->session, verify->index,
				first ? sent.range : before.extents,
				first ? sent.nr : before.nr,
				block_bytes, on_differ, &comparison, &result,
				err);
	if (ret)
		job->session_over = true;
	if (!ret && first)
		verify->compared_bytes = result.compared_bytes;
	if (!ret)
		ret = judge_all(verify, &comparison.found, err);
	verify->suspects = comparison.found;
	return ret;
}

/* Takes the convicted out of the suspects. */
static void convict(struct verify_disk *verify)
{
	struct suspects *suspects = &verify->suspects;
	uint32_t block_bytes = verify->disk->tracker.granularity_bytes;
	size_t kept = 0;

	for (size_t i = 0; i < suspects->nr; i++) {
		if (suspects->strikes[i] < STRIKES) {
			suspects->extents[kept] = suspects->extents[i];
			suspects->strikes[kept++] = suspects->strikes[i];
			continue;
		}
		if (!verify->differing_bytes)
			verify->first = suspects->extents[i];
		verify->differing_bytes += suspects->extents[i].length_bytes;
		verify->differing_blocks +=
			(suspects->extents[i].length_bytes + block_bytes - 1) /
			block_bytes;
	}
	suspects->nr = kept;
}

static int verify_round(struct bf_job *job, struct verify_disk *verifies,
			bool first, size_t *nr_suspects, struct bf_error *err)
{
	int ret = 0;

	*nr_suspects = 0;
	for (uint32_t i = 0; i < job->nr_disks && !ret; i++)
		ret = drain_away(&verifies[i], err);
	if (!ret)
		ret = bf_job_pass(job, err);
	for (uint32_t i = 0; i < job->nr_disks && !ret; i++) {
		ret = compare(job, &verifies[i], first, err);
		convict(&verifies[i]);
		*nr_suspects += verifies[i].suspects.nr;
	}
	return ret;
}

static json_t *describe_ranges(const struct bf_ranges *ranges)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ranges->nr; i++)
		json_array_append_new(list, json_pack("{sI, sI}", "offset_bytes",
			(json_int_t)ranges->range[i].offset_bytes,
			"length_bytes",
			(json_int_t)ranges->range[i].length_bytes));
	return list;
}

/* Only whole disks are called identical: what was left out is not compared. */
static json_t *describe(struct bf_job *job, const struct verify_disk *verifies,
			unsigned int rounds)
{
	json_t *disks = json_array();
	bool identical = true, equal = true;

	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const struct verify_disk *verify = &verifies[i];
		const struct bf_ranges *unsent = &verify->disk->unsent;
		const struct bf_ranges *lost = &verify->disk->unreadable;
		bool same = !verify->differing_bytes;
		json_t *entry = json_pack("{ss, sI, sI, sI, sI, sI, so, sI, so, sb, sb}",
			"name", verify->disk->config->name,
			"compared_bytes", (json_int_t)verify->compared_bytes,
			"differing_blocks", (json_int_t)verify->differing_blocks,
			"differing_bytes", (json_int_t)verify->differing_bytes,
			"skipped_ranges", (json_int_t)unsent->nr,
			"skipped_bytes", (json_int_t)bf_ranges_bytes(unsent),
			"skipped", describe_ranges(unsent),
			"unreadable_bytes", (json_int_t)bf_ranges_bytes(lost),
			"unreadable", describe_ranges(lost), "equal", same,
			"identical", same && !verify->left_out);

		if (verify->differing_bytes)
			json_object_set_new(entry, "first_offset_bytes",
				json_integer(verify->first.offset_bytes));
		json_array_append_new(disks, entry);
		equal = equal && same;
		identical = identical && same && !verify->left_out;
	}
	return json_pack("{sb, sb, si, so}", "equal", equal, "identical",
			 identical, "rounds", rounds, "disks", disks);
}

static bool any_differs(const struct bf_job *job,
			const struct verify_disk *verifies)
{
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (verifies[i].differing_bytes)
			return true;
	return false;
}

/* Neither equal nor different: blocks that never held still. */
static int unsettled(const struct bf_job *job, size_t nr_suspects,
		     struct bf_error *err)
{
	return bf_fail(err, BF_E_INCOMPLETE, EAGAIN,
		       "job %s: %zu extents were written again before each comparison, in %d rounds; all else is equal: verify again when less is written",
		       job->config->name, nr_suspects, ROUNDS_MAX);
}

static int open_all(struct bf_job *job, struct verify_disk *verifies,
		    struct bf_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < job->nr_disks && !ret; i++) {
		verifies[i].disk = &job->disks[i];
		verifies[i].index = i;
		ret = open_tracker(job, &verifies[i], err);
	}
	return ret;
}

int bf_job_verify(struct bf_job *job, json_t **report, struct bf_error *err)
{
	struct verify_disk *verifies = calloc(job->nr_disks, sizeof(*verifies));
	size_t nr_suspects = 1;
	unsigned int round;
	int ret;

	if (!verifies)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	ret = open_all(job, verifies, err);
	for (round = 0; round < ROUNDS_MAX && nr_suspects && !ret; round++)
		ret = verify_round(job, verifies, !round, &nr_suspects, err);
	if (!ret && nr_suspects && !any_differs(job, verifies))
		ret = unsettled(job, nr_suspects, err);
	if (!ret)
		*report = describe(job, verifies, round);
	for (uint32_t i = 0; i < job->nr_disks; i++)
		close_tracker(job, &verifies[i]);
	free(verifies);
	return ret;
}
