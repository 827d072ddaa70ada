// SPDX-License-Identifier: Apache-2.0
/*
 * Cutover, up to the proof: passes flow until a freeze would be short enough;
 * then hook, sync, a rehearsal, freeze, last passes, until a generation of every
 * disk is empty (RULE 4). Whatever goes wrong before the final commit message ends in a
 * thaw (RULE 5). cutover_final.c goes on from there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/fault.h"
#include "lib/log.h"
#include "lib/units.h"
#include "source/cutover_steps.h"

#define SYNC_SHORT_NS (100 * BF_NSEC_PER_MSEC)
#define SYNC_ROUNDS 5
#define APPROACH_PASSES_MAX 20
#define APPROACH_STALLED_MAX 3		/* passes that hardly get smaller */

/* ---- words ---- */

int bf_cutover_interrupted(const struct cutover *cutover, struct bf_error *err)
{
	char bound[BF_UNIT_TEXT_BYTES];

	if (!atomic_load(&cutover->expired))
		return bf_fail(err, BF_E_CANCELLED, ECANCELED,
			       "the cutover was ended by the operator before its final commit: nothing is frozen, and the target is a copy as before");
	bf_format_time(cutover->options->max_downtime_ns, bound);
	if (*cutover->still_written)
		return bf_fail(err, BF_E_DOWNTIME, ETIME,
			       "the downtime reached its bound of %s because these are written in spite of the freeze: %s; stop their writer, then cut over again",
			       bound, cutover->still_written);
	return bf_fail(err, BF_E_DOWNTIME, ETIME,
		       "the downtime reached its bound of %s before the rest was sent: cut over at a quieter time, or raise --max-downtime",
		       bound);
}

static int not_converging(struct bf_job *job, const struct bf_forecast *forecast,
			  const struct cutover *cutover, struct bf_error *err)
{
	char dirty[BF_UNIT_TEXT_BYTES], link[BF_UNIT_TEXT_BYTES];
	char now[BF_UNIT_TEXT_BYTES], bound[BF_UNIT_TEXT_BYTES];

	pthread_mutex_lock(&job->lock);
	bf_format_rate(job->converge.dirty_rate < 0 ? 0 :
		       job->converge.dirty_rate, dirty);
	bf_format_rate(job->converge.link_rate < 0 ? 0 :
		       job->converge.link_rate, link);
	pthread_mutex_unlock(&job->lock);
	return bf_fail(err, BF_E_NOT_CONVERGING, EAGAIN,
		       "passes do not get short enough: %s become dirty while the link carries %s, a freeze would last %s and the bound is %s: write less, make the link faster, or raise --max-downtime",
		       dirty, link, bf_format_time(forecast->now_ns, now),
		       bf_format_time(cutover->options->max_downtime_ns,
				      bound));
}

/*
 * Nothing came since the last begin, but writes that were in flight then may
 * have landed since: a bio-based disk is not silent before they have ended.
 */
static bool is_only_in_flight(const struct bf_pass_disk_result *disk)
{
	return disk->nr_blocks && !disk->writes &&
	       disk->nr_blocks <= disk->carried_blocks;
}

/*
 * "data at bytes 1048576+8192, 4194304+4096": offset and length. No generation
 * that holds only what is in flight counts as empty: those writes end, and their
 * disk's table of them is exact, so that the next generation is.
 */
static void note_still_written(struct cutover *cutover)
{
	const struct bf_job *job = cutover->job;
	size_t used = 0, room = sizeof(cutover->still_written);

	cutover->still_written[0] = '\0';
	for (uint32_t i = 0; i < job->nr_disks && used < room; i++) {
		const struct bf_pass_disk_result *disk = &job->result->disks[i];

		if (is_only_in_flight(disk)) {
			used += snprintf(cutover->still_written + used,
					 room - used,
					 "%s%s by writes that were begun before and do not end",
					 used ? ", " : "",
					 job->disks[i].config->name);
			continue;
		}
		for (size_t k = 0; k < disk->nr_still_written && used < room; k++)
			used += snprintf(cutover->still_written + used,
					 room - used, "%s%s%s%" PRIu64 "+%" PRIu64,
					 used ? ", " : "",
					 k ? "" : job->disks[i].config->name,
					 k ? "" : " at bytes ",
					 disk->still_written[k].offset_bytes,
					 disk->still_written[k].length_bytes);
	}
}

