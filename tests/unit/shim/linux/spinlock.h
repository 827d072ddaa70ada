/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: a raw spinlock that spins; interrupts there are none. */
#ifndef BF_SHIM_SPINLOCK_H
#define BF_SHIM_SPINLOCK_H

#include <sched.h>

#include <linux/types.h>

typedef struct { int taken; } raw_spinlock_t;

static inline void raw_spin_lock_init(raw_spinlock_t *lock)
{
	lock->taken = 0;
}

static inline void shim_lock(raw_spinlock_t *lock)
{
	while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE))
		sched_yield();
}

static inline void shim_unlock(raw_spinlock_t *lock)
{
	__atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

#define raw_spin_lock_irqsave(lock, flags)	((flags) = 0, shim_lock(lock))
#define raw_spin_unlock_irqrestore(lock, flags)	((void)(flags), shim_unlock(lock))

#endif /* BF_SHIM_SPINLOCK_H */
