// SPDX-License-Identifier: Apache-2.0
/*
 * Job, states: requests, events and time flow in; passes, a cutover and an
 * outcome flow out. See job.h and job_state.h.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/reboot.h>
#include <time.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/ring.h"
#include "lib/units.h"
#include "source/cutover.h"
#include "source/job_state.h"
#include "source/loss.h"

#define OFF_WAIT_SECONDS 5		/* to print a report, to sync the rest */

const char *bf_job_state_name(enum bf_job_state state)
{
	static const char *const names[] = {
		[BF_JOB_PLAN] = "plan",
		[BF_JOB_QUEUED] = "queued",
		[BF_JOB_CONNECTING] = "connecting",
		[BF_JOB_FULL] = "full",
		[BF_JOB_RESYNCING] = "resyncing",
		[BF_JOB_DELTA] = "delta",
		[BF_JOB_READY] = "ready",
		[BF_JOB_CUTOVER] = "cutover",
		[BF_JOB_PAUSED] = "paused",
		[BF_JOB_DONE] = "done",
		[BF_JOB_STOPPED] = "stopped",
		[BF_JOB_CANCELLED] = "cancelled",
		[BF_JOB_FAILED] = "failed",
	};

	return names[state];
}

void bf_job_set_state(struct bf_job *job, enum bf_job_state state)
{
	pthread_mutex_lock(&job->lock);
	job->state = state;
	if (state != BF_JOB_CONNECTING)
		job->reason = (struct bf_error){ 0 };
	pthread_mutex_unlock(&job->lock);
}

void bf_job_set_reason(struct bf_job *job, enum bf_job_state state,
		       const struct bf_error *why)
{
	pthread_mutex_lock(&job->lock);
	job->state = state;
	job->reason = *why;
	pthread_mutex_unlock(&job->lock);
}

/* ---- passes ---- */

/* Delta, or ready if a cutover would fit its bound. */
static void settle_state(struct bf_job *job)
{
	struct bf_forecast forecast = bf_job_forecast(job);

	bf_job_set_state(job, forecast.known && forecast.settled_ns <=
			 job->config->max_downtime_ns ?
			 BF_JOB_READY : BF_JOB_DELTA);
	bf_job_pace(job, &forecast);
}

static int catch_up(struct bf_job *job, struct bf_error *err)
{
	int ret = bf_job_catch_up(job, err);

	if (!ret)
		settle_state(job);
	return ret;
}

static json_t *last_pass(struct bf_job *job)
{
	json_t *pass;

	pthread_mutex_lock(&job->lock);
	pass = json_incref(job->last_pass);
	pthread_mutex_unlock(&job->lock);
	return pass;
}

/* ---- requests ---- */

/* What an attempt's report says beside its own figures. */
static json_t *cutover_answer(struct bf_job *job)
{
	json_t *status = bf_job_status(job);
	json_t *answer = json_pack("{sO, sO, sO, sO, sO}", "cutover",
				   json_object_get(status, "cutover"),
				   "passes", json_object_get(status, "passes"),
				   "raw_bytes",
				   json_object_get(status, "raw_bytes"),
				   "wire_bytes",
				   json_object_get(status, "wire_bytes"),
				   "state", json_object_get(status, "state"));

	json_decref(status);
	return answer;
}

static int serve_cutover(struct bf_job *job, struct bf_job_request *request,
			 bool *done, struct bf_error *err)
{
	const struct bf_cutover_options options = {
		.max_downtime_ns = request->max_downtime_ns,
		.then = request->then,
		.then_given = request->then_given,
	};
	int ret = bf_cutover(job, &options, done, err);

	if (ret) {
		bf_job_refuse(job, request, err);
		return ret;
	}
	/* The command that asked is to print its report before the end. */
	if (job->power_off && request->client)
		job->peer_fd = bf_control_peer(request->client);
	bf_job_answer(job, request, cutover_answer(job));
	return 0;
}

static int serve_verify(struct bf_job *job, struct bf_job_request *request,
			struct bf_error *err)
{
	json_t *report = NULL;
	int ret = bf_job_verify(job, &report, err);

