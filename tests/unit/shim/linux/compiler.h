/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: what the compiler is told. */
#ifndef BF_SHIM_COMPILER_H
#define BF_SHIM_COMPILER_H

#define __percpu
#define __rcu
#define __force
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

/* Acquire: the kernel relies on address dependencies, which C has no word for. */
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define WRITE_ONCE(x, value)	__atomic_store_n(&(x), value, __ATOMIC_RELAXED)
#define smp_load_acquire(at)	__atomic_load_n(at, __ATOMIC_ACQUIRE)
#define smp_store_release(at, value)	__atomic_store_n(at, value, __ATOMIC_RELEASE)
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)

#endif /* BF_SHIM_COMPILER_H */
