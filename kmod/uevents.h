/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Uevents: what the kernel tells udev flows in, the reason TABLE flows out: a
 * dm disk that resumes with another mapping table has other blocks without
 * anybody having written them. There is no notifier for it; this listens like
 * udev does. A resume with the same table cannot be told from it and counts.
 */
#ifndef BF_UEVENTS_H
#define BF_UEVENTS_H

int bf_uevents_register(void);
void bf_uevents_unregister(void);
void bf_uevents_flush(void);

#endif /* BF_UEVENTS_H */
