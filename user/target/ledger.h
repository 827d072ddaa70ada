/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ledger: what the receiver durably knows of a job: one record for each (peer,
 * job), replaced atomically, so that a cutover is one step for all disks. A
 * target belongs to at most one ledger.
 *
 * Ledgers are read and written under bf_ledger_lock, which also keeps other
 * processes on the same folder out (another receiver, a local copy, reopen).
 * Without a folder (NULL) nothing is kept: a one-shot copy that is not resumed.
 */
#ifndef BF_TARGET_LEDGER_H
#define BF_TARGET_LEDGER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <wire.h>

#include "lib/error.h"
#include "target/target.h"

#define BF_LEDGER_KIND "target-job"

struct bf_ledger_disk {
	char target[BF_NAME_BYTES];
	char path[BF_PATH_BYTES];
	char identity[BF_TARGET_IDENTITY_BYTES];
	uint64_t target_bytes, source_bytes;
	uint8_t cookie[16];
	uint8_t source_uuid[16];
	uint64_t generation, through_bytes;
	bool complete;			/* a full copy has become durable */
};

struct bf_ledger {
	char peer[BF_FINGERPRINT_BYTES];
	char job[BF_NAME_BYTES];
	enum wire_job_state state;
	uint64_t last_epoch, cutover_epoch;
	uint32_t nr_disks;
	struct bf_ledger_disk *disks;
};

/* Waits for the folder's lock; the descriptor's closing gives it back. */
int bf_ledger_lock(const char *folder, int *fd, struct bf_error *err);
/*
 * The same, shared with others who only store what a job that is theirs has
 * come to: no job waits for another one's disk. Whoever loads, loads what is
 * durable.
 */
int bf_ledger_lock_shared(const char *folder, int *fd, struct bf_error *err);
/*
 * The job's own lock, held by the one session in any process that may write.
 * BF_E_IN_USE if another process has it.
 */
int bf_ledger_lock_job(const char *folder, const char *peer, const char *job,
		       int *fd, struct bf_error *err);

/* FOLDER/reports/JOB.HASH, of the reports of a job that was cut over: a stem of
 * lib/archive.h. */
void bf_ledger_report_stem(char stem[PATH_MAX], const char *folder,
			   const char *peer, const char *job);

/* A job without a record gets an empty ledger in the state WIRE_JOB_NEW. */
int bf_ledger_load(const char *folder, const char *peer, const char *job,
		   struct bf_ledger **ledger, struct bf_error *err);
int bf_ledger_store(const char *folder, const struct bf_ledger *ledger,
		    struct bf_error *err);
/* The record goes: of this job nothing is known from now on. */
int bf_ledger_remove(const char *folder, const struct bf_ledger *ledger,
		     struct bf_error *err);
void bf_ledger_free(struct bf_ledger *ledger);
struct bf_ledger *bf_ledger_new(const char *peer, const char *job);

/*
 * What a source wrote under its old key becomes that of its new one, in two steps
 * of which the first decides; with the folder's lock. Nothing to do is no
 * failure; BF_E_IN_USE while a session of the old key still writes.
 */
int bf_ledger_adopt(const char *folder, const char *old_peer, const char *peer,
		    const char *job, struct bf_error *err);

/* NULL unless it is this target and still the same device or file. */
struct bf_ledger_disk *bf_ledger_find(const struct bf_ledger *ledger,
				      const struct bf_target *target);
/*
 * BF_E_IN_USE if the ledger of another job has a target of this name, or has
 * what @target is, under whatever name. NULL: not asked for.
 */
int bf_ledger_check_owner(const char *folder, const struct bf_ledger *own,
			  const char *name, const struct bf_target *target,
			  struct bf_error *err);
/* The ledger that names @target; -ENOENT with BF_E_NOT_FOUND. */
int bf_ledger_of_target(const char *folder, const char *target,
			struct bf_ledger **ledger, struct bf_error *err);

#endif /* BF_TARGET_LEDGER_H */
