// SPDX-License-Identifier: Apache-2.0
/*
 * Job, pass: one pass of the session flows in, figures for status and forecast
 * flow out, and doubt that the tracker raised (RULE 3): a reason that stands
 * after a pass makes all of its disk dirty, and only the pass that has compared
 * all of that with the target, and made it equal, clears it.
 */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/units.h"
#include "source/job_state.h"

bool bf_job_whole_due(const struct bf_job *job)
{
	if (job->options->extents_path)
		return false;
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (job->disks[i].whole)
			return true;
	return !job->target_complete;
}

/* A file's list, or a file that nobody tracks, is dirty once. */
static uint64_t tracker_dirty_bytes(struct bf_netlink *nl,
				    const struct bf_job_disk *disk)
{
	struct bf_tracker tracker;

	if (!nl || bf_tracker_get(nl, disk->tracker.id, &tracker, NULL))
		return 0;
	return tracker.stats[BLKFERRY_STAT_DIRTY_BYTES];
}

uint64_t bf_job_dirty_bytes(struct bf_job *job)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < job->nr_disks; i++)
		bytes += tracker_dirty_bytes(job->nl, &job->disks[i]);
	return bytes;
}

struct bf_forecast bf_job_forecast(struct bf_job *job)
{
	uint64_t dirty_bytes = bf_job_dirty_bytes(job);
	struct bf_forecast forecast;

	pthread_mutex_lock(&job->lock);
	forecast = bf_converge_forecast(&job->converge, dirty_bytes);
	pthread_mutex_unlock(&job->lock);
	return forecast;
}

static const char *kind_name(enum wire_pass_kind kind)
{
	return kind == WIRE_PASS_FULL ? "full" :
	       kind == WIRE_PASS_RESYNC ? "resync" :
	       kind == WIRE_PASS_DELTA ? "delta" : "last";
}

static void pass_started(struct bf_job *job, enum wire_pass_kind kind)
{
	pthread_mutex_lock(&job->lock);
	job->pass_kind = kind_name(kind);
	job->pass_started_ns = bf_now_ns();
	pthread_mutex_unlock(&job->lock);
}

/* No allocation but jansson's, from locked memory: also under the freeze. */
static json_t *describe(const struct bf_job *job, enum wire_pass_kind kind)
{
	const struct bf_pass_result *result = job->result;
	json_t *disks = json_array();

	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const struct bf_pass_disk_result *disk = &result->disks[i];
		json_t *entry = json_pack("{ss, sI, sI, sI, sI, sI}", "name",
			job->disks[i].config->name, "generation",
			(json_int_t)disk->generation, "blocks",
			(json_int_t)disk->nr_blocks, "data_bytes",
			(json_int_t)disk->data_bytes, "zero_bytes",
			(json_int_t)disk->zero_bytes, "skipped_bytes",
			(json_int_t)disk->skipped_bytes);

		if (disk->writes != UINT64_MAX)
			json_object_set_new(entry, "writes",
					    json_integer(disk->writes));
		json_array_append_new(disks, entry);
	}
	return json_pack("{ss, sI, sI, sI, sI, sI, sI, sI, sI, sI, sI, so}",
			 "kind", kind_name(kind),
			 "blocks", (json_int_t)result->nr_blocks,
			 "raw_bytes", (json_int_t)result->raw_bytes,
			 "data_bytes", (json_int_t)result->data_bytes,
			 "zero_bytes", (json_int_t)result->zero_bytes,
			 "compared_bytes", (json_int_t)result->compared_bytes,
			 "skipped_bytes", (json_int_t)result->skipped_bytes,
			 "wire_bytes", (json_int_t)result->wire_bytes,
			 "duration_ns", (json_int_t)result->duration_ns,
			 "begin_ns", (json_int_t)result->begin_ns,
			 "barrier_ns", (json_int_t)result->barrier_ns,
			 "disks", disks);
}

