/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Probe: block_rq_complete flows in, marks and counts flow out.
 */
#ifndef BF_PROBE_H
#define BF_PROBE_H

struct netlink_ext_ack;
struct tracepoint;

int bf_probe_register(struct netlink_ext_ack *extack);
void bf_probe_unregister(void);
struct tracepoint *bf_tracepoint_find(const char *name);

#endif /* BF_PROBE_H */
