// SPDX-License-Identifier: Apache-2.0
/*
 * Job, disks: names of the configuration flow in; open disks with an origin of
 * extents flow out: the module's trackers, created or adopted from a run
 * before, a list in a file, or everything once.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "source/job_state.h"

#define OWNED_WAIT_NS (30 * BF_NSEC_PER_SEC)
#define WHOLE_GRANULARITY_BYTES (1u << 20)

static int cannot_open(const struct bf_disk_config *config, int errnum,
		       struct bf_error *err)
{
	return bf_fail(err, errnum == ENOENT ? BF_E_NOT_FOUND :
		       errnum == EACCES || errnum == EPERM ? BF_E_PERMISSION :
		       BF_E_SYSTEM, errnum, "disk %s: cannot open %s: %s",
		       config->name, config->device, strerror(errnum));
}

static int open_disk(struct bf_job_disk *disk, struct bf_error *err)
{
	const struct bf_disk_config *config = disk->config;
	struct stat status;

	disk->fd = open(config->device, O_RDONLY | O_CLOEXEC | O_DIRECT);
	/* Some filesystems refuse O_DIRECT; a file's page cache is the truth. */
	if (disk->fd < 0 && errno == EINVAL)
		disk->fd = open(config->device, O_RDONLY | O_CLOEXEC);
	if (disk->fd < 0 || fstat(disk->fd, &status))
		return cannot_open(config, errno, err);
	if (S_ISREG(status.st_mode)) {
		disk->size_bytes = status.st_size;
		return 0;
	}
	if (!S_ISBLK(status.st_mode))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "disk %s: %s is neither a block device nor a regular file",
			       config->name, config->device);
	disk->dev = status.st_rdev;
	if (ioctl(disk->fd, BLKGETSIZE64, &disk->size_bytes))
		return cannot_open(config, errno, err);
	return 0;
}

int bf_job_open_disks(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < job->nr_disks && !ret; i++) {
		job->disks[i].config = &job->config->disks[i];
		ret = open_disk(&job->disks[i], err);
		if (!ret && job->tracked && !job->disks[i].dev)
			ret = bf_fail(err, BF_E_CONFIG, ENOTBLK,
				      "disk %s: %s is a regular file, which nobody tracks: `blkferry copy` copies it once",
				      job->disks[i].config->name,
				      job->disks[i].config->device);
	}
	return ret;
}

void bf_job_close_disks(struct bf_job *job)
{
	for (uint32_t i = 0; i < job->nr_disks; i++) {
		struct bf_job_disk *disk = &job->disks[i];

		if (disk->extents)
			disk->extents->ops->close(disk->extents);
		bf_ranges_free(&disk->skip);
		bf_ranges_free(&disk->unsent);
		bf_ranges_free(&disk->unreadable);
		if (disk->fd >= 0)
			close(disk->fd);
	}
}

/* ---- trackers ---- */

int bf_job_tracker_name(const char *job, const char *disk,
			char name[BLKFERRY_NAME_MAX + 1], struct bf_error *err)
{
	int length = snprintf(name, BLKFERRY_NAME_MAX + 1, "%s:%s", job, disk);

	return length <= BLKFERRY_NAME_MAX ? 0 :
	       bf_fail(err, BF_E_CONFIG, ENAMETOOLONG,
		       "the names of job %s and disk %s are together longer than %d letters: shorten one",
		       job, disk, BLKFERRY_NAME_MAX - 1);
}

static bool fits(const struct bf_job_disk *disk)
{
	const struct bf_tracker *tracker = &disk->tracker;

	return tracker->dev_major == major(disk->dev) &&
	       tracker->dev_minor == minor(disk->dev) &&
	       tracker->nr_sectors * BLKFERRY_SECTOR_BYTES == disk->size_bytes &&
	       (!disk->config->granularity_bytes ||
		disk->config->granularity_bytes == tracker->granularity_bytes);
}