	if (ret) {
		bf_job_refuse(job, request, err);
		return ret;
	}
	bf_job_note_verify(job, report);
	bf_job_answer(job, request, report);
	return 0;
}

static int serve_sync(struct bf_job *job, struct bf_job_request *request,
		      struct bf_error *err)
{
	int ret = bf_job_retry_unreadable(job, err);

	if (!ret)
		ret = catch_up(job, err);
	if (ret)
		bf_job_refuse(job, request, err);
	else
		bf_job_answer(job, request,
			      json_pack("{so}", "pass", last_pass(job)));
	return ret;
}

/*
 * A request waits for its turn, for hours if the receiver is away. Who has hung
 * up meanwhile does not want it any more, a cutover least of all.
 */
static bool withdrawn(struct bf_job *job, struct bf_job_request *request)
{
	struct bf_error gone;

	if (!request->client || !bf_control_gone(request->client))
		return false;
	bf_fail(&gone, BF_E_CANCELLED, ECANCELED, "who asked has hung up");
	bf_job_refuse(job, request, &gone);
	bf_info("job %s: a request is dropped because who asked has hung up before its turn came",
		job->config->name);
	return true;
}

/*
 * Return: 0, or an error of the session, which is over. What only a request
 * ran into is told to who asked, and the job goes on.
 */
static int serve_request(struct bf_job *job, struct bf_job_request *request,
			 bool *done, struct bf_error *err)
{
	enum bf_job_command command = request->command;
	int ret = 0;

	if (withdrawn(job, request))
		return 0;
	if (command == BF_JOB_SYNC)
		ret = serve_sync(job, request, err);
	else if (command == BF_JOB_VERIFY)
		ret = serve_verify(job, request, err);
	else if (command == BF_JOB_CUT_OVER)
		ret = serve_cutover(job, request, done, err);
	else	/* resume of a job that runs; pause and cancel end the loop */
		bf_job_answer(job, request, json_object());
	if (!ret)
		return 0;
	if (command == BF_JOB_SYNC)
		return ret;
	bf_log_error(err);
	job->reconnect = job->session_over;
	if (!job->session_over)
		settle_state(job);
	return job->session_over ? ret : 0;
}

/* ---- the loops ---- */

static int one_shot(struct bf_job *job, bool *done, struct bf_error *err)
{
	struct bf_cutover_options options = {
		.max_downtime_ns = job->config->max_downtime_ns,
		.then = job->config->then,
		.then_given = job->config->then_given,
	};
	int ret;

	if (job->tracked)
		return bf_cutover(job, &options, done, err);
	/* A list of extents makes no target whole: nothing is to be cut over. */
	job->sent_epoch = job->options->extents_path ? 0 : job->epoch;
	ret = job->sent_epoch ?
	      bf_session_cutover(job->session, job->sent_epoch, err) : 0;
	*done = !ret;
	if (!ret)
		bf_job_set_state(job, BF_JOB_DONE);
	return ret;
}

static int ended_by_operator(struct bf_error *err)
{
	return bf_fail(err, BF_E_CANCELLED, ECANCELED,
		       "the operator ended it");
}

/* Return: 0 when done; an error when the session is over. */
static int serve(struct bf_job *job, struct bf_error *err)
{
	bool done = false;
	int ret = catch_up(job, err);

	if (!ret && job->options->one_shot)
		return one_shot(job, &done, err);
	if (!ret && job->options->rehearsal)
		bf_job_stop(job);
	while (!ret && !done) {
		struct bf_job_request *request;

		bf_job_wait(job, bf_now_ns());
		if (bf_job_ending(job))
			return ended_by_operator(err);
		/* What waits is served by the session that comes after. */
		ret = bf_session_check(job->session, err);
		if (ret)
			return ret;
		request = bf_job_next_request(job);
		ret = request ? serve_request(job, request, &done, err) :
				catch_up(job, err);
	}
	return ret;
}

