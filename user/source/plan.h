/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plan: a job flows in; what speaks against it and what it will cost flows out,
 * before anything is begun. A finding is a row (a JSON object):
 *
 *	severity	"info", "warning" or "critical"
 *	check		stable name, by which a critical one is overridden
 *	subject		what it is about: a disk, a file, "machine"
 *	text		what was found
 *	cure		what to do about it; null for an info
 *	overridden	true if the operator has said so
 *
 * Figures, all null when not known: disks [{name, size_bytes, used_bytes,
 * read_rate}], link_rate, link_rtt_ns, handshake_ns, change_rate, copy_bytes (to be
 * read), copy_data_bytes (of them no zeroes), compression_ratio (of a sample),
 * copy_ns, passes, downtime_ns, resync_ns. Looking changes nothing, here or at the
 * target.
 */
#ifndef BF_SOURCE_PLAN_H
#define BF_SOURCE_PLAN_H

#include <jansson.h>
#include <sys/types.h>

#include "lib/config.h"
#include "lib/error.h"
#include "source/holders.h"

struct bf_plan_disk {
	const char *name, *device;
	int fd;				/* O_RDONLY */
	dev_t dev;
	uint64_t size_bytes, target_bytes;	/* the latter 0: not known */
	uint32_t granularity_bytes;	/* 0: the module's choice */
};

struct bf_plan {
	json_t *rows;
	json_t *figures;
	const struct bf_job_config *config;
	struct bf_plan_disk *disks;
	uint32_t nr_disks;
	struct bf_holders holders;
};

/* ---- plan.c ---- */

/* What is looked at; each includes what stands before it. */
enum bf_plan_depth {
	BF_PLAN_START,		/* what takes no time: whenever a job starts */
	BF_PLAN_FIRST,		/* the initramfs, some seconds: the first time */
	BF_PLAN_MEASURE,	/* rates and the receiver: on request */
};

/*
 * bf_plan_make - look at everything
 *
 * Return: 0 whatever was found, or a negative errno when not even looking was
 * possible. Free @plan in either case.
 */
int bf_plan_make(struct bf_plan *plan, const struct bf_job_config *config,
		 enum bf_plan_depth depth, struct bf_error *err);
void bf_plan_free(struct bf_plan *plan);
/* Marks what config->override names; error if it names no check. */
int bf_plan_override(struct bf_plan *plan, const char *names,
		     struct bf_error *err);
/* Return: 0, or the first critical finding that stands, as an error. */
int bf_plan_refuse(const struct bf_plan *plan, struct bf_error *err);

/* @cure may be NULL for an info. */
void bf_plan_add(struct bf_plan *plan, enum bf_severity severity,
		 const char *check, const char *subject, const char *cure,
		 const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/* ---- the groups of checks; @root goes before every path, "" but in tests ---- */

/* plan_machine.c: kernel, module, memory. */
void bf_plan_machine(struct bf_plan *plan, const char *root);
/* plan_signature.c: would this kernel take the module at @path (under @root)? */
void bf_plan_signature(struct bf_plan *plan, const char *root, const char *path);
/* plan_disks.c: content, use, sizes, who else could write. */
/* @ask: the module, too, whether it would track them. */
void bf_plan_disks(struct bf_plan *plan, const char *root, bool ask);
/* plan_local.c: targets on this machine. Before the disks, for their sizes. */
void bf_plan_local(struct bf_plan *plan);
/* plan_outside.c: what the job leaves behind. */
void bf_plan_outside(struct bf_plan *plan, const char *root);
/* plan_boot.c: what would keep a copy of the root disk from booting elsewhere. */
void bf_plan_boot(struct bf_plan *plan, const char *root);
/* plan_initramfs.c: the drivers that it would need there. */
void bf_plan_initramfs(struct bf_plan *plan, const char *root);
/* plan_rates.c: measured and predicted. */
void bf_plan_rates(struct bf_plan *plan, const char *root);

#endif /* BF_SOURCE_PLAN_H */
