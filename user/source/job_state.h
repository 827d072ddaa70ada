/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job, from the inside: what its parts share.
 *
 * Threads: the job's thread runs the states, owns disks, session and records.
 * The monitor's thread samples, reports progress and watches the stop_fd. The
 * control socket's thread answers "status" and queues every other request.
 * @lock guards what is named below it; it is a leaf but for the session's
 * interrupt, which takes no lock.
 */
#ifndef BF_SOURCE_JOB_STATE_H
#define BF_SOURCE_JOB_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "lib/control.h"
#include "lib/identity.h"
#include "lib/netlink.h"
#include "source/converge.h"
#include "source/holders.h"
#include "source/job.h"
#include "source/pass.h"
#include "source/resume.h"
#include "target/receiver.h"

enum bf_job_state {
	BF_JOB_PLAN,
	BF_JOB_QUEUED,
	BF_JOB_CONNECTING,
	BF_JOB_FULL,
	BF_JOB_RESYNCING,
	BF_JOB_DELTA,
	BF_JOB_READY,
	BF_JOB_CUTOVER,
	BF_JOB_PAUSED,
	BF_JOB_DONE,
	BF_JOB_STOPPED,
	BF_JOB_CANCELLED,
	BF_JOB_FAILED,
};

enum bf_job_command {
	BF_JOB_SYNC,
	BF_JOB_PAUSE,
	BF_JOB_RESUME,
	BF_JOB_CANCEL,
	BF_JOB_CUT_OVER,
	BF_JOB_VERIFY,
};

/* A word of the operator, until it is answered. */
struct bf_job_request {
	enum bf_job_command command;
	struct bf_control_client *client;	/* NULL: nobody waits */
	uint64_t max_downtime_ns;		/* of CUT_OVER */
	enum bf_then then;
	bool then_given;
	struct bf_job_request *next;
};

struct bf_job_disk {
	const struct bf_disk_config *config;
	int fd;				/* O_DIRECT */
	dev_t dev;			/* 0: a regular file */
	uint64_t size_bytes;
	struct bf_tracker tracker;	/* of a tracked job */
	bool created;			/* by this run */
	struct bf_extents *extents;
	/* What our record says of it. */
	bool recorded;
	uint8_t record_uuid[16], record_cookie[16];
	/*
	 * All of it is, or was, marked dirty, and a pass that began afterwards
	 * is to end before the target is whole again; it clears the reasons up
	 * to the counts in @seen.
	 */
	bool whole;
	struct bf_reasons seen;
	uint64_t whole_generation, whole_sector;	/* committed before that */
	bool in_doubt;			/* that pass compares digests */
	struct bf_ranges skip;		/* by the running full pass */
	struct bf_ranges unsent;	/* what the target lacks, the job's thread's */
	struct bf_ranges unreadable;	/* zeroes there, the job's thread's */
	/* By lock. */
	uint64_t dirty_bytes;
	uint64_t generation;
	uint64_t passthrough;
	uint64_t unreadable_bytes;
	struct bf_reasons reasons;
	bool spent;			/* its tracker can never be whole again */
	uint64_t sample_raw;
	double raw_rate;		/* bytes a second */
};

