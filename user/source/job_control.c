// SPDX-License-Identifier: Apache-2.0
/*
 * Job, control: requests of the operator flow in on the control socket's
 * thread; "status" is answered there, the rest is queued for the job's thread.
 * What must not wait for the end of a pass (pause, cancel) interrupts it.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "lib/cleanup.h"
#include "source/job_state.h"

#define WAIT_MAX_MS 3600000

static void wake(struct bf_job *job)
{
	uint64_t one = 1;

	/* Fails only when the counter is full: then a wake is pending. */
	if (write(job->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* With the lock: what runs is to end. */
static void interrupt(struct bf_job *job)
{
	uint64_t one = 1;

	if (job->session)
		bf_session_interrupt(job->session);
	/* Fails only when the counter is full: then it is readable anyway. */
	if (write(job->end_fd, &one, sizeof(one)) < 0)
		return;
}

/* With the lock: it may run again. */
static void take_back(struct bf_job *job)
{
	uint64_t count;

	if (!job->stop && !job->cancel &&
	    read(job->end_fd, &count, sizeof(count)) < 0)
		return;		/* there was nothing to take back */
}

static bool read_flag(struct bf_job *job, const bool *flag)
{
	bool value;

	pthread_mutex_lock(&job->lock);
	value = *flag;
	pthread_mutex_unlock(&job->lock);
	return value;
}

bool bf_job_stopping(struct bf_job *job)
{
	return read_flag(job, &job->stop);
}

bool bf_job_cancelled(struct bf_job *job)
{
	return read_flag(job, &job->cancel);
}

bool bf_job_paused(struct bf_job *job)
{
	return read_flag(job, &job->pause);
}

bool bf_job_ending(struct bf_job *job)
{
	return bf_job_stopping(job) || bf_job_cancelled(job) ||
	       bf_job_paused(job);
}

void bf_job_stop(struct bf_job *job)
{
	pthread_mutex_lock(&job->lock);
	job->stop = true;
	interrupt(job);
	pthread_mutex_unlock(&job->lock);
	wake(job);
}

/* ---- the control socket's thread ---- */

static void refuse_text(struct bf_control_client *client, enum bf_code code,
			const char *text)
{
	struct bf_error err;

	bf_fail(&err, code, EINVAL, "%s", text);
	bf_control_fail(client, &err);
}

static bool command_of(const char *name, enum bf_job_command *command)
{
	static const struct {
		const char *name;
		enum bf_job_command command;
	} commands[] = {
		{ "sync", BF_JOB_SYNC },
		{ "pause", BF_JOB_PAUSE },
		{ "resume", BF_JOB_RESUME },
		{ "cancel", BF_JOB_CANCEL },
		{ "cutover", BF_JOB_CUT_OVER },
		{ "verify", BF_JOB_VERIFY },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name))
			continue;
		*command = commands[i].command;
		return true;
	}
	return false;
}

static int parse_cutover(const struct bf_job *job, const json_t *json,
			 struct bf_job_request *request, struct bf_error *err)
{
	const json_t *bound = json_object_get(json, "max_downtime_ns");
	const json_t *then = json_object_get(json, "then");

	request->max_downtime_ns = job->config->max_downtime_ns;
	request->then = job->config->then;
	request->then_given = job->config->then_given;
	if (bound && (json_integer_value(bound) <= 0 ||
		      json_integer_value(bound) > (json_int_t)BF_TIME_MAX_NS))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "max_downtime_ns must be a number above 0, 30 days at most");
	if (bound)
		request->max_downtime_ns = json_integer_value(bound);
	if (!then)
		return 0;
	request->then_given = true;
	return bf_parse_then(json_is_string(then) ? json_string_value(then) : "",
			     &request->then, err);
}

/* With the lock. A second one would begin when the first was rolled back. */
static bool cuts_over(const struct bf_job *job)
{
	const struct bf_job_request *request = job->requests;

	while (request && request->command != BF_JOB_CUT_OVER)
		request = request->next;
	return request || job->state == BF_JOB_CUTOVER;
}

static int refuse_second(const struct bf_job *job,
			 const struct bf_job_request *request,
			 struct bf_error *err)
{
	if (request->command != BF_JOB_CUT_OVER || !cuts_over(job))
		return 0;
	return bf_fail(err, BF_E_BUSY, EBUSY,
		       "a cutover of job %s is under way: wait for its end, or end it with `blkferry pause %s`",
		       job->config->name, job->config->name);
}