/* Until resume, cancel or stop; the session is closed meanwhile. */
static void stay_paused(struct bf_job *job)
{
	struct bf_error paused;

	bf_job_set_state(job, BF_JOB_PAUSED);
	bf_info("job %s: paused", job->config->name);
	bf_fail(&paused, BF_E_STATE, EBUSY,
		"job %s is paused: `blkferry resume %s` first",
		job->config->name, job->config->name);
	while (bf_job_paused(job) && !bf_job_stopping(job) &&
	       !bf_job_cancelled(job)) {
		bf_job_answer_all(job, BF_JOB_PAUSE);
		bf_job_refuse_all(job, BF_JOB_SYNC, &paused);
		bf_job_refuse_all(job, BF_JOB_CUT_OVER, &paused);
		bf_job_refuse_all(job, BF_JOB_VERIFY, &paused);
		bf_job_sleep(job, UINT64_MAX);
	}
	bf_job_answer_all(job, BF_JOB_RESUME);
}

static int run_once(struct bf_job *job, struct bf_error *err)
{
	int ret;

	job->reconnect = job->session_over = false;
	ret = bf_job_connect(job, err);
	if (!ret)
		ret = serve(job, err);
	if (!ret)
		bf_job_report_to_receiver(job);
	bf_job_disconnect(job);
	return ret;
}

/* The first time, when it becomes another matter, and once a minute. */
static void tell_loss(const struct bf_job *job, struct bf_loss *loss,
		      const struct bf_error *why)
{
	if (!bf_loss_to_tell(loss, why->code, bf_now_ns()))
		return;
	if (why->code == BF_E_QUEUED)
		bf_info("job %s: %s", job->config->name, why->text);
	else
		bf_warn("job %s: %s; trying again until it answers",
			job->config->name, why->text);
}

static void back_off(struct bf_job *job, struct bf_loss *loss,
		     const struct bf_error *why)
{
	bool queued = why->code == BF_E_QUEUED;
	uint64_t until_ns = bf_now_ns() + bf_loss_wait_ns(loss, queued);

	bf_job_set_reason(job, queued ? BF_JOB_QUEUED : BF_JOB_CONNECTING, why);
	tell_loss(job, loss, why);
	while (!bf_job_ending(job) && bf_now_ns() < until_ns)
		bf_job_sleep(job, until_ns);
}

/* A copy that somebody waits for has had its patience, or never had a target. */
static bool gives_up(const struct bf_job *job, struct bf_loss *loss)
{
	return job->options->one_shot &&
	       (!job->epoch || bf_loss_patience_ends(loss, bf_now_ns()));
}

/* A service that is stopped goes on later; a copy that is stopped is none. */
static int ended_early(const struct bf_job *job, struct bf_error *err)
{
	if (!job->options->one_shot)
		return 0;
	return bf_fail(err, BF_E_CANCELLED, ECANCELED,
		       "the copy was ended before it was complete, so the target is not whole: start it again");
}

/*
 * Stopped or cancelled while nobody could say whether the target is cut over:
 * @why says what is to be done about it, and that it ended well must not be said.
 */
static int outcome_unknown(struct bf_job *job, const struct bf_error *why,
			   struct bf_error *err)
{
	if (!job->outcome_unknown)
		return 0;
	*err = *why;
	return -why->errnum;
}

static int cancel(struct bf_job *job, struct bf_error *err)
{
	const struct bf_error why = *err;
	int ret = bf_job_untrack(job, err);

	/* A record on a disk that stays frozen cannot be removed. */
	if (!ret && !job->record_frozen)
		ret = bf_job_record_remove(job, err);
	if (!ret && !job->record_frozen)
		ret = bf_job_skip_remove(job, err);
	bf_job_set_state(job, BF_JOB_CANCELLED);
	if (ret)
		bf_job_refuse_all(job, BF_JOB_CANCEL, err);
	else
		bf_job_answer_all(job, BF_JOB_CANCEL);
	if (!ret)
		ret = outcome_unknown(job, &why, err);
	if (ret)
		return ret;
	bf_info("job %s: cancelled; its trackers and records are gone, the target stays as it is",
		job->config->name);
	return ended_early(job, err);
}

