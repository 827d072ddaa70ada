/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to the netlink fuzzer: see netlink_fuzz.h. Whatever the question was,
 * an answer is a chain of well-formed attributes, its extents lie on the disk in
 * ascending order, and its errno is one that the contract names. Descriptors and
 * trackers that answers bring are learned, however wrong the question was.
 */
#include <fcntl.h>
#include <unistd.h>

#include "../netlink_fuzz.h"

/* Those of the contract, and what netlink itself says of sizes and rooms. */
static bool may_be_said(int errnum)
{
	switch (errnum) {
	case EINVAL: case ERANGE: case EBADF: case ENODEV: case ENOENT: case EBUSY:
	case EEXIST: case ESTALE: case EBADMSG: case EOPNOTSUPP: case EMFILE:
	case ENFILE: case ENOSPC: case E2BIG: case ENOMEM: case EAGAIN: case ENOBUFS:
		return true;
	default:
		return false;
	}
}

static void unsound(struct heard *heard, const char *what, uint64_t value)
{
	if (!heard->unsound++)
		printf("# unsound: %s (%ju)\n", what, (uintmax_t)value);
}

static bool is_nest(uint16_t type)
{
	return type == A(TRACKER) || type == A(BEGIN_LIST) || type == A(BEGIN_ENTRY) ||
	       type == A(REASONS) || type == A(REASON) || type == A(STATS);
}

/* Whether attributes up to a type fill a space exactly, and those in them theirs. */
static bool well_formed(const char *at, size_t len, uint16_t type_max)
{
	while (len) {
		const struct nlattr *attr = (const void *)at;
		uint16_t type = attr->nla_type & NLA_TYPE_MASK;
		size_t step;

		if (len < NLA_HDRLEN || attr->nla_len < NLA_HDRLEN || type > type_max)
			return false;
		step = NLA_ALIGN(attr->nla_len);
		if (step > len)
			return false;
		/* Statistics have types of their own, and no nests. */
		if (type_max == BLKFERRY_A_MAX && is_nest(type) &&
		    !well_formed(at + NLA_HDRLEN, attr->nla_len - NLA_HDRLEN,
				 type == A(STATS) ? BLKFERRY_STAT_MAX : type_max))
			return false;
		at += step;
		len -= step;
	}
	return true;
}

/* The first attribute of that type at this level. */
static const struct nlattr *attr_at(const char *at, size_t len, uint16_t type)
{
	while (len >= NLA_HDRLEN) {
		const struct nlattr *attr = (const void *)at;
		size_t step = NLA_ALIGN(attr->nla_len);

		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return attr;
		if (step >= len)
			return NULL;
		at += step;
		len -= step;
	}
	return NULL;
}

static const char *inside(const struct nlattr *attr, size_t *len)
{
	*len = attr->nla_len - NLA_HDRLEN;
	return (const char *)attr + NLA_HDRLEN;
}

static uint64_t number(const char *at, size_t len, uint16_t type)
{
	const struct nlattr *attr = attr_at(at, len, type);
	uint64_t value = 0;
	size_t bytes;

	if (attr) {
		const char *data = inside(attr, &bytes);

		memcpy(&value, data, bytes < 8 ? bytes : 8);
	}
	return value;
}

static void learn_tracker(struct known *known, const char *at, size_t len,
			  uint32_t disk_fd)
{
	struct known_tracker tracker = {
		.id = number(at, len, A(TRACKER_ID)),
		.disk_fd = disk_fd,
		.granularity_sectors = number(at, len, A(GRANULARITY)) / 512,
		.nr_sectors = number(at, len, A(NR_SECTORS)),
	};

	known_tracker_add(known, &tracker);
}

/* The answer does not say which descriptor the disk had: the question does. */
static uint32_t disk_of_question(const struct wire *w)
{
	const struct nlmsghdr *header = (const void *)w->out;
	size_t body = NLMSG_HDRLEN + GENL_HDRLEN;
	const uint32_t *fd = NULL;

	if (header->nlmsg_len > body && header->nlmsg_len <= MESSAGE_MAX)
		fd = find_attr(w->out + body, header->nlmsg_len - body, A(DEV_FD));
	return fd ? *fd : 0;
}

