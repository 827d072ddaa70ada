// SPDX-License-Identifier: Apache-2.0
/*
 * Events of the module, as netlink.h offers them: multicast messages flow in,
 * one struct an event flows out. Lost ones are told of (RULE 4).
 */
#include <errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink.h"
#include "netlink_private.h"

/* An event is a few attributes; anything longer is none. */
#define EVENT_BYTES	4096

struct bf_events {
	struct bf_netlink *nl;
};

static int join(struct bf_netlink *nl, struct bf_error *err)
{
	int group = genl_ctrl_resolve_grp(nl->socket, BLKFERRY_GENL_NAME,
					  BLKFERRY_GENL_MCGRP);
	int ret;

	if (group < 0)
		return bf_fail(err, BF_E_NO_MODULE, ENOENT,
			       "the module has no events: %s; install module and command from one release",
			       nl_geterror(group));
	ret = nl_socket_add_membership(nl->socket, group);
	if (ret < 0)
		return bf_fail(err, BF_E_SYSTEM, EIO,
			       "the module's events cannot be heard: %s; run as root",
			       nl_geterror(ret));
	return 0;
}

int bf_events_open(struct bf_events **out, struct bf_error *err)
{
	struct bf_events *events = calloc(1, sizeof(*events));
	int ret;

	if (!events)
		return bf_netlink_no_memory(err);
	ret = bf_netlink_open(&events->nl, err);
	if (!ret)
		ret = join(events->nl, err);
	if (ret) {
		bf_events_close(events);
		return ret;
	}
	*out = events;
	return 0;
}

void bf_events_close(struct bf_events *events)
{
	if (!events)
		return;
	bf_netlink_close(events->nl);
	free(events);
}

int bf_events_fd(const struct bf_events *events)
{
	return nl_socket_get_fd(events->nl->socket);
}

static bool parse_event(struct nlmsghdr *header, int family,
			struct bf_tracker_event *event)
{
	struct nlattr *attrs[BLKFERRY_A_MAX + 1];

	memset(event, 0, sizeof(*event));
	if (header->nlmsg_type != family || !genlmsg_valid_hdr(header, 0) ||
	    genlmsg_hdr(header)->cmd != BLKFERRY_CMD_EVENT ||
	    genlmsg_parse(header, 0, attrs, BLKFERRY_A_MAX, NULL))
		return false;
	if (attrs[BLKFERRY_A_REASON_ID] &&
	    !bf_attr_u32(attrs[BLKFERRY_A_REASON_ID], &event->reason_id))
		return false;
	return bf_attr_u32(attrs[BLKFERRY_A_EVENT], &event->event) &&
	       bf_attr_u32(attrs[BLKFERRY_A_TRACKER_ID], &event->tracker_id) &&
	       bf_attr_string(attrs[BLKFERRY_A_NAME], event->name,
			      sizeof(event->name));
}

int bf_events_next(struct bf_events *events, struct bf_tracker_event *event)
{
	union {
		struct nlmsghdr header;
		char bytes[EVENT_BYTES];
	} buffer;

	for (;;) {
		struct sockaddr_nl from = {};
		socklen_t from_bytes = sizeof(from);
		ssize_t n = recvfrom(bf_events_fd(events), &buffer,
				     sizeof(buffer), MSG_DONTWAIT,
				     (struct sockaddr *)&from, &from_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		/* Only the kernel speaks for the module. */
		if (from.nl_pid == 0 && nlmsg_ok(&buffer.header, n) &&
		    parse_event(&buffer.header, events->nl->family, event))
			return 1;
	}
}
