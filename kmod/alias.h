/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Aliases: the head of an NVMe multipath namespace hands its very bios on to a
 * path, a hidden disk with the same sectors. Paths flow in as the kernel makes
 * them; a queue that completes a request flows in, the tracked head flows out.
 */
#ifndef BF_ALIAS_H
#define BF_ALIAS_H

#include "device.h"

/* How many paths are known; lets the probe of other disks pass by. */
extern unsigned int bf_nr_aliases;

bool bf_alias_parse_head(const char *disk_name, int *subsystem, int *head);
int bf_alias_add_all(struct bf_disk *disk, const struct bf_device *device);
void bf_alias_device(struct device *dev);
void bf_alias_drop_all(struct bf_disk *disk);
struct bf_disk *bf_alias_find(const struct request_queue *queue);

#endif /* BF_ALIAS_H */
