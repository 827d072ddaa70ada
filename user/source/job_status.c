// SPDX-License-Identifier: Apache-2.0
/*
 * Job, status: figures of tracker, session and passes flow in once a second on
 * the monitor's thread, the status object (job.h) flows out, to whoever asks
 * and to the progress callback. Nothing flows during a freeze.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "lib/cleanup.h"
#include "lib/labels.h"
#include "lib/thread.h"
#include "source/job_state.h"

#define TICK_MS 1000
#define RATE_WEIGHT 0.3			/* of the newest second */
#define ETA_MAX_NS 3e17			/* ten years */

/* ---- samples ---- */

static void sample_disk(struct bf_job *job, struct bf_job_disk *disk,
			uint64_t *new_bytes)
{
	struct bf_tracker tracker;

	if (!disk->extents ||
	    bf_tracker_get(job->nl_monitor, disk->tracker.id, &tracker, NULL))
		return;
	*new_bytes += tracker.stats[BLKFERRY_STAT_NEW_BLOCKS] *
		      tracker.granularity_bytes;
	pthread_mutex_lock(&job->lock);
	disk->dirty_bytes = tracker.stats[BLKFERRY_STAT_DIRTY_BYTES];
	disk->reasons = tracker.reasons;
	disk->passthrough = tracker.stats[BLKFERRY_STAT_PASSTHROUGH_RANGED] +
			    tracker.stats[BLKFERRY_STAT_PASSTHROUGH_OPAQUE];
	pthread_mutex_unlock(&job->lock);
}

/* With the lock. */
static void current_bytes(const struct bf_job *job, uint64_t *raw,
			  uint64_t *wire)
{
	struct bf_session_progress *progress =
		job->session ? bf_session_progress(job->session) : NULL;

	*raw = job->raw_before + (progress ? progress->raw_bytes : 0);
	*wire = job->wire_before + (progress ? progress->wire_bytes : 0);
}

static void blend(double *rate, uint64_t bytes, uint64_t time_ns)
{
	double now = bytes * (double)BF_NSEC_PER_SEC / time_ns;

	*rate += (now - *rate) * RATE_WEIGHT;
}

/* With the lock. A session counts from 0. */
static void sample_disk_rates(struct bf_job *job, uint64_t time_ns)
{
	struct bf_session_progress *progress =
		job->session ? bf_session_progress(job->session) : NULL;

	for (uint32_t i = 0; i < job->nr_disks; i++) {
		struct bf_job_disk *disk = &job->disks[i];
		uint64_t raw = progress ? progress->disks[i].raw_bytes : 0;

		blend(&disk->raw_rate, raw < disk->sample_raw ? raw :
		      raw - disk->sample_raw, time_ns);
		disk->sample_raw = raw;
	}
}

/* With the lock. */
static void sample_rates(struct bf_job *job, uint64_t now_ns)
{
	uint64_t raw, wire;

	current_bytes(job, &raw, &wire);
	if (job->sample_ns && now_ns > job->sample_ns) {
		blend(&job->raw_rate, raw - job->sample_raw,
		      now_ns - job->sample_ns);
		blend(&job->wire_rate, wire - job->sample_wire,
		      now_ns - job->sample_ns);
		sample_disk_rates(job, now_ns - job->sample_ns);
	}
	job->sample_ns = now_ns;
	job->sample_raw = raw;
	job->sample_wire = wire;
}

static void sample(struct bf_job *job)
{
	uint64_t now_ns = bf_now_ns(), new_bytes = 0;

	for (uint32_t i = 0; job->tracked && i < job->nr_disks; i++)
		sample_disk(job, &job->disks[i], &new_bytes);
	pthread_mutex_lock(&job->lock);
	/* Only what is written to a whole target tells the rate of writes:
	 * marking everything counts as newly dirty as well. */
	if (job->state == BF_JOB_DELTA || job->state == BF_JOB_READY)
		bf_converge_sample(&job->converge, now_ns, new_bytes);
	else
		bf_converge_restart_sample(&job->converge);
	sample_rates(job, now_ns);
	pthread_mutex_unlock(&job->lock);
}

/* ---- the status object: all with the lock ---- */

static json_t *known_rate(double rate)
{
	return rate < 0 ? json_null() : json_integer((json_int_t)rate);
}

static void put(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *reason_names(const struct bf_reasons *reasons)
{
	json_t *names = json_array();

	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++)
		if (reasons->by_id[id].raised > reasons->by_id[id].cleared)
			json_array_append_new(names,
				json_string(bf_reason_name(id)));
	return names;
}

/* Without a tracker nobody knows. */
static void put_dirty(const struct bf_job *job, json_t *object, uint64_t bytes)
{
	if (job->tracked)
		put(object, "dirty_bytes", bytes);
	else
		json_object_set_new(object, "dirty_bytes", json_null());
}

