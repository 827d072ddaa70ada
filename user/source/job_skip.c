// SPDX-License-Identifier: Apache-2.0
/*
 * Job, skip: the filesystems and swap areas of a job's disks flow in right after
 * the `begin` of a full pass; the ranges that this pass leaves out flow out, and
 * a durable list of what the target therefore lacks, which shrinks as blocks of
 * it are sent. Each filesystem is frozen for that (job_skip_ask.c). Whatever goes
 * wrong here costs time, for then all is copied; what ended the replicator here
 * is not tried again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/record.h"
#include "lib/units.h"
#include "source/job_state.h"
#include "source/skip.h"

#define RECORD_KIND "source-skipped"

/* ---- what is on a disk ---- */

static bool tells(const struct bf_filesystem *filesystem)
{
	return !strcmp(filesystem->type, "ext4") ||
	       !strcmp(filesystem->type, "xfs");
}

static void skip_filesystem(struct bf_job *job, struct bf_job_disk *disk,
			    struct bf_filesystem *filesystem)
{
	_cleanup_(bf_ranges_free) struct bf_ranges found = { 0 };
	struct bf_job_skip_place place = {
		.granularity_bytes = disk->extents->granularity_bytes,
	};
	struct bf_error err = { 0 };

	if (!tells(filesystem) || bf_skip_place(disk->dev, filesystem->dev,
						&place.offset_bytes,
						&place.length_bytes))
		return;
	if (bf_job_skip_ask(job, filesystem, &place, &found, &err) ||
	    bf_ranges_add(&disk->skip, &found))
		bf_warn("job %s: the free space of %s is copied as well: %s",
			job->config->name, filesystem->mountpoint,
			err.errnum ? err.text : "out of memory");
}

static void skip_swap(struct bf_job_disk *disk,
		      const struct bf_holder_device *device)
{
	_cleanup_(bf_ranges_free) struct bf_ranges found = { 0 };
	uint64_t offset_bytes, length_bytes;

	if (strcmp(device->type, "swap") ||
	    bf_skip_place(disk->dev, device->dev, &offset_bytes, &length_bytes))
		return;
	if (!bf_skip_swap(offset_bytes, length_bytes,
			  disk->extents->granularity_bytes, &found))
		bf_ranges_add(&disk->skip, &found);
}

/* A run before this one that was ended while a filesystem was frozen for us. */
static bool may_ask(const struct bf_job *job)
{
	if (job->skip_asking)
		bf_warn("job %s: free space is copied as well: the run before this one ended while it had a filesystem frozen to ask for it; `whole-disk = yes` leaves the question out",
			job->config->name);
	return !job->skip_asking;
}

static void find_skipped(struct bf_job *job, const struct bf_holders *holders)
{
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		struct bf_job_disk *disk = &job->disks[i];

		for (size_t k = 0; k < holders->nr_devices; k++)
			skip_swap(disk, &holders->devices[k]);
		for (size_t k = 0; k < holders->nr_filesystems; k++)
			skip_filesystem(job, disk, &holders->filesystems[k]);
	}
}

static void skip_nothing(struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++)
		bf_ranges_free(&job->disks[i].skip);
}

/* Recorded before it is relied on: a source that starts anew knows of it. */
static int remember(struct bf_job *job, struct bf_error *err)
{
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (bf_ranges_add(&job->disks[i].unsent, &job->disks[i].skip))
			return bf_fail(err, BF_E_SYSTEM, ENOMEM,
				       "too many ranges to keep");
	return bf_job_skip_store(job, err);
}

int bf_job_skip(void *context, struct bf_error *err)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };
	struct bf_job *job = context;
	struct bf_error why;

	skip_nothing(job);
	if (!job->tracked || job->config->whole_disk)
		return 0;
	if (bf_job_find_holders(job, &holders, &why)) {
		bf_warn("job %s: free space is copied as well: %s",
			job->config->name, why.text);
		return 0;
	}
	if (!may_ask(job))
		return 0;
	job->skip_asking = true;
	if (!bf_job_skip_store(job, &why))
		find_skipped(job, &holders);
	job->skip_asking = false;
	if (remember(job, &why)) {
		bf_warn("job %s: free space is copied as well: %s",
			job->config->name, why.text);
		skip_nothing(job);
	}
	return bf_job_ending(job) ? bf_fail(err, BF_E_CANCELLED, ECANCELED,
					    "the operator ended it") : 0;
}

/* ---- the record ---- */

void bf_job_skip_path(const char *records_dir, const char *job,
		      char path[BF_PATH_BYTES])
{
	snprintf(path, BF_PATH_BYTES, "%s/%s.skipped.json", records_dir, job);
}

static void record_path(const struct bf_job *job, char path[BF_PATH_BYTES])
{
	bf_job_skip_path(job->options->records_dir, job->config->name, path);
}

/* Offset, length, offset, length ... */
static json_t *list(const struct bf_ranges *ranges)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ranges->nr; i++) {
		const struct bf_extent *e = &ranges->range[i];

		json_array_append_new(list, json_integer(e->offset_bytes));
		json_array_append_new(list, json_integer(e->length_bytes));
	}
	return list;
}