static void pass_ended(struct bf_job *job, enum wire_pass_kind kind, int ret)
{
	const struct bf_pass_result *result = job->result;

	pthread_mutex_lock(&job->lock);
	job->pass_kind = NULL;
	if (!ret) {
		job->passes++;
		job->target_ns = job->pass_started_ns;
		json_decref(job->last_pass);
		job->last_pass = describe(job, kind);
		/* How long a comparison takes says nothing of a delta. */
		if (kind != WIRE_PASS_RESYNC)
			bf_converge_pass(&job->converge, result->raw_bytes,
					 result->duration_ns, result->begin_ns,
					 result->barrier_ns);
		for (uint32_t i = 0; i < job->nr_disks; i++) {
			job->disks[i].generation = result->disks[i].generation;
			job->disks[i].reasons = result->disks[i].reasons;
		}
	}
	pthread_mutex_unlock(&job->lock);
}

static int run_pass(struct bf_job *job, enum wire_pass_kind kind, bool complete,
		    const struct bf_reasons *resynced, struct bf_error *err)
{
	int ret;

	pass_started(job, kind);
	ret = bf_pass_run(job->session, kind, complete, resynced, job->result,
			  err);
	pass_ended(job, kind, ret);
	if (ret)
		job->session_over = true;
	return ret;
}

static void tell_pass(const struct bf_job *job, enum wire_pass_kind kind)
{
	const struct bf_pass_result *result = job->result;
	char raw[BF_UNIT_TEXT_BYTES], wire[BF_UNIT_TEXT_BYTES];
	char time[BF_UNIT_TEXT_BYTES], compared[BF_UNIT_TEXT_BYTES];
	char skipped[BF_UNIT_TEXT_BYTES];

	if (result->skipped_bytes)
		bf_info("job %s: %s of free space and swap were skipped",
			job->config->name,
			bf_format_size(result->skipped_bytes, skipped));

	bf_format_size(result->raw_bytes, raw);
	bf_format_size(result->wire_bytes, wire);
	bf_format_time(result->duration_ns, time);
	if (kind == WIRE_PASS_RESYNC)
		bf_info("job %s: pass %llu (resync): %s compared, %s differed or changed, %s on the wire, %s",
			job->config->name, (unsigned long long)job->passes,
			bf_format_size(result->compared_bytes, compared), raw,
			wire, time);
	else	/* An idle disk is not worth a line each interval. */
		bf_log(result->nr_blocks ? BF_LOG_INFO : BF_LOG_DEBUG,
		       "job %s: pass %llu (%s): %s changed, %s on the wire, %s",
		       job->config->name, (unsigned long long)job->passes,
		       kind_name(kind), raw, wire, time);
}

bool bf_job_in_doubt(const struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (job->disks[i].in_doubt)
			return true;
	return false;
}

/* By digests if any disk is in doubt; the others send what is dirty. */
static enum wire_pass_kind whole_kind(struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++)
		job->session_disks[i].in_doubt = job->disks[i].in_doubt;
	return bf_job_in_doubt(job) ? WIRE_PASS_RESYNC : WIRE_PASS_FULL;
}

static void whole_again(struct bf_job_disk *disk)
{
	if (disk->in_doubt)	/* all was compared, what was left out before too */
		bf_ranges_free(&disk->unsent);
	disk->whole = disk->in_doubt = false;
}

static int whole_pass(struct bf_job *job, struct bf_error *err)
{
	enum wire_pass_kind kind = whole_kind(job);
	_cleanup_free_ struct bf_reasons *resynced = NULL;
	int ret;

	resynced = calloc(job->nr_disks, sizeof(*resynced));
	if (!resynced)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (job->disks[i].whole)
			resynced[i] = job->disks[i].seen;
	bf_job_set_state(job, job->target_complete || kind == WIRE_PASS_RESYNC ?
			 BF_JOB_RESYNCING : BF_JOB_FULL);
	ret = run_pass(job, kind, true, resynced, err);
	if (ret)
		return ret;
	/* disk->seen stays: it says up to where reasons were cleared. */
	for (uint32_t i = 0; i < job->nr_disks; i++)
		whole_again(&job->disks[i]);
	job->target_complete = true;
	tell_pass(job, kind);
	ret = bf_job_note_unreadable(job, err);
	if (!ret)
		ret = bf_job_skip_store(job, err);
	return ret ? ret : bf_job_record_store(job, err);
}

