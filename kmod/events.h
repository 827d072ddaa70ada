/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events: whatever a mark or a notifier has to tell flows in, in any context;
 * multicast messages and refills flow out of a worker. Several of one kind
 * that come before the worker runs become one.
 */
#ifndef BF_EVENTS_H
#define BF_EVENTS_H

#include "tracker.h"

int bf_events_module_init(void);
void bf_events_module_exit(void);

void bf_events_init(struct bf_tracker *tracker);
void bf_events_stop(struct bf_tracker *tracker);

void bf_events_send(struct bf_tracker *tracker, enum blkferry_event event);
void bf_events_reason(struct bf_tracker *tracker, enum blkferry_reason reason);
void bf_events_refill(struct bf_tracker *tracker);

#endif /* BF_EVENTS_H */
