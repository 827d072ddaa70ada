/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: ini files become checked structs. An unknown section or key,
 * a bad value, a missing one or a name given twice (in whatever case) is an
 * error that names file and line, or the section where it is about that as a
 * whole (BF_E_CONFIG). Behind a value, blank and "#" begin a comment, save
 * behind a COMMAND, which the shell reads whole. The disks of a job go all to
 * the receiver or all to local paths: they cut over in one step.
 *
 * /etc/blkferry/jobs/JOB.conf:
 *	[job]
 *	receiver = HOST[:PORT]		needed unless every target is a path
 *	peer = SHA256:...		the receiver's fingerprint
 *	key = PATH			default /etc/blkferry/key
 *	interval = 10s			from the end of a pass to the next
 *	rate = none			of the wire: "10M" a second, "100Mbit"
 *	rate-windows = none		"mon-fri 08:00-18:00 20Mbit, ..."
 *	read-rate = none		of the disks, "50M" a second
 *	cores = all			used at most
 *	nice = 0			0..19, of the replicator
 *	connections = 4			1..8, to the receiver, for the blocks
 *	in-flight = 16M			2M..256M, read and not yet sent
 *	source-address = ADDRESS | INTERFACE	to connect from
 *	max-downtime = 30s
 *	then = hold|poweroff|thaw	needed if the job holds the root filesystem
 *	hold-deadline = 10m		power off after it when root is held
 *	compression = auto|none|1..19	default auto
 *	whole-disk = no
 *	on-read-error = stop|zero-and-report	default stop
 *	timeout = 30s			of the network
 *	full-copies = 2			at once on this machine
 *	start = 02:00			of a new job's first pass
 *	pre-freeze = COMMAND		run by /bin/sh, before the freeze
 *	pre-cutover = COMMAND		first of all in a cutover
 *	post-thaw = COMMAND		after every thaw
 *	post-cutover = COMMAND		after a thaw that follows a cutover
 *	on-failure = COMMAND		rolled back, or the job has failed
 *	description = TEXT		shown with the job
 *	labels = KEY=VALUE ...		likewise (labels.h)
 *	hook-timeout = 60s
 *	override = CHECK ...		critical findings of the plan to go on with
 *	[disk NAME]			one or more, in order
 *	device = /dev/...
 *	target = NAME | /PATH		at the receiver | local
 *	granularity = 4K		default: the module's choice
 *	overwrite = no			yes: what a local target holds may be lost
 *
 * /etc/blkferry/receiver.conf:
 *	[receiver]
 *	listen = [ADDRESS][:PORT]	default port 4712
 *	key = PATH
 *	records = DIR			default /var/lib/blkferry/target
 *	timeout = 30s
 *	full-copies = 4			at once at this receiver
 *	more-connections = 16		than one a job, over all jobs
 *	[peer NAME]
 *	key = SHA256:...
 *	old-key = SHA256:...		whose records are this one's
 *	targets = NAME [NAME ...]
 *	[target NAME]
 *	path = /dev/... | /FILE
 *	overwrite = no			yes: foreign content may be overwritten
 */
#ifndef BF_LIB_CONFIG_H
#define BF_LIB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wire.h>

#include "error.h"
#include "identity.h"
#include "limits.h"

#define BF_JOBS_DIR		"/etc/blkferry/jobs"
#define BF_RECEIVER_CONF	"/etc/blkferry/receiver.conf"
#define BF_SOURCE_RECORDS_DIR	"/var/lib/blkferry/source"
#define BF_TARGET_RECORDS_DIR	"/var/lib/blkferry/target"
#define BF_RUN_DIR		"/run/blkferry"

#define BF_NAME_BYTES		WIRE_NAME_BYTES
#define BF_PATH_BYTES		1024
#define BF_COMMAND_BYTES	1024
#define BF_TEXT_BYTES		256

#define BF_TIME_MAX_NS		(30 * 86400 * 1000000000ull)	/* of any setting */

enum bf_then { BF_THEN_HOLD, BF_THEN_POWEROFF, BF_THEN_THAW };

