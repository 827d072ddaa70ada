// SPDX-License-Identifier: Apache-2.0
/*
 * Resume: facts flow in, a row of the table flows out. Going on from where it
 * was needs all three witnesses to agree: the source's record, the tracker in
 * the kernel and the target's record. Where one contradicts, what the target
 * holds is in doubt and compared; only where it holds nothing of ours is it
 * copied whole.
 *
 * What the witnesses are, and what becomes of them:
 *
 *	replicator dies		the kernel takes its generation back: all agree
 *	receiver, its host dies	what it said to be durable is: all agree
 *	source's host restarts	the tracker is gone, a new one has another UUID
 *	source's record is lost	nobody can tell whose content the target holds
 *	target's record is lost	as new: its signature protects what is there
 *	target is restored	its record is older than what the kernel
 *				committed, or has another cookie
 *	module is reloaded, or	as a restart of the source's host
 *	somebody untracked
 *
 * A record that is damaged or of a later version never gets here: it is refused
 * with words when it is loaded.
 */
#include <stddef.h>

#include "source/resume.h"

const struct bf_resume_row bf_resume_table[] = {
	/* known, recorded, cookie, tracker, behind, reason, resyncing, complete */
	{ 'n', '-', '-', '-', '-', '-', '-', '-', BF_RESUME_FULL,
	  "the target is new to this job" },
	{ 'y', 'n', '-', '-', '-', '-', '-', '-', BF_RESUME_RESYNC,
	  "this host has no record of the job" },
	{ 'y', 'y', 'n', '-', '-', '-', '-', '-', BF_RESUME_RESYNC,
	  "the target holds another content than this host's record says" },
	{ 'y', 'y', 'y', 'n', '-', '-', '-', '-', BF_RESUME_RESYNC,
	  "the tracker was created anew, so changes may have gone unseen" },
	{ 'y', 'y', 'y', 'y', 'y', '-', '-', '-', BF_RESUME_RESYNC,
	  "the target has gone back to an older state than it acknowledged" },
	{ 'y', 'y', 'y', 'y', 'n', 'y', '-', '-', BF_RESUME_RESYNC, NULL },
	{ 'y', 'y', 'y', 'y', 'n', 'n', 'y', '-', BF_RESUME_RESYNC_ON,
	  "a resync was interrupted" },
	{ 'y', 'y', 'y', 'y', 'n', 'n', 'n', 'n', BF_RESUME_FULL_ON,
	  "source and target agree on how far the full copy came" },
	{ 'y', 'y', 'y', 'y', 'n', 'n', 'n', 'y', BF_RESUME_DELTA,
	  "source and target agree" },
};

const unsigned int bf_resume_rows =
	sizeof(bf_resume_table) / sizeof(bf_resume_table[0]);

static bool fits(char wanted, bool fact)
{
	return wanted == '-' || (wanted == 'y') == fact;
}

bool bf_resume_row_holds(const struct bf_resume_row *row,
			 const struct bf_resume_facts *facts)
{
	return fits(row->target_known, facts->target_known) &&
	       fits(row->recorded, facts->recorded) &&
	       fits(row->cookie_agrees, facts->cookie_agrees) &&
	       fits(row->tracker_kept, facts->tracker_kept) &&
	       fits(row->target_behind, facts->target_behind) &&
	       fits(row->reason_stands, facts->reason_stands) &&
	       fits(row->resyncing, facts->resyncing) &&
	       fits(row->complete, facts->complete);
}

const struct bf_resume_row *bf_resume_find(const struct bf_resume_facts *facts)
{
	const struct bf_resume_row *row = bf_resume_table;

	while (!bf_resume_row_holds(row, facts))
		row++;
	return row;
}

bool bf_resume_restarts(enum bf_resume_way way)
{
	return way == BF_RESUME_RESYNC || way == BF_RESUME_FULL;
}
