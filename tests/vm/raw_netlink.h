/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netlink by hand, for programs that send the module what the library would not
 * let out. In: attributes of any type and length. Out: the errno of the answer,
 * and the answer itself in struct wire.
 */
#ifndef BF_TESTS_RAW_NETLINK_H
#define BF_TESTS_RAW_NETLINK_H

#include <errno.h>
#include <linux/genetlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/blkferry.h>

#define MESSAGE_MAX (64 * 1024)

#define A(name)	BLKFERRY_A_##name

struct wire {
	int fd;
	uint16_t family;
	uint32_t seq;
	uint32_t len;
	bool words;		/* the last refusal said why */
	char out[MESSAGE_MAX];
	char in[MESSAGE_MAX];
};

static inline void start_message(struct wire *w, uint16_t type, uint8_t cmd, uint16_t flags)
{
	struct nlmsghdr *header = (struct nlmsghdr *)w->out;
	struct genlmsghdr *genl = (struct genlmsghdr *)(header + 1);

	memset(w->out, 0, NLMSG_HDRLEN + GENL_HDRLEN);
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	header->nlmsg_seq = ++w->seq;
	genl->cmd = cmd;
	genl->version = BLKFERRY_GENL_VERSION;
	w->len = NLMSG_HDRLEN + GENL_HDRLEN;
}

static inline size_t put_attr(char *at, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = (struct nlattr *)at;

	memset(at, 0, NLA_ALIGN(NLA_HDRLEN + len));
	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + len;
	if (len)
		memcpy(at + NLA_HDRLEN, data, len);
	return NLA_ALIGN(NLA_HDRLEN + len);
}

static inline void put(struct wire *w, uint16_t type, const void *data, size_t len)
{
	w->len += put_attr(w->out + w->len, type, data, len);
}

/* Whether an error message carries words of cause and cure. */
static inline bool has_words(const struct nlmsghdr *header)
{
	const struct nlmsgerr *error = NLMSG_DATA(header);
	const char *at = (const char *)(error + 1);
	const char *end = (const char *)header + header->nlmsg_len;

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return false;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		at += NLMSG_ALIGN(error->msg.nlmsg_len) - NLMSG_HDRLEN;
	while (at + NLA_HDRLEN <= end) {
		const struct nlattr *attr = (const void *)at;

		if ((attr->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG)
			return attr->nla_len > NLA_HDRLEN + 1;
		at += NLA_ALIGN(attr->nla_len);
	}
	return false;
}

/* Sends, and returns the errno of the answer: 0 for success. */
static inline int exchange(struct wire *w)
{
	struct nlmsghdr *header = (struct nlmsghdr *)w->out;

	header->nlmsg_len = w->len;
	if (send(w->fd, w->out, w->len, 0) < 0)
		return errno;
	for (;;) {
		ssize_t got = recv(w->fd, w->in, sizeof(w->in), 0);

		if (got < 0)
			return errno;
		for (struct nlmsghdr *h = (struct nlmsghdr *)w->in;
		     NLMSG_OK(h, (size_t)got); h = NLMSG_NEXT(h, got)) {
			if (h->nlmsg_seq != w->seq)
				continue;
			if (h->nlmsg_type == NLMSG_ERROR) {
				w->words = has_words(h);
				return -((struct nlmsgerr *)NLMSG_DATA(h))->error;
			}
			if (h->nlmsg_type == NLMSG_DONE)
				return -*(int *)NLMSG_DATA(h);
		}
	}
}

/* The first attribute of that type, also inside nests. */
static inline const void *find_attr(const char *at, size_t len, uint16_t type)
{
	while (len >= NLA_HDRLEN) {
		const struct nlattr *attr = (const void *)at;
		size_t step = NLA_ALIGN(attr->nla_len);
		uint16_t is = attr->nla_type & NLA_TYPE_MASK;
		const void *inside = NULL;

		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > len)
			break;
		if (is == type)
			return at + NLA_HDRLEN;
		if (is == A(TRACKER) || is == A(BEGIN_LIST) || is == A(BEGIN_ENTRY))
			inside = find_attr(at + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN, type);
		if (inside || step >= len)
			return inside;
		at += step;
		len -= step;
	}
	return NULL;
}

/* A command that must succeed; returns an attribute of its answer. */
static inline const void *must(struct wire *w, uint16_t wanted, const char *what)
{
	struct nlmsghdr *header = (struct nlmsghdr *)w->out;
	struct nlmsghdr *answer = (struct nlmsghdr *)w->in;
	const void *found;

	header->nlmsg_len = w->len;
	header->nlmsg_flags &= ~NLM_F_ACK;
	if (send(w->fd, w->out, w->len, 0) < 0 ||
	    recv(w->fd, w->in, sizeof(w->in), 0) < 0 ||
	    answer->nlmsg_type == NLMSG_ERROR) {
		printf("Bail out! %s failed\n", what);
		exit(2);
	}
	found = find_attr(w->in + NLMSG_HDRLEN + GENL_HDRLEN,
			  answer->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN, wanted);
	if (!found) {
		printf("Bail out! %s: no attribute %u in the answer\n", what, wanted);
		exit(2);
	}
	return found;
}

static inline void open_wire(struct wire *w)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };

	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	setsockopt(w->fd, SOL_NETLINK, NETLINK_EXT_ACK, &(int){ 1 }, sizeof(int));
	if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&self, sizeof(self))) {
		perror("netlink socket");
		exit(2);
	}
	start_message(w, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	put(w, CTRL_ATTR_FAMILY_NAME, BLKFERRY_GENL_NAME, sizeof(BLKFERRY_GENL_NAME));
	w->family = *(const uint16_t *)must(w, CTRL_ATTR_FAMILY_ID, "the family");
}

/* A BEGIN_ENTRY nest of what is given; ids and fds below 0 are left out. */
static inline size_t entry(char *at, int64_t id, int64_t fd)
{
	char inner[64];
	size_t len = 0;

	if (id >= 0)
		len += put_attr(inner + len, A(TRACKER_ID), &(uint32_t){ id }, 4);
	if (fd >= 0)
		len += put_attr(inner + len, A(DEV_FD), &(uint32_t){ fd }, 4);
	return put_attr(at, A(BEGIN_ENTRY) | NLA_F_NESTED, inner, len);
}

#endif /* BF_TESTS_RAW_NETLINK_H */