static json_t *pass_object(const struct bf_job *job, uint64_t planned_bytes,
			   uint64_t done_bytes)
{
	json_t *pass = json_pack("{ss}", "kind", job->pass_kind);

	put(pass, "number", job->passes + 1);
	put(pass, "planned_bytes", planned_bytes);
	put(pass, "done_bytes", done_bytes);
	return pass;
}

/* Of the running pass, or null between two. */
static json_t *disk_pass(const struct bf_job *job, uint32_t index)
{
	const struct bf_disk_progress *progress;

	if (!job->pass_kind || !job->session)
		return json_null();
	progress = &bf_session_progress(job->session)->disks[index];
	return pass_object(job, progress->planned_bytes, progress->done_bytes);
}

/*
 * How old what the target holds is: as it was when the last pass that is complete
 * began. Nothing at all while nothing is dirty; null before there is such a pass,
 * and while the tracker may have missed something.
 */
static json_t *lag(const struct bf_job *job, uint64_t dirty_bytes, bool doubt)
{
	if (!job->target_ns || !job->tracked || doubt)
		return json_null();
	if (!job->pass_kind && !dirty_bytes)
		return json_integer(0);
	return json_integer((json_int_t)(bf_now_ns() - job->target_ns));
}

static bool in_doubt(const struct bf_job_disk *disk)
{
	return bf_reasons_stand(&disk->reasons, NULL);
}

static json_t *disk_status(const struct bf_job *job, uint32_t index)
{
	const struct bf_job_disk *disk = &job->disks[index];
	json_t *status = json_pack("{ss, so, so}", "name", disk->config->name,
				   "device",
				   bf_control_string(disk->config->device),
				   "target",
				   bf_control_string(disk->config->target));

	put(status, "size_bytes", disk->size_bytes);
	put_dirty(job, status, disk->dirty_bytes);
	put(status, "generation", disk->generation);
	put(status, "passthrough", disk->passthrough);
	put(status, "unreadable_bytes", disk->unreadable_bytes);
	put(status, "raw_rate", disk->raw_rate);
	json_object_set_new(status, "lag_ns",
			    lag(job, disk->dirty_bytes, in_doubt(disk)));
	json_object_set_new(status, "pass", disk_pass(job, index));
	json_object_set_new(status, "reasons", reason_names(&disk->reasons));
	return status;
}

static void add_disks(const struct bf_job *job, json_t *status)
{
	json_t *disks = json_array();
	uint64_t dirty_bytes = 0, unreadable_bytes = 0;
	bool doubt = false;

	for (uint32_t i = 0; i < job->nr_disks; i++) {
		if (!job->disks[i].config)
			continue;
		json_array_append_new(disks, disk_status(job, i));
		dirty_bytes += job->disks[i].dirty_bytes;
		unreadable_bytes += job->disks[i].unreadable_bytes;
		doubt |= in_doubt(&job->disks[i]);
	}
	json_object_set_new(status, "disks", disks);
	put_dirty(job, status, dirty_bytes);
	json_object_set_new(status, "lag_ns", lag(job, dirty_bytes, doubt));
	put(status, "unreadable_bytes", unreadable_bytes);
}

/* While hardly anything moves nobody can tell: a decade is no forecast. */
static void add_eta(json_t *status, uint64_t left_bytes, double rate)
{
	double ns = rate > 0 ? left_bytes / rate * BF_NSEC_PER_SEC : ETA_MAX_NS;

	if (ns < ETA_MAX_NS)
		put(status, "eta_ns", (uint64_t)ns);
}

static void add_pass(const struct bf_job *job, json_t *status)
{
	const struct bf_session_progress *progress;
	uint64_t planned, done;
	json_t *pass;

	json_object_set_new(status, "eta_ns", json_null());
	if (!job->pass_kind || !job->session)
		return;
	progress = bf_session_progress(job->session);
	planned = progress->planned_bytes;
	done = progress->pass_done_bytes;
	pass = pass_object(job, planned, done);
	put(pass, "running_ns", bf_now_ns() - job->pass_started_ns);
	json_object_set_new(status, "pass", pass);
	if (planned >= done)
		add_eta(status, planned - done, job->raw_rate);
}

static void add_forecast(const struct bf_job *job, json_t *status)
{
	uint64_t dirty_bytes = json_integer_value(json_object_get(status,
							"dirty_bytes"));
	struct bf_forecast forecast =
		bf_converge_forecast(&job->converge, dirty_bytes);

	json_object_set_new(status, "dirty_rate",
			    known_rate(job->converge.dirty_rate));
	json_object_set_new(status, "link_rate",
			    known_rate(job->converge.link_rate));
	json_object_set_new(status, "projected_downtime_ns",
		forecast.known ?
		json_integer((json_int_t)forecast.settled_ns) : json_null());
	put(status, "max_downtime_ns", job->config->max_downtime_ns);
	json_object_set_new(status, "converging",
		forecast.converging == BF_CONVERGING_UNKNOWN ? json_null() :
		json_boolean(forecast.converging == BF_CONVERGING_YES));
	json_object_set_new(status, "advice",
		forecast.converging == BF_CONVERGING_NO ?
		json_string(BF_CONVERGE_ADVICE) : json_null());
}

