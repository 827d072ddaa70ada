/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mistakes: what a tracker could get wrong, to be made on purpose, so that the
 * tests are seen to catch it. Compiled in by -DBF_MISTAKES, which only
 * `tools/vm --ko mistakes` asks for; else none of this is in the module.
 */
#ifndef BF_MISTAKES_H
#define BF_MISTAKES_H

enum bf_mistake {
	BF_MISTAKE_NONE,
	BF_MISTAKE_NO_CARRY,		/* at a swap nothing in flight is marked */
	BF_MISTAKE_ONE_RANGE,		/* of a discard only the first range */
	BF_MISTAKE_ANY_GENERATION,	/* commit with another's number works */
	BF_MISTAKE_CLEAR_ALL,		/* a resync clears what came during it */
	BF_MISTAKE_LOSE_TAGS,		/* what has no leaf is not walked */
	BF_MISTAKE_LOSE_RETURNED,	/* what is given back is forgotten */
	BF_MISTAKE_MARK_FIRST,		/* with a mark goes one of the first block */
};

#ifdef BF_MISTAKES
/* Module parameter "mistake". */
extern unsigned int bf_mistake;
#define bf_makes(mistake) (READ_ONCE(bf_mistake) == BF_MISTAKE_##mistake)
#else
#define bf_makes(mistake) false
#endif

#endif /* BF_MISTAKES_H */