static json_t *disk_entry(const struct bf_job_disk *disk)
{
	char uuid[37];

	bf_format_uuid(disk->tracker.uuid, uuid);
	return json_pack("{ss, ss, so, so}", "name", disk->config->name,
			 "tracker", uuid, "ranges", list(&disk->unsent),
			 "unreadable", list(&disk->unreadable));
}

int bf_job_skip_store(struct bf_job *job, struct bf_error *err)
{
	json_auto_t *body = NULL;
	char path[BF_PATH_BYTES];
	json_t *disks = json_array();

	if (!job->tracked) {
		json_decref(disks);
		return 0;
	}
	for (uint32_t i = 0; i < job->nr_disks; i++)
		json_array_append_new(disks, disk_entry(&job->disks[i]));
	body = json_pack("{so, sb}", "disks", disks, "asking", job->skip_asking);
	if (!body)
		return bf_fail(err, BF_E_RECORD, ENOMEM, "out of memory");
	record_path(job, path);
	return bf_record_store(path, RECORD_KIND, body, err);
}

/*
 * Return: 0, or -EINVAL for a list that cannot be ours: what it does not say in
 * full would be taken for copied.
 */
static int load_list(const struct bf_job_disk *disk, const json_t *list,
		     struct bf_ranges *ranges)
{
	size_t nr = json_array_size(list);

	if (!json_is_array(list) || nr % 2)
		return -EINVAL;
	for (size_t i = 0; i < nr; i += 2) {
		const json_t *offset = json_array_get(list, i);
		const json_t *length = json_array_get(list, i + 1);
		uint64_t from = json_integer_value(offset);
		uint64_t bytes = json_integer_value(length);

		if (!json_is_integer(offset) || !json_is_integer(length) ||
		    bytes > disk->size_bytes || from > disk->size_bytes - bytes ||
		    from % WIRE_BLOCK_BYTES || bytes % WIRE_BLOCK_BYTES ||
		    bf_ranges_append(ranges, from, bytes))
			return -EINVAL;
	}
	return 0;
}

static int load_disk(struct bf_job_disk *disk, const json_t *entry)
{
	const json_t *unreadable = json_object_get(entry, "unreadable");
	int ret = load_list(disk, json_object_get(entry, "ranges"),
			    &disk->unsent);

	/* Left out by a release that stopped at what it could not read. */
	if (!ret && unreadable)
		ret = load_list(disk, unreadable, &disk->unreadable);
	disk->unreadable_bytes = bf_ranges_bytes(&disk->unreadable);
	return ret;
}

static int load_entry(struct bf_job *job, const json_t *entry)
{
	const char *name = json_string_value(json_object_get(entry, "name"));
	const char *text = json_string_value(json_object_get(entry, "tracker"));
	uint8_t uuid[16];

	if (!name || !text || bf_parse_uuid(text, uuid))
		return -EINVAL;
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		struct bf_job_disk *disk = &job->disks[i];

		/* With another tracker all is copied anew. */
		if (!strcmp(name, disk->config->name) &&
		    !memcmp(uuid, disk->tracker.uuid, sizeof(uuid)))
			return load_disk(disk, entry);
	}
	return 0;
}

/* Going on without the list would take for copied what was left out. */
static int unknown_rest(const struct bf_job *job, const char *why,
			struct bf_error *err)
{
	return bf_fail(err, BF_E_RECORD, EBADMSG,
		       "what the target of job %s lacks is not known: %.400s. `blkferry cancel %s` and then `blkferry run %s` copy all again",
		       job->config->name, why, job->config->name,
		       job->config->name);
}

int bf_job_skip_load(struct bf_job *job, struct bf_error *err)
{
	json_auto_t *body = NULL;
	char path[BF_PATH_BYTES];
	struct bf_error why;
	json_t *disks, *entry;
	size_t index;
	int ret;

	if (!job->tracked)
		return 0;
	record_path(job, path);
	ret = bf_record_load(path, RECORD_KIND, &body, &why);
	if (ret && why.code == BF_E_NOT_FOUND)
		return 0;
	if (ret)
		return unknown_rest(job, why.text, err);
	job->skip_asking = json_is_true(json_object_get(body, "asking"));
	disks = json_object_get(body, "disks");
	if (!json_is_array(disks))
		return unknown_rest(job, "it lists no disks", err);
	json_array_foreach(disks, index, entry)
		if (load_entry(job, entry))
			return unknown_rest(job, "it lists impossible ranges",
					    err);
	return 0;
}

int bf_job_skip_remove(struct bf_job *job, struct bf_error *err)
{
	char path[BF_PATH_BYTES];
	int ret;

	if (!job->tracked)
		return 0;
	record_path(job, path);
	ret = bf_record_remove(path, err);
	return ret == -ENOENT ? 0 : ret;
}

/* ---- the operator wants it all ---- */

int bf_job_unskip(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	if (!job->tracked || !job->config->whole_disk)
		return 0;
	for (uint32_t i = 0; i < job->nr_disks && !ret; i++) {
		struct bf_job_disk *disk = &job->disks[i];

		if (disk->unsent.nr)
			ret = disk->extents->ops->mark(disk->extents,
						       disk->unsent.range,
						       disk->unsent.nr, err);
	}
	return ret;
}
