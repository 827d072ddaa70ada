// SPDX-License-Identifier: Apache-2.0
/*
 * Job, link: keys and addresses flow in, an open session flows out, to a
 * receiver or to a target on this machine. See job_resume.c for how it goes on.
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
	       err->code == BF_E_UNREACHABLE || err->code == BF_E_QUEUED ||
	       err->code == BF_E_CORRUPT || err->code == BF_E_TOTALS ||
	       /* The receiver's word: what it waits for comes to an end. */
	       (err->code == BF_E_BUSY && err->errnum == EREMOTEIO);
}

static bool is_local(const struct bf_job *job)
{
	return job->config->disks[0].target_is_path;
}

/* ---- local targets ---- */

/*
 * A target on this machine writes its record at each barrier: that must not
 * hang on a filesystem which the job freezes. Without a record nothing can be
 * resumed, which only costs a comparison.
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
			.skip = &job->disks[i].skip,
			.unsent = &job->disks[i].unsent,
			.unreadable = job->config->zero_unreadable ?
				      &job->disks[i].unreadable : NULL,
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
		.in_flight_bytes = job->config->in_flight_bytes,
		/* A disk may take its time, a network may not. */
		.timeout_ns = is_local(job) ? 0 : job->config->timeout_ns,
		.nice = job->config->nice,
		.settings = &job->settings,
		.disks = job->session_disks,
		.nr_disks = job->nr_disks,
		.read_only = read_only,
		.begun = bf_job_skip,
		.unread = bf_job_unread,
		.callback_context = job,
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
		options.from = job->config->source_address;
		options.connections = job->config->connections;
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