int bf_job_pass(struct bf_job *job, struct bf_error *err)
{
	int ret;

	if (bf_job_whole_due(job)) {
		/* A copy made by hand is wanted now. */
		ret = job->options->one_shot ? 0 : bf_job_take_slot(job, err);
		if (!ret)
			ret = whole_pass(job, err);
		bf_job_give_slot(job);
		return ret;
	}
	ret = run_pass(job, WIRE_PASS_DELTA, false, NULL, err);
	if (ret)
		return ret;
	tell_pass(job, WIRE_PASS_DELTA);
	return bf_job_note_unreadable(job, err);
}

int bf_job_last_pass(struct bf_job *job, struct bf_error *err)
{
	return run_pass(job, WIRE_PASS_LAST, false, NULL, err);
}

/* ---- doubt ---- */

uint32_t bf_job_standing(const struct bf_job_disk *disk,
			 const struct bf_reasons *reasons)
{
	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++) {
		const struct bf_reason_counts *counts = &reasons->by_id[id];

		if (counts->raised > counts->cleared &&
		    counts->raised > disk->seen.by_id[id].raised)
			return id;
	}
	return BLKFERRY_REASON_NONE;
}

bool bf_job_reason_is_final(uint32_t reason)
{
	return reason == BLKFERRY_REASON_GONE ||
	       reason == BLKFERRY_REASON_RESIZED;
}

int bf_job_cannot_resync(const struct bf_job *job,
			 struct bf_job_disk *disk, uint32_t reason,
			 struct bf_error *err)
{
	disk->spent = true;
	return bf_fail(err, BF_E_RESYNC, reason == BLKFERRY_REASON_GONE ?
		       ENODEV : ESTALE,
		       "disk %s: %s `blkferry untrack %s`, then run %s again: a resync follows",
		       disk->config->name, bf_reason_text(reason),
		       disk->tracker.name, job->config->name);
}

static int doubt_disk(struct bf_job *job, struct bf_job_disk *disk,
		      uint32_t reason, struct bf_error *err)
{
	int ret;

	bf_log_about(&(struct bf_log_about){ .level = BF_LOG_WARNING,
			.event = BF_EVENT_RESYNC_NEEDED,
			.disk = disk->config->name },
		     "job %s: disk %s needs a resync: %s", job->config->name,
		     disk->config->name, bf_reason_text(reason));
	ret = bf_job_mark_all(job, disk, err);
	if (ret)
		return ret;
	disk->in_doubt = bf_job_digests_known(job);
	bf_job_set_mode(job, "resync", disk->config->name,
			bf_reason_text(reason));
	memcpy(job->resync_reason, job->mode_reason, sizeof(job->resync_reason));
	return bf_job_record_store(job, err);
}

/* Reasons that stand after the last pass; marks those disks. */
static int check_reasons(struct bf_job *job, bool *resync, struct bf_error *err)
{
	int ret = 0;

	*resync = false;
	for (uint32_t i = 0; i < job->nr_disks && !ret; i++) {
		struct bf_job_disk *disk = &job->disks[i];
		uint32_t reason = bf_job_standing(disk,
						  &job->result->disks[i].reasons);

		if (!reason)
			continue;
		if (bf_job_reason_is_final(reason))
			return bf_job_cannot_resync(job, disk, reason, err);
		ret = doubt_disk(job, disk, reason, err);
		*resync = true;
	}
	return ret;
}

/*
 * A resync takes long and measures nothing: what was written meanwhile goes
 * next.
 */
int bf_job_catch_up(struct bf_job *job, struct bf_error *err)
{
	bool again = true;
	int ret = 0;

	while (!ret && again) {
		bool compares = bf_job_in_doubt(job);

		ret = bf_job_pass(job, err);
		if (!ret)
			ret = check_reasons(job, &again, err);
		again |= compares && job->tracked;
	}
	return ret;
}
