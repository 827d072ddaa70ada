// SPDX-License-Identifier: Apache-2.0
/*
 * Job, link: records of both sides flow in, a claimed session flows out, and
 * the word whether it goes on from where it was or copies all again. It goes
 * on only if source record, tracker and target name the same tracker and the
 * same content (cookie) for every disk.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "source/job_state.h"

bool bf_job_retryable(const struct bf_error *err)
{
	return err->code == BF_E_CONNECTION || err->code == BF_E_TIMEOUT ||
	       err->code == BF_E_UNREACHABLE;
}

static bool is_local(const struct bf_job *job)
{
	return job->config->disks[0].target_is_path;
}

/* ---- local targets ---- */

/*
 * A target on this machine writes its record at each barrier: that must not
 * hang on a filesystem which the job freezes. Without a record nothing can be
 * resumed, which only costs a full copy.
 */
static const char *local_records(const struct bf_job *job,
				 char path[BF_PATH_BYTES])
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };
	struct bf_error err;

	if (job->options->one_shot)
		return NULL;
	if (bf_job_find_holders(job, &holders, &err) ||
	    bf_holders_cover(&holders, job->options->records_dir)) {
		bf_warn("job %s: %s lies on a disk of the job, so the local target keeps no record: after a restart all is copied again",
			job->config->name, job->options->records_dir);
		return NULL;
	}
	snprintf(path, BF_PATH_BYTES, "%s/local", job->options->records_dir);
	return path;
}

static int start_local(struct bf_job *job, struct bf_transport **end,
		       struct bf_error *err)
{
	_cleanup_free_ struct bf_target_config *targets = NULL;
	struct bf_transport *ends[2];
	char path[BF_PATH_BYTES];
	int ret;

	targets = calloc(job->nr_disks, sizeof(*targets));
	if (!targets)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const struct bf_disk_config *config = job->disks[i].config;

		snprintf(targets[i].name, sizeof(targets[i].name), "%s",
			 config->name);
		snprintf(targets[i].path, sizeof(targets[i].path), "%s",
			 config->target);
		targets[i].overwrite = config->overwrite;
	}
	ret = bf_transport_pair(ends, err);
	if (ret)
		return ret;
	ret = bf_local_target_start(&job->local, ends[1], targets,
				    job->nr_disks, local_records(job, path),
				    err);
	if (ret)
		bf_transport_close(ends[0]);
	else
		*end = ends[0];
	return ret;
}

/* ---- a session ---- */

static int load_keys(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	if (is_local(job) || job->tls)
		return 0;
	if (!job->identity)
		ret = bf_identity_load(job->config->key_path, &job->identity,
				       err);
	return ret ? ret : bf_tls_new(&job->tls, BF_ROLE_SOURCE, job->identity,
				      err);
}

static void fill_disks(struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const struct bf_job_disk *disk = &job->disks[i];
		struct bf_session_disk *out = &job->session_disks[i];

		*out = (struct bf_session_disk){
			.name = disk->config->name,
			.fd = disk->fd,
			.size_bytes = disk->size_bytes,
			.target = is_local(job) ? disk->config->name :
						  disk->config->target,
			.extents = disk->extents,
		};
		memcpy(out->source_uuid, disk->tracker.uuid,
		       sizeof(out->source_uuid));
	}
}

int bf_job_open_session(struct bf_job *job, bool read_only,
			struct bf_error *err)
{
	struct bf_session_options options = {
		.job = job->config->name,
		.peer = job->config->peer,
		/* A disk may take its time, a network may not. */
		.timeout_ns = is_local(job) ? 0 : job->config->timeout_ns,
		.settings = &job->settings,
		.disks = job->session_disks,
		.nr_disks = job->nr_disks,
		.read_only = read_only,
	};
	struct bf_session *session;
	int ret = load_keys(job, err);

	fill_disks(job);
	if (!ret && is_local(job))
		ret = start_local(job, &options.transport, err);
	if (ret)
		return ret;
	if (!is_local(job)) {
		options.address = job->config->receiver;
		options.tls = job->tls;
	}
	ret = bf_session_open(&session, &options, err);
	if (ret) {
		bf_job_disconnect(job);
		return ret;
	}
	pthread_mutex_lock(&job->lock);
	job->session = session;
	pthread_mutex_unlock(&job->lock);
	/* A word that came while there was no session to interrupt. */
	if (bf_job_ending(job))
		bf_session_interrupt(session);
	return 0;
}