/* With the lock. */
static void enqueue(struct bf_job *job, struct bf_job_request *request)
{
	*job->requests_end = request;
	job->requests_end = &request->next;
	switch (request->command) {
	case BF_JOB_PAUSE:
		job->pause = true;
		interrupt(job);
		break;
	case BF_JOB_RESUME:
		job->pause = false;
		take_back(job);
		break;
	case BF_JOB_CANCEL:
		job->cancel = true;
		interrupt(job);
		break;
	default:
		break;
	}
}

static void queue_request(struct bf_job *job, struct bf_control_client *client,
			  const json_t *json, enum bf_job_command command)
{
	struct bf_job_request *request = calloc(1, sizeof(*request));
	struct bf_error err;
	int ret = 0;

	if (!request) {
		refuse_text(client, BF_E_SYSTEM, "out of memory");
		return;
	}
	request->command = command;
	request->client = client;
	if (command == BF_JOB_CUT_OVER)
		ret = parse_cutover(job, json, request, &err);
	pthread_mutex_lock(&job->lock);
	if (!ret)
		ret = refuse_second(job, request, &err);
	if (!ret)
		enqueue(job, request);
	pthread_mutex_unlock(&job->lock);
	if (!ret) {
		wake(job);
		return;
	}
	bf_control_fail(client, &err);
	free(request);
}

/* Answered at once: it changes figures that others read. */
static void set(struct bf_job *job, struct bf_control_client *client,
		const json_t *request)
{
	struct bf_error err;
	json_t *answer;

	if (bf_job_set(job, request, &answer, &err)) {
		bf_control_fail(client, &err);
		return;
	}
	wake(job);
	bf_control_answer(client, answer);
}

static void on_request(void *context, struct bf_control_client *client,
		       json_t *json)
{
	const char *name = json_string_value(json_object_get(json, "command"));
	enum bf_job_command command;
	struct bf_job *job = context;

	if (!name)
		refuse_text(client, BF_E_USAGE,
			    "the request names no \"command\"");
	else if (!strcmp(name, "status"))
		bf_control_answer(client, bf_job_status(job));
	else if (!strcmp(name, "set"))
		set(job, client, json);
	else if (!strcmp(name, "thaw"))
		refuse_text(client, BF_E_STATE,
			    "nothing of this job is held: a freeze that is under way thaws by itself, `blkferry cancel` ends it now");
	else if (command_of(name, &command))
		queue_request(job, client, json, command);
	else
		refuse_text(client, BF_E_USAGE,
			    "a job understands status, set, sync, pause, resume, cancel, cutover, thaw and verify");
}

bool bf_job_runs_elsewhere(const struct bf_job *job)
{
	json_t *answer = NULL, *request = json_pack("{s:s}", "command", "status");
	struct bf_error err = { 0 };
	char path[108];
	int ret;

	if (job->control)
		return false;
	bf_control_path(path, job->options->run_dir, job->config->name);
	ret = bf_control_call(path, request, BF_NSEC_PER_SEC, NULL, NULL, &answer,
			      &err);
	json_decref(request);
	json_decref(answer);
	return !ret || err.code != BF_E_NOT_RUNNING;
}

int bf_job_control_start(struct bf_job *job, struct bf_error *err)
{
	char path[108];

	bf_control_path(path, job->options->run_dir, job->config->name);
	return bf_control_serve(&job->control, path, on_request, job, err);
}

/* ---- the job's thread ---- */

struct bf_job_request *bf_job_next_request(struct bf_job *job)
{
	struct bf_job_request *request;

	pthread_mutex_lock(&job->lock);
	request = job->requests;
	if (request) {
		job->requests = request->next;
		if (!job->requests)
			job->requests_end = &job->requests;
		job->asking = request->client;
	}
	pthread_mutex_unlock(&job->lock);
	return request;
}

/* From here on the monitor does not speak to the client any more. */
static void forget(struct bf_job *job, const struct bf_job_request *request)
{
	pthread_mutex_lock(&job->lock);
	if (job->asking == request->client)
		job->asking = NULL;
	pthread_mutex_unlock(&job->lock);
}

void bf_job_answer(struct bf_job *job, struct bf_job_request *request,
		   json_t *answer)
{
	forget(job, request);
	if (request->client)
		bf_control_answer(request->client, answer);
	else
		json_decref(answer);
	free(request);
}

