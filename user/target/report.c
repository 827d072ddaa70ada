// SPDX-License-Identifier: Apache-2.0
/*
 * Report: REPORT flows in once its job is cut over; the record of a migration
 * that `blkferry report` shows at the receiver flows out, then REPORTED. Keeps
 * RULE 6: it is one JSON object of limited length, and what it says decides
 * nothing here. All are kept: there is one of a cutover, and the next cutover
 * needs the operator's word (receive --reopen).
 */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "lib/archive.h"
#include "source/job.h"
#include "target/session_private.h"

static int parse(const struct bf_frame *f, json_t **report, struct bf_error *err)
{
	struct wire_report m;
	const char *text;
	int ret = bf_check_report(f, &m, &text, err);

	if (ret)
		return ret;
	*report = json_loadb(text, m.text_bytes, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(*report))
		return 0;
	json_decref(*report);
	*report = NULL;
	return bf_fail(err, BF_E_PROTOCOL, EPROTO,
		       "REPORT is no JSON object: the peer's blkferry is faulty");
}

/* The source's word for itself, the receiver's for who said it. */
static int keep(const struct bf_target_session *s, json_t *report,
		struct bf_error *err)
{
	char stem[PATH_MAX];

	if (!s->registry->records_dir)
		return 0;
	json_object_set_new(report, "job", json_string(s->job));
	json_object_set_new(report, "peer", json_string(s->peer_name));
	bf_ledger_report_stem(stem, s->registry->records_dir,
			      bf_transport_peer(s->transport), s->job);
	return bf_archive_add(stem, BF_JOB_REPORT_KIND, report, err);
}

int session_report(struct bf_target_session *s, const struct bf_frame *f,
		   struct bf_error *err)
{
	const struct wire_reported done = { 0 };
	json_t *report = NULL;
	int ret = 0;

	if (!(s->features & WIRE_FEATURE_REPORT))
		ret = bf_fail(err, BF_E_PROTOCOL, EPROTO,
			      "REPORT, though it was not agreed upon: the peer's blkferry is faulty");
	else if (s->reported)
		ret = bf_fail(err, BF_E_PROTOCOL, EPROTO,
			      "a second REPORT of one cutover: the peer's blkferry is faulty");
	if (!ret)
		ret = parse(f, &report, err);
	if (!ret)
		ret = keep(s, report, err);
	s->reported = !ret;
	json_decref(report);
	return ret ? ret : session_reply(s, WIRE_REPORTED, 0, &done,
					 sizeof(done), err);
}
