/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * A consumer that does not read what it is told: its socket's buffer is small
 * and full. In: a disk, the name of its tracker, which has changes. Out: one
 * line; status 1 if a BEGIN whose answer could not be delivered began something,
 * or if another consumer then misses a change. Events that nobody reads are lost
 * for that socket alone, which is told so.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netlink/attr.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/netlink.h"

static void __attribute__((noreturn)) give_up(const char *what)
{
	printf("%s\n", what);
	exit(2);
}

static struct nl_sock *small_socket(int *family)
{
	struct nl_sock *socket = nl_socket_alloc();
	int least = 1;

	if (!socket || genl_connect(socket))
		give_up("netlink");
	*family = genl_ctrl_resolve(socket, BLKFERRY_GENL_NAME);
	if (*family < 0 || setsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUF,
				      &least, sizeof(least)))
		give_up("the module is not loaded");
	return socket;
}

static void send_command(struct nl_sock *socket, int family, uint8_t command,
			 uint32_t id, int disk)
{
	struct nl_msg *m = nlmsg_alloc();
	struct nlattr *list, *entry;

	genlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_ACK, command,
		    BLKFERRY_GENL_VERSION);
	if (command == BLKFERRY_CMD_BEGIN) {
		list = nla_nest_start(m, BLKFERRY_A_BEGIN_LIST);
		entry = nla_nest_start(m, BLKFERRY_A_BEGIN_ENTRY);
		nla_put_u32(m, BLKFERRY_A_TRACKER_ID, id);
		nla_put_u32(m, BLKFERRY_A_DEV_FD, disk);
		nla_nest_end(m, entry);
		nla_nest_end(m, list);
	} else {
		nla_put_u32(m, BLKFERRY_A_TRACKER_ID, id);
	}
	if (nl_send_auto(socket, m) < 0)
		give_up("send");
	nlmsg_free(m);
}

/* Return: changed blocks that another consumer finds, all of them committed. */
static uint64_t drain(struct bf_netlink *nl, const struct bf_tracker *tracker, int disk)
{
	struct bf_drain d = { .fd = -1, .tracker_id = tracker->id };
	struct bf_error err;

	if (bf_drain_begin(nl, &d, &disk, 1, &err) ||
	    bf_drain_finish(nl, &d, tracker->nr_sectors, d.nr_blocks, NULL, &err))
		give_up(err.text);
	bf_drain_close(&d);
	return d.nr_blocks;
}

/* Each generation that is given back is an event. */
static void make_events(struct bf_netlink *nl, const struct bf_tracker *tracker, int disk)
{
	struct bf_error err;

	for (int i = 0; i < 200; i++) {
		struct bf_drain d = { .fd = -1, .tracker_id = tracker->id };

		if (bf_drain_begin(nl, &d, &disk, 1, &err))
			give_up(err.text);
		bf_drain_close(&d);
	}
}

/* Return: whether it was told that it had lost some. */
static bool lost_events(int fd)
{
	char buffer[8192];
	bool told = false;
	ssize_t got;

	while ((got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) >= 0 ||
	       errno == ENOBUFS)
		told |= got < 0;
	return told;
}

int main(int argc, char **argv)
{
	int family, disk = argc > 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	struct bf_tracker before, after;
	struct nl_sock *deaf, *sleepy;
	struct bf_netlink *nl;
	struct bf_error err;
	uint64_t found;
	bool told;

	if (disk < 0 || bf_netlink_open(&nl, &err) ||
	    bf_tracker_find(nl, argv[2], &before, &err))
		give_up("usage: unread DISK TRACKER");
	deaf = small_socket(&family);
	sleepy = small_socket(&family);
	if (nl_socket_add_membership(sleepy, genl_ctrl_resolve_grp(
			deaf, BLKFERRY_GENL_NAME, BLKFERRY_GENL_MCGRP)))
		give_up("events");
	for (int i = 0; i < 64; i++)
		send_command(deaf, family, BLKFERRY_CMD_GET, before.id, disk);
	for (int i = 0; i < 16; i++)
		send_command(deaf, family, BLKFERRY_CMD_BEGIN, before.id, disk);
	if (bf_tracker_get(nl, before.id, &after, &err))
		give_up(err.text);
	make_events(nl, &before, disk);
	found = drain(nl, &before, disk);
	told = lost_events(nl_socket_get_fd(sleepy));
	printf("owned %d found %" PRIu64 " told %d\n", after.drain_owned, found, told);
	return after.drain_owned || !found || !told;
}