void bf_job_disconnect(struct bf_job *job)
{
	struct bf_session *session;

	pthread_mutex_lock(&job->lock);
	session = bf_take_pointer(job->session);
	if (session) {
		struct bf_session_progress *progress =
			bf_session_progress(session);

		job->raw_before += progress->raw_bytes;
		job->wire_before += progress->wire_bytes;
	}
	pthread_mutex_unlock(&job->lock);
	bf_session_close(session);
	if (job->local)
		bf_local_target_join(job->local);
	job->local = NULL;
}

/* ---- how to go on ---- */

/*
 * The tracker has forgotten what it committed. A target that remembers less, as
 * one restored from a snapshot does, lacks just that. Each commit here follows
 * the target's record of it, so the target is otherwise never behind.
 */
static bool target_is_behind(const struct bf_job_disk *disk,
			     const struct wire_opened *opened)
{
	const struct bf_tracker *tracker = &disk->tracker;

	if (opened->generation != tracker->committed_generation)
		return opened->generation < tracker->committed_generation;
	return opened->through_bytes / BLKFERRY_SECTOR_BYTES <
	       tracker->committed_sector;
}

/* Return: why a full copy is needed, NULL if the disk can go on. */
static const char *why_full(const struct bf_job_disk *disk,
			    const struct bf_session_disk *session_disk,
			    const struct wire_welcome *welcome)
{
	static const uint8_t none[16];
	const struct wire_opened *opened = &session_disk->opened;

	if (welcome->state == WIRE_JOB_NEW ||
	    !memcmp(opened->cookie, none, sizeof(none)))
		return "the target is new to this job";
	if (!disk->recorded)
		return "this host has no record of the job";
	if (memcmp(disk->record_cookie, opened->cookie, 16))
		return "the target holds another content than this host's record says";
	if (memcmp(disk->tracker.uuid, opened->source_uuid, 16) ||
	    memcmp(disk->tracker.uuid, disk->record_uuid, 16))
		return "the tracker was created anew, so changes may have gone unseen";
	if (target_is_behind(disk, opened))
		return "the target has gone back to an older state than it acknowledged";
	return NULL;
}

static void set_mode(struct bf_job *job, const char *mode, const char *disk,
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

/* Return: true to copy all again; the mode and why are set. */
static bool decide(struct bf_job *job, const struct wire_welcome *welcome)
{
	bool complete = true;

	if (!job->tracked) {
		set_mode(job, job->options->extents_path ? "extents" : "full",
			 NULL, "this copy is made once");
		return !job->options->extents_path;
	}
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		const char *why = why_full(&job->disks[i],
					   &job->session_disks[i], welcome);

		if (why) {
			set_mode(job, "full", job->disks[i].config->name, why);
			return true;
		}
		if (!(job->session_disks[i].opened.flags &
		      WIRE_OPENED_COMPLETE))
			complete = false;
	}
	job->target_complete = complete;
	set_mode(job, complete ? "delta" : "resume", NULL,
		 complete ? "source and target agree" :
		 "source and target agree on how far the full copy came");
	return false;
}

/* What the trackers have committed since they were last looked at. */
static int look_at_trackers(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; job->tracked && i < job->nr_disks && !ret; i++)
		ret = bf_tracker_get(job->nl, job->disks[i].tracker.id,
				     &job->disks[i].tracker, err);
	return ret;
}

static int mark_everything(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	job->target_complete = false;
	for (uint32_t i = 0; i < job->nr_disks && !ret; i++)
		/* A new tracker starts all dirty and has lost nothing of it. */
		if (!job->disks[i].whole || job->disks[i].recorded)
			ret = bf_job_mark_all(job, &job->disks[i], err);
	return ret;
}

static void remember(struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		struct bf_job_disk *disk = &job->disks[i];

		memcpy(disk->record_uuid, disk->tracker.uuid, 16);
		memcpy(disk->record_cookie, job->session_disks[i].cookie, 16);
		disk->recorded = true;
	}
}

/*
 * The record is stored after the marks: a crash in between leaves an old
 * cookie there, and the next start marks again.
 */
int bf_job_connect(struct bf_job *job, struct bf_error *err)
{
	const struct wire_welcome *welcome;
	bool restart;
	int ret;

	bf_job_set_state(job, BF_JOB_CONNECTING);
	ret = bf_job_open_session(job, false, err);
	if (ret)
		return ret;
	welcome = bf_session_welcome(job->session);
	ret = look_at_trackers(job, err);
	if (ret)
		return ret;
	restart = decide(job, welcome);
	job->epoch = welcome->last_epoch + 1;
	ret = bf_session_claim(job->session, job->epoch, restart, err);
	if (!ret && restart)
		ret = mark_everything(job, err);
	if (ret)
		return ret;
	remember(job);
	return bf_job_record_store(job, job->target_complete ? "delta" : "full",
				   err);
}
