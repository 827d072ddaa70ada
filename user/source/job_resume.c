// SPDX-License-Identifier: Apache-2.0
/*
 * Job, resume: records of both sides and the trackers flow in; a claimed
 * session flows out, with everything marked dirty that is in doubt, and the
 * mode in which the job goes on and why. See resume.c for the table.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/fault.h"
#include "lib/log.h"
#include "source/guardian.h"
#include "source/job_state.h"
#include "source/resume.h"

void bf_job_set_mode(struct bf_job *job, const char *mode, const char *disk,
		     const char *why)
{
	pthread_mutex_lock(&job->lock);
	job->mode = mode;
	snprintf(job->mode_reason, sizeof(job->mode_reason), "%s%s%s",
		 disk ? disk : "", disk ? ": " : "", why);
	pthread_mutex_unlock(&job->lock);
	bf_info("job %s: %s, because %s", job->config->name, mode,
		job->mode_reason);
}

bool bf_job_digests_known(const struct bf_job *job)
{
	return bf_session_welcome(job->session)->features & WIRE_FEATURE_GMAC;
}

/* ---- facts ---- */

static struct bf_resume_facts facts_of(const struct bf_job *job, uint32_t i)
{
	return bf_job_facts(&job->disks[i], &job->session_disks[i].opened,
			    bf_session_welcome(job->session));
}

/* What the trackers have committed since they were last looked at. */
static int look_at_trackers(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; job->tracked && i < job->nr_disks && !ret; i++) {
		struct bf_job_disk *disk = &job->disks[i];
		uint32_t reason;

		ret = bf_job_look_at_tracker(job, disk, err);
		if (ret)
			return ret;
		reason = bf_job_standing(disk, &disk->tracker.reasons);
		if (bf_job_reason_is_final(reason))
			ret = bf_job_cannot_resync(job, disk, reason, err);
	}
	return ret;
}

/* ---- the decision ---- */

/* How a session goes on: the furthest step down that any disk needs. */
struct decision {
	enum bf_resume_way way;
	bool some_known;		/* a target holds something of ours */
	const struct bf_job_disk *disk;
	const char *why;
};

static void look_at_disk(const struct bf_job *job, uint32_t i,
			 struct decision *decision)
{
	const struct bf_job_disk *disk = &job->disks[i];
	const struct bf_resume_facts facts = facts_of(job, i);
	const struct bf_resume_row *row = bf_resume_find(&facts);

	decision->some_known |= facts.target_known;
	if (decision->disk && row->way <= decision->way)
		return;
	decision->way = row->way;
	decision->disk = disk;
	decision->why = row->why ? row->why : bf_reason_text(
		bf_job_standing(disk, &disk->tracker.reasons));
}

/*
 * A claim restarts all disks of a job or none. With a new target beside known
 * ones all are compared: it costs the new one less than sending it whole.
 */
static struct decision decide(struct bf_job *job)
{
	struct decision decision = { .way = BF_RESUME_DELTA };

	job->target_complete = true;
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		look_at_disk(job, i, &decision);
		if (!(job->session_disks[i].opened.flags & WIRE_OPENED_COMPLETE))
			job->target_complete = false;
	}
	if (decision.way == BF_RESUME_FULL && decision.some_known)
		decision.way = BF_RESUME_RESYNC;
	if (job->resync_asked) {
		decision.way = BF_RESUME_RESYNC;
		decision.disk = NULL;
		decision.why = "the operator asked for it";
	}
	return decision;
}

/* Do the targets hold what an earlier session of this run left there? */
static bool targets_are_same(const struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const struct bf_resume_facts facts = facts_of(job, i);

		if (!facts.recorded || !facts.target_known ||
		    !facts.cookie_agrees)
			return false;
	}
	return true;
}

/* What of a list was sent is not in it any more. */
static int check_list_is_whole(const struct bf_job *job, struct bf_error *err)
{
	if (!job->options->extents_path || !job->disks[0].recorded ||
	    targets_are_same(job))
		return 0;
	return bf_fail(err, BF_E_STATE, ESTALE,
		       "the target does not hold any more what was sent to it before the connection was lost: start the copy again");
}

/* A copy that is made once goes on after a lost connection at the most. */
static struct decision decide_untracked(const struct bf_job *job)
{
	if (job->options->extents_path)
		return (struct decision){ .way = BF_RESUME_DELTA,
					  .why = "this copy is made once" };
	if (targets_are_same(job))
		return (struct decision){
			.way = job->disks[0].in_doubt ? BF_RESUME_RESYNC_ON :
							BF_RESUME_FULL_ON,
			.why = "the target holds what it acknowledged before the connection was lost",
		};
	if (job->resync_asked)
		return (struct decision){ .way = BF_RESUME_RESYNC,
					  .why = "the operator asked for it" };
	return (struct decision){ .way = BF_RESUME_FULL,
				  .why = "this copy is made once" };
}