/* The final message arrived, and only its answer was lost: the copy is whole. */
static bool copy_is_taken(struct bf_job *job, const struct bf_error *err)
{
	struct bf_error unheard;
	bool taken = false;

	if (err->code != BF_E_CUT_OVER || !job->sent_epoch ||
	    bf_cutover_ask(job, job->sent_epoch, &taken, &unheard) || !taken)
		return false;
	bf_job_set_state(job, BF_JOB_DONE);
	return true;
}

static int run_states(struct bf_job *job, struct bf_error *err)
{
	struct bf_loss loss = { 0 };

	for (;;) {
		int ret;

		bf_job_wait_for_start(job);
		ret = bf_job_ending(job) ? ended_by_operator(err) :
					   run_once(job, err);
		if (!ret || copy_is_taken(job, err))
			return 0;
		if (bf_job_cancelled(job))
			return cancel(job, err);
		if (bf_job_stopping(job) && job->outcome_unknown)
			return ret;
		if (bf_job_stopping(job)) {
			bf_job_set_state(job, BF_JOB_STOPPED);
			return ended_early(job, err);
		}
		if (bf_job_paused(job)) {
			stay_paused(job);
			continue;
		}
		/* A cutover was rolled back, a pause taken back: go on. */
		if (job->reconnect || err->code == BF_E_CANCELLED)
			continue;
		bf_loss_note(&loss, job->epoch, bf_now_ns());
		if (!bf_job_retryable(err) ||
		    bf_loss_damaged_again(&loss, err->code, job->passes) ||
		    gives_up(job, &loss))
			return ret;
		back_off(job, &loss, err);
	}
}

/* ---- beginning and end ---- */

static int init(struct bf_job *job, const struct bf_job_options *options,
		struct bf_error *err)
{
	job->options = options;
	job->config = options->config;
	job->started_s = time(NULL);
	job->tracked = !options->no_tracker && !options->extents_path &&
		       !options->insecure_torn;
	job->resync_asked = options->resync;
	job->requests_end = &job->requests;
	pthread_mutex_init(&job->lock, NULL);
	pthread_mutex_init(&job->output, NULL);
	bf_converge_init(&job->converge);
	bf_job_limits_init(job);
	job->nr_disks = job->config->nr_disks;
	job->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	job->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	job->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	job->disks = calloc(job->nr_disks + 1, sizeof(*job->disks));
	job->session_disks = calloc(job->nr_disks + 1,
				    sizeof(*job->session_disks));
	job->result = calloc(1, sizeof(*job->result));
	if (!job->disks || !job->session_disks || !job->result ||
	    job->wake_fd < 0 || job->quit_fd < 0 || job->end_fd < 0)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < job->nr_disks; i++)
		job->disks[i].fd = -1;
	if (!job->nr_disks || job->nr_disks > WIRE_DISKS_MAX)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "job %s has %u disks; 1 to %d are possible",
			       job->config->name, job->nr_disks,
			       WIRE_DISKS_MAX);
	return 0;
}

static void clean_up(struct bf_job *job)
{
	bf_job_disconnect(job);
	bf_job_give_slot(job);
	if (job->disks)
		bf_job_close_disks(job);
	bf_events_close(job->events);
	bf_netlink_close(job->nl);
	bf_netlink_close(job->nl_monitor);
	bf_tls_free(job->tls);
	bf_identity_free(job->identity);
	json_decref(job->last_pass);
	json_decref(job->cutover);
	json_decref(job->verified);
	free(job->disks);
	free(job->session_disks);
	free(job->result);
	if (job->wake_fd >= 0)
		close(job->wake_fd);
	if (job->quit_fd >= 0)
		close(job->quit_fd);
	if (job->end_fd >= 0)
		close(job->end_fd);
	if (job->peer_fd >= 0)
		close(job->peer_fd);
	pthread_mutex_destroy(&job->output);
	pthread_mutex_destroy(&job->lock);
}

