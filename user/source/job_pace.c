// SPDX-License-Identifier: Apache-2.0
/*
 * Job, pace: the forecast flows in; when the next pass begins flows out. Passes
 * come at intervals; a tracker that has gathered so much that a freeze would
 * take half of its bound says so, and the pass begins then (bf_job_wait). What
 * does not get shorter is said once, with what can be done about it.
 */
#include <string.h>

#include "lib/log.h"
#include "lib/units.h"
#include "source/job_state.h"

static bool differs(uint64_t a, uint64_t b)
{
	uint64_t gap = a > b ? a - b : b - a;

	return gap > b / 8;
}

static void set_watermarks(struct bf_job *job, uint64_t bytes)
{
	struct bf_error err;

	if (!differs(bytes, job->watermark_bytes))
		return;
	job->watermark_bytes = bytes;
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (bf_tracker_set_watermark(job->nl, job->disks[i].tracker.id,
					     bytes / job->nr_disks, &err))
			bf_log(BF_LOG_DEBUG, "job %s: %s", job->config->name,
			       err.text);
}

static void tell_not_converging(struct bf_job *job)
{
	char dirty[BF_UNIT_TEXT_BYTES], link[BF_UNIT_TEXT_BYTES];
	double dirty_rate, link_rate;

	pthread_mutex_lock(&job->lock);
	dirty_rate = job->converge.dirty_rate;
	link_rate = job->converge.link_rate;
	pthread_mutex_unlock(&job->lock);
	bf_warn("job %s does not converge: %s become dirty while the link carries %s; " BF_CONVERGE_ADVICE,
		job->config->name, bf_format_rate(dirty_rate, dirty),
		bf_format_rate(link_rate, link));
}

void bf_job_pace(struct bf_job *job, const struct bf_forecast *forecast)
{
	bool diverges = forecast->converging == BF_CONVERGING_NO;
	uint64_t bytes;

	if (!job->tracked)
		return;
	pthread_mutex_lock(&job->lock);
	bytes = bf_converge_watermark(&job->converge,
				      job->config->max_downtime_ns);
	pthread_mutex_unlock(&job->lock);
	set_watermarks(job, bytes);
	if (diverges && !job->told_not_converging)
		tell_not_converging(job);
	job->told_not_converging = diverges;
}