int bf_job_look_at_tracker(struct bf_job *job, struct bf_job_disk *disk,
			   struct bf_error *err)
{
	struct bf_tracker now;
	int ret = bf_tracker_get(job->nl, disk->tracker.id, &now, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&job->lock);
	disk->tracker = now;
	pthread_mutex_unlock(&job->lock);
	return 0;
}

/*
 * Another process owns a generation of it: a run before this one that is about
 * to end. Its end is an event; the events were opened before the look.
 */
static int wait_returned(struct bf_job *job, struct bf_job_disk *disk,
			 struct bf_error *err)
{
	uint64_t end_ns = bf_now_ns() + OWNED_WAIT_NS;

	while (disk->tracker.drain_owned) {
		struct pollfd wait = { bf_events_fd(job->events), POLLIN, 0 };
		struct bf_tracker_event event;
		uint64_t now_ns = bf_now_ns();
		int ret;

		if (now_ns >= end_ns || bf_job_ending(job))
			return bf_fail(err, BF_E_BUSY, EBUSY,
				       "disk %s: another process drains tracker %s and did not end within 30 s: find it with `fuser %s`, or `blkferry cancel %s`",
				       disk->config->name, disk->tracker.name,
				       disk->config->device, job->config->name);
		poll(&wait, 1, BF_NSEC_PER_SEC / BF_NSEC_PER_MSEC);
		do {
			ret = bf_events_next(job->events, &event);
		} while (ret == 1);
		ret = bf_job_look_at_tracker(job, disk, err);
		if (ret)
			return ret;
	}
	return 0;
}

static int create_tracker(struct bf_job *job, struct bf_job_disk *disk,
			  const char *name, struct bf_error *err)
{
	int ret = bf_tracker_create(job->nl, disk->fd, name,
				    disk->config->granularity_bytes, true,
				    &disk->tracker, err);

	if (ret)
		return bf_fail_prefix(err, ret, "disk %s: ",
				      disk->config->name);
	disk->created = true;
	disk->whole = true;
	disk->in_doubt = false;
	disk->seen = disk->tracker.reasons;
	disk->whole_generation = disk->whole_sector = 0;
	return 0;
}

static int adopt_tracker(struct bf_job *job, struct bf_job_disk *disk,
			 struct bf_error *err)
{
	if (!fits(disk))
		return bf_fail(err, BF_E_TRACKER, EEXIST,
			       "disk %s: tracker %s watches %s with %u bytes a block, which is not what the job says: `blkferry untrack %s`, then run again (a resync follows)",
			       disk->config->name, disk->tracker.name,
			       disk->tracker.disk,
			       disk->tracker.granularity_bytes,
			       disk->tracker.name);
	/* What the record says is due was due to another one. */
	if (memcmp(disk->record_uuid, disk->tracker.uuid, 16)) {
		disk->whole = disk->in_doubt = false;
		disk->seen = (struct bf_reasons){ 0 };
	}
	return wait_returned(job, disk, err);
}

static int track_disk(struct bf_job *job, struct bf_job_disk *disk,
		      struct bf_error *err)
{
	char name[BLKFERRY_NAME_MAX + 1];
	int ret = bf_job_tracker_name(job->config->name, disk->config->name,
				      name, err);

	if (ret)
		return ret;
	ret = bf_tracker_find(job->nl, name, &disk->tracker, err);
	if (!ret)
		ret = adopt_tracker(job, disk, err);
	else if (err->code == BF_E_NOT_FOUND)
		ret = create_tracker(job, disk, name, err);
	if (ret)
		return ret;
	return bf_extents_netlink(&disk->extents, job->nl, &disk->tracker,
				  disk->fd, err);
}

static bool tracks(const struct bf_job *job, uint32_t id)
{
	for (uint32_t i = 0; i < job->nr_disks; i++)
		if (job->disks[i].tracker.id == id)
			return true;
	return false;
}

