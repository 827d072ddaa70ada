// SPDX-License-Identifier: Apache-2.0
/*
 * Cutover, the end: the final commit message flows out; "done", its refusal or
 * silence flows in. Keeps the second half of RULE 5: from the message on what
 * is frozen stays as the operator chose, and a lost answer is asked for again
 * under a new epoch, which voids a message not yet processed. So there is never
 * a moment at which both sides may believe that they live on.
 *
 * With "thaw" the source lives on whatever the target answers: what it confirmed
 * is whole there, so the thaw comes before the message and waits for nobody.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "source/cutover_steps.h"

#define ASK_AGAIN_NS BF_NSEC_PER_SEC

static int hold(struct cutover *cutover, struct bf_error *err)
{
	const struct bf_job_config *config = cutover->job->config;
	bool off = cutover->options->then == BF_THEN_POWEROFF ||
		   bf_holders_have_root(&cutover->holders);
	int ret = bf_guardian_hold(cutover->guardian,
				   off ? config->hold_deadline_ns : 0, err);

	cutover->held = !ret;
	return ret && err->code == BF_E_DOWNTIME ?
	       bf_cutover_interrupted(cutover, err) : ret;
}

/* What becomes of the freeze, so that the word can be given. */
static int settle(struct cutover *cutover, struct bf_error *err)
{
	if (bf_cutover_is_over(cutover))
		return bf_cutover_interrupted(cutover, err);
	return cutover->options->then == BF_THEN_THAW ?
	       bf_cutover_thaw(cutover, err) : hold(cutover, err);
}

int bf_cutover_ask(struct bf_job *job, uint64_t epoch, bool *cut_over,
		   struct bf_error *err)
{
	const struct wire_welcome *welcome;
	int ret = bf_job_open_session(job, true, err);

	if (ret)
		return ret;
	welcome = bf_session_welcome(job->session);
	*cut_over = welcome->state == WIRE_JOB_CUT_OVER &&
		    welcome->cutover_epoch == epoch;
	if (welcome->state == WIRE_JOB_CUT_OVER && !*cut_over)
		ret = bf_fail(err, BF_E_CUT_OVER, EROFS,
			      "the target was cut over in epoch %llu by another replicator, not in ours, %llu: this source has not moved there",
			      (unsigned long long)welcome->cutover_epoch,
			      (unsigned long long)epoch);
	bf_job_disconnect(job);
	return ret;
}

/*
 * Claiming a new epoch ends the session that sent the message: "claimed" says
 * that the message was not, and never will be, processed.
 */
static int void_message(struct bf_job *job, struct bf_error *err)
{
	int ret = bf_job_open_session(job, false, err);

	if (ret)
		return ret;
	job->epoch = bf_session_welcome(job->session)->last_epoch + 1;
	return bf_session_claim(job->session, job->epoch, false, err);
}

/* Return: 0 and whether the target is cut over, or an error: not known yet. */
static int ask(struct cutover *cutover, bool *cut_over, struct bf_error *err)
{
	int ret;

	bf_job_disconnect(cutover->job);
	ret = bf_cutover_ask(cutover->job, cutover->epoch, cut_over, err);
	if (ret || *cut_over)
		return ret;
	ret = void_message(cutover->job, err);
	bf_job_disconnect(cutover->job);
	/* Processed between question and claim: the next answer says so. */
	return ret && err->code == BF_E_CUT_OVER ?
	       bf_cutover_ask(cutover->job, cutover->epoch, cut_over, err) :
	       ret;
}

/* Is it still for us to say what becomes of the freeze? */
static bool still_ours(const struct cutover *cutover)
{
	return !bf_job_stopping(cutover->job) &&
	       !bf_job_cancelled(cutover->job);
}

static void note_frozen_record(struct cutover *cutover)
{
	struct bf_job *job = cutover->job;

	job->record_frozen = bf_holders_cover(&cutover->holders,
					      job->options->records_dir);
}

/* Lines may only go to a standard error that is not frozen. */
static void speak_if_possible(struct cutover *cutover)
{
	if (!bf_holders_cover_fd(&cutover->holders, STDERR_FILENO))
		bf_cutover_unquiet(cutover);
}

/*
 * Return: 0 and the truth, BF_E_CUT_OVER as bf_cutover_ask, or another error when
 * somebody ended the asking.
 */
static int ask_until_known(struct cutover *cutover, bool *cut_over,
			   struct bf_error *err)
{
	struct bf_job *job = cutover->job;
	int ret = ask(cutover, cut_over, err);

