/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kinds: a device flows in; how its changes can be seen flows out, or why they
 * cannot, with what to track instead. A fixed list: a driver that is not known
 * to keep the rules of the in-flight table is refused.
 */
#ifndef BF_KIND_H
#define BF_KIND_H

#include "device.h"

int bf_kind_of(const struct bf_device *device, enum bf_disk_kind *kind,
	       struct netlink_ext_ack *extack);

#endif /* BF_KIND_H */
