/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: allocation, from the C library. */
#ifndef BF_SHIM_SLAB_H
#define BF_SHIM_SLAB_H

#include <stdlib.h>

#include <linux/types.h>

#define GFP_KERNEL	0u
#define GFP_NOIO	0u
#define __GFP_NOWARN	0u

struct kmem_cache {
	size_t object_bytes;
};

static inline void *kmem_cache_zalloc(const struct kmem_cache *cache, gfp_t gfp)
{
	return calloc(1, cache->object_bytes);
}

static inline void kmem_cache_free(const struct kmem_cache *cache, void *object)
{
	free(object);
}

#define kvcalloc(nr, bytes, gfp)	calloc(nr, bytes)
#define kvzalloc(bytes, gfp)		calloc(1, bytes)
#define kvfree(at)			free(at)

#endif /* BF_SHIM_SLAB_H */