/* ---- passes before the freeze ---- */

static int one_pass(struct bf_job *job, struct bf_error *err)
{
	int ret = bf_job_catch_up(job, err);

	bf_job_set_state(job, BF_JOB_CUTOVER);
	return ret;
}

/* But for FIFREEZE itself, which may be a guess: the rehearsal tells. */
static bool fits(struct cutover *cutover, struct bf_forecast *forecast)
{
	struct bf_job *job = cutover->job;
	struct bf_converge converge;
	struct bf_forecast rest;

	*forecast = bf_job_forecast(job);
	pthread_mutex_lock(&job->lock);
	converge = job->converge;
	pthread_mutex_unlock(&job->lock);
	bf_converge_freeze(&converge, 0);
	rest = bf_converge_forecast(&converge, bf_job_dirty_bytes(job));
	return rest.known && rest.now_ns <= cutover->options->max_downtime_ns;
}

/* One pass at least, and as long as each is clearly smaller than the last. */
static int approach(struct cutover *cutover, struct bf_error *err)
{
	uint64_t before_bytes = UINT64_MAX;
	struct bf_forecast forecast;
	unsigned int stalled = 0;

	for (int i = 0; i < APPROACH_PASSES_MAX; i++) {
		uint64_t bytes;
		int ret = one_pass(cutover->job, err);

		if (ret)
			return ret;
		bytes = cutover->job->result->raw_bytes;
		if (bytes < before_bytes / 2)
			stalled = 0;
		else if (fits(cutover, &forecast))
			return 0;
		else if (++stalled >= APPROACH_STALLED_MAX)
			break;
		before_bytes = bytes;
	}
	return fits(cutover, &forecast) ? 0 :
	       not_converging(cutover->job, &forecast, cutover, err);
}

/* ---- what is to be frozen ---- */

static int check_holders(const struct cutover *cutover, struct bf_error *err)
{
	const struct bf_job *job = cutover->job;
	int ret = bf_holders_refuse(&cutover->holders, err);

	if (ret)
		return ret;
	if (bf_holders_have_root(&cutover->holders) &&
	    !cutover->options->then_given)
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "job %s holds the root filesystem: say what becomes of this machine with --then hold, poweroff or thaw",
			       job->config->name);
	if (cutover->options->then != BF_THEN_THAW &&
	    bf_holders_cover(&cutover->holders, job->options->run_dir))
		return bf_fail(err, BF_E_CONFIG, EDEADLK,
			       "%s lies on a disk of the job and would be frozen with it: it must be on a tmpfs",
			       job->options->run_dir);
	return 0;
}

static int find_holders(struct cutover *cutover, struct bf_error *err)
{
	int ret;

	bf_raw_close(&cutover->raw);
	bf_holders_free(&cutover->holders);
	ret = bf_job_find_holders(cutover->job, &cutover->holders, err);
	if (!ret)
		ret = bf_raw_open(&cutover->raw, &cutover->holders, err);
	return ret ? ret : check_holders(cutover, err);
}

/* Passes take their time: what was mounted meanwhile would not be frozen. */
static int check_nothing_added(const struct cutover *cutover,
			       struct bf_error *err)
{
	_cleanup_(bf_holders_free) struct bf_holders now = { 0 };
	const struct bf_filesystem *added;
	int ret = bf_job_find_holders(cutover->job, &now, err);

