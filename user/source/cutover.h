/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutover: a job whose target is whole flows in; the same job done, or rolled
 * back and going on, flows out, with a report. Keeps RULE 4 (it ends on an
 * empty generation) and RULE 5 (the freeze ends, one way or the other).
 */
#ifndef BF_SOURCE_CUTOVER_H
#define BF_SOURCE_CUTOVER_H

#include "source/job_state.h"

struct bf_cutover_options {
	uint64_t max_downtime_ns;
	enum bf_then then;
	bool then_given;		/* needed where the root is held */
};

/*
 * bf_cutover - passes, hook, sync, freeze, last passes, proof, final commit
 * @done: the target is cut over
 *
 * The report goes to job->cutover in any case. On failure everything that was
 * frozen is thawed (RULE 5). When it is done with hold or poweroff everything
 * stays frozen, the log is held, and job->power_off says what is left to do.
 */
int bf_cutover(struct bf_job *job, const struct bf_cutover_options *options,
	       bool *done, struct bf_error *err);

/* Is the target cut over in @epoch? BF_E_CUT_OVER: it is, but in another one. */
int bf_cutover_ask(struct bf_job *job, uint64_t epoch, bool *cut_over,
		   struct bf_error *err);

#endif /* BF_SOURCE_CUTOVER_H */