struct bf_job {
	const struct bf_job_options *options;
	const struct bf_job_config *config;
	bool tracked;			/* the module knows what changes */
	struct bf_job_disk *disks;
	uint32_t nr_disks;
	struct bf_session_disk *session_disks;
	struct bf_netlink *nl;		/* the job's thread's */
	struct bf_netlink *nl_monitor;	/* the monitor's */
	struct bf_events *events;
	struct bf_identity *identity;
	struct bf_tls *tls;
	struct bf_session_settings settings;	/* what holds at this moment */
	cpu_set_t given_cores;		/* when it was started */
	struct bf_local_target *local;
	struct bf_pass_result *result;	/* of the last pass */
	uint64_t epoch;			/* claimed by the session */
	bool target_complete;		/* it has once been whole */
	bool skip_asking;		/* a filesystem is frozen for it, as recorded */
	bool resync_asked;		/* by the operator, and not yet begun */
	bool session_over;		/* an error ended it */
	bool reconnect;			/* at once: only a request failed */
	uint64_t watermark_bytes;	/* asked of the trackers, together */
	bool told_not_converging;
	bool record_frozen;		/* it cannot be written any more */
	bool power_off;			/* cut over, as the last thing to do */
	uint64_t sent_epoch;		/* of a copy's final message; 0: none yet */
	bool left_frozen;		/* in the guardian's hands, to the end */
	bool outcome_unknown;		/* of the cutover, to the end of this run */
	json_t *verified;		/* what the last verify found, or NULL */
	int64_t started_s;		/* since the epoch: this run */
	int slot_fd;			/* of whole copies at once, or -1 */
	int peer_fd;			/* pidfd of who asked for it, or -1 */
	int wake_fd;			/* eventfd: a request, stop, cancel */
	int quit_fd;			/* eventfd: ends the monitor */
	int end_fd;			/* eventfd: stop, cancel or pause stand */
	pthread_t monitor;
	bool has_monitor;
	struct bf_control_server *control;
	pthread_mutex_t output;		/* the monitor's, while it speaks */
	bool quiet;			/* by output: no line, no file, no progress */

	pthread_mutex_t lock;
	enum bf_job_state state;
	const char *mode;		/* "full", "resume", ... or NULL */
	char mode_reason[256];
	char resync_reason[256];	/* of the last, the job's thread's */
	struct bf_error reason;		/* why it failed or waits */
	struct bf_session *session;
	struct bf_limits limits;	/* as configured, then as set */
	bool stop, cancel, pause;	/* asked for */
	struct bf_job_request *requests, **requests_end;
	struct bf_control_client *asking;	/* gets progress events */
	struct bf_converge converge;
	uint64_t passes;		/* completed */
	const char *pass_kind;		/* of the running one, or NULL */
	uint64_t pass_started_ns;
	uint64_t target_ns;		/* begin of the last completed; 0: none yet */
	uint64_t raw_before, wire_before;	/* of sessions that ended */
	uint64_t sample_ns, sample_raw, sample_wire;
	double raw_rate, wire_rate;	/* bytes a second */
	json_t *last_pass;
	json_t *cutover;		/* report of the last attempt */
};

/* ---- job.c ---- */
void bf_job_set_state(struct bf_job *job, enum bf_job_state state);
/* A state in which something is wrong: shown with it until another comes. */
void bf_job_set_reason(struct bf_job *job, enum bf_job_state state,
		       const struct bf_error *why);
const char *bf_job_state_name(enum bf_job_state state);

/* ---- job_disks.c: open and track ---- */
int bf_job_open_disks(struct bf_job *job, struct bf_error *err);
void bf_job_close_disks(struct bf_job *job);
/* Trackers are created, or adopted from a run before. */
int bf_job_track(struct bf_job *job, struct bf_error *err);
int bf_job_untrack(struct bf_job *job, struct bf_error *err);
/* disk->tracker is as it is now; the monitor may be reading it. */
int bf_job_look_at_tracker(struct bf_job *job, struct bf_job_disk *disk,
			   struct bf_error *err);
/* Those that this run has made, if it has claimed nothing: they know nothing. */
void bf_job_untrack_unused(struct bf_job *job);
/* All of the disk becomes dirty; a full pass is due. */
int bf_job_mark_all(struct bf_job *job, struct bf_job_disk *disk,
		    struct bf_error *err);

/* ---- job_plan.c: what is refused before anything is begun ---- */
int bf_job_plan(struct bf_job *job, struct bf_error *err);
int bf_job_find_holders(const struct bf_job *job, struct bf_holders *holders,
			struct bf_error *err);

/* ---- job_hooks.c: the operator's commands ---- */
/* One that decides whether the cutover goes on. */
int bf_job_hook(struct bf_job *job, const char *what, const char *command,
		struct bf_error *err);
/* One that is told what has happened; a failure of its own is logged. */
void bf_job_hook_tell(struct bf_job *job, const char *what,
		      const char *command, const struct bf_error *why);