	while (ret && err->code != BF_E_CUT_OVER && still_ours(cutover)) {
		uint64_t until_ns = bf_now_ns() + ASK_AGAIN_NS;

		bf_job_set_reason(job, BF_JOB_CUTOVER, err);
		bf_warn("job %s: whether the target is cut over is not known: %s; asking again",
			job->config->name, err->text);
		while (still_ours(cutover) && bf_now_ns() < until_ns)
			bf_job_sleep(job, until_ns);
		ret = ask(cutover, cut_over, err);
	}
	return ret;
}

static int stays_unknown(struct cutover *cutover, struct bf_error *err)
{
	const char *name = cutover->job->config->name;

	cutover->unknown = cutover->job->outcome_unknown = true;
	if (!cutover->held)
		return bf_fail(err, BF_E_CONNECTION, ENOTCONN,
			       "whether the target took the final commit is not known, and this source lives on: do not use the target before `blkferry run %s` has asked it",
			       name);
	bf_guardian_leave(cutover->guardian);
	cutover->guardian = NULL;
	cutover->job->left_frozen = true;
	note_frozen_record(cutover);
	speak_if_possible(cutover);
	return bf_fail(err, BF_E_CONNECTION, ENOTCONN,
		       "whether the target took the final commit is not known, so this source stays frozen: look at the target; `blkferry thaw %s` brings the source back if the target is not in use",
		       name);
}

/* @ret: 0, or another replicator was first. */
static int not_taken(struct cutover *cutover, int ret, struct bf_error *err)
{
	struct bf_error why;

	if (cutover->held && bf_guardian_unhold(cutover->guardian, &why))
		bf_log_error(&why);
	cutover->held = false;
	return ret ? ret : bf_fail(err, BF_E_CONNECTION, ENOTCONN,
		       "the connection was lost at the final commit, which the target has not taken: passes go on, cut over again");
}

static int resolve(struct cutover *cutover, bool *done, struct bf_error *err)
{
	int ret;

	cutover->job->session_over = true;
	ret = ask_until_known(cutover, done, err);
	if (ret && err->code != BF_E_CUT_OVER)
		return stays_unknown(cutover, err);
	return *done ? 0 : not_taken(cutover, ret, err);
}

int bf_cutover_commit(struct cutover *cutover, bool *done, struct bf_error *err)
{
	struct bf_job *job = cutover->job;
	int ret = settle(cutover, err);

	if (ret)
		return ret;
	cutover->epoch = job->epoch;
	/* Nobody can take it back any more: the word is given. */
	ret = bf_session_cutover(job->session, job->epoch, err);
	if (ret)
		ret = resolve(cutover, done, err);
	else
		*done = true;
	if (*done && cutover->guardian)
		cutover->downtime_ns = bf_now_ns() -
			bf_guardian_since_ns(cutover->guardian);
	return ret;
}

/* ---- after it ---- */

static const struct bf_log_about cut_over = {
	.level = BF_LOG_INFO, .event = BF_EVENT_CUT_OVER,
};

static void forget_job(struct cutover *cutover)
{
	struct bf_job *job = cutover->job;
	struct bf_error err;

	if (bf_job_untrack(job, &err))
		bf_log_error(&err);
	/* The target's record is the truth. */
	if (!job->record_frozen && (bf_job_record_remove(job, &err) ||
				    bf_job_skip_remove(job, &err)))
		bf_log_error(&err);
}

static void after_thaw(struct cutover *cutover)
{
	struct bf_job *job = cutover->job;
	struct bf_error err;

	if (bf_cutover_thaw(cutover, &err))
		bf_log_error(&err);
	bf_cutover_tell_thawed(cutover);
	bf_log_about(&cut_over,
		     "job %s: cut over and thawed: this source lives on, the target is a copy of the moment of the freeze",
		     job->config->name);
	forget_job(cutover);
	if (!*job->config->post_cutover)
		return;
	cutover->post_cutover = "ok";
	if (bf_job_hook(job, "post-cutover", job->config->post_cutover,
			&cutover->post_error)) {
		cutover->post_cutover = cutover->post_error.text;
		bf_log_error(&cutover->post_error);
	}
}

static void after_hold(struct cutover *cutover)
{
	struct bf_job *job = cutover->job;

	bf_guardian_leave(cutover->guardian);
	cutover->guardian = NULL;
	note_frozen_record(cutover);
	forget_job(cutover);
	if (cutover->options->then == BF_THEN_POWEROFF) {
		job->power_off = true;
		return;
	}
	speak_if_possible(cutover);
	bf_log_about(&cut_over,
		     "job %s: cut over; this source stays frozen until `blkferry thaw %s`",
		     job->config->name, job->config->name);
}

void bf_cutover_finish(struct cutover *cutover)
{
	if (cutover->held)
		after_hold(cutover);
	else
		after_thaw(cutover);
}
