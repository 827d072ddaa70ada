/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiver: connections flow in, blocks flow to targets, "durable" flows back.
 * One process serves many jobs; a session is one connection and one thread.
 */
#ifndef BF_TARGET_RECEIVER_H
#define BF_TARGET_RECEIVER_H

#include "lib/config.h"
#include "lib/error.h"
#include "lib/transport.h"

#define BF_RECEIVER_ALIVE_MS 5000

struct bf_receiver_options {
	int stop_fd;			/* readable: end */
	int reload_fd;			/* readable and drained by @reload, or -1 */
	/*
	 * The configuration, read again. Of it peers and targets count from now
	 * on, for running sessions too; what else changed needs a restart.
	 */
	int (*reload)(void *context, struct bf_receiver_config *config,
		      struct bf_error *err);
	/* Called once with the port it listens on (0 may be asked for). */
	void (*ready)(void *context, const char *address);
	/* At least once in BF_RECEIVER_ALIVE_MS while it serves; may be NULL. */
	void (*alive)(void *context);
	void *context;
};

/* Serves until it is told to end. Drops the privileges that it does not need. */
int bf_receiver_run(const struct bf_receiver_config *config,
		    const struct bf_receiver_options *options,
		    struct bf_error *err);

struct bf_local_target;

/*
 * A target of the same machine: a thread serves @end (of a transport pair) as
 * a receiver would, with @targets (copied) open to the job. Ends when the source
 * hangs up; bf_local_target_join waits for that. Takes over @end, also on
 * failure. @records_dir must not be on a filesystem that the job freezes: a
 * barrier writes there. NULL: no record is kept, so nothing can be resumed and
 * a finished copy is not protected against being overwritten.
 */
int bf_local_target_start(struct bf_local_target **local,
			  struct bf_transport *end,
			  const struct bf_target_config *targets, size_t nr,
			  const char *records_dir, struct bf_error *err);
void bf_local_target_join(struct bf_local_target *local);
/* BF_E_IN_USE if the target at @path is the source, holds it or is part of it. */
int bf_local_target_check(const char *path, int source_fd, struct bf_error *err);

/*
 * The operator's word: the job that has cut over to @target may write its
 * targets again. What is on them is not believed: a full copy or resync follows.
 */
int bf_receiver_reopen(const struct bf_receiver_config *config,
		       const char *target, struct bf_error *err);
/*
 * Likewise: the job that wrote @target, and any others with it, is over. Nobody
 * owns them any more; what is on them stays. Not of a job that has cut over.
 */
int bf_receiver_forget(const struct bf_receiver_config *config,
		       const char *target, struct bf_error *err);

#endif /* BF_TARGET_RECEIVER_H */
