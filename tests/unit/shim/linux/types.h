/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel shim: the types that kmod/ files built for unit tests use, on top of
 * the exported ones.
 */
#ifndef BF_SHIM_TYPES_H
#define BF_SHIM_TYPES_H

#include_next <linux/types.h>

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef long long s64;
typedef unsigned int gfp_t;

typedef struct { int counter; } atomic_t;
typedef struct { long counter; } atomic_long_t;
typedef struct { s64 counter; } atomic64_t;

#define BITS_PER_LONG	64
#define U64_MAX		(~(u64)0)

#endif /* BF_SHIM_TYPES_H */
