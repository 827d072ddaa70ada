/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Netlink: commands of the contract flow in, are checked against their bounds
 * (RULE 6) and carried out; reply.h writes what flows out.
 */
#ifndef BF_NETLINK_H
#define BF_NETLINK_H

#include <net/genetlink.h>

extern struct genl_family bf_genl_family;

int bf_netlink_init(void);
void bf_netlink_exit(void);

#endif /* BF_NETLINK_H */
