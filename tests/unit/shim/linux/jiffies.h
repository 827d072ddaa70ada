/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim: time stands still unless the test moves it. */
#ifndef BF_SHIM_JIFFIES_H
#define BF_SHIM_JIFFIES_H

#define HZ 100

extern unsigned long jiffies;

#define time_after_eq(a, b)	((long)((a) - (b)) >= 0)

#endif /* BF_SHIM_JIFFIES_H */
