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

#endif /* BF_SHIM_COMPILER_H */
