/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Notifiers: removal of a disk, hibernation and processors that go flow in,
 * reasons flow out.
 */
#ifndef BF_NOTIFY_H
#define BF_NOTIFY_H

struct class;

int bf_notify_init(void);
void bf_notify_exit(void);

int bf_notify_register(const struct class *class);
void bf_notify_unregister(void);

#endif /* BF_NOTIFY_H */
