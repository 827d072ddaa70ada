/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bios: bios of bio-based disks flow in through the tracepoints block_bio_queue,
 * block_bio_remap and block_bio_complete; marks, counts and reasons flow out.
 * Looked at only while such a disk is tracked.
 */
#ifndef BF_BIO_H
#define BF_BIO_H

struct netlink_ext_ack;

int bf_bio_register(struct netlink_ext_ack *extack);
void bf_bio_unregister(void);

#endif /* BF_BIO_H */
