/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands: requests whose sender and attributes were checked flow in, what
 * they ask for is done, replies flow out. One function a command.
 */
#ifndef BF_COMMANDS_H
#define BF_COMMANDS_H

struct genl_info;

int bf_cmd_track(struct genl_info *info);
int bf_cmd_untrack(struct genl_info *info);
int bf_cmd_get(struct genl_info *info);
int bf_cmd_set(struct genl_info *info);
int bf_cmd_mark(struct genl_info *info);
int bf_cmd_begin(struct genl_info *info);
int bf_cmd_walk(struct genl_info *info);
int bf_cmd_peek(struct genl_info *info);
int bf_cmd_commit(struct genl_info *info);
int bf_cmd_abort(struct genl_info *info);

#endif /* BF_COMMANDS_H */