	added = ret ? NULL : bf_holders_added(&cutover->holders, &now);
	if (added)
		return bf_fail(err, BF_E_FREEZE, EAGAIN,
			       "%s was mounted on a disk of the job just before the freeze, which would have left it out: cut over again",
			       added->mountpoint);
	return ret;
}

/* systemd may take its time to give the guardian a scope: before the last sync. */
static int start_guardian(struct cutover *cutover, struct bf_error *err)
{
	const struct bf_job *job = cutover->job;
	int ret = bf_guardian_start(&cutover->guardian, job->config->name,
				    job->options->run_dir, &cutover->holders,
				    err);

	if (!ret && !bf_guardian_own_group(cutover->guardian))
		bf_warn("job %s: the guardian of the freeze could not leave the control group of the replicator: killing that group would kill both",
			job->config->name);
	return ret;
}

/* Sync until short; what that wrote is sent before the freeze. */
static int sync_all(struct cutover *cutover, struct bf_error *err)
{
	int ret = bf_freeze_sync(&cutover->holders, SYNC_SHORT_NS, SYNC_ROUNDS,
				 err);

	if (!ret)
		ret = bf_raw_sync(&cutover->raw, false, err);
	return ret ? ret : one_pass(cutover->job, err);
}

/* ---- the freeze ---- */

/* The guardian's thread: the job's thread is woken out of its pass. */
static void on_expired(void *context)
{
	struct cutover *cutover = context;

	atomic_store(&cutover->expired, true);
	pthread_mutex_lock(&cutover->job->lock);
	if (cutover->job->session)
		bf_session_interrupt(cutover->job->session);
	pthread_mutex_unlock(&cutover->job->lock);
}

bool bf_cutover_is_over(const struct cutover *cutover)
{
	return atomic_load(&cutover->expired) || bf_job_ending(cutover->job);
}

static bool is_over(void *context)
{
	return bf_cutover_is_over(context);
}

static int arm(struct cutover *cutover, struct bf_error *err)
{
	return bf_guardian_arm(cutover->guardian,
			       cutover->options->max_downtime_ns, on_expired,
			       cutover, err);
}

static int quiet(struct cutover *cutover, struct bf_error *err)
{
	int ret = bf_memory_lock(err);

	if (ret)
		return ret;
	cutover->quiet = true;
	bf_log_hold();
	bf_job_monitor_quiet(cutover->job, true);
	return 0;
}

static void note_freeze(struct cutover *cutover, uint64_t freeze_ns)
{
	struct bf_job *job = cutover->job;

	pthread_mutex_lock(&job->lock);
	bf_converge_freeze(&job->converge, freeze_ns);
	pthread_mutex_unlock(&job->lock);
}

static int freeze(struct cutover *cutover, struct bf_error *err)
{
	int ret = bf_freeze(&cutover->holders, cutover->guardian, is_over,
			    cutover, err);

	cutover->freeze_ns = bf_now_ns() -
			     bf_guardian_since_ns(cutover->guardian);
	return ret && bf_cutover_is_over(cutover) ?
	       bf_cutover_interrupted(cutover, err) : ret;
}

/* ---- the rehearsal ---- */

static int freeze_and_thaw(struct cutover *cutover, struct bf_error *err)
{
	int ret = quiet(cutover, err);
	uint64_t took_ns;

	if (!ret)
		ret = freeze(cutover, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_CUTOVER_REHEARSED, err);
	if (!ret)
		ret = bf_thaw(&cutover->holders, cutover->guardian, err);
	if (ret)
		return ret;
	took_ns = bf_now_ns() - bf_guardian_since_ns(cutover->guardian);
	cutover->rehearsed_ns += took_ns;
	note_freeze(cutover, took_ns);
	ret = bf_guardian_stop_clock(cutover->guardian, err);
	bf_cutover_unquiet(cutover);
	if (ret)
		return ret;
	return atomic_load(&cutover->expired) ?
	       bf_cutover_interrupted(cutover, err) : 0;
}