#define BF_LEVEL_AUTO (-1)		/* of compression; 0 none, 1..19 zstd */

struct bf_disk_config {
	char name[BF_NAME_BYTES];
	char device[BF_PATH_BYTES];
	char target[BF_PATH_BYTES];
	bool target_is_path;
	bool overwrite;			/* of a local target's foreign content */
	uint32_t granularity_bytes;	/* 0: the module's choice */
};

#define BF_DEFAULT_CONNECTIONS 4
#define BF_IN_FLIGHT_MIN	(2ull << 20)
#define BF_IN_FLIGHT_DEFAULT	(16ull << 20)
#define BF_IN_FLIGHT_MAX	(256ull << 20)

struct bf_job_config {
	char name[BF_NAME_BYTES];
	char receiver[BF_PATH_BYTES];	/* empty: every target is a path */
	char peer[BF_FINGERPRINT_BYTES];
	char key_path[BF_PATH_BYTES];
	struct bf_limits limits;
	uint32_t nice;
	uint32_t connections;
	uint64_t in_flight_bytes;	/* of blocks, read and not yet sent */
	char source_address[BF_NAME_BYTES];
	uint64_t max_downtime_ns;
	uint64_t hold_deadline_ns;
	uint64_t timeout_ns;
	enum bf_then then;
	bool then_given;
	bool whole_disk;
	bool zero_unreadable;		/* sectors travel as zeroes, and are listed */
	uint32_t full_copies;		/* at once on this machine */
	int64_t start_s;		/* since the epoch; 0: at once */
	char pre_freeze[BF_COMMAND_BYTES];
	char pre_cutover[BF_COMMAND_BYTES];
	char post_thaw[BF_COMMAND_BYTES];
	char post_cutover[BF_COMMAND_BYTES];
	char on_failure[BF_COMMAND_BYTES];
	char description[BF_TEXT_BYTES];
	char labels[BF_TEXT_BYTES];
	uint64_t hook_timeout_ns;
	char override[BF_PATH_BYTES];	/* names of checks (source/plan.h) */
	struct bf_disk_config *disks;
	size_t nr_disks;
};

struct bf_peer_config {
	char name[BF_NAME_BYTES];
	char key[BF_FINGERPRINT_BYTES];
	char old_key[BF_FINGERPRINT_BYTES];	/* its records are this one's */
	char (*targets)[BF_NAME_BYTES];
	size_t nr_targets;
};

struct bf_target_config {
	char name[BF_NAME_BYTES];
	char path[BF_PATH_BYTES];
	bool overwrite;
};

struct bf_receiver_config {
	char listen[BF_PATH_BYTES];
	char key_path[BF_PATH_BYTES];
	char records_dir[BF_PATH_BYTES];
	uint64_t timeout_ns;
	uint32_t full_copies;		/* at once */
	uint32_t more_connections;	/* than one a job, over all jobs */
	struct bf_peer_config *peers;
	size_t nr_peers;
	struct bf_target_config *targets;
	size_t nr_targets;
};

/* Letters, digits and "-_.", 1..63 bytes, no leading "." or "-". */
bool bf_name_valid(const char *name);
/* The same, save what ends in ".guardian" or ".skipped": a socket and a record of
 * another job have that name (control.h, job_skip.c). */
bool bf_job_name_valid(const char *name);

void bf_job_config_defaults(struct bf_job_config *job, const char *name);
int bf_job_config_load(const char *path, const char *name,
		       struct bf_job_config *job, struct bf_error *err);
void bf_job_config_free(struct bf_job_config *job);

void bf_receiver_config_defaults(struct bf_receiver_config *receiver);
int bf_receiver_config_load(const char *path, struct bf_receiver_config *receiver,
			    struct bf_error *err);
void bf_receiver_config_free(struct bf_receiver_config *receiver);

const char *bf_then_name(enum bf_then then);
int bf_parse_then(const char *text, enum bf_then *then, struct bf_error *err);
int bf_parse_level(const char *text, int *level, struct bf_error *err);

#endif /* BF_LIB_CONFIG_H */