void bf_job_refuse(struct bf_job *job, struct bf_job_request *request,
		   const struct bf_error *err)
{
	forget(job, request);
	if (request->client)
		bf_control_fail(request->client, err);
	free(request);
}

/* Takes the first request of a kind out of the queue. */
static struct bf_job_request *take_request(struct bf_job *job,
					   enum bf_job_command command)
{
	struct bf_job_request **at = &job->requests, *request;

	pthread_mutex_lock(&job->lock);
	while (*at && (*at)->command != command)
		at = &(*at)->next;
	request = *at;
	if (request) {
		*at = request->next;
		if (!*at)
			job->requests_end = at;
	}
	pthread_mutex_unlock(&job->lock);
	return request;
}

void bf_job_answer_all(struct bf_job *job, enum bf_job_command command)
{
	struct bf_job_request *request;

	while ((request = take_request(job, command)))
		bf_job_answer(job, request, json_object());
}

void bf_job_refuse_all(struct bf_job *job, enum bf_job_command command,
		       const struct bf_error *err)
{
	struct bf_job_request *request;

	while ((request = take_request(job, command)))
		bf_job_refuse(job, request, err);
}

void bf_job_control_stop(struct bf_job *job, const struct bf_error *why)
{
	struct bf_job_request *request;

	while ((request = bf_job_next_request(job)))
		bf_job_refuse(job, request, why);
	bf_control_stop(job->control);
	/* What came while it stopped. */
	while ((request = bf_job_next_request(job)))
		bf_job_refuse(job, request, why);
	job->control = NULL;
}

static int wait_ms(uint64_t ns)
{
	return ns < WAIT_MAX_MS * BF_NSEC_PER_MSEC ?
	       (int)(ns / BF_NSEC_PER_MSEC + 1) : WAIT_MAX_MS;
}

static bool has_request(struct bf_job *job)
{
	bool has;

	pthread_mutex_lock(&job->lock);
	has = job->requests;
	pthread_mutex_unlock(&job->lock);
	return has;
}

/* True if one of the events concerns this job. */
static bool drain_events(struct bf_job *job)
{
	struct bf_tracker_event event;
	bool ours = false;
	int ret;

	while ((ret = bf_events_next(job->events, &event)) == 1)
		for (uint32_t i = 0; i < job->nr_disks; i++)
			if (job->disks[i].tracker.id == event.tracker_id &&
			    (event.event == BLKFERRY_EVENT_RESYNC_NEEDED ||
			     event.event == BLKFERRY_EVENT_WATERMARK ||
			     event.event == BLKFERRY_EVENT_GONE))
				ours = true;
	return ours || ret == -ENOBUFS;
}

void bf_job_sleep(struct bf_job *job, uint64_t deadline_ns)
{
	struct pollfd wait = { job->wake_fd, POLLIN, 0 };
	uint64_t now_ns = bf_now_ns(), count;

	if (now_ns >= deadline_ns ||
	    poll(&wait, 1, wait_ms(deadline_ns - now_ns)) <= 0)
		return;
	/* Only who waits here reads it: an empty counter is no failure. */
	if (read(job->wake_fd, &count, sizeof(count)) < 0)
		return;
}

/* Its end is an event of its own: an idle job has nobody else to tell it. */
static bool session_is_over(struct bf_job *job)
{
	bf_session_listen(job->session);
	return !bf_session_alive(job->session);
}

void bf_job_wait(struct bf_job *job, uint64_t since_ns)
{
	struct pollfd fds[] = {
		{ job->wake_fd, POLLIN, 0 },
		{ job->events ? bf_events_fd(job->events) : -1, POLLIN, 0 },
		{ bf_session_event_fd(job->session), POLLIN, 0 },
	};
	uint64_t count, now_ns, deadline_ns;

	while (!bf_job_ending(job) && !has_request(job) &&
	       !session_is_over(job) &&
	       (now_ns = bf_now_ns()) <
	       (deadline_ns = since_ns + bf_job_interval_ns(job))) {
		if (poll(fds, 3, wait_ms(deadline_ns - now_ns)) <= 0)
			continue;
		if (fds[0].revents &&
		    read(job->wake_fd, &count, sizeof(count)) < 0)
			continue;
		if (fds[1].revents && drain_events(job))
			return;
	}
}
