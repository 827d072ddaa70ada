/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: bits and bitmaps, written for clarity. */
#ifndef BF_SHIM_BITOPS_H
#define BF_SHIM_BITOPS_H

#include <linux/types.h>

#define BITS_TO_LONGS(nr)	(((nr) + BITS_PER_LONG - 1) / BITS_PER_LONG)
#define hweight_long(word)	((unsigned int)__builtin_popcountl(word))
#define __ffs(word)		((unsigned long)__builtin_ctzl(word))

static inline unsigned long shim_bit(unsigned long nr)
{
	return 1UL << (nr % BITS_PER_LONG);
}

static inline void set_bit(unsigned long nr, unsigned long *words)
{
	__atomic_fetch_or(&words[nr / BITS_PER_LONG], shim_bit(nr),
			  __ATOMIC_RELAXED);
}

static inline void clear_bit(unsigned long nr, unsigned long *words)
{
	__atomic_fetch_and(&words[nr / BITS_PER_LONG], ~shim_bit(nr),
			   __ATOMIC_RELAXED);
}

static inline bool test_and_set_bit(unsigned long nr, unsigned long *words)
{
	return __atomic_fetch_or(&words[nr / BITS_PER_LONG], shim_bit(nr),
				 __ATOMIC_SEQ_CST) & shim_bit(nr);
}

static inline unsigned long shim_find(const unsigned long *words,
				      unsigned long nr, unsigned long from,
				      unsigned long invert)
{
	while (from < nr) {
		unsigned long word = __atomic_load_n(&words[from / BITS_PER_LONG],
						     __ATOMIC_RELAXED);

		word = (word ^ invert) >> from % BITS_PER_LONG;
		if (word) {
			from += __builtin_ctzl(word);
			break;
		}
		from = (from / BITS_PER_LONG + 1) * BITS_PER_LONG;
	}
	return from < nr ? from : nr;
}

#define find_next_bit(words, nr, from)		shim_find(words, nr, from, 0)
#define find_next_zero_bit(words, nr, from)	shim_find(words, nr, from, ~0UL)

#define for_each_set_bit(bit, words, nr)				\
	for ((bit) = find_next_bit(words, nr, 0); (bit) < (nr);		\
	     (bit) = find_next_bit(words, nr, (bit) + 1))
#define for_each_set_bit_from(bit, words, nr)				\
	for ((bit) = find_next_bit(words, nr, bit); (bit) < (nr);	\
	     (bit) = find_next_bit(words, nr, (bit) + 1))

static inline void bitmap_clear(unsigned long *words, unsigned int first,
				unsigned int nr)
{
	for (unsigned int bit = first; bit < first + nr; bit++)
		words[bit / BITS_PER_LONG] &= ~shim_bit(bit);
}

#endif /* BF_SHIM_BITOPS_H */
