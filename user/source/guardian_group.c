// SPDX-License-Identifier: Apache-2.0
/*
 * Guardian, control group: whoever kills the replicator's control group must
 * not reach the guardian. Where systemd manages the machine the guardian asks
 * it for a transient scope; elsewhere it makes a group at the root of the
 * hierarchies that are used for killing and freezing (cgroup2, and of the old
 * ones name=systemd and freezer).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include "lib/cleanup.h"
#include "lib/transport.h"
#include "source/guardian_protocol.h"
#include "source/holders_steps.h"

#define SCOPE_WAIT_NS (20 * BF_NSEC_PER_SEC)

static void cleanup_bus(sd_bus **bus)
{
	sd_bus_flush_close_unref(*bus);
}

static void cleanup_message(sd_bus_message **message)
{
	sd_bus_message_unref(*message);
}

struct scope_job {
	char path[256];			/* of systemd's job, empty: not known */
	char result[32];		/* empty: not finished */
};

/* JobRemoved(u id, o job, s unit, s result) */
static int job_removed(sd_bus_message *message, void *context,
		       sd_bus_error *error)
{
	struct scope_job *job = context;
	const char *path, *unit, *result;
	uint32_t id;

	if (sd_bus_message_read(message, "uoss", &id, &path, &unit,
				&result) >= 0 && !strcmp(path, job->path))
		snprintf(job->result, sizeof(job->result), "%s", result);
	return 0;
}

static int scope_message(sd_bus *bus, sd_bus_message **message,
			 const char *unit, const char *job)
{
	char description[128];
	int ret;

	snprintf(description, sizeof(description),
		 "blkferry: ends the freeze of job %s", job);
	ret = sd_bus_message_new_method_call(bus, message,
					     "org.freedesktop.systemd1",
					     "/org/freedesktop/systemd1",
					     "org.freedesktop.systemd1.Manager",
					     "StartTransientUnit");
	if (ret < 0)
		return ret;
	/* Stopping it sends SIGTERM, which has it thaw; never SIGKILL. */
	return sd_bus_message_append(*message, "ssa(sv)a(sa(sv))", unit, "fail",
				     5,
				     "Description", "s", description,
				     "CollectMode", "s", "inactive-or-failed",
				     "SendSIGKILL", "b", 0,
				     "TimeoutStopUSec", "t", (uint64_t)5000000,
				     "PIDs", "au", 1, (uint32_t)getpid(), 0);
}

static int wait_scope(sd_bus *bus, const struct scope_job *job)
{
	uint64_t end_ns = bf_now_ns() + SCOPE_WAIT_NS;

	while (!job->result[0]) {
		uint64_t now_ns = bf_now_ns();
		int ret = sd_bus_process(bus, NULL);

		if (ret < 0)
			return ret;
		if (now_ns >= end_ns)
			return -ETIMEDOUT;
		if (!ret)
			ret = sd_bus_wait(bus, (end_ns - now_ns) / 1000);
		if (ret < 0)
			return ret;
	}
	return strcmp(job->result, "done") ? -EIO : 0;
}

static int join_scope(const char *job)
{
	_cleanup_(cleanup_bus) sd_bus *bus = NULL;
	_cleanup_(cleanup_message) sd_bus_message *call = NULL, *reply = NULL;
	struct scope_job pending = { 0 };
	const char *path = NULL;
	char unit[160];
	int ret;

	snprintf(unit, sizeof(unit), "blkferry-guardian-%s-%d.scope", job,
		 getpid());
	ret = sd_bus_open_system(&bus);
	if (ret >= 0)
		ret = sd_bus_match_signal(bus, NULL, "org.freedesktop.systemd1",
					  "/org/freedesktop/systemd1",
					  "org.freedesktop.systemd1.Manager",
					  "JobRemoved", job_removed, &pending);
	if (ret >= 0)
		ret = scope_message(bus, &call, unit, job);
	if (ret >= 0)
		ret = sd_bus_call(bus, call, 0, NULL, &reply);
	if (ret >= 0)
		ret = sd_bus_message_read(reply, "o", &path);
	if (ret >= 0) {
		snprintf(pending.path, sizeof(pending.path), "%s", path);
		ret = wait_scope(bus, &pending);
	}
	return ret < 0 ? ret : 0;
}

/* ---- without systemd ---- */

struct join {
	const char *job;
	unsigned int nr_groups, nr_joined;
};

static int write_self(const char *folder)
{
	char path[600];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, "0", 1) == 1 ? 0 : -errno;
}

static void join_at(struct join *join, const char *hierarchy)
{
	char folder[512];

	join->nr_groups++;
	if (snprintf(folder, sizeof(folder), "%s/blkferry-guardian-%s-%d",
		     hierarchy, join->job, getpid()) >= (int)sizeof(folder))
		return;
	if (mkdir(folder, 0755) && errno != EEXIST)
		return;
	if (write_self(folder)) {
		rmdir(folder);
		return;
	}
	join->nr_joined++;
}

static bool serves_killing(const char *type, const char *options)
{
	return !strcmp(type, "cgroup2") ||
	       (!strcmp(type, "cgroup") &&
		(strstr(options, "name=systemd") || strstr(options, "freezer")));
}

static void each_hierarchy(void (*visit)(struct join *join, const char *hierarchy),
			   struct join *join)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (file && getline(&line, &size, file) > 0) {
		struct bf_mount mount;

		if (bf_mount_parse(line, &mount))
			continue;
		if (serves_killing(mount.type, mount.super_options))
			visit(join, mount.mountpoint);
		bf_mount_clear(&mount);
	}
}

bool bf_guardian_join_group(const char *job)
{
	struct join join = { .job = job };

	if (sd_booted() > 0 && !join_scope(job))
		return true;
	each_hierarchy(join_at, &join);
	/* No hierarchy at all: no control group by which one could be killed. */
	return join.nr_joined == join.nr_groups;
}

static void leave_at(struct join *join, const char *hierarchy)
{
	char folder[512];

	if (snprintf(folder, sizeof(folder), "%s/blkferry-guardian-%s-%d",
		     hierarchy, join->job, getpid()) >= (int)sizeof(folder) ||
	    access(folder, F_OK))
		return;
	/* An empty group only: one cannot remove the group that one is in. */
	if (!write_self(hierarchy))
		rmdir(folder);
}

void bf_guardian_leave_group(const char *job)
{
	struct join join = { .job = job };

	each_hierarchy(leave_at, &join);
}
