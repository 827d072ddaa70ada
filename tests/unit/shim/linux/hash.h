/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: a hash of an address, its best bits on top. */
#ifndef BF_SHIM_HASH_H
#define BF_SHIM_HASH_H

#include <linux/types.h>

static inline u32 hash_ptr(const void *ptr, unsigned int bits)
{
	return (u32)((u64)(uintptr_t)ptr * 0x9e3779b97f4a7c15ull >> (64 - bits));
}

#endif /* BF_SHIM_HASH_H */
