// SPDX-License-Identifier: Apache-2.0
/*
 * Job configuration: a job's file flows in, a checked struct flows out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/config_table.h"
#include "lib/labels.h"
#include "lib/moment.h"

#define SECOND_NS 1000000000ull

static int parse_then_field(const char *value, void *field, size_t bytes,
			    struct bf_error *err)
{
	struct bf_job_config *job = (struct bf_job_config *)
		((char *)field - offsetof(struct bf_job_config, then));
	int ret = bf_parse_then(value, &job->then, err);

	job->then_given = !ret;
	return ret;
}

static int parse_start(const char *value, void *field, size_t bytes,
		       struct bf_error *err)
{
	time_t at;
	int ret = bf_parse_moment(value, time(NULL), &at, err);

	if (ret)
		err->code = BF_E_CONFIG;
	else
		*(int64_t *)field = at;
	return ret;
}

static int parse_disk_target(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	struct bf_disk_config *disk = (struct bf_disk_config *)
		((char *)field - offsetof(struct bf_disk_config, target));

	disk->target_is_path = *value == '/';
	if (!disk->target_is_path && !bf_name_valid(value))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.80s\" is neither a target's name at the receiver nor a path that starts with /",
			       value);
	return bf_field_text(value, field, bytes, err);
}

static int parse_rate_field(const char *value, void *field, size_t bytes,
			    struct bf_error *err)
{
	return bf_parse_limit_rate(value, field, err);
}

static int parse_windows_field(const char *value, void *field, size_t bytes,
			       struct bf_error *err)
{
	return bf_parse_windows(value, field, err);
}

static int parse_cores_field(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	return bf_limits_set(field, "cores", value, err);
}

static int parse_nice_field(const char *value, void *field, size_t bytes,
			    struct bf_error *err)
{
	char *end;
	unsigned long number = strtoul(value, &end, 10);

	if (end == value || *end || *value == '-' || number > 19)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.40s\" is not a number from 0 to 19", value);
	*(uint32_t *)field = number;
	return 0;
}

static int parse_labels_field(const char *value, void *field, size_t bytes,
			      struct bf_error *err)
{
	int ret = bf_labels_check(value, err);

	return ret ? ret : bf_field_text(value, field, bytes, err);
}

int bf_field_read_error(const char *value, void *field, size_t bytes,
			struct bf_error *err)
{
	bool zero = !strcmp(value, "zero-and-report");

	if (!zero && strcmp(value, "stop"))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.40s\" is neither stop nor zero-and-report",
			       value);
	*(bool *)field = zero;
	return 0;
}

/* Its keys go to the configuration itself. */
static void *open_job(void *config, const char *name, struct bf_error *err)
{
	return config;
}

_Static_assert(offsetof(struct bf_disk_config, name) == 0, "bf_config_add");

static void *open_disk(void *config, const char *name, struct bf_error *err)
{
	struct bf_job_config *job = config;

	return bf_config_add(&job->disks, &job->nr_disks, sizeof(*job->disks),
			     WIRE_DISKS_MAX, name, err);
}

#define JOB(...) BF_CONFIG_KEY(struct bf_job_config, __VA_ARGS__)
#define DISK(...) BF_CONFIG_KEY(struct bf_disk_config, __VA_ARGS__)
#define DISK_REQUIRED(...) \
	BF_CONFIG_KEY_REQUIRED(struct bf_disk_config, __VA_ARGS__)

static const struct bf_config_key job_keys[] = {
	JOB("receiver", receiver, bf_field_text),
	JOB("peer", peer, bf_field_fingerprint),
	JOB("key", key_path, bf_field_path),
	JOB("interval", limits.interval_ns, bf_field_interval),
	JOB("rate", limits.rate_bytes, parse_rate_field),
	JOB("rate-windows", limits, parse_windows_field),
	JOB("read-rate", limits.read_rate_bytes, parse_rate_field),
	JOB("cores", limits, parse_cores_field),
	JOB("nice", nice, parse_nice_field),
	JOB("connections", connections, bf_field_connections),
	JOB("in-flight", in_flight_bytes, bf_field_in_flight),
	JOB("source-address", source_address, bf_field_text),
	JOB("max-downtime", max_downtime_ns, bf_field_timeout),
	JOB("then", then, parse_then_field),
	JOB("hold-deadline", hold_deadline_ns, bf_field_timeout),
	JOB("compression", limits.level, bf_field_level),
	JOB("whole-disk", whole_disk, bf_field_bool),
	JOB("on-read-error", zero_unreadable, bf_field_read_error),
	JOB("timeout", timeout_ns, bf_field_timeout),
	JOB("full-copies", full_copies, bf_field_full_copies),
	JOB("start", start_s, parse_start),
	JOB("pre-freeze", pre_freeze, bf_field_command),
	JOB("pre-cutover", pre_cutover, bf_field_command),
	JOB("post-thaw", post_thaw, bf_field_command),
	JOB("post-cutover", post_cutover, bf_field_command),
	JOB("on-failure", on_failure, bf_field_command),
	JOB("description", description, bf_field_text),
	JOB("labels", labels, parse_labels_field),
	JOB("hook-timeout", hook_timeout_ns, bf_field_timeout),
	JOB("override", override, bf_field_text),
	{ 0 },
};

