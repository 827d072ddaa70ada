// SPDX-License-Identifier: Apache-2.0
/*
 * Job, record: what the source durably knows flows out after each claim and at
 * each turn of the job, and in at its next start: whose content the target
 * held (tracker and cookie), in which epoch, and whether all of a disk was
 * marked dirty and has not been sent or compared since. A pass is resumed only
 * where record, tracker and target agree.
 *
 * Counts of reasons in "seen" are those at the marks: the pass that is due
 * clears them up to there. A reader leaves out what it does not know.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/record.h"
#include "lib/units.h"
#include "source/job_state.h"

#define RECORD_KIND "source-job"

void bf_job_record_path(const char *records_dir, const char *job,
			char path[BF_PATH_BYTES])
{
	snprintf(path, BF_PATH_BYTES, "%s/%s.json", records_dir, job);
}

static void record_path(const struct bf_job *job, char path[BF_PATH_BYTES])
{
	bf_job_record_path(job->options->records_dir, job->config->name, path);
}

static bool has_record(const struct bf_job *job)
{
	return job->tracked;	/* without a tracker nothing is resumed */
}

static struct bf_job_disk *find_disk(struct bf_job *job, const char *name)
{
	for (uint32_t i = 0; name && i < job->nr_disks; i++)
		if (!strcmp(job->disks[i].config->name, name))
			return &job->disks[i];
	return NULL;
}

static void load_seen(struct bf_job_disk *disk, const json_t *seen)
{
	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++) {
		json_int_t count = json_integer_value(
			json_object_get(seen, bf_reason_name(id)));

		disk->seen.by_id[id].raised = count > 0 ? (uint64_t)count : 0;
	}
}

/* A pass over all of the disk that was due and has not ended. */
static void load_whole(struct bf_job_disk *disk, json_t *whole)
{
	json_int_t generation, sector;
	int in_doubt;
	json_t *seen;

	if (!disk->recorded ||
	    json_unpack(whole, "{sI, sI, sb, so}", "committed_generation",
			&generation, "committed_sector", &sector, "by_digests",
			&in_doubt, "seen", &seen))
		return;
	disk->whole = true;
	disk->in_doubt = in_doubt;
	disk->whole_generation = (uint64_t)generation;
	disk->whole_sector = (uint64_t)sector;
	load_seen(disk, seen);
}

static void load_disk(struct bf_job *job, const json_t *entry)
{
	const char *name = json_string_value(json_object_get(entry, "name"));
	const char *uuid = json_string_value(json_object_get(entry, "tracker"));
	const char *cookie = json_string_value(json_object_get(entry, "cookie"));
	struct bf_job_disk *disk = find_disk(job, name);

	/* Named twice: what the second says must not mix with the first. */
	if (!disk || disk->recorded || !uuid || !cookie)
		return;
	disk->recorded = !bf_parse_uuid(uuid, disk->record_uuid) &&
			 !bf_parse_uuid(cookie, disk->record_cookie);
	load_whole(disk, json_object_get(entry, "whole"));
}

static void load_resync_reason(struct bf_job *job, const json_t *body)
{
	const char *reason = json_string_value(json_object_get(body,
							       "resync_reason"));

	snprintf(job->resync_reason, sizeof(job->resync_reason), "%s",
		 reason ? reason : "");
}

int bf_job_record_load(struct bf_job *job, struct bf_error *err)
{
	char path[BF_PATH_BYTES];
	json_t *body, *entry;
	size_t index;
	int ret;

	if (!has_record(job))
		return 0;
	record_path(job, path);
	ret = bf_record_load(path, RECORD_KIND, &body, err);
	if (ret)
		return err->code == BF_E_NOT_FOUND ? 0 : ret;
	json_array_foreach(json_object_get(body, "disks"), index, entry)
		load_disk(job, entry);
	load_resync_reason(job, body);
	json_decref(body);
	return 0;
}

static json_t *whole_entry(const struct bf_job_disk *disk)
{
	json_t *seen = json_object();

	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++)
		if (disk->seen.by_id[id].raised)
			json_object_set_new(seen, bf_reason_name(id),
				json_integer(disk->seen.by_id[id].raised));
	return json_pack("{sI, sI, sb, so}", "committed_generation",
			 (json_int_t)disk->whole_generation, "committed_sector",
			 (json_int_t)disk->whole_sector, "by_digests",
			 disk->in_doubt, "seen", seen);
}

static json_t *disk_entry(const struct bf_job_disk *disk)
{
	char uuid[37], cookie[37];
	json_t *entry;

	bf_format_uuid(disk->record_uuid, uuid);
	bf_format_uuid(disk->record_cookie, cookie);
	entry = json_pack("{ss, ss, ss, sI}", "name", disk->config->name,
			  "tracker", uuid, "cookie", cookie, "generation",
			  (json_int_t)disk->generation);
	if (disk->whole)
		json_object_set_new(entry, "whole", whole_entry(disk));
	return entry;
}

static const char *phase(const struct bf_job *job)
{
	const char *found = job->target_complete ? "delta" : "full";

	if (job->state == BF_JOB_CUTOVER)
		return "cutover";
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (job->disks[i].in_doubt)
			found = "resync";
	return found;
}

int bf_job_record_store(struct bf_job *job, struct bf_error *err)
{
	json_t *disks, *body;
	char path[BF_PATH_BYTES];
	int ret;

	if (!has_record(job))
		return 0;
	disks = json_array();
	for (uint32_t i = 0; i < job->nr_disks; i++)
		json_array_append_new(disks, disk_entry(&job->disks[i]));
	body = json_pack("{ss, ss, ss, ss, ss, sI, sI, so}", "job",
			 job->config->name, "phase", phase(job), "mode",
			 job->mode ? job->mode : "", "mode_reason",
			 job->mode_reason, "resync_reason", job->resync_reason,
			 "epoch", (json_int_t)job->epoch, "passes",
			 (json_int_t)job->passes, "disks", disks);
	if (!body)
		return bf_fail(err, BF_E_RECORD, ENOMEM, "out of memory");
	record_path(job, path);
	ret = bf_record_store(path, RECORD_KIND, body, err);
	json_decref(body);
	return ret;
}

int bf_job_record_remove(struct bf_job *job, struct bf_error *err)
{
	char path[BF_PATH_BYTES];
	int ret;

	if (!has_record(job))
		return 0;
	record_path(job, path);
	ret = bf_record_remove(path, err);
	return ret == -ENOENT ? 0 : ret;
}
