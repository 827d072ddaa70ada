/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault points: places where a test makes the program die or a step fail, to
 * see that nothing is lost whatever dies. Compiled in by -DBF_FAULTS only;
 * without it they are nothing.
 *
 * The environment variable BLKFERRY_FAULT says which: POINT:NTH kills the
 * process the NTH time it comes there, POINT:NTH:ERRNO makes it fail with that
 * number instead.
 */
#ifndef BF_LIB_FAULT_H
#define BF_LIB_FAULT_H

#include "error.h"

/*
 * X(constant, name): in the order of a job's life. Those of "cutover-" lie within
 * a freeze, from its rehearsal to the empty generation.
 */
#define BF_FAULT_TABLE(X)						\
	X(BF_FAULT_SOURCE_OPENED,	"source-opened")		\
	X(BF_FAULT_SOURCE_CLAIMED,	"source-claimed")		\
	X(BF_FAULT_SOURCE_MARKED,	"source-marked")		\
	X(BF_FAULT_RECORD_WRITTEN,	"record-written")		\
	X(BF_FAULT_RECORD_RENAMED,	"record-renamed")		\
	X(BF_FAULT_SOURCE_BEGUN,	"source-begun")			\
	X(BF_FAULT_SOURCE_READ,		"source-read")			\
	X(BF_FAULT_SOURCE_COMPARED,	"source-compared")		\
	X(BF_FAULT_SOURCE_QUEUED,	"source-queued")		\
	X(BF_FAULT_SOURCE_DURABLE,	"source-durable")		\
	X(BF_FAULT_SOURCE_COMMITTED,	"source-committed")		\
	X(BF_FAULT_SOURCE_ENDED,	"source-ended")			\
	X(BF_FAULT_SOURCE_FINISHED,	"source-finished")		\
	X(BF_FAULT_CUTOVER_REHEARSED,	"cutover-rehearsed")		\
	X(BF_FAULT_CUTOVER_FROZEN,	"cutover-frozen")		\
	X(BF_FAULT_CUTOVER_SYNCED,	"cutover-synced")		\
	X(BF_FAULT_CUTOVER_ROUND,	"cutover-round")		\
	X(BF_FAULT_CUTOVER_CONFIRMED,	"cutover-confirmed")		\
	X(BF_FAULT_SOURCE_CUTOVER,	"source-cutover")		\
	X(BF_FAULT_SOURCE_CUT_OVER,	"source-cut-over")		\
	X(BF_FAULT_TARGET_HELLO,	"target-hello")			\
	X(BF_FAULT_TARGET_OPENED,	"target-opened")		\
	X(BF_FAULT_TARGET_CLAIM,	"target-claim")			\
	X(BF_FAULT_TARGET_CLAIMED,	"target-claimed")		\
	X(BF_FAULT_TARGET_ATTACHED,	"target-attached")		\
	X(BF_FAULT_TARGET_BEGIN,	"target-begin")			\
	X(BF_FAULT_TARGET_DATA,		"target-data")			\
	X(BF_FAULT_TARGET_DAMAGED,	"target-damaged")		\
	X(BF_FAULT_TARGET_APPLIED,	"target-applied")		\
	X(BF_FAULT_TARGET_DIGEST,	"target-digest")		\
	X(BF_FAULT_TARGET_FLUSH,	"target-flush")			\
	X(BF_FAULT_TARGET_FLUSHED,	"target-flushed")		\
	X(BF_FAULT_TARGET_RECORDED,	"target-recorded")		\
	X(BF_FAULT_TARGET_DURABLE,	"target-durable")		\
	X(BF_FAULT_TARGET_CUTOVER,	"target-cutover")		\
	X(BF_FAULT_TARGET_CUT_OVER,	"target-cut-over")		\
	X(BF_FAULT_TARGET_ANSWERED,	"target-answered")

enum bf_fault {
#define BF_FAULT_ENUM(constant, name) constant,
	BF_FAULT_TABLE(BF_FAULT_ENUM)
#undef BF_FAULT_ENUM
};

#ifdef BF_FAULTS
int bf_fault(enum bf_fault point, struct bf_error *err);
#else
static inline int bf_fault(enum bf_fault point, struct bf_error *err)
{
	return 0;
}
#endif

#endif /* BF_LIB_FAULT_H */