static void learn_drains(struct known *known, struct heard *heard,
			 const char *at, size_t len)
{
	while (len >= NLA_HDRLEN) {
		const struct nlattr *attr = (const void *)at;
		size_t step = NLA_ALIGN(attr->nla_len), bytes, reasons_bytes;
		const char *in = inside(attr, &bytes), *reasons;
		struct known_drain drain = {
			.fd = number(in, bytes, A(DRAIN_FD)),
			.tracker.id = number(in, bytes, A(TRACKER_ID)),
			.generation = number(in, bytes, A(GENERATION)),
			.nr_blocks = number(in, bytes, A(NR_BLOCKS)),
		};

		if (fcntl(drain.fd, F_GETFD) != FD_CLOEXEC)
			unsound(heard, "a drain's descriptor", drain.fd);
		attr = attr_at(in, bytes, A(REASONS));
		reasons = attr ? inside(attr, &reasons_bytes) : NULL;
		if (reasons && reasons_bytes <= sizeof(drain.reasons)) {
			memcpy(drain.reasons, reasons, reasons_bytes);
			drain.reasons_bytes = reasons_bytes;
		}
		known_tracker_find(known, drain.tracker.id, &drain.tracker);
		known_drain_add(known, &drain);
		if (step >= len)
			return;
		at += step;
		len -= step;
	}
}

static void check_extents(const struct known *known, struct heard *heard,
			  const char *at, size_t len)
{
	struct blkferry_extent extent;
	uint64_t end = 0;

	if (len % sizeof(extent) ||
	    len > BLKFERRY_WALK_EXTENTS_MAX * sizeof(extent))
		unsound(heard, "the size of an array of extents", len);
	for (; len >= sizeof(extent); at += sizeof(extent), len -= sizeof(extent)) {
		memcpy(&extent, at, sizeof(extent));
		if (extent.sector < end || !extent.nr_sectors)
			unsound(heard, "extents in disorder", extent.sector);
		end = extent.sector + extent.nr_sectors;
		if (end > known_sectors_max(known))
			unsound(heard, "an extent behind the disk", end);
	}
}

static void learn(struct wire *w, const struct nlmsghdr *h, struct known *known,
		  struct heard *heard)
{
	const struct genlmsghdr *genl = NLMSG_DATA(h);
	const char *at = (const char *)(genl + 1);
	size_t len = h->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN, bytes;
	const struct nlattr *attr;
	const char *in;

	if (h->nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN ||
	    !well_formed(at, len, BLKFERRY_A_MAX)) {
		unsound(heard, "attributes of an answer to command", genl->cmd);
		return;
	}
	attr = attr_at(at, len, A(TRACKER));
	if (attr && genl->cmd == BLKFERRY_CMD_TRACK) {
		in = inside(attr, &bytes);
		learn_tracker(known, in, bytes, disk_of_question(w));
	}
	attr = attr_at(at, len, A(BEGIN_LIST));
	if (attr) {
		in = inside(attr, &bytes);
		learn_drains(known, heard, in, bytes);
	}
	attr = attr_at(at, len, A(EXTENTS));
	if (attr) {
		in = inside(attr, &bytes);
		check_extents(known, heard, in, bytes);
	}
}

static void take(struct wire *w, const struct nlmsghdr *h, struct known *known,
		 struct heard *heard, struct outcome *outcome)
{
	if (h->nlmsg_type == w->family && !h->nlmsg_seq) {
		heard->events++;
		return;
	}
	if (h->nlmsg_type == NLMSG_ERROR)
		outcome->errnum = -((const struct nlmsgerr *)NLMSG_DATA(h))->error;
	else if (h->nlmsg_type == NLMSG_DONE)
		outcome->errnum = -*(const int *)NLMSG_DATA(h);
	else if (h->nlmsg_type == w->family)
		learn(w, h, known, heard);
	outcome->answered = true;
	if (outcome->errnum && !may_be_said(outcome->errnum))
		unsound(heard, "an errno that the contract does not name",
			outcome->errnum);
}

/* The module answers before the send returns; a dump goes on as it is read. */
struct outcome hear(struct wire *w, struct known *known, struct heard *heard)
{
	struct outcome outcome = { 0 };

	for (;;) {
		ssize_t got = recv(w->fd, w->in, sizeof(w->in), MSG_DONTWAIT);

		if (got < 0 && errno == ENOBUFS) {
			outcome.overrun = true;
			continue;
		}
		if (got < 0)
			return outcome;
		for (const struct nlmsghdr *h = (const void *)w->in;
		     NLMSG_OK(h, (size_t)got); h = NLMSG_NEXT(h, got))
			take(w, h, known, heard, &outcome);
	}
}