static const char *mode_name(const struct bf_job *job, enum bf_resume_way way)
{
	static const char *const names[] = {
		[BF_RESUME_DELTA] = "delta",
		[BF_RESUME_FULL_ON] = "resume",
		[BF_RESUME_RESYNC_ON] = "resync",
		[BF_RESUME_RESYNC] = "resync",
		[BF_RESUME_FULL] = "full",
	};

	return job->options->extents_path ? "extents" : names[way];
}

static void announce(struct bf_job *job, const struct decision *decision)
{
	const char *disk = decision->disk && bf_resume_restarts(decision->way) ?
			   decision->disk->config->name : NULL;
	char why[sizeof(job->mode_reason) + sizeof(job->resync_reason)];

	snprintf(why, sizeof(why), "%s", decision->why);
	if (decision->way == BF_RESUME_RESYNC_ON && *job->resync_reason)
		snprintf(why, sizeof(why), "%s, which began because %s",
			 decision->why, job->resync_reason);
	if (decision->way == BF_RESUME_RESYNC && !bf_job_digests_known(job))
		snprintf(why, sizeof(why),
			 "%s; the target's release knows no digests, so all is sent",
			 decision->why);
	bf_job_set_mode(job, mode_name(job, decision->way), disk, why);
	if (decision->way == BF_RESUME_RESYNC)
		memcpy(job->resync_reason, job->mode_reason,
		       sizeof(job->resync_reason));
}

/* ---- what follows ---- */

/* Everything becomes dirty again, to be compared, or to be sent. */
static int restart(struct bf_job *job, bool compare, struct bf_error *err)
{
	int ret = 0;

	job->target_complete = false;
	for (uint32_t i = 0; i < job->nr_disks && !ret; i++) {
		struct bf_job_disk *disk = &job->disks[i];

		/* A new tracker starts all dirty and has lost nothing of it. */
		if (!disk->whole || disk->recorded)
			ret = bf_job_mark_all(job, disk, err);
		disk->in_doubt = compare;
	}
	return ret;
}

static void remember(struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		struct bf_job_disk *disk = &job->disks[i];

		memcpy(disk->record_uuid, disk->tracker.uuid, 16);
		memcpy(disk->record_cookie, job->session_disks[i].cookie, 16);
		disk->recorded = true;
		disk->in_doubt = disk->in_doubt && bf_job_digests_known(job);
	}
	job->resync_asked = false;
}

static int claim(struct bf_job *job, const struct decision *decision,
		 struct bf_error *err)
{
	bool again = bf_resume_restarts(decision->way);
	int ret;

	job->epoch = bf_session_welcome(job->session)->last_epoch + 1;
	ret = bf_session_claim(job->session, job->epoch, again, err);
	/* It voids the final commit message of any run before this. */
	if (!ret && !job->config->disks[0].target_is_path)
		bf_guardian_release(job->config->name, job->options->run_dir);
	if (!ret)
		ret = bf_fault(BF_FAULT_SOURCE_CLAIMED, err);
	if (!ret && again)
		ret = restart(job, decision->way == BF_RESUME_RESYNC, err);
	if (!ret)
		ret = bf_job_unskip(job, err);
	return ret ? ret : bf_job_retry_unreadable(job, err);
}

/*
 * The record is stored after the marks: a crash in between leaves an old
 * cookie there, and the next start marks again.
 */
int bf_job_connect(struct bf_job *job, struct bf_error *err)
{
	struct decision decision;
	int ret;

	bf_job_set_state(job, BF_JOB_CONNECTING);
	ret = bf_job_open_session(job, false, err);
	if (ret)
		return ret;
	/* A word that came while there was no session to interrupt. */
	if (bf_job_ending(job))
		bf_session_interrupt(job->session);
	ret = look_at_trackers(job, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_SOURCE_OPENED, err);
	if (!ret)
		ret = check_list_is_whole(job, err);
	if (ret)
		return ret;
	decision = job->tracked ? decide(job) : decide_untracked(job);
	announce(job, &decision);
	ret = claim(job, &decision, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_SOURCE_MARKED, err);
	if (ret)
		return ret;
	remember(job);
	return bf_job_record_store(job, err);
}
