/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the netlink fuzzer: see netlink_fuzz.h. A message is composed as
 * a list of attributes, then things are made wrong with attributes of the list,
 * then it is written out, and then with what was written.
 */
#include "../netlink_fuzz.h"

#define ATTRS_MAX	10
#define BYTES_MAX	(24 * 1024)
#define WRONGS_AT_ONCE	3

struct attribute {
	uint16_t type;
	uint16_t len;
	uint16_t claim;		/* what nla_len says instead; 0: the truth */
	uint32_t at;		/* in message.bytes */
};

struct message {
	uint16_t type;
	uint16_t flags;
	uint8_t cmd;
	unsigned int nr_attrs;
	struct attribute attrs[ATTRS_MAX];
	uint32_t nr_bytes;
	char bytes[BYTES_MAX];
};

const char *const kind_names[NR_KINDS] = {
	"track", "untrack", "get", "dump", "set", "mark", "begin",
	"begin-several", "walk", "peek", "commit", "commit-final",
	"commit-resynced", "abort",
};

const char *const wrong_names[NR_WRONGS] = {
	"nothing", "attribute dropped", "attribute doubled", "another length",
	"no bytes", "random value", "foreign or stale", "nested garbage",
	"another type", "attribute's length lies", "cut short",
	"message's length lies", "bytes behind", "noise", "another command",
	"other flags", "another family",
};

/* --- sound messages ------------------------------------------------------------ */

static void add(struct message *m, uint16_t type, const void *data, size_t len)
{
	struct attribute *attr = &m->attrs[m->nr_attrs];

	if (m->nr_attrs == ATTRS_MAX || m->nr_bytes + len > BYTES_MAX)
		return;
	*attr = (struct attribute){ .type = type, .len = len, .at = m->nr_bytes };
	if (len)
		memcpy(m->bytes + m->nr_bytes, data, len);
	m->nr_bytes += len;
	m->nr_attrs++;
}

static void add_u32(struct message *m, uint16_t type, uint32_t value)
{
	add(m, type, &value, sizeof(value));
}

static void add_u64(struct message *m, uint16_t type, uint64_t value)
{
	add(m, type, &value, sizeof(value));
}

/* A sector at which a walk may start and a commit may end. */
static uint64_t spot(struct draws *d, const struct known_tracker *tracker)
{
	uint64_t unit = tracker->granularity_sectors ? tracker->granularity_sectors : 8;
	uint64_t nr = tracker->nr_sectors / unit;

	switch (draw(d, 4)) {
	case 0: return 0;
	case 1: return tracker->nr_sectors;
	default: return nr ? draw64(d) % nr * unit : 0;
	}
}

static void compose_track(struct message *m, struct known *known, struct draws *d)
{
	char name[16];
	int len = snprintf(name, sizeof(name), "fuzz-%u", draw(d, 40));

	m->cmd = BLKFERRY_CMD_TRACK;
	add_u32(m, A(DEV_FD), known_disk(known, d));
	add(m, A(NAME), name, len + 1);
	if (draw(d, 3) == 0)
		add_u32(m, A(GRANULARITY), BLKFERRY_GRANULARITY_MIN << draw(d, 9));
	if (draw(d, 4) == 0)
		add(m, A(ALL_DIRTY), NULL, 0);
}

static void compose_mark(struct message *m, struct draws *d, struct sent *sent)
{
	static _Thread_local struct blkferry_extent extents[BLKFERRY_MARK_EXTENTS_MAX];
	uint64_t nr_sectors = sent->tracker.nr_sectors;
	uint32_t nr = draw(d, 20) ? 1 + draw(d, 30) : BLKFERRY_MARK_EXTENTS_MAX;

	for (uint32_t i = 0; i < nr; i++) {
		extents[i].sector = nr_sectors ? draw64(d) % nr_sectors : 0;
		extents[i].nr_sectors = 1 + draw(d, 64);
		if (extents[i].sector + extents[i].nr_sectors > nr_sectors)
			extents[i].sector = 0;
	}
	m->cmd = BLKFERRY_CMD_MARK;
	add_u32(m, A(TRACKER_ID), sent->tracker.id);
	add(m, A(EXTENTS), extents, nr * sizeof(*extents));
}

static void compose_begin(struct message *m, struct known *known, struct draws *d,
			  struct sent *sent)
{
	uint32_t nr = sent->kind == BEGIN ? 1 : 2 + draw(d, 3);
	struct known_tracker tracker = sent->tracker;
	char list[256];
	size_t len = 0;

