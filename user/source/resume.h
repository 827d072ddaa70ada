/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resume: what source, kernel and target know of a disk decides how a session
 * goes on with it.
 */
#ifndef BF_SOURCE_RESUME_H
#define BF_SOURCE_RESUME_H

#include <stdbool.h>

enum bf_resume_way {
	BF_RESUME_DELTA,	/* changes only */
	BF_RESUME_FULL_ON,	/* the rest of a full copy */
	BF_RESUME_RESYNC_ON,	/* the rest of a resync */
	BF_RESUME_RESYNC,	/* all is in doubt: compare by digests */
	BF_RESUME_FULL,		/* send all */
};

struct bf_resume_facts {
	bool target_known;	/* the target's record has this job and target */
	bool recorded;		/* the source's record has the disk */
	bool cookie_agrees;	/* both records speak of the same content */
	bool tracker_kept;	/* both records name the tracker there is */
	bool target_behind;	/* it remembers less than the kernel committed */
	bool reason_stands;	/* and no resync that began since covers it */
	bool resyncing;		/* the source's record: a resync is not ended */
	bool complete;		/* the target once held all of it */
};

struct bf_resume_row {
	/* What each fact must be: 'y', 'n', or '-' for either. */
	char target_known, recorded, cookie_agrees, tracker_kept, target_behind,
	     reason_stands, resyncing, complete;
	enum bf_resume_way way;
	const char *why;	/* NULL: the reason that stands says it */
};

/* Exactly one row holds for any facts. */
extern const struct bf_resume_row bf_resume_table[];
extern const unsigned int bf_resume_rows;

bool bf_resume_row_holds(const struct bf_resume_row *row,
			 const struct bf_resume_facts *facts);
const struct bf_resume_row *bf_resume_find(const struct bf_resume_facts *facts);
/* Does everything of the disk become dirty, whatever was committed before? */
bool bf_resume_restarts(enum bf_resume_way way);

#endif /* BF_SOURCE_RESUME_H */