/* ---- job_queue.c: how many whole copies at once, and from when on ---- */
int bf_job_take_slot(struct bf_job *job, struct bf_error *err);
void bf_job_give_slot(struct bf_job *job);
void bf_job_wait_for_start(struct bf_job *job);

/* ---- job_record.c ---- */
void bf_job_record_path(const char *records_dir, const char *job,
			char path[BF_PATH_BYTES]);
/* Fills in what is recorded of each disk; none is no failure. */
int bf_job_record_load(struct bf_job *job, struct bf_error *err);
int bf_job_record_store(struct bf_job *job, struct bf_error *err);
int bf_job_record_remove(struct bf_job *job, struct bf_error *err);

/* ---- job_skip.c: free space and swap are left out ---- */
/* bf_session_options.begun: fills in disk->skip, adds it to disk->unsent. */
int bf_job_skip(void *job, struct bf_error *err);
int bf_job_skip_load(struct bf_job *job, struct bf_error *err);
int bf_job_skip_store(struct bf_job *job, struct bf_error *err);
int bf_job_skip_remove(struct bf_job *job, struct bf_error *err);
void bf_job_skip_path(const char *records_dir, const char *job,
		      char path[BF_PATH_BYTES]);
/* With whole-disk: what was left out before becomes dirty. */
int bf_job_unskip(struct bf_job *job, struct bf_error *err);

/* ---- job_skip_ask.c: of one filesystem, frozen for it ---- */
struct bf_job_skip_place {
	uint64_t offset_bytes, length_bytes;	/* of its device on the disk */
	uint32_t granularity_bytes;
};
/* @free_space: empty; not to be used after a failure. */
int bf_job_skip_ask(struct bf_job *job, struct bf_filesystem *filesystem,
		    const struct bf_job_skip_place *place,
		    struct bf_ranges *free_space, struct bf_error *err);

/* ---- job_unreadable.c: sectors that the source's disks do not give ---- */
/* bf_session_options.unread: the lists become durable. */
int bf_job_unread(void *job, struct bf_error *err);
/* They become dirty, to be tried again. */
int bf_job_retry_unreadable(struct bf_job *job, struct bf_error *err);
/* After a pass: what could be read is taken out of status and record. */
int bf_job_note_unreadable(struct bf_job *job, struct bf_error *err);

/* ---- job_facts.c: what is known of a disk ---- */
struct bf_resume_facts bf_job_facts(const struct bf_job_disk *disk,
				    const struct wire_opened *opened,
				    const struct wire_welcome *welcome);

/* ---- job_resume.c: how to go on ---- */
/* Opens a session, decides how to go on, claims. */
int bf_job_connect(struct bf_job *job, struct bf_error *err);
void bf_job_set_mode(struct bf_job *job, const char *mode, const char *disk,
		     const char *why);
bool bf_job_digests_known(const struct bf_job *job);

/* ---- job_report.c ---- */
void bf_job_report(struct bf_job *job, const json_t *status);
/* It has failed; it has begun once more. */
void bf_job_note_failure(const struct bf_job *job, const json_t *status);
void bf_job_forget_failure(const struct bf_job *job);
/* While the session is there that cut over. */
void bf_job_report_to_receiver(struct bf_job *job);
/* What the last verify found, for the report. */
void bf_job_note_verify(struct bf_job *job, const json_t *verify);

/* ---- job_link.c: to the target and back ---- */
/* Opens a session and nothing else; a target that is cut over has read-only
 * ones. */
int bf_job_open_session(struct bf_job *job, bool read_only,
			struct bf_error *err);
void bf_job_disconnect(struct bf_job *job);
/* Would trying again help? */
bool bf_job_retryable(const struct bf_error *err);