/* What was gathered from one pass to the end of a freeze will be again. */
static bool rehearsed_fits(struct cutover *cutover, struct bf_forecast *forecast)
{
	struct bf_job *job = cutover->job;
	uint64_t dirty_bytes = bf_job_dirty_bytes(job);

	if (dirty_bytes < job->result->raw_bytes)
		dirty_bytes = job->result->raw_bytes;
	pthread_mutex_lock(&job->lock);
	*forecast = bf_converge_forecast_frozen(&job->converge, dirty_bytes);
	pthread_mutex_unlock(&job->lock);
	return forecast->known &&
	       forecast->now_ns <= cutover->options->max_downtime_ns;
}

/* If the last pass had nothing to send; and users had one bound of standstill. */
static bool could_fit(const struct cutover *cutover)
{
	struct bf_job *job = cutover->job;
	uint64_t bound_ns = cutover->options->max_downtime_ns;
	struct bf_forecast least;

	pthread_mutex_lock(&job->lock);
	least = bf_converge_forecast_frozen(&job->converge, 0);
	pthread_mutex_unlock(&job->lock);
	return least.now_ns <= bound_ns && cutover->rehearsed_ns <= bound_ns;
}

/*
 * How long FIFREEZE lasts, and how much it leaves dirty, is told by nothing but
 * FIFREEZE: journals are written out, and each of its locks waits for a grace
 * period. So it is tried for that moment first, and a pass follows as it will;
 * what then is projected is known to fit before anything has to stay frozen.
 */
static int rehearse(struct cutover *cutover, struct bf_error *err)
{
	struct bf_forecast forecast;

	for (int i = 0; i < APPROACH_STALLED_MAX; i++) {
		int ret = sync_all(cutover, err);

		if (!ret)
			ret = freeze_and_thaw(cutover, err);
		if (!ret)
			ret = one_pass(cutover->job, err);
		if (ret)
			return ret;
		if (rehearsed_fits(cutover, &forecast)) {
			cutover->projected_ns = forecast.now_ns;
			return 0;
		}
		if (!could_fit(cutover))
			break;
	}
	return not_converging(cutover->job, &forecast, cutover, err);
}

/* ---- the last passes ---- */

static json_t *describe_round(const struct bf_job *job)
{
	json_t *disks = json_array();

	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const struct bf_pass_disk_result *disk = &job->result->disks[i];

		json_array_append_new(disks, json_pack("{ss, sI, sI, sI, so}",
			"name", job->disks[i].config->name, "generation",
			(json_int_t)disk->generation, "blocks",
			(json_int_t)disk->nr_blocks, "carried_blocks",
			(json_int_t)disk->carried_blocks, "writes",
			disk->writes == UINT64_MAX ? json_null() :
			json_integer((json_int_t)disk->writes)));
	}
	return disks;
}

/* A reason that stands says that an empty generation proves nothing. */
static int check_doubt(struct bf_job *job, struct bf_error *err)
{
	uint32_t id;

	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (bf_reasons_stand(&job->result->disks[i].reasons, &id))
			return bf_fail(err, BF_E_RESYNC, EAGAIN,
				       "disk %s needs a resync (%s), which came up during the cutover: it is made now, then cut over again",
				       job->disks[i].config->name,
				       bf_reason_text(id));
	return 0;
}

/* Return: 1 to go on, 0 when every generation of this round was empty. */
static int round_ended(struct cutover *cutover, struct bf_error *err)
{
	struct bf_job *job = cutover->job;
	int ret = check_doubt(job, err);

	if (ret)
		return ret;
	if (!cutover->rounds++)
		cutover->dirty_bytes_at_freeze = job->result->raw_bytes;
	else if (job->result->nr_blocks)
		note_still_written(cutover);
	if (bf_cutover_is_over(cutover))
		return bf_cutover_interrupted(cutover, err);
	if (bf_guardian_gone(cutover->guardian))
		return bf_fail(err, BF_E_FREEZE, ESRCH,
			       "the guardian of the freeze has ended: without it nothing stays frozen");
	if (job->result->nr_blocks)
		return 1;
	cutover->confirm = describe_round(job);
	return 0;
}

