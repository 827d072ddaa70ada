/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files behind netlink.h share: requests go out, attributes of their
 * answers come back.
 */
#ifndef BF_LIB_NETLINK_PRIVATE_H
#define BF_LIB_NETLINK_PRIVATE_H

#include <netlink/attr.h>
#include <netlink/netlink.h>

#include "netlink.h"

/* The largest answer: BEGIN on BLKFERRY_BEGIN_MAX trackers, 64 KiB. */
#define BF_NETLINK_ANSWER_BYTES	(128 * 1024)

struct bf_netlink {
	struct nl_sock *socket;
	int family;
	bool broken;			/* its last exchange had no end */
};

/* Gets the attributes of one answer; what it returns ends the request. */
typedef int bf_parse_fn(struct nlattr **attrs, void *out, struct bf_error *err);

/*
 * A request, filled in piece by piece. The message has room for every request
 * of the contract, so that a put that fails is a defect of ours; it is noted
 * and reported once.
 */
struct bf_request {
	struct nl_msg *message;
	bool overflow;
};

int bf_request_open(struct bf_request *request, const struct bf_netlink *nl,
		    uint8_t command, int flags, struct bf_error *err);
void bf_request_put(struct bf_request *request, int attr, const void *data,
		    size_t bytes);
void bf_request_put_u32(struct bf_request *request, int attr, uint32_t value);
void bf_request_put_u64(struct bf_request *request, int attr, uint64_t value);
struct nlattr *bf_request_nest(struct bf_request *request, int attr);
void bf_request_nest_end(struct bf_request *request, struct nlattr *nest);
/*
 * Send it, give each answer to @parse (NULL where only an acknowledgement is
 * expected) and free it.
 */
int bf_request_run(struct bf_request *request, struct bf_netlink *nl,
		   bf_parse_fn *parse, void *out, struct bf_error *err);

/* False if the attribute is missing or has another size. */
bool bf_attr_u8(struct nlattr *attr, uint8_t *value);
bool bf_attr_u32(struct nlattr *attr, uint32_t *value);
bool bf_attr_u64(struct nlattr *attr, uint64_t *value);
bool bf_attr_string(struct nlattr *attr, char *value, size_t bytes);
bool bf_attr_reasons(struct nlattr *list, struct bf_reasons *reasons);

int bf_answer_bad(struct bf_error *err, const char *what);
int bf_netlink_no_memory(struct bf_error *err);

#endif /* BF_LIB_NETLINK_PRIVATE_H */