	for (uint32_t i = 0; i < nr; i++) {
		len += entry(list + len, tracker.id, tracker.disk_fd);
		known_tracker_pick(known, d, &tracker);
	}
	m->cmd = BLKFERRY_CMD_BEGIN;
	add(m, A(BEGIN_LIST) | NLA_F_NESTED, list, len);
}

/* Reasons as they were given, or any others of the right shape. */
static void add_reasons(struct message *m, struct draws *d, const struct sent *sent)
{
	char inner[64], list[REASONS_MAX];
	size_t len = 0, nr = draw(d, 4);

	if (sent->drain.reasons_bytes && draw(d, 2)) {
		add(m, A(REASONS) | NLA_F_NESTED, sent->drain.reasons,
		    sent->drain.reasons_bytes);
		return;
	}
	while (nr--) {
		uint32_t id = 1 + draw(d, BLKFERRY_REASON_MAX);
		uint64_t raised = draw(d, 5);
		size_t in = put_attr(inner, A(REASON_ID), &id, sizeof(id));

		in += put_attr(inner + in, A(REASON_RAISED), &raised, sizeof(raised));
		len += put_attr(list + len, A(REASON) | NLA_F_NESTED, inner, in);
	}
	add(m, A(REASONS) | NLA_F_NESTED, list, len);
}

static void compose_of_drain(struct message *m, struct draws *d, struct sent *sent)
{
	const struct known_tracker *tracker = &sent->drain.tracker;

	add_u32(m, A(DRAIN_FD), sent->drain.fd);
	add_u64(m, A(GENERATION), sent->drain.generation);
	switch (sent->kind) {
	case WALK:
		m->cmd = BLKFERRY_CMD_WALK;
		add_u64(m, A(FROM_SECTOR), spot(d, tracker));
		break;
	case COMMIT:
		m->cmd = BLKFERRY_CMD_COMMIT;
		add_u64(m, A(THROUGH_SECTOR), spot(d, tracker));
		break;
	case COMMIT_FINAL:
	case COMMIT_RESYNCED:
		m->cmd = BLKFERRY_CMD_COMMIT;
		add_u64(m, A(THROUGH_SECTOR), tracker->nr_sectors);
		add_u64(m, A(NR_BLOCKS), sent->drain.nr_blocks);
		if (sent->kind == COMMIT_RESYNCED)
			add_reasons(m, d, sent);
		break;
	default:
		m->cmd = BLKFERRY_CMD_ABORT;
	}
}

static void compose_of_tracker(struct message *m, struct draws *d, struct sent *sent)
{
	add_u32(m, A(TRACKER_ID), sent->tracker.id);
	switch (sent->kind) {
	case UNTRACK:
		m->cmd = BLKFERRY_CMD_UNTRACK;
		break;
	case SET:
		m->cmd = BLKFERRY_CMD_SET;
		add_u64(m, A(WATERMARK_BYTES), (uint64_t)draw(d, 4096) * 4096);
		break;
	case PEEK:
		m->cmd = BLKFERRY_CMD_PEEK;
		add_u64(m, A(FROM_SECTOR), spot(d, &sent->tracker));
		break;
	default:
		m->cmd = BLKFERRY_CMD_GET;
	}
}

static void compose_sound(struct message *m, struct known *known, struct draws *d,
			  struct sent *sent)
{
	switch (sent->kind) {
	case TRACK:
		compose_track(m, known, d);
		break;
	case DUMP:
		m->cmd = BLKFERRY_CMD_GET;
		m->flags = NLM_F_DUMP;
		if (draw(d, 2))
			add_u32(m, A(TRACKER_ID), sent->tracker.id);
		break;
	case MARK:
		compose_mark(m, d, sent);
		break;
	case BEGIN:
	case BEGIN_SEVERAL:
		compose_begin(m, known, d, sent);
		break;
	case UNTRACK:
	case GET:
	case SET:
	case PEEK:
		compose_of_tracker(m, d, sent);
		break;
	default:
		compose_of_drain(m, d, sent);
	}
}

/* --- what is wrong with an attribute ------------------------------------------- */

/* A number that is worth trying. */
static uint64_t odd_number(struct draws *d)
{
	static const uint64_t numbers[] = {
		0, 1, 7, 9, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0x100000000, 1ULL << 52, 1ULL << 55, 1ULL << 63,
		-8ULL, -4096ULL, -1ULL,
	};

	return draw(d, 3) ? numbers[draw(d, sizeof(numbers) / sizeof(*numbers))] :
			    draw64(d);
}

