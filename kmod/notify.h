/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Notifiers: disks that come and go, hibernation and processors that go flow in,
 * reasons and paths of NVMe heads flow out.
 */
#ifndef BF_NOTIFY_H
#define BF_NOTIFY_H

struct class;

int bf_notify_init(void);
void bf_notify_exit(void);

int bf_notify_register(const struct class *class);
void bf_notify_unregister(void);

#endif /* BF_NOTIFY_H */