/* A tracker that can never be whole again: it goes before the job goes on. */
static const char *spent_tracker(const struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const struct bf_job_disk *disk = &job->disks[i];

		if (disk->spent)
			return disk->tracker.name;
	}
	return NULL;
}

static void add_reason(const struct bf_job *job, json_t *status)
{
	const char *next = job->state == BF_JOB_FAILED ? "blkferry run" :
			   job->state == BF_JOB_PAUSED ? "blkferry resume" :
			   NULL;
	const char *spent = job->state == BF_JOB_FAILED ? spent_tracker(job) :
							  NULL;
	char command[256];

	if (job->reason.code)
		json_object_set_new(status, "reason",
			json_pack("{ss, so}", "code",
				  bf_code_name(job->reason.code), "text",
				  bf_control_string(job->reason.text)));
	if (!next)
		return;
	snprintf(command, sizeof(command), "%s%s%s%s %s",
		 spent ? "blkferry untrack " : "", spent ? spent : "",
		 spent ? " && " : "", next, job->config->name);
	json_object_set_new(status, "next_command", json_string(command));
}

json_t *bf_job_status(struct bf_job *job)
{
	uint64_t raw, wire;
	json_t *status;

	pthread_mutex_lock(&job->lock);
	status = json_pack("{si, ss, ss, ss?, ss}", "format_version",
			   BF_FORMAT_VERSION, "job", job->config->name, "state",
			   bf_job_state_name(job->state), "mode", job->mode,
			   "mode_reason", job->mode_reason);
	current_bytes(job, &raw, &wire);
	put(status, "passes", job->passes);
	put(status, "raw_bytes", raw);
	put(status, "wire_bytes", wire);
	put(status, "raw_rate", job->raw_rate);
	put(status, "wire_rate", job->wire_rate);
	put(status, "epoch", job->epoch);
	json_object_set_new(status, "description",
			    bf_control_string(job->config->description));
	json_object_set_new(status, "labels",
			    bf_labels_object(job->config->labels));
	json_object_set_new(status, "receiver",
		json_string(*job->config->receiver ? job->config->receiver :
			    "local"));
	add_disks(job, status);
	add_pass(job, status);
	add_forecast(job, status);
	add_reason(job, status);
	json_object_set_new(status, "limits", bf_job_limits_status(job));
	if (job->last_pass)
		json_object_set(status, "last_pass", job->last_pass);
	if (job->cutover)
		json_object_set(status, "cutover", job->cutover);
	pthread_mutex_unlock(&job->lock);
	return status;
}

/* ---- the monitor ---- */

static void tell_progress(struct bf_job *job)
{
	json_t *status = bf_job_status(job);

	if (job->options->progress)
		job->options->progress(job->options->progress_context, status);
	pthread_mutex_lock(&job->lock);
	if (job->asking)
		bf_control_progress(job->asking, json_incref(status));
	pthread_mutex_unlock(&job->lock);
	json_decref(status);
}

/* The lock can be had: nobody sits on it. */
static void tell_alive(struct bf_job *job)
{
	pthread_mutex_lock(&job->lock);
	pthread_mutex_unlock(&job->lock);
	if (job->options->alive)
		job->options->alive(job->options->progress_context);
}

static void look(struct bf_job *job)
{
	pthread_mutex_lock(&job->output);
	if (!job->quiet) {
		bf_job_limits_tick(job);
		sample(job);
		tell_progress(job);
	}
	pthread_mutex_unlock(&job->output);
}

static void *monitor(void *context)
{
	struct bf_job *job = context;
	struct pollfd fds[] = {
		{ job->quit_fd, POLLIN, 0 },
		{ job->options->stop_fd, POLLIN, 0 },
	};

	while (!fds[0].revents) {
		int ready = poll(fds, 2, TICK_MS);

		if (ready > 0 && fds[1].revents) {
			bf_job_stop(job);
			fds[1].fd = -1;
			fds[1].revents = 0;
		}
		if (ready)
			continue;
		tell_alive(job);
		look(job);
	}
	return NULL;
}

void bf_job_monitor_quiet(struct bf_job *job, bool quiet)
{
	pthread_mutex_lock(&job->output);
	job->quiet = quiet;
	pthread_mutex_unlock(&job->output);
}

int bf_job_monitor_start(struct bf_job *job, struct bf_error *err)
{
	int ret = bf_thread_start(&job->monitor, monitor, job);

	if (ret)
		return bf_fail(err, BF_E_SYSTEM, ret, "no thread: %s",
			       strerror(ret));
	job->has_monitor = true;
	return 0;
}

void bf_job_monitor_stop(struct bf_job *job)
{
	uint64_t one = 1;

	if (!job->has_monitor)
		return;
	if (write(job->quit_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(job->monitor, NULL);
	job->has_monitor = false;
}
