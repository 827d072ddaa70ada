/* SPDX-License-Identifier: Apache-2.0 */
/* Copy: the two ends that the command line names become a job in memory. */
#ifndef BF_CLI_COPY_H
#define BF_CLI_COPY_H

#include "lib/config.h"

/*
 * @target is HOST:PORT/NAME, [V6]:PORT/NAME or a path ("./" in front says so
 * where in doubt). Free @config in either case.
 */
int cli_copy_job(struct bf_job_config *config, const char *source,
		 const char *target, struct bf_error *err);
/* A local target that does not exist becomes a sparse file: *made. */
int cli_copy_make_target(const struct bf_disk_config *disk, bool *made,
			 struct bf_error *err);

#endif /* BF_CLI_COPY_H */