/* A disk that was taken out of the job is not to be tracked for ever. */
static int drop_trackers_of_others(struct bf_job *job, struct bf_error *err)
{
	_cleanup_free_ struct bf_tracker *trackers = NULL;
	size_t nr = 0;
	int ret = bf_tracker_list(job->nl, &trackers, &nr, err);

	for (size_t i = 0; i < nr && !ret; i++) {
		if (!bf_job_owns_tracker(job->config->name, &trackers[i]) ||
		    tracks(job, trackers[i].id))
			continue;
		bf_info("job %s: tracker %s is of nothing that is in the job any more: it is deleted",
			job->config->name, trackers[i].name);
		ret = bf_tracker_delete(job->nl, trackers[i].id, err);
		if (ret == -ENOENT)
			ret = 0;
	}
	return ret;
}

static int track_all(struct bf_job *job, struct bf_error *err)
{
	int ret;

	if (job->nr_disks > BLKFERRY_BEGIN_MAX)
		return bf_fail(err, BF_E_CONFIG, E2BIG,
			       "a job can cut over %d disks together, not %u: split it",
			       BLKFERRY_BEGIN_MAX, job->nr_disks);
	ret = bf_netlink_open(&job->nl, err);
	if (!ret)
		ret = bf_netlink_open(&job->nl_monitor, err);
	if (!ret)
		ret = bf_events_open(&job->events, err);
	for (uint32_t i = 0; i < job->nr_disks && !ret; i++)
		ret = track_disk(job, &job->disks[i], err);
	return ret ? ret : drop_trackers_of_others(job, err);
}

static int list_disk(struct bf_job *job, struct bf_job_disk *disk,
		     struct bf_error *err)
{
	const struct bf_disk_config *config = disk->config;

	if (job->options->extents_path)
		return bf_extents_file(&disk->extents,
				       job->options->extents_path,
				       disk->size_bytes,
				       config->granularity_bytes ?
				       config->granularity_bytes :
				       BLKFERRY_GRANULARITY_MIN, err);
	disk->whole = true;
	return bf_extents_whole(&disk->extents, disk->size_bytes,
				WHOLE_GRANULARITY_BYTES, err);
}

int bf_job_track(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	if (job->tracked)
		return track_all(job, err);
	for (uint32_t i = 0; i < job->nr_disks && !ret; i++)
		ret = list_disk(job, &job->disks[i], err);
	return ret;
}

int bf_job_untrack(struct bf_job *job, struct bf_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; job->tracked && i < job->nr_disks; i++) {
		struct bf_job_disk *disk = &job->disks[i];
		int one = 0;

		if (disk->extents)
			one = bf_job_verify_forget(job, disk, err);
		if (disk->extents && (!one || one == -ENOENT))
			one = bf_tracker_delete(job->nl, disk->tracker.id, err);
		/* Somebody was faster; the others are still to be deleted. */
		if (one && one != -ENOENT)
			ret = one;
	}
	return ret;
}

void bf_job_untrack_unused(struct bf_job *job)
{
	struct bf_error err;

	for (uint32_t i = 0; !job->epoch && i < job->nr_disks; i++) {
		const struct bf_job_disk *disk = &job->disks[i];
		int ret = disk->created ? bf_tracker_delete(job->nl,
					disk->tracker.id, &err) : 0;

		if (ret && ret != -ENOENT)	/* gone already is as good */
			bf_log_error(&err);
	}
}

int bf_job_mark_all(struct bf_job *job, struct bf_job_disk *disk,
		    struct bf_error *err)
{
	struct bf_extent everything = { 0, disk->size_bytes };
	int ret = 0;

	if (job->tracked) {
		/* The counts before the marks: what is raised later stands. */
		ret = bf_job_look_at_tracker(job, disk, err);
		if (ret)
			return ret;
		disk->seen = disk->tracker.reasons;
		disk->whole_generation = disk->tracker.committed_generation;
		disk->whole_sector = disk->tracker.committed_sector;
	}
	ret = disk->extents->ops->mark(disk->extents, &everything, 1, err);
	if (!ret)
		disk->whole = true;
	return ret;
}