/* FIFREEZE alone stops neither swap nor raw writers nor discards: an empty
 * generation of all disks says that they are silent. */
static int confirm(struct cutover *cutover, struct bf_error *err)
{
	int ret;

	do {
		ret = bf_job_last_pass(cutover->job, err);
		if (ret && bf_cutover_is_over(cutover))
			return bf_cutover_interrupted(cutover, err);
		if (!ret)
			ret = bf_fault(BF_FAULT_CUTOVER_ROUND, err);
		if (!ret)
			ret = round_ended(cutover, err);
	} while (ret > 0);
	return ret;
}

void bf_cutover_unquiet(struct cutover *cutover)
{
	if (!cutover->quiet)
		return;
	cutover->quiet = false;
	bf_memory_unlock();
	bf_log_release();
	bf_job_monitor_quiet(cutover->job, false);
}

int bf_cutover_thaw(struct cutover *cutover, struct bf_error *err)
{
	int ret = 0;

	if (cutover->guardian) {
		ret = bf_thaw(&cutover->holders, cutover->guardian, err);
		cutover->downtime_ns = bf_guardian_since_ns(cutover->guardian) ?
			bf_now_ns() - bf_guardian_since_ns(cutover->guardian) :
			0;
		bf_guardian_stop(cutover->guardian);
		cutover->guardian = NULL;
	}
	bf_cutover_unquiet(cutover);
	return ret;
}

void bf_cutover_tell_thawed(struct cutover *cutover)
{
	if (cutover->hooked && !cutover->held)
		bf_job_hook_tell(cutover->job, "post-thaw",
				 cutover->job->config->post_thaw, NULL);
	cutover->hooked = false;
}

/* ---- the report ---- */

static const char *state_word(enum bf_freeze_state state)
{
	return state == BF_FREEZE_OTHER ? "frozen by another" :
	       state == BF_FREEZE_UNABLE ? "synced only" : "frozen";
}

static json_t *describe_filesystems(const struct bf_holders *holders)
{
	json_t *filesystems = json_array();

	for (size_t i = 0; i < holders->nr_filesystems; i++)
		json_array_append_new(filesystems, json_pack("{so, ss, ss}",
			"mountpoint",
			bf_control_string(holders->filesystems[i].mountpoint),
			"type", holders->filesystems[i].type, "state",
			state_word(holders->filesystems[i].state)));
	return filesystems;
}

static uint64_t unreadable_bytes(const struct bf_job *job)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < job->nr_disks; i++)
		bytes += bf_ranges_bytes(&job->disks[i].unreadable);
	return bytes;
}

static void report(struct cutover *cutover, bool done,
		   const struct bf_error *why)
{
	struct bf_job *job = cutover->job;
	json_t *object = json_pack("{ss, ss, sI, sI, sI, sI, sI, sI, si, so}",
		"state", done ? "cut-over" : cutover->unknown ? "unknown" :
		"rolled-back", "then", bf_then_name(cutover->options->then),
		"max_downtime_ns", (json_int_t)cutover->options->max_downtime_ns,
		"projected_downtime_ns", (json_int_t)cutover->projected_ns,
		"downtime_ns", (json_int_t)cutover->downtime_ns,
		"freeze_ns", (json_int_t)cutover->freeze_ns,
		"dirty_bytes_at_freeze",
		(json_int_t)cutover->dirty_bytes_at_freeze,
		"unreadable_bytes", (json_int_t)unreadable_bytes(job),
		"rounds", (int)cutover->rounds,
		"filesystems", describe_filesystems(&cutover->holders));

	if (cutover->confirm)
		json_object_set(object, "confirm", cutover->confirm);
	if (*cutover->still_written)
		json_object_set_new(object, "still_written",
				    json_string(cutover->still_written));
	if (cutover->post_cutover)
		json_object_set_new(object, "post_cutover",
				    bf_control_string(cutover->post_cutover));
	if (!done)
		json_object_set_new(object, "error",
			json_pack("{ss, so}", "code", bf_code_name(why->code),
				  "text", bf_control_string(why->text)));
	pthread_mutex_lock(&job->lock);
	json_decref(job->cutover);
	job->cutover = object;
	pthread_mutex_unlock(&job->lock);
}