/* ---- job_pass.c ---- */
/* A delta pass, or the full one or resync that is due. */
int bf_job_pass(struct bf_job *job, struct bf_error *err);
/* Under the freeze. */
int bf_job_last_pass(struct bf_job *job, struct bf_error *err);
bool bf_job_whole_due(const struct bf_job *job);
/* The pass that is due compares a disk by digests. */
bool bf_job_in_doubt(const struct bf_job *job);
/* The lowest reason that neither the module nor a full pass has cleared. */
uint32_t bf_job_standing(const struct bf_job_disk *disk,
			 const struct bf_reasons *reasons);
/* One that no resync of this tracker can clear; the words for it. */
bool bf_job_reason_is_final(uint32_t reason);
int bf_job_cannot_resync(const struct bf_job *job,
			 struct bf_job_disk *disk, uint32_t reason,
			 struct bf_error *err);
/* Passes until none is due at once: full copy or resync, and what it missed. */
int bf_job_catch_up(struct bf_job *job, struct bf_error *err);
uint64_t bf_job_dirty_bytes(struct bf_job *job);	/* asks the module */
struct bf_forecast bf_job_forecast(struct bf_job *job);

/* ---- job_pace.c: when the next pass begins ---- */
void bf_job_pace(struct bf_job *job, const struct bf_forecast *forecast);

/* ---- job_limits.c ---- */
void bf_job_limits_init(struct bf_job *job);
/* Each second: a rate window may have begun or ended. */
void bf_job_limits_tick(struct bf_job *job);
uint64_t bf_job_interval_ns(struct bf_job *job);
json_t *bf_job_limits_status(const struct bf_job *job);	/* with the lock */
/* KEY: "value" of each limit to change; all of them, or none on an error. */
int bf_job_set(struct bf_job *job, const json_t *request, json_t **answer,
	       struct bf_error *err);

/* ---- job_verify.c ---- */
/* The tracker that a verify left which was killed; none is no failure. */
int bf_job_verify_forget(struct bf_job *job, const struct bf_job_disk *disk,
			 struct bf_error *err);
int bf_job_verify(struct bf_job *job, json_t **report, struct bf_error *err);

/* ---- job_control.c: requests ---- */
int bf_job_control_start(struct bf_job *job, struct bf_error *err);
void bf_job_control_stop(struct bf_job *job, const struct bf_error *why);
/* Another process has the job's socket. */
bool bf_job_runs_elsewhere(const struct bf_job *job);
struct bf_job_request *bf_job_next_request(struct bf_job *job);
void bf_job_answer(struct bf_job *job, struct bf_job_request *request,
		   json_t *answer);
void bf_job_refuse(struct bf_job *job, struct bf_job_request *request,
		   const struct bf_error *err);
/* As if the stop_fd had become readable. */
void bf_job_stop(struct bf_job *job);
/* Stop, cancel or pause: what runs is to end soon. */
bool bf_job_ending(struct bf_job *job);
bool bf_job_stopping(struct bf_job *job);
bool bf_job_cancelled(struct bf_job *job);
bool bf_job_paused(struct bf_job *job);
/* All requests of one kind that wait. */
void bf_job_answer_all(struct bf_job *job, enum bf_job_command command);
void bf_job_refuse_all(struct bf_job *job, enum bf_job_command command,
		       const struct bf_error *err);
/* Until @deadline_ns or the next word of anybody. */
void bf_job_sleep(struct bf_job *job, uint64_t deadline_ns);
/* Until the interval since @since_ns is over, which may be changed meanwhile; a
 * request, an event of a tracker, the end of the session or of the job. */
void bf_job_wait(struct bf_job *job, uint64_t since_ns);

/* ---- job_leftovers.c ---- */
/* By its name, is it a tracker of this job? */
bool bf_job_owns_tracker(const char *name, const struct bf_tracker *tracker);

/* ---- job_status.c ---- */
json_t *bf_job_status(struct bf_job *job);
int bf_job_monitor_start(struct bf_job *job, struct bf_error *err);
void bf_job_monitor_stop(struct bf_job *job);
/* Around a freeze; returns when nothing is on its way to a file any more. */
void bf_job_monitor_quiet(struct bf_job *job, bool quiet);

#endif /* BF_SOURCE_JOB_STATE_H */
