// SPDX-License-Identifier: Apache-2.0
/*
 * Frames around a copy: MEASURE and REPORT. Policy: as in frame_test.c, each
 * validator takes its limits' last good value and refuses the first bad one.
 */
#include "frame_messages.h"

static void measures(void)
{
	struct wire_measure m = { .flags = WIRE_MEASURE_ANSWER }, out;
	struct bf_frame f;

	bf_wire_swap_measure(&m);
	f = frame_of(WIRE_MEASURE, &m, sizeof(m));
	f.length += WIRE_MEASURE_MAX;
	check_eq(bf_check_measure(&f, &out, &err), 0);
	check_eq(out.flags, WIRE_MEASURE_ANSWER);
	m.flags |= 2;
	f = frame_of(WIRE_MEASURE, &m, sizeof(m));
	check_eq(bf_check_measure(&f, &out, &err), -EPROTO);
	m = (struct wire_measure){ .reserved = 1 };
	f = frame_of(WIRE_MEASURE, &m, sizeof(m));
	check_eq(bf_check_measure(&f, &out, &err), -EPROTO);
}

static void reports(void)
{
	struct wire_report m = { .text_bytes = 2 }, out;
	struct bf_frame f;
	const char *text;

	bf_wire_swap_report(&m);
	f = frame_of(WIRE_REPORT, &m, sizeof(m));
	f.length += 2;
	check_eq(bf_check_report(&f, &out, &text, &err), 0);
	check(text == (const char *)payload + sizeof(m));
	f.length += 1;
	check_eq(bf_check_report(&f, &out, &text, &err), -EPROTO);
	m.text_bytes = UINT32_MAX;
	f = frame_of(WIRE_REPORT, &m, sizeof(m));
	f.length += 2;
	check_eq(bf_check_report(&f, &out, &text, &err), -EPROTO);
}

int main(void)
{
	tap_run("MEASURE", measures);
	tap_run("REPORT", reports);
	return tap_done();
}
