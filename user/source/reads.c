// SPDX-License-Identifier: Apache-2.0
/*
 * Reads: bytes read from the source's disks flow in, out flows whether more may
 * be read now. The machine's own work comes first: reads carry the lowest
 * priority of those that are served at all, and no more is read a second than
 * the operator allows. Under a freeze nothing is held back: there the machine's
 * work waits for us.
 */
#include "source/session.h"

#define LOOK_NS (100 * BF_NSEC_PER_MSEC)

uint64_t bf_reads_wait_ns(struct bf_session *session)
{
	uint64_t may_bytes, ns;

	ns = bf_bucket_take(&session->read_bucket, session->read_bytes, &may_bytes);
	session->read_bytes = 0;
	if (ns > LOOK_NS)	/* the limit may have been changed */
		ns = LOOK_NS;
	session->read_wait_ns = session->hurry ? 0 : ns;
	return session->read_wait_ns;
}

void bf_reads_count(struct bf_session *session, uint64_t bytes)
{
	session->read_bytes += bytes;
}
