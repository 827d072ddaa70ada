// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: a reason that a newer module gives stands for this program, too, and
 * whatever it says hides nothing of the reasons that the program knows.
 */
#include <netlink/msg.h>

#include "lib/netlink_private.h"
#include "tap.h"

struct said {
	uint32_t id;
	struct bf_reason_counts counts;
};

#define NEWER (BLKFERRY_REASON_MAX + 1)

static void put(struct nl_msg *message, const struct said *said)
{
	struct nlattr *nest = nla_nest_start(message,
					     BLKFERRY_A_REASON | NLA_F_NESTED);

	check(nest);
	nla_put_u32(message, BLKFERRY_A_REASON_ID, said->id);
	nla_put_u64(message, BLKFERRY_A_REASON_RAISED, said->counts.raised);
	nla_put_u64(message, BLKFERRY_A_REASON_CLEARED, said->counts.cleared);
	nla_nest_end(message, nest);
}

static struct bf_reasons heard(const struct said *said, size_t nr)
{
	struct nl_msg *message = nlmsg_alloc_simple(NLMSG_MIN_TYPE, 0);
	struct bf_reasons reasons;
	struct nlattr *list;
	bool whole;

	check(message);
	list = nla_nest_start(message, BLKFERRY_A_REASONS | NLA_F_NESTED);
	check(list);
	for (size_t i = 0; i < nr; i++)
		put(message, &said[i]);
	nla_nest_end(message, list);
	whole = bf_attr_reasons(list, &reasons);
	nlmsg_free(message);
	check(whole);
	return reasons;
}

#define HEARD(...) heard((struct said[]){ __VA_ARGS__ },	\
			 sizeof((struct said[]){ __VA_ARGS__ }) / sizeof(struct said))

static void known_reasons(void)
{
	struct bf_reasons r = HEARD({ BLKFERRY_REASON_GONE, { 2, 2 } },
				    { BLKFERRY_REASON_MEDIA, { 3, 1 } });
	uint32_t id;

	check_eq(r.by_id[BLKFERRY_REASON_GONE].raised, 2);
	check_eq(r.by_id[BLKFERRY_REASON_GONE].cleared, 2);
	check_eq(r.by_id[BLKFERRY_REASON_MEDIA].raised, 3);
	check_eq(r.by_id[BLKFERRY_REASON_MEDIA].cleared, 1);
	check(bf_reasons_stand(&r, &id));
	check_eq(id, BLKFERRY_REASON_MEDIA);
}

static void newer_stands(void)
{
	struct bf_reasons r = HEARD({ NEWER, { 1, 0 } });

	check(bf_reasons_stand(&r, NULL));
	r = HEARD({ NEWER, { 1, 0 } }, { NEWER + 1, { 4, 4 } });
	check(bf_reasons_stand(&r, NULL));
	r = HEARD({ BLKFERRY_REASON_UNKNOWN_OP, { 7, 7 } }, { NEWER, { 1, 0 } });
	check(bf_reasons_stand(&r, NULL));
	r = HEARD({ NEWER, { 5, 5 } });
	check(!bf_reasons_stand(&r, NULL));
}

static void newer_hides_nothing(void)
{
	struct bf_reasons r = HEARD({ BLKFERRY_REASON_UNKNOWN_OP, { 1, 0 } },
				    { NEWER, { 5, 5 } });

	check(bf_reasons_stand(&r, NULL));
	check_eq(r.by_id[BLKFERRY_REASON_UNKNOWN_OP].raised, 1);
	r = HEARD({ NEWER, { 5, 5 } }, { BLKFERRY_REASON_UNKNOWN_OP, { 1, 0 } });
	check(bf_reasons_stand(&r, NULL));
}

int main(void)
{
	tap_run("known reasons come as they are", known_reasons);
	tap_run("a newer module's reason stands", newer_stands);
	tap_run("a newer module's reason hides none", newer_hides_nothing);
	return tap_done();
}
