// SPDX-License-Identifier: Apache-2.0
/*
 * Operator: the operator's word about a target flows in, what the record of its
 * job says from then on flows out. Nothing but records is touched, and only of a
 * job that nobody writes for at the moment.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "target/ledger.h"
#include "target/receiver.h"

static void cleanup_ledger(struct bf_ledger **ledger)
{
	bf_ledger_free(*ledger);
}

/* The record that names a target, with its folder and against its job. */
struct grip {
	int folder_lock, job_lock;
	struct bf_ledger *ledger;
};

static void cleanup_grip(struct grip *g)
{
	cleanup_ledger(&g->ledger);
	bf_cleanup_close(&g->job_lock);
	bf_cleanup_close(&g->folder_lock);
}

static int grip(const struct bf_receiver_config *config, const char *target,
		struct grip *g, struct bf_error *err)
{
	int ret = bf_ledger_lock(config->records_dir, &g->folder_lock, err);

	return ret ? ret : bf_ledger_of_target(config->records_dir, target,
					       &g->ledger, err);
}

/* BF_E_IN_USE while a session writes for the job. */
static int lock_job(const struct bf_receiver_config *config, struct grip *g,
		    struct bf_error *err)
{
	return bf_ledger_lock_job(config->records_dir, g->ledger->peer,
				  g->ledger->job, &g->job_lock, err);
}

/* What was written there after the cutover is unknown: nothing is believed. */
static void start_over(struct bf_ledger *ledger)
{
	ledger->state = WIRE_JOB_SYNCING;
	for (uint32_t i = 0; i < ledger->nr_disks; i++) {
		struct bf_ledger_disk *d = &ledger->disks[i];

		memset(d->cookie, 0, sizeof(d->cookie));
		memset(d->source_uuid, 0, sizeof(d->source_uuid));
		d->generation = d->through_bytes = 0;
		d->complete = false;
	}
}

int bf_receiver_reopen(const struct bf_receiver_config *config,
		       const char *target, struct bf_error *err)
{
	_cleanup_(cleanup_grip) struct grip g = { -1, -1, NULL };
	int ret = grip(config, target, &g, err);

	if (ret)
		return ret;
	if (g.ledger->state != WIRE_JOB_CUT_OVER)
		return bf_fail(err, BF_E_STATE, EINVAL,
			       "target %s of job %s is not cut over: there is nothing to reopen; if that job is over, --forget %s gives the target up",
			       target, g.ledger->job, target);
	ret = lock_job(config, &g, err);
	if (ret)
		return ret;
	start_over(g.ledger);
	ret = bf_ledger_store(config->records_dir, g.ledger, err);
	if (!ret)
		bf_audit("target %s of job %s is reopened by the operator",
			 target, g.ledger->job);
	return ret;
}

int bf_receiver_forget(const struct bf_receiver_config *config,
		       const char *target, struct bf_error *err)
{
	_cleanup_(cleanup_grip) struct grip g = { -1, -1, NULL };
	int ret = grip(config, target, &g, err);

	if (ret)
		return ret;
	if (g.ledger->state == WIRE_JOB_CUT_OVER)
		return bf_fail(err, BF_E_CUT_OVER, EPERM,
			       "target %s was cut over by job %s: it is somebody's live machine now; if it is not, --reopen %s first",
			       target, g.ledger->job, target);
	ret = lock_job(config, &g, err);
	if (!ret)
		ret = bf_ledger_remove(config->records_dir, g.ledger, err);
	for (uint32_t i = 0; !ret && i < g.ledger->nr_disks; i++)
		bf_audit("target %s of job %s is given up by the operator",
			 g.ledger->disks[i].target, g.ledger->job);
	return ret;
}
