/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: nobody waits for the processor. */
#ifndef BF_SHIM_SCHED_H
#define BF_SHIM_SCHED_H

static inline void cond_resched(void)
{
}

#endif /* BF_SHIM_SCHED_H */