static void fill(struct draws *d, char *bytes, uint32_t len)
{
	uint64_t number = odd_number(d);

	if (len <= sizeof(number)) {
		memcpy(bytes, &number, len);
		return;
	}
	for (uint32_t i = 1 + draw(d, 8); i; i--)
		bytes[draw(d, len)] = draw64(d);
}

/* What is another's, or was somebody's once. */
static void make_foreign(struct message *m, struct attribute *attr,
			 struct known *known, struct draws *d)
{
	char *bytes = m->bytes + attr->at;
	struct known_tracker tracker = { .id = draw(d, 200) };
	struct known_drain drain = { .fd = draw(d, 64) };
	uint64_t number;

	if (draw(d, 3)) {
		known_tracker_pick(known, d, &tracker);
		known_drain_pick(known, d, &drain);
	}
	if (attr->type == A(TRACKER_ID) && attr->len == 4) {
		memcpy(bytes, &tracker.id, 4);
	} else if ((attr->type == A(DRAIN_FD) || attr->type == A(DEV_FD)) &&
		   attr->len == 4) {
		memcpy(bytes, &drain.fd, 4);
	} else if (attr->len == 8) {
		memcpy(&number, bytes, 8);
		number += (uint64_t)draw(d, 17) - 8;
		memcpy(bytes, attr->type == A(GENERATION) && draw(d, 2) ?
			      &drain.generation : &number, 8);
	} else if (attr->len > 8) {	/* within a list */
		memcpy(bytes + (draw(d, attr->len - 4) & ~3u),
		       draw(d, 2) ? &tracker.id : (uint32_t *)&drain.fd, 4);
	}
}

/* The attribute moves behind the others, with room for what it becomes. */
static char *replace(struct message *m, struct attribute *attr, uint32_t len)
{
	if (m->nr_bytes + len > BYTES_MAX)
		len = 0;
	memset(m->bytes + m->nr_bytes, 0, len);
	memcpy(m->bytes + m->nr_bytes, m->bytes + attr->at,
	       len < attr->len ? len : attr->len);
	attr->at = m->nr_bytes;
	attr->len = len;
	m->nr_bytes += len;
	return m->bytes + attr->at;
}

static void make_nest(struct message *m, struct attribute *attr, struct draws *d)
{
	char *bytes = replace(m, attr, 4 * draw(d, 64));
	uint32_t at = 0;

	attr->type |= NLA_F_NESTED;
	while (at + 8 <= attr->len) {	/* attributes inside, more or less */
		uint16_t len = draw(d, 4) ? 4 + draw(d, 12) : draw64(d);
		uint16_t type = draw(d, BLKFERRY_A_MAX + 4) |
				(draw(d, 2) ? NLA_F_NESTED : 0);

		memcpy(bytes + at, &len, 2);
		memcpy(bytes + at + 2, &type, 2);
		fill(d, bytes + at + 4, 4);
		at += NLA_ALIGN(len < 8 ? 8 : len);
	}
}

static void spoil_attribute(struct message *m, enum wrong wrong,
			    struct known *known, struct draws *d)
{
	uint32_t at = m->nr_attrs ? draw(d, m->nr_attrs) : 0;
	struct attribute *attr = &m->attrs[at];

	if (!m->nr_attrs)
		return;
	switch (wrong) {
	case DROPPED:
		memmove(attr, attr + 1, (--m->nr_attrs - at) * sizeof(*attr));
		break;
	case DOUBLED:
		add(m, attr->type, m->bytes + attr->at, attr->len);
		if (draw(d, 2))
			fill(d, m->bytes + m->attrs[m->nr_attrs - 1].at, attr->len);
		break;
	case LENGTH:
		replace(m, attr, draw(d, 2) ? draw(d, 40) : attr->len + 1 + draw(d, 8));
		break;
	case EMPTY:
		attr->len = 0;
		break;
	case VALUE:
		fill(d, m->bytes + attr->at, attr->len);
		break;
	case FOREIGN:
		make_foreign(m, attr, known, d);
		break;
	case NEST:
		make_nest(m, attr, d);
		break;
	case TYPE:
		attr->type = draw(d, 8) ? draw(d, BLKFERRY_A_MAX + 8) : draw64(d);
		break;
	case CLAIM:
		attr->claim = draw(d, 2) ? draw(d, 64) : draw64(d);
		break;
	default:
		break;
	}
}

