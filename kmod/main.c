// SPDX-License-Identifier: GPL-2.0-only
/*
 * blkferry: records which blocks of a disk change. Completions of block
 * requests flow in, generations of dirty blocks flow out to a consumer over
 * generic netlink. The contract is include/uapi/linux/blkferry.h.
 *
 * RULE 1: it only observes, so it cannot corrupt data.
 */
#include <linux/module.h>

#include "events.h"
#include "mistakes.h"
#include "netlink.h"
#include "notify.h"
#include "tracker.h"

static int __init blkferry_init(void)
{
	int ret;

	ret = bf_events_module_init();
	if (ret)
		return ret;
	ret = bf_tracker_init();
	if (ret)
		goto exit_events;
	ret = bf_notify_init();
	if (ret)
		goto exit_tracker;
	ret = bf_netlink_init();
	if (ret)
		goto exit_notify;
	return 0;

exit_notify:
	bf_notify_exit();
exit_tracker:
	bf_tracker_exit();
exit_events:
	bf_events_module_exit();
	return ret;
}

/* Each tracker and each drain fd holds a reference to the module. */
static void __exit blkferry_exit(void)
{
	bf_netlink_exit();
	bf_notify_exit();
	bf_tracker_exit();
	bf_events_module_exit();
}

#ifdef BF_MISTAKES
unsigned int bf_mistake;
module_param_named(mistake, bf_mistake, uint, 0644);
#endif

module_init(blkferry_init);
module_exit(blkferry_exit);
MODULE_DESCRIPTION("Block change tracker");
MODULE_AUTHOR("blkferry");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
