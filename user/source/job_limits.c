// SPDX-License-Identifier: Apache-2.0
/*
 * Job, limits: the configuration, the operator's `set` and the clock flow in;
 * the rate, level and processors that the pipeline goes by flow out. It reads
 * them for each chunk and frame, so a change is effective at once.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "source/job_state.h"

/* With the lock. */
static void apply(struct bf_job *job)
{
	time_t now = time(NULL);
	struct tm local;

	atomic_store(&job->settings.level, job->limits.level);
	atomic_store(&job->settings.read_rate_bytes,
		     job->limits.read_rate_bytes);
	if (localtime_r(&now, &local))
		atomic_store(&job->settings.rate_bytes,
			     bf_limits_rate_at(&job->limits, &local));
}

void bf_job_limits_init(struct bf_job *job)
{
	job->limits = job->config->limits;
	if (sched_getaffinity(0, sizeof(job->given_cores), &job->given_cores))
		CPU_ZERO(&job->given_cores);
	apply(job);
	if (job->limits.cores &&
	    bf_cores_limit(job->limits.cores, &job->given_cores))
		bf_warn("job %s: the number of cores cannot be limited",
			job->config->name);
}

void bf_job_limits_tick(struct bf_job *job)
{
	pthread_mutex_lock(&job->lock);
	apply(job);
	pthread_mutex_unlock(&job->lock);
}

uint64_t bf_job_interval_ns(struct bf_job *job)
{
	uint64_t interval_ns;

	pthread_mutex_lock(&job->lock);
	interval_ns = job->limits.interval_ns;
	pthread_mutex_unlock(&job->lock);
	return interval_ns;
}

/* With the lock. */
json_t *bf_job_limits_status(const struct bf_job *job)
{
	const struct bf_limits *limits = &job->limits;
	char windows[BF_RATE_WINDOWS_BYTES];

	bf_format_windows(limits, windows);
	return json_pack("{sI, sI, ss, sI, si, sI, si}",
			 "rate_bytes", (json_int_t)limits->rate_bytes,
			 "rate_bytes_now",
			 (json_int_t)atomic_load(&job->settings.rate_bytes),
			 "rate_windows", windows, "read_rate_bytes",
			 (json_int_t)limits->read_rate_bytes,
			 "level", limits->level,
			 "interval_ns", (json_int_t)limits->interval_ns,
			 "cores", (int)limits->cores);
}

/* All keys are good, or nothing changes. */
static int parse(const json_t *request, struct bf_limits *limits,
		 struct bf_error *err)
{
	const char *key;
	json_t *value;
	int nr = 0;

	/* jansson's loop wants an object that may change; it does not. */
	json_object_foreach((json_t *)request, key, value) {
		int ret;

		if (!strcmp(key, "command"))
			continue;
		ret = json_is_string(value) ?
			bf_limits_set(limits, key, json_string_value(value), err) :
			bf_fail(err, BF_E_USAGE, EINVAL,
				"the value of %s is no text", key);
		if (ret)
			return ret;
		nr++;
	}
	return nr ? 0 : bf_fail(err, BF_E_USAGE, EINVAL,
				"set what? rate=, rate-windows=, read-rate=, level=, interval= or cores=");
}

int bf_job_set(struct bf_job *job, const json_t *request, json_t **answer,
	       struct bf_error *err)
{
	struct bf_limits limits;
	bool cores_differ;
	int ret;

	pthread_mutex_lock(&job->lock);
	limits = job->limits;
	pthread_mutex_unlock(&job->lock);
	ret = parse(request, &limits, err);
	if (ret)
		return ret;
	cores_differ = limits.cores != job->limits.cores;
	if (cores_differ && (!CPU_COUNT(&job->given_cores) ||
			     bf_cores_limit(limits.cores, &job->given_cores)))
		return bf_fail(err, BF_E_SYSTEM, EPERM,
			       "the number of cores cannot be changed: the system refuses");
	pthread_mutex_lock(&job->lock);
	job->limits = limits;
	apply(job);
	*answer = json_pack("{so}", "limits", bf_job_limits_status(job));
	pthread_mutex_unlock(&job->lock);
	return 0;
}