static void spoil_header(struct message *m, enum wrong wrong, struct draws *d)
{
	static const uint16_t types[] = {
		NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN, 0xf,
		GENL_ID_CTRL, 0x7fff, 0xffff,
	};

	switch (wrong) {
	case COMMAND:
		m->cmd = draw(d, 4) ? draw(d, BLKFERRY_CMD_MAX + 4) : draw64(d);
		break;
	case FLAGS:
		m->flags = draw64(d) & ~NLM_F_REQUEST;
		break;
	case FAMILY:
		m->type = types[draw(d, sizeof(types) / sizeof(*types))];
		break;
	default:
		break;
	}
}

/* --- writing it out, and what is wrong with that -------------------------------- */

static void write_out(struct wire *w, const struct message *m)
{
	start_message(w, m->type ? m->type : w->family, m->cmd, m->flags);
	for (unsigned int i = 0; i < m->nr_attrs; i++) {
		struct nlattr *attr = (struct nlattr *)(w->out + w->len);

		put(w, m->attrs[i].type, m->bytes + m->attrs[i].at, m->attrs[i].len);
		if (m->attrs[i].claim)
			attr->nla_len = m->attrs[i].claim;
	}
	((struct nlmsghdr *)w->out)->nlmsg_len = w->len;
}

static void spoil_bytes(struct wire *w, enum wrong wrong, struct draws *d,
			struct sent *sent)
{
	struct nlmsghdr *header = (struct nlmsghdr *)w->out;
	const uint32_t body = NLMSG_HDRLEN + GENL_HDRLEN;

	switch (wrong) {
	case CUT:
		sent->bytes = 1 + draw(d, sent->bytes - 1);
		if (draw(d, 2))		/* and says so */
			header->nlmsg_len = sent->bytes;
		break;
	case HEADER_LENGTH:
		header->nlmsg_len = draw(d, 2) ? draw(d, sent->bytes + 32) :
						 odd_number(d);
		break;
	case TAIL:
		for (uint32_t nr = 1 + draw(d, 64); nr; nr--)
			w->out[sent->bytes++] = draw64(d);
		if (draw(d, 2))
			header->nlmsg_len = sent->bytes;
		break;
	case NOISE:
		for (uint32_t nr = 1 + draw(d, 4); nr && sent->bytes > body; nr--)
			w->out[body + draw(d, sent->bytes - body)] ^=
				1 << draw(d, 8);
		break;
	default:
		break;
	}
}

static void draw_wrongs(struct draws *d, struct sent *sent)
{
	uint32_t nr = draw(d, 5) < 2 ? 0 : 1 + draw(d, WRONGS_AT_ONCE);

	sent->wrongs = 0;
	while (nr--)
		sent->wrongs |= 1u << (1 + draw(d, NR_WRONGS - 1));
	if (!sent->wrongs)
		sent->wrongs = 1u << NOTHING;
}

/* Trackers come until there are enough, and never go all at once. */
static enum kind draw_kind(struct known *known, struct draws *d)
{
	enum kind kind = draw(d, NR_KINDS);
	unsigned int nr = known_trackers(known);

	if (kind == UNTRACK && nr < 12 && draw(d, 4))
		return TRACK;
	if (kind == TRACK && nr > 20)
		return draw(d, 2) ? GET : UNTRACK;
	return kind;
}

void compose(struct wire *w, struct known *known, struct draws *d,
	     struct sent *sent)
{
	static _Thread_local struct message m;

	*sent = (struct sent){ .kind = draw_kind(known, d) };
	m.type = m.flags = m.cmd = m.nr_attrs = m.nr_bytes = 0;
	known_tracker_pick(known, d, &sent->tracker);
	known_drain_pick(known, d, &sent->drain);
	draw_wrongs(d, sent);
	compose_sound(&m, known, d, sent);
	for (enum wrong i = 1; i < NR_WRONGS; i++) {
		if (!(sent->wrongs & 1u << i))
			continue;
		spoil_attribute(&m, i, known, d);
		spoil_header(&m, i, d);
	}
	write_out(w, &m);
	sent->bytes = w->len;
	for (enum wrong i = 1; i < NR_WRONGS; i++)
		if (sent->wrongs & 1u << i)
			spoil_bytes(w, i, d, sent);
}
