// SPDX-License-Identifier: Apache-2.0
/*
 * Job, leftovers: the operator's word that a job which does not run is not to
 * run again flows in; what it has left on this machine goes: trackers, records,
 * the note of its failure. What its guardian holds frozen comes first.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/control.h"
#include "lib/netlink.h"
#include "lib/record.h"
#include "lib/transport.h"
#include "source/job_state.h"

#define GUARDIAN_TIMEOUT_NS (5 * BF_NSEC_PER_SEC)

/* As long as the socket is ours nobody starts the job. */
static void on_request(void *context, struct bf_control_client *client,
		       json_t *request)
{
	struct bf_error err;

	(void)request;
	bf_fail(&err, BF_E_BUSY, EBUSY, "job %s is being cancelled",
		(const char *)context);
	bf_control_fail(client, &err);
}

static int check_guardian(const char *name, const char *run_dir,
			  struct bf_error *err)
{
	json_auto_t *request = json_pack("{ss}", "command", "status");
	json_auto_t *answer = NULL;
	char path[108];
	int ret;

	bf_guardian_path(path, run_dir, name);
	ret = bf_control_call(path, request, GUARDIAN_TIMEOUT_NS, NULL, NULL,
			      &answer, err);
	if (ret)
		return err->code == BF_E_NOT_RUNNING ? 0 : ret;
	return bf_fail(err, BF_E_BUSY, EBUSY,
		       "the guardian of job %s holds filesystems frozen: `blkferry thaw %s` first",
		       name, name);
}

/* "JOB:": a job's name has no colon in it. */
bool bf_job_owns_tracker(const char *name, const struct bf_tracker *tracker)
{
	size_t length = strlen(name);

	return !strncmp(tracker->name, name, length) &&
	       tracker->name[length] == ':';
}

/* One that is gone already is as good. */
static int drop_trackers(const char *name, bool *found, struct bf_error *err)
{
	_cleanup_free_ struct bf_tracker *trackers = NULL;
	struct bf_netlink *nl;
	size_t nr = 0;
	int ret = bf_netlink_open(&nl, err);

	if (ret)
		return err->code == BF_E_NO_MODULE ? 0 : ret;
	ret = bf_tracker_list(nl, &trackers, &nr, err);
	for (size_t i = 0; i < nr && !ret; i++) {
		if (!bf_job_owns_tracker(name, &trackers[i]))
			continue;
		*found = true;
		ret = bf_tracker_delete(nl, trackers[i].id, err);
		if (ret == -ENOENT)
			ret = 0;
	}
	bf_netlink_close(nl);
	return ret;
}

static int drop_records(const char *name, const char *records_dir, bool *found,
			struct bf_error *err)
{
	void (*const paths[])(const char *, const char *, char *) = {
		bf_job_record_path, bf_job_skip_path, bf_job_failure_path,
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char path[BF_PATH_BYTES];
		int ret;

		paths[i](records_dir, name, path);
		if (access(path, F_OK) && errno == ENOENT)
			continue;
		*found = true;
		ret = bf_record_remove(path, err);
		if (ret && ret != -ENOENT)
			return ret;
	}
	return 0;
}

int bf_job_drop_leftovers(const char *name, const char *run_dir,
			  const char *records_dir, bool *found,
			  struct bf_error *err)
{
	struct bf_control_server *socket;
	char path[108];
	int ret;

	*found = false;
	bf_control_path(path, run_dir, name);
	ret = bf_control_serve(&socket, path, on_request, (void *)name, err);
	if (ret)
		return ret;
	ret = check_guardian(name, run_dir, err);
	/* The records last: they are what says that there was a job. */
	if (!ret)
		ret = drop_trackers(name, found, err);
	if (!ret)
		ret = drop_records(name, records_dir, found, err);
	bf_control_stop(socket);
	return ret;
}
