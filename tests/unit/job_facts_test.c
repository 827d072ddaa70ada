/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts for the resume table. Policy: each is said by one witness or by the
 * agreement of several; where all agree, a word that changes changes the facts
 * that follow from it and no other. A target that knows less than the kernel has
 * committed is behind, unless all was marked since.
 */
#include "source/job_state.h"
#include "tap.h"

struct world {
	struct bf_job_disk disk;
	struct wire_opened opened;
	struct wire_welcome welcome;
};

/* All agree on a disk that was whole once and has no doubt. */
static struct world agreement(void)
{
	struct world w = { 0 };

	memset(w.disk.tracker.uuid, 0xa1, 16);
	memset(w.disk.record_uuid, 0xa1, 16);
	memset(w.opened.source_uuid, 0xa1, 16);
	memset(w.disk.record_cookie, 0xc2, 16);
	memset(w.opened.cookie, 0xc2, 16);
	w.disk.recorded = true;
	w.disk.tracker.committed_generation = 7;
	w.disk.tracker.committed_sector = 4096;
	w.opened.generation = 7;
	w.opened.through_bytes = 4096 * 512;
	w.opened.flags = WIRE_OPENED_COMPLETE;
	w.welcome.state = WIRE_JOB_SYNCING;
	return w;
}

#define KNOWN	"known "
#define RECORD	"recorded "
#define COOKIE	"cookie "
#define KEPT	"kept "
#define BEHIND	"behind "
#define REASON	"reason "
#define RESYNC	"resyncing "
#define WHOLE	"complete "

static const char *words(const struct world *w)
{
	static char text[128];
	const struct bf_resume_facts f = bf_job_facts(&w->disk, &w->opened,
						      &w->welcome);

	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s",
		 f.target_known ? KNOWN : "", f.recorded ? RECORD : "",
		 f.cookie_agrees ? COOKIE : "", f.tracker_kept ? KEPT : "",
		 f.target_behind ? BEHIND : "", f.reason_stands ? REASON : "",
		 f.resyncing ? RESYNC : "", f.complete ? WHOLE : "");
	return text;
}

#define facts_are(world, wanted) do {					\
	const char *_got = words(world);				\
	if (strcmp(_got, wanted))					\
		tap_fail(__FILE__, __LINE__, "\"%s\", wanted \"%s\"",	\
			 _got, wanted);					\
} while (0)

static void all_agree(void)
{
	struct world w = agreement();

	facts_are(&w, KNOWN RECORD COOKIE KEPT WHOLE);
}

static void the_target_knows_of_it(void)
{
	struct world w = agreement();

	w.welcome.state = WIRE_JOB_NEW;
	facts_are(&w, RECORD COOKIE KEPT WHOLE);
	w.welcome.state = WIRE_JOB_CUT_OVER;
	facts_are(&w, KNOWN RECORD COOKIE KEPT WHOLE);
	w = agreement();	/* of the job, and not of this disk */
	memset(w.opened.cookie, 0, 16);
	facts_are(&w, RECORD KEPT WHOLE);
	w.opened.cookie[15] = 1;
	facts_are(&w, KNOWN RECORD KEPT WHOLE);
}

static void the_record_has_it(void)
{
	struct world w = agreement();

	w.disk.recorded = false;
	facts_are(&w, KNOWN COOKIE KEPT WHOLE);
}

/* Each byte counts. */
static void cookies_are_compared_whole(void)
{
	for (int i = 0; i < 16; i++) {
		struct world w = agreement();

		w.disk.record_cookie[i] ^= 1;
		facts_are(&w, KNOWN RECORD KEPT WHOLE);
	}
}

static void a_tracker_has_three_witnesses(void)
{
	for (int i = 0; i < 16; i++) {
		struct world w = agreement();

		w.disk.tracker.uuid[i] ^= 0x80;		/* made anew */
		facts_are(&w, KNOWN RECORD COOKIE WHOLE);
		w = agreement();
		w.disk.record_uuid[i] ^= 0x80;		/* an older record */
		facts_are(&w, KNOWN RECORD COOKIE WHOLE);
		w = agreement();
		w.opened.source_uuid[i] ^= 0x80;	/* written by another */
		facts_are(&w, KNOWN RECORD COOKIE WHOLE);
	}
}