static void tell_engine(const struct bf_job *job)
{
	struct bf_error why;

	if (bf_ring_probe(&why))
		bf_warn("job %s: %s; until then threads read and write blocks, which costs more processor time",
			job->config->name, why.text);
}

static int prepare(struct bf_job *job, struct bf_error *err)
{
	int ret = bf_job_open_disks(job, err);

	tell_engine(job);
	if (!ret)
		ret = bf_job_plan(job, err);
	/* The socket is the job's lock as well: a second run ends here. */
	if (!ret)
		ret = bf_job_control_start(job, err);
	if (!ret)
		bf_job_forget_failure(job);
	if (!ret)
		ret = bf_job_record_load(job, err);
	if (!ret)
		ret = bf_job_track(job, err);
	if (!ret)
		ret = bf_job_monitor_start(job, err);
	return ret ? ret : bf_job_skip_load(job, err);
}

static void *sync_rest(void *unused)
{
	sync();
	return NULL;
}

/*
 * The source is cut over and frozen: its power goes off. Whoever asked gets a
 * moment to print the report, and what users wrote to disks outside of the job
 * a moment to get there; a filesystem that hangs is not waited for.
 */
static void power_off(struct bf_job *job)
{
	struct pollfd wait = { job->peer_fd, POLLIN, 0 };
	struct timespec until;
	pthread_t thread;
	bool syncing = !pthread_create(&thread, NULL, sync_rest, NULL);

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += OFF_WAIT_SECONDS;
	if (job->peer_fd >= 0)
		poll(&wait, 1, OFF_WAIT_SECONDS * 1000);
	if (syncing)
		pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until);
	reboot(RB_POWER_OFF);
}

/*
 * A local target keeps no record of a copy: nothing could go on from what its
 * trackers know.
 */
static void forget_copy(struct bf_job *job)
{
	struct bf_error err;

	if (!job->options->one_shot || !job->nl ||
	    !job->config->disks[0].target_is_path)
		return;
	if (bf_job_untrack(job, &err) || bf_job_record_remove(job, &err))
		bf_log_error(&err);
}

static void end_requests(struct bf_job *job)
{
	struct bf_error over;

	bf_fail(&over, BF_E_NOT_RUNNING, ESRCH, "job %s has ended: %s",
		job->config->name, bf_job_state_name(job->state));
	if (job->control)
		bf_job_control_stop(job, &over);
}

/*
 * Without the socket another process may run the job, whose failure this is not;
 * and a job whose target was cut over has not failed, it is done.
 */
static void note_end(const struct bf_job *job, const json_t *outcome,
		     const struct bf_error *err)
{
	if (bf_job_runs_elsewhere(job))
		return;
	if (!err || err->code == BF_E_CUT_OVER)
		bf_job_forget_failure(job);
	else
		bf_job_note_failure(job, outcome);
}

int bf_job_run(const struct bf_job_options *options, json_t **outcome,
	       struct bf_error *err)
{
	struct bf_job job = { .wake_fd = -1, .quit_fd = -1, .end_fd = -1,
			      .peer_fd = -1, .slot_fd = -1 };
	int ret = init(&job, options, err);

	if (!ret)
		ret = prepare(&job, err);
	if (!ret)
		ret = run_states(&job, err);
	if (ret) {
		bf_job_set_reason(&job, BF_JOB_FAILED, err);
		forget_copy(&job);
	}
	bf_job_monitor_stop(&job);
	/* While the socket is ours nobody else runs this job. */
	if (ret)
		bf_job_untrack_unused(&job);
	*outcome = bf_job_status(&job);
	note_end(&job, *outcome, ret ? err : NULL);
	end_requests(&job);
	/* What is left frozen may be what a hook writes to: it would not end. */
	if (ret && !job.left_frozen)
		bf_job_hook_tell(&job, "on-failure", options->config->on_failure,
				 err);
	bf_job_report(&job, *outcome);
	if (!ret && job.power_off)
		power_off(&job);
	clean_up(&job);
	return ret;
}
