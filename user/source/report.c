// SPDX-License-Identifier: Apache-2.0
/*
 * Report: what became of a job flows in as JSON, and out to the receiver, which
 * keeps it: a source that powers off or stays frozen has no place for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/session.h"

int bf_session_report(struct bf_session *session, const char *text,
		      struct bf_error *err)
{
	size_t text_bytes = strlen(text);
	struct report_frame {
		struct wire_header header;
		struct wire_report body;
		char text[];
	} *frame;

	if (!(session->welcome.features & WIRE_FEATURE_REPORT) ||
	    text_bytes > WIRE_REPORT_TEXT_MAX)
		return bf_fail(err, BF_E_VERSION, EOPNOTSUPP,
			       "the receiver's release keeps no report of %zu bytes",
			       text_bytes);
	frame = malloc(sizeof(*frame) + text_bytes);
	if (!frame)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	free(session->report);
	session->report = frame;
	bf_frame_header(&frame->header, WIRE_REPORT, 0,
			sizeof(frame->body) + text_bytes);
	frame->body = (struct wire_report){ .text_bytes = text_bytes };
	bf_wire_swap_report(&frame->body);
	memcpy(frame->text, text, text_bytes);
	return bf_session_ask(session, session->link, frame,
			      sizeof(*frame) + text_bytes, WIRE_REPORTED, err);
}