static void a_target_that_knows_less_is_behind(void)
{
	struct world w = agreement();

	w.opened.generation = 6;
	w.opened.through_bytes = UINT64_MAX;	/* of that one */
	facts_are(&w, KNOWN RECORD COOKIE KEPT BEHIND WHOLE);
	w.opened.generation = 8;		/* our commit is lost, its is not */
	w.opened.through_bytes = 0;
	facts_are(&w, KNOWN RECORD COOKIE KEPT WHOLE);
	w = agreement();
	w.opened.through_bytes--;		/* a part of a sector is none */
	facts_are(&w, KNOWN RECORD COOKIE KEPT BEHIND WHOLE);
	w = agreement();
	w.opened.through_bytes += 512;
	facts_are(&w, KNOWN RECORD COOKIE KEPT WHOLE);
}

/* What it lacks was marked, if that is still all that the kernel has forgotten. */
static void it_lacks_nothing_where_all_was_marked(void)
{
	struct world w = agreement();

	w.opened.generation = 0;
	w.opened.through_bytes = 0;
	w.disk.whole = true;
	w.disk.whole_generation = 7;
	w.disk.whole_sector = 4096;
	facts_are(&w, KNOWN RECORD COOKIE KEPT WHOLE);
	w.disk.whole_sector = 4095;		/* committed since */
	facts_are(&w, KNOWN RECORD COOKIE KEPT BEHIND WHOLE);
	w.disk.whole_sector = 4096;
	w.disk.whole_generation = 6;
	facts_are(&w, KNOWN RECORD COOKIE KEPT BEHIND WHOLE);
	w.disk.whole_generation = 7;
	w.disk.whole = false;			/* and that pass has ended */
	facts_are(&w, KNOWN RECORD COOKIE KEPT BEHIND WHOLE);
}

static void a_reason_stands_until_a_pass_covers_it(void)
{
	for (uint32_t id = 1; id <= BLKFERRY_REASON_MAX; id++) {
		struct world w = agreement();
		struct bf_reason_counts *counts =
			&w.disk.tracker.reasons.by_id[id];

		counts->raised = 3;
		counts->cleared = 2;
		facts_are(&w, KNOWN RECORD COOKIE KEPT REASON WHOLE);
		w.disk.seen.by_id[id].raised = 2;	/* and again since */
		facts_are(&w, KNOWN RECORD COOKIE KEPT REASON WHOLE);
		w.disk.seen.by_id[id].raised = 3;
		facts_are(&w, KNOWN RECORD COOKIE KEPT WHOLE);
		w.disk.seen.by_id[id].raised = 0;
		counts->cleared = 3;
		facts_are(&w, KNOWN RECORD COOKIE KEPT WHOLE);
	}
}

static void a_resync_has_not_ended(void)
{
	struct world w = agreement();

	w.disk.in_doubt = true;
	facts_are(&w, KNOWN RECORD COOKIE KEPT RESYNC WHOLE);
}

static void the_target_was_never_whole(void)
{
	struct world w = agreement();

	w.opened.flags = (uint32_t)~WIRE_OPENED_COMPLETE;
	facts_are(&w, KNOWN RECORD COOKIE KEPT);
}

int main(void)
{
	tap_run("all agree", all_agree);
	tap_run("the target knows of it", the_target_knows_of_it);
	tap_run("the record has it", the_record_has_it);
	tap_run("cookies are compared whole", cookies_are_compared_whole);
	tap_run("a tracker has three witnesses", a_tracker_has_three_witnesses);
	tap_run("a target that knows less is behind", a_target_that_knows_less_is_behind);
	tap_run("it lacks nothing where all was marked",
		it_lacks_nothing_where_all_was_marked);
	tap_run("a reason stands until a pass covers it",
		a_reason_stands_until_a_pass_covers_it);
	tap_run("a resync has not ended", a_resync_has_not_ended);
	tap_run("the target was never whole", the_target_was_never_whole);
	return tap_done();
}
