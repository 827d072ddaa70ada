// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: see events.h. The way is: bit in tracker->pending, irq_work, worker;
 * an irq_work because queueing work takes locks that a completion must not.
 */
#include <linux/bitops.h>

#include "compat/compat.h"
#include "events.h"
#include "fault.h"
#include "reply.h"

/* Layout of tracker->pending. */
#define PENDING_EVENT(event)	(event)
#define PENDING_REFILL		31
#define PENDING_REASON(reason)	(32 + (reason))

static_assert(BLKFERRY_EVENT_MAX < PENDING_REFILL, "events fit below the refill bit");
static_assert(PENDING_REASON(BLKFERRY_REASON_MAX) < BITS_PER_LONG, "reasons fit above it");

/* Unbound: refills allocate, and must not sit on the CPU of a busy disk. */
static struct workqueue_struct *workqueue;

static void tell(const struct bf_tracker *tracker, unsigned long pending)
{
	struct bf_event event = {
		.tracker_id = tracker->id,
		.name = tracker->name,
	};
	u32 bit;

	for_each_set_bit(bit, &pending, BITS_PER_LONG) {
		bool reason = bit > PENDING_REFILL;

		if (bit == PENDING_REFILL)
			continue;
		event.event = reason ? BLKFERRY_EVENT_RESYNC_NEEDED : bit;
		event.reason = reason ? bit - PENDING_REASON(0) :
					BLKFERRY_REASON_NONE;
		bf_reply_event(&event);
	}
}

static void work(struct work_struct *work)
{
	struct bf_tracker *tracker = container_of(work, struct bf_tracker, work);
	unsigned long pending = xchg(&tracker->pending, 0);

	if (pending & BIT(PENDING_REFILL))
		bf_tracker_refill(tracker);
	tell(tracker, pending);
}

static void kick(struct irq_work *kick)
{
	struct bf_tracker *tracker = container_of(kick, struct bf_tracker, kick);

	queue_work(workqueue, &tracker->work);
}

static void pend(struct bf_tracker *tracker, unsigned int bit)
{
	if (!test_and_set_bit(bit, &tracker->pending))
		irq_work_queue(&tracker->kick);
}

/**
 * bf_events_module_init() - make the worker
 *
 * Context: Process.
 * Return: 0 or -ENOMEM.
 */
int bf_events_module_init(void)
{
	int ret = bf_fault(BF_FAULT_LOAD_EVENTS);

	if (ret)
		return ret;
	workqueue = alloc_workqueue("blkferry", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return workqueue ? 0 : -ENOMEM;
}

/**
 * bf_events_module_exit() - undo bf_events_module_init(); no tracker exists
 *
 * Context: Process.
 */
void bf_events_module_exit(void)
{
	destroy_workqueue(workqueue);
}

/**
 * bf_events_init() - prepare a tracker that is being made
 * @tracker: the tracker
 *
 * Context: Any.
 */
void bf_events_init(struct bf_tracker *tracker)
{
	tracker->kick = BF_IRQ_WORK_HARD(kick);
	INIT_WORK(&tracker->work, work);
}

/**
 * bf_events_stop() - wait for what is under way
 * @tracker: the tracker; nobody can raise anything on it any more
 *
 * Context: Process, may sleep.
 */
void bf_events_stop(struct bf_tracker *tracker)
{
	irq_work_sync(&tracker->kick);
	/* There the core looks at one after it has said that it is idle. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		synchronize_rcu_expedited();
	cancel_work_sync(&tracker->work);
}

/**
 * bf_events_send() - send an event soon
 * @tracker: the tracker
 * @event: the event
 *
 * Context: Any.
 */
void bf_events_send(struct bf_tracker *tracker, enum blkferry_event event)
{
	pend(tracker, PENDING_EVENT(event));
}

/**
 * bf_events_reason() - send the event RESYNC_NEEDED soon
 * @tracker: the tracker
 * @reason: the reason
 *
 * Context: Any.
 */
void bf_events_reason(struct bf_tracker *tracker, enum blkferry_reason reason)
{
	pend(tracker, PENDING_REASON(reason));
}

/**
 * bf_events_refill() - have the reserve filled soon
 * @tracker: the tracker
 *
 * Context: Any.
 */
void bf_events_refill(struct bf_tracker *tracker)
{
	pend(tracker, PENDING_REFILL);
}
