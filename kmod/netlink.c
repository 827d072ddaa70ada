// SPDX-License-Identifier: GPL-2.0-only
/*
 * Netlink: see netlink.h. Every command goes through run_command(), which
 * checks who asks and which attributes there are; the policy has bounded each
 * of them before. Commands run in the sender's context, which is why file
 * descriptors mean what the sender meant.
 */
#include <linux/module.h>
#include <linux/sched/mm.h>

#include "commands.h"
#include "fault.h"
#include "netlink.h"
#include "reply.h"
#include "tracker.h"

static const struct nla_policy policy[BLKFERRY_A_MAX + 1] = {
	[BLKFERRY_A_TRACKER_ID] = { .type = NLA_U32 },
	[BLKFERRY_A_DEV_FD] = { .type = NLA_U32 },
	[BLKFERRY_A_NAME] = { .type = NLA_NUL_STRING, .len = BLKFERRY_NAME_MAX },
	[BLKFERRY_A_GRANULARITY] = { .type = NLA_U32 },
	[BLKFERRY_A_ALL_DIRTY] = { .type = NLA_FLAG },
	[BLKFERRY_A_WATERMARK_BYTES] = { .type = NLA_U64 },
	[BLKFERRY_A_REASONS] = { .type = NLA_NESTED },
	[BLKFERRY_A_BEGIN_LIST] = { .type = NLA_NESTED },
	[BLKFERRY_A_DRAIN_FD] = { .type = NLA_U32 },
	[BLKFERRY_A_GENERATION] = { .type = NLA_U64 },
	[BLKFERRY_A_NR_BLOCKS] = { .type = NLA_U64 },
	[BLKFERRY_A_FROM_SECTOR] = { .type = NLA_U64 },
	[BLKFERRY_A_THROUGH_SECTOR] = { .type = NLA_U64 },
	[BLKFERRY_A_EXTENTS] = NLA_POLICY_RANGE(NLA_BINARY,
			sizeof(struct blkferry_extent),
			BLKFERRY_MARK_EXTENTS_MAX * sizeof(struct blkferry_extent)),
};

#define ATTR(name)	BIT_ULL(BLKFERRY_A_##name)
#define OWNED		(ATTR(DRAIN_FD) | ATTR(GENERATION))

struct command {
	int (*run)(struct genl_info *info);
	u64 required;
	u64 optional;
};

static const struct command commands[BLKFERRY_CMD_MAX + 1] = {
	[BLKFERRY_CMD_TRACK] = { bf_cmd_track, ATTR(DEV_FD) | ATTR(NAME),
				 ATTR(GRANULARITY) | ATTR(ALL_DIRTY) },
	[BLKFERRY_CMD_UNTRACK] = { bf_cmd_untrack, ATTR(TRACKER_ID) },
	[BLKFERRY_CMD_GET] = { bf_cmd_get, ATTR(TRACKER_ID) },
	[BLKFERRY_CMD_SET] = { bf_cmd_set, ATTR(TRACKER_ID) | ATTR(WATERMARK_BYTES) },
	[BLKFERRY_CMD_MARK] = { bf_cmd_mark, ATTR(TRACKER_ID) | ATTR(EXTENTS) },
	[BLKFERRY_CMD_BEGIN] = { bf_cmd_begin, ATTR(BEGIN_LIST) },
	[BLKFERRY_CMD_WALK] = { bf_cmd_walk, OWNED | ATTR(FROM_SECTOR) },
	[BLKFERRY_CMD_PEEK] = { bf_cmd_peek, ATTR(TRACKER_ID) | ATTR(FROM_SECTOR) },
	[BLKFERRY_CMD_COMMIT] = { bf_cmd_commit, OWNED | ATTR(THROUGH_SECTOR),
				  ATTR(NR_BLOCKS) | ATTR(REASONS) },
	[BLKFERRY_CMD_ABORT] = { bf_cmd_abort, OWNED },
};