static const struct bf_config_key disk_keys[] = {
	DISK_REQUIRED("device", device, bf_field_path),
	DISK_REQUIRED("target", target, parse_disk_target),
	DISK("granularity", granularity_bytes, bf_field_granularity),
	DISK("overwrite", overwrite, bf_field_bool),
	{ 0 },
};

static const struct bf_config_section job_sections[] = {
	{ "job", false, job_keys, open_job },
	{ "disk", true, disk_keys, open_disk },
	{ 0 },
};

void bf_job_config_defaults(struct bf_job_config *job, const char *name)
{
	*job = (struct bf_job_config){
		.key_path = BF_DEFAULT_KEY_PATH,
		.limits = {
			.interval_ns = 10 * SECOND_NS,
			.level = BF_LEVEL_AUTO,
		},
		.connections = BF_DEFAULT_CONNECTIONS,
		.in_flight_bytes = BF_IN_FLIGHT_DEFAULT,
		.max_downtime_ns = 30 * SECOND_NS,
		.hold_deadline_ns = 600 * SECOND_NS,
		.timeout_ns = 30 * SECOND_NS,
		.hook_timeout_ns = 60 * SECOND_NS,
		.then = BF_THEN_HOLD,
		.full_copies = 2,
	};
	snprintf(job->name, sizeof(job->name), "%s", name);
}

static int check_disk_pair(const struct bf_disk_config *a,
			   const struct bf_disk_config *b, struct bf_error *err)
{
	if (!strcmp(a->device, b->device))
		return bf_config_fail(err, "device %.200s belongs to two disks", a->device);
	if (!strcmp(a->target, b->target))
		return bf_config_fail(err, "target %.200s belongs to two disks", a->target);
	if (a->target_is_path != b->target_is_path)
		return bf_config_fail(err, "disk %s: the disks of a job cut over in one step, so they all go to the receiver or all to local paths",
				      b->name);
	return 0;
}

static int check_job(const struct bf_job_config *job, struct bf_error *err)
{
	bool remote = job->nr_disks && !job->disks[0].target_is_path;

	if (!job->nr_disks)
		return bf_config_fail(err, "the job has no disk: add a section [disk %s]", "NAME");
	for (size_t i = 0; i < job->nr_disks; i++) {
		for (size_t j = i + 1; j < job->nr_disks; j++) {
			if (check_disk_pair(&job->disks[i], &job->disks[j], err))
				return -EINVAL;
		}
	}
	for (size_t i = 0; remote && i < job->nr_disks; i++) {
		if (job->disks[i].overwrite)
			return bf_config_fail(err, "disk %s: overwrite is for a local target; at a receiver its configuration decides",
					      job->disks[i].name);
	}
	if (remote && !*job->receiver)
		return bf_config_fail(err, "target %.80s is at a receiver, but [job] names none: receiver = HOST[:PORT]",
				      job->disks[0].target);
	if (remote && !*job->peer)
		return bf_config_fail(err, "[job] names the receiver %.200s without its fingerprint: peer = SHA256:..., as `blkferry key` prints there",
				      job->receiver);
	if (!remote && *job->receiver)
		return bf_config_fail(err, "every target is a local path, but [job] names the receiver %.200s: leave one of them out",
				      job->receiver);
	return 0;
}

int bf_job_config_load(const char *path, const char *name,
		       struct bf_job_config *job, struct bf_error *err)
{
	int ret;

	if (!bf_job_name_valid(name))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%.80s\" is not a job's name: letters, digits and -_. only, and no .guardian or .skipped at its end",
			       name);
	bf_job_config_defaults(job, name);
	ret = bf_config_read(path, job_sections, job, err);
	if (!ret) {
		ret = check_job(job, err);
		if (ret)
			bf_fail_prefix(err, ret, "%s: ", path);
	}
	if (ret)
		bf_job_config_free(job);
	return ret;
}

void bf_job_config_free(struct bf_job_config *job)
{
	free(job->disks);
	job->disks = NULL;
	job->nr_disks = 0;
}