/* ---- the whole ---- */

static int before_freeze(struct cutover *cutover, struct bf_error *err)
{
	struct bf_job *job = cutover->job;
	int ret = bf_job_hook(job, "pre-cutover", job->config->pre_cutover,
			      err);

	if (!ret)
		ret = find_holders(cutover, err);
	if (!ret)
		ret = bf_job_retry_unreadable(job, err);
	if (!ret)
		ret = approach(cutover, err);
	if (!ret)
		ret = bf_job_record_store(job, err);
	/* One that failed may have done half of its work. */
	cutover->hooked = !ret;
	if (!ret)
		ret = bf_job_hook(job, "pre-freeze", job->config->pre_freeze,
				  err);
	/* The hook may have mounted or unmounted something. */
	if (!ret)
		ret = find_holders(cutover, err);
	if (!ret)
		ret = start_guardian(cutover, err);
	if (!ret)
		ret = arm(cutover, err);
	if (!ret)
		ret = rehearse(cutover, err);
	return ret ? ret : check_nothing_added(cutover, err);
}

static int attempt(struct cutover *cutover, bool *done, struct bf_error *err)
{
	char projected[BF_UNIT_TEXT_BYTES];
	int ret = before_freeze(cutover, err);

	if (ret)
		return ret;
	bf_info("job %s: freezing %zu filesystems; projected downtime %s",
		cutover->job->config->name, cutover->holders.nr_filesystems,
		bf_format_time(cutover->projected_ns, projected));
	ret = quiet(cutover, err);
	if (!ret)
		ret = freeze(cutover, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_CUTOVER_FROZEN, err);
	/* What raw writers left in the page cache since the last time. */
	if (!ret)
		ret = bf_raw_sync(&cutover->raw, true, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_CUTOVER_SYNCED, err);
	if (!ret)
		ret = confirm(cutover, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_CUTOVER_CONFIRMED, err);
	return ret ? ret : bf_cutover_commit(cutover, done, err);
}

static void roll_back(struct cutover *cutover, const struct bf_error *why)
{
	struct bf_error thaw;

	/* Its session was interrupted to get here. */
	if (bf_cutover_is_over(cutover))
		cutover->job->session_over = true;
	if (bf_cutover_thaw(cutover, &thaw))
		bf_log_error(&thaw);
	bf_cutover_tell_thawed(cutover);
	bf_log_about(&(struct bf_log_about){ .level = BF_LOG_WARNING,
			.event = BF_EVENT_ROLLED_BACK, .why = why },
		     "job %s: the cutover was rolled back: %s",
		     cutover->job->config->name, why->text);
	bf_job_hook_tell(cutover->job, "on-failure",
			 cutover->job->config->on_failure, why);
}

int bf_cutover(struct bf_job *job, const struct bf_cutover_options *options,
	       bool *done, struct bf_error *err)
{
	struct cutover cutover = { .job = job, .options = options };
	int ret;

	*done = false;
	bf_job_set_state(job, BF_JOB_CUTOVER);
	ret = attempt(&cutover, done, err);
	if (*done)
		bf_cutover_finish(&cutover);
	else if (!cutover.unknown)
		roll_back(&cutover, err);
	bf_cutover_tell_thawed(&cutover);
	report(&cutover, *done, err);
	if (*done)
		bf_job_set_state(job, BF_JOB_DONE);
	json_decref(cutover.confirm);
	bf_raw_close(&cutover.raw);
	bf_holders_free(&cutover.holders);
	return ret;
}