/* By attribute; only what some command requires. */
static const char *const missing[BLKFERRY_A_MAX + 1] = {
	[BLKFERRY_A_TRACKER_ID] = "TRACKER_ID is missing: GET lists the trackers",
	[BLKFERRY_A_DEV_FD] = "DEV_FD is missing: open the device and send the descriptor",
	[BLKFERRY_A_NAME] = "NAME is missing: choose one for the tracker",
	[BLKFERRY_A_WATERMARK_BYTES] = "WATERMARK_BYTES is missing: 0 means never",
	[BLKFERRY_A_BEGIN_LIST] = "BEGIN_LIST is missing: name the trackers to begin on",
	[BLKFERRY_A_DRAIN_FD] = "DRAIN_FD is missing: BEGIN gave it",
	[BLKFERRY_A_GENERATION] = "GENERATION is missing: BEGIN gave it",
	[BLKFERRY_A_FROM_SECTOR] = "FROM_SECTOR is missing: 0 starts at the beginning",
	[BLKFERRY_A_THROUGH_SECTOR] = "THROUGH_SECTOR is missing: say up to where the blocks are durable",
	[BLKFERRY_A_EXTENTS] = "EXTENTS is missing: name what to mark",
};

static int check_caller(struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_NET_ADMIN) &&
	    netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "CAP_NET_ADMIN and CAP_SYS_ADMIN are needed in the initial namespaces: run as root outside of containers");
	return -EPERM;
}

static int check_attributes(const struct genl_info *info,
			    const struct command *command)
{
	unsigned int i;

	for (i = BLKFERRY_A_PAD + 1; i <= BLKFERRY_A_MAX; i++) {
		if (!info->attrs[i] && command->required & BIT_ULL(i)) {
			info->extack->_msg = missing[i];
			return -EINVAL;
		}
		if (info->attrs[i] &&
		    !((command->required | command->optional) & BIT_ULL(i))) {
			NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[i],
					    "this attribute does not belong to this command: leave it out");
			return -EINVAL;
		}
	}
	return 0;
}

/*
 * A consumer calls while filesystems are frozen: reclaim on its behalf must
 * not wait for them.
 */
static int run_command(struct sk_buff *skb, struct genl_info *info)
{
	const struct command *command = &commands[info->genlhdr->cmd];
	unsigned int noio;
	int ret;

	ret = check_caller(skb, info->extack);
	if (!ret)
		ret = check_attributes(info, command);
	if (!ret)
		ret = bf_fault(BF_FAULT_COMMAND);
	if (ret)
		return ret;
	noio = memalloc_noio_save();
	ret = command->run(info);
	memalloc_noio_restore(noio);
	return ret;
}

static int dump_trackers(struct sk_buff *skb, struct netlink_callback *cb)
{
	int ret;

	if (!cb->args[0]) {
		ret = check_caller(cb->skb, cb->extack);
		if (ret)
			return ret;
		cb->args[0] = 1;
	}
	mutex_lock(&bf_control_mutex);
	ret = bf_reply_dump(skb, cb);
	mutex_unlock(&bf_control_mutex);
	return ret;
}

#define OPERATION(name) {			\
	.cmd = BLKFERRY_CMD_##name,		\
	.flags = GENL_ADMIN_PERM,		\
	.doit = run_command,			\
}

static const struct genl_small_ops operations[] = {
	OPERATION(TRACK),
	OPERATION(UNTRACK),
	{
		.cmd = BLKFERRY_CMD_GET,
		.flags = GENL_ADMIN_PERM,
		.doit = run_command,
		.dumpit = dump_trackers,
	},
	OPERATION(SET),
	OPERATION(MARK),
	OPERATION(BEGIN),
	OPERATION(WALK),
	OPERATION(PEEK),
	OPERATION(COMMIT),
	OPERATION(ABORT),
};

static const struct genl_multicast_group groups[] = {
	{ .name = BLKFERRY_GENL_MCGRP },
};

struct genl_family bf_genl_family __ro_after_init = {
	.name = BLKFERRY_GENL_NAME,
	.version = BLKFERRY_GENL_VERSION,
	.module = THIS_MODULE,
	.maxattr = BLKFERRY_A_MAX,
	.policy = policy,
	.small_ops = operations,
	.n_small_ops = ARRAY_SIZE(operations),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
	.parallel_ops = true,
};

/**
 * bf_netlink_init() - take commands from now on
 *
 * Context: Process.
 * Return: 0 or a negative errno.
 */
int __init bf_netlink_init(void)
{
	return bf_fault(BF_FAULT_LOAD_NETLINK) ?:
	       genl_register_family(&bf_genl_family);
}

/**
 * bf_netlink_exit() - take no more commands; when it returns none is running
 *
 * Context: Process.
 */
void bf_netlink_exit(void)
{
	genl_unregister_family(&bf_genl_family);
}

MODULE_ALIAS_GENL_FAMILY(BLKFERRY_GENL_NAME);
