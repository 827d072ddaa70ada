/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: atomics; what is a full barrier in the kernel is one here. */
#ifndef BF_SHIM_ATOMIC_H
#define BF_SHIM_ATOMIC_H

#include <linux/types.h>

#define shim_add_return(n, v) __atomic_add_fetch(&(v)->counter, (n), __ATOMIC_SEQ_CST)
#define shim_read(v)	__atomic_load_n(&(v)->counter, __ATOMIC_RELAXED)
#define shim_set(v, n)	__atomic_store_n(&(v)->counter, (n), __ATOMIC_RELAXED)

#define atomic_read(v)			shim_read(v)
#define atomic_set(v, n)		shim_set(v, n)
#define atomic_inc(v)			((void)shim_add_return(1, v))
#define atomic_dec(v)			((void)shim_add_return(-1, v))
#define atomic64_read(v)		shim_read(v)
#define atomic64_set(v, n)		shim_set(v, n)
#define atomic64_add_return(n, v)	shim_add_return(n, v)
#define atomic_long_read(v)		shim_read(v)
#define atomic_long_add_return(n, v)	shim_add_return((long)(n), v)
#define atomic_long_sub(n, v)		((void)shim_add_return(-(long)(n), v))
#define atomic_long_fetch_or(mask, v) \
	__atomic_fetch_or(&(v)->counter, (long)(mask), __ATOMIC_SEQ_CST)

#define cmpxchg(at, old, new) __sync_val_compare_and_swap(at, old, new)

#endif /* BF_SHIM_ATOMIC_H */
