/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: arithmetic and assertions. */
#ifndef BF_SHIM_KERNEL_H
#define BF_SHIM_KERNEL_H

#include <stdlib.h>

#include <linux/compiler.h>
#include <linux/types.h>

#define min(a, b) ({						\
	__typeof__(a) shim_a = (a);				\
	__typeof__(b) shim_b = (b);				\
	shim_a < shim_b ? shim_a : shim_b; })
#define max(a, b) ({						\
	__typeof__(a) shim_c = (a);				\
	__typeof__(b) shim_d = (b);				\
	shim_c > shim_d ? shim_c : shim_d; })
#define min_t(type, a, b)	min((type)(a), (type)(b))
#define max_t(type, a, b)	max((type)(a), (type)(b))
#define clamp_t(type, value, low, high) \
	min_t(type, max_t(type, value, low), high)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* A warning of the kernel is a failure here. */
#define WARN_ON_ONCE(condition) ({ if (condition) abort(); false; })

#undef static_assert
#define static_assert(condition, ...) \
	_Static_assert(condition, "" #condition)

#endif /* BF_SHIM_KERNEL_H */
