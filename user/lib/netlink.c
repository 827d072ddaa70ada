// SPDX-License-Identifier: Apache-2.0
/*
 * Client of the module's netlink contract: see netlink.h.
 *
 * A request goes out, zero or more answers and then an acknowledgement come
 * back; answers go to the parser of the request, an error's words go to
 * struct bf_error. The kernel has answered everything by the time the request
 * is sent, so nothing here waits for anybody. RULE 6: answers are checked too.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "netlink.h"
#include "netlink_private.h"

/* The largest request: MARK with BLKFERRY_MARK_EXTENTS_MAX extents. */
#define REQUEST_BYTES	(BLKFERRY_MARK_EXTENTS_MAX * \
			 sizeof(struct blkferry_extent) + 4096)

/* One exchange: the callbacks' view of it. */
struct exchange {
	bf_parse_fn *parse;
	void *out;
	struct bf_error *err;
	int result;			/* negative errno */
	bool done;
	bool answered;
};

static void cleanup_message(struct nl_msg **message)
{
	if (*message)
		nlmsg_free(*message);
}
#define _cleanup_message_ _cleanup_(cleanup_message)

static void cleanup_callbacks(struct nl_cb **callbacks)
{
	if (*callbacks)
		nl_cb_put(*callbacks);
}
#define _cleanup_callbacks_ _cleanup_(cleanup_callbacks)

static enum bf_code code_of(int errnum)
{
	switch (errnum) {
	case EPERM:
		return BF_E_PERMISSION;
	case ENOENT:
		return BF_E_NOT_FOUND;
	case EEXIST:
		return BF_E_EXISTS;
	case EBUSY:
		return BF_E_BUSY;
	case EOPNOTSUPP:
		return BF_E_UNTRACKABLE;
	case ESTALE:
		return BF_E_STALE;
	case EBADMSG:
		return BF_E_TOTALS;
	default:
		return BF_E_TRACKER;
	}
}

/* The words of an extended acknowledgement, NULL if there are none. */
static const char *words_of(const struct nlmsgerr *error)
{
	const struct nlmsghdr *header =
		(const void *)((const char *)error - NLMSG_HDRLEN);
	size_t fixed = sizeof(*error);
	struct nlattr *attr;

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		fixed += error->msg.nlmsg_len - sizeof(error->msg);
	fixed = NLMSG_ALIGN(fixed);
	if (header->nlmsg_len < NLMSG_HDRLEN + fixed)
		return NULL;
	attr = nla_find((struct nlattr *)((char *)error + fixed),
			header->nlmsg_len - NLMSG_HDRLEN - fixed,
			NLMSGERR_ATTR_MSG);
	if (!attr || nla_len(attr) < 1 ||
	    ((char *)nla_data(attr))[nla_len(attr) - 1])
		return NULL;
	return nla_data(attr);
}

static const char *words_without(int errnum)
{
	switch (errnum) {
	case EPERM:
		return "the module wants CAP_NET_ADMIN and CAP_SYS_ADMIN in the initial namespaces: run as root outside of containers";
	case ENODEV:
		return "the disk is going away: attach it again and track it anew";
	case ENOMEM:
	case ENOBUFS:
		return "the kernel has no memory for it: free some, or track in larger blocks (granularity), and try again";
	case EMFILE:
	case ENFILE:
		return "no file can be opened any more: raise the limit of open files (LimitNOFILE=, fs.file-max), and try again";
	default:
		return NULL;
	}
}

static int on_error(struct sockaddr_nl *address, struct nlmsgerr *error,
		    void *arg)
{
	struct exchange *exchange = arg;
	const char *words = words_of(error);
	int errnum = error->error < 0 ? -error->error : EPROTO;

	if (!words)
		words = words_without(errnum);
	exchange->result = bf_fail(exchange->err, code_of(errnum), errnum,
				   "%s", words ? words : strerror(errnum));
	exchange->done = true;
	return NL_STOP;
}

/* An acknowledgement, or the end of a dump, which may carry an error. */
static int on_end(struct nl_msg *message, void *arg)
{
	const struct nlmsghdr *header = nlmsg_hdr(message);
	struct exchange *exchange = arg;
	int status = 0;

	if (header->nlmsg_type == NLMSG_DONE &&
	    nlmsg_datalen(header) >= (int)sizeof(status))
		memcpy(&status, nlmsg_data(header), sizeof(status));
	if (status < 0) {
		const char *words = words_without(-status);

		exchange->result = bf_fail(exchange->err, code_of(-status),
					   -status, "%s",
					   words ? words : strerror(-status));
	}
	exchange->done = true;
	return NL_STOP;
}

int bf_answer_bad(struct bf_error *err, const char *what)
{
	return bf_fail(err, BF_E_TRACKER, EPROTO,
		       "the module's answer has %s: module and command are of different versions, install both from one release",
		       what);
}

static int on_answer(struct nl_msg *message, void *arg)
{
	struct nlattr *attrs[BLKFERRY_A_MAX + 1];
	struct exchange *exchange = arg;
	int ret;

	exchange->answered = true;
	if (!exchange->parse || exchange->result)
		return NL_OK;
	if (genlmsg_parse(nlmsg_hdr(message), 0, attrs, BLKFERRY_A_MAX, NULL))
		ret = bf_answer_bad(exchange->err, "attributes that cannot be read");
	else
		ret = exchange->parse(attrs, exchange->out, exchange->err);
	exchange->result = ret;
	return NL_OK;
}

static struct nl_msg *new_request(const struct bf_netlink *nl, uint8_t command,
				  int flags)
{
	struct nl_msg *message = nlmsg_alloc_size(REQUEST_BYTES);

	if (message &&
	    !genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0,
			 flags, command, BLKFERRY_GENL_VERSION)) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

int bf_netlink_no_memory(struct bf_error *err)
{
	return bf_fail(err, BF_E_SYSTEM, ENOMEM,
		       "no memory for a message to the module: free some");
}

/*
 * The kernel had no memory for an answer or its acknowledgement. What it did send
 * is there by now, and is read: it may hold descriptors that are to be closed.
 */
static void read_what_is_left(struct bf_netlink *nl, struct nl_cb *callbacks,
			      const struct exchange *exchange)
{
	struct pollfd left = { .fd = nl_socket_get_fd(nl->socket), .events = POLLIN };

	while (!exchange->done && poll(&left, 1, 0) > 0 &&
	       nl_recvmsgs(nl->socket, callbacks) >= 0)
		continue;
}

static int receive_all(struct bf_netlink *nl, struct nl_cb *callbacks,
		       struct exchange *exchange)
{
	while (!exchange->done) {
		int ret = nl_recvmsgs(nl->socket, callbacks);

		if (ret >= 0)
			continue;
		read_what_is_left(nl, callbacks, exchange);
		nl->broken = !exchange->done;
		if (nl->broken)
			return bf_fail(exchange->err, BF_E_TRACKER, EIO,
				       "no answer from the module: %s; look into the kernel log",
				       nl_geterror(ret));
	}
	return exchange->result;
}

static int open_socket(struct nl_sock **socket, struct bf_error *err)
{
	int on = 1;
	int ret;

	*socket = nl_socket_alloc();
	if (!*socket)
		return bf_netlink_no_memory(err);
	ret = genl_connect(*socket);
	if (ret < 0)
		return bf_fail(err, BF_E_SYSTEM, EIO,
			       "no generic netlink socket: %s; the kernel needs CONFIG_NET",
			       nl_geterror(ret));
	nl_socket_set_buffer_size(*socket, BF_NETLINK_ANSWER_BYTES, REQUEST_BYTES);
	nl_socket_set_msg_buf_size(*socket, BF_NETLINK_ANSWER_BYTES);
	/* Words in errors, without the request in front; old kernels send none. */
	setsockopt(nl_socket_get_fd(*socket), SOL_NETLINK, NETLINK_EXT_ACK,
		   &on, sizeof(on));
	setsockopt(nl_socket_get_fd(*socket), SOL_NETLINK, NETLINK_CAP_ACK,
		   &on, sizeof(on));
	return 0;
}

/* After an exchange that had no end its socket is of no more use. */
static int mend_socket(struct bf_netlink *nl, struct bf_error *err)
{
	int ret;

	if (!nl->broken)
		return 0;
	nl_socket_free(nl->socket);
	ret = open_socket(&nl->socket, err);
	nl->broken = ret != 0;
	return ret;
}

/*
 * Send a request and read all that comes back. @parse gets the attributes of
 * each answer and @out; NULL where only an acknowledgement is expected.
 */
static int exchange(struct bf_netlink *nl, struct nl_msg *message,
		    bf_parse_fn *parse, void *out, struct bf_error *err)
{
	_cleanup_callbacks_ struct nl_cb *callbacks = nl_cb_alloc(NL_CB_DEFAULT);
	struct exchange exchange = { .parse = parse, .out = out, .err = err };
	int ret;

	if (!callbacks)
		return bf_netlink_no_memory(err);
	ret = mend_socket(nl, err);
	if (ret)
		return ret;
	nl_cb_err(callbacks, NL_CB_CUSTOM, on_error, &exchange);
	nl_cb_set(callbacks, NL_CB_ACK, NL_CB_CUSTOM, on_end, &exchange);
	nl_cb_set(callbacks, NL_CB_FINISH, NL_CB_CUSTOM, on_end, &exchange);
	nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, on_answer, &exchange);

	ret = nl_send_auto(nl->socket, message);
	if (ret < 0) {
		nl->broken = true;	/* it counts a request that was not sent */
		return bf_fail(err, BF_E_TRACKER, EIO,
			       "the module cannot be asked: %s", nl_geterror(ret));
	}
	ret = receive_all(nl, callbacks, &exchange);
	if (!ret && parse && !exchange.answered &&
	    !(nlmsg_hdr(message)->nlmsg_flags & NLM_F_DUMP))
		return bf_answer_bad(err, "nothing in it");
	return ret;
}

static int resolve_family(struct nl_sock *socket, struct bf_error *err)
{
	int family = genl_ctrl_resolve(socket, BLKFERRY_GENL_NAME);

	if (family >= 0)
		return family;
	return bf_fail(err, BF_E_NO_MODULE, ENOENT,
		       "the kernel module is not loaded: run `modprobe blkferry`; if that fails install the package blkferry-dkms; inside a container it cannot be reached");
}

int bf_netlink_open(struct bf_netlink **out, struct bf_error *err)
{
	struct bf_netlink *nl = calloc(1, sizeof(*nl));
	int ret;

	if (!nl)
		return bf_netlink_no_memory(err);
	ret = open_socket(&nl->socket, err);
	if (!ret) {
		nl->family = resolve_family(nl->socket, err);
		ret = nl->family < 0 ? nl->family : 0;
	}
	if (ret) {
		bf_netlink_close(nl);
		return ret;
	}
	*out = nl;
	return 0;
}

void bf_netlink_close(struct bf_netlink *nl)
{
	if (!nl)
		return;
	if (nl->socket)
		nl_socket_free(nl->socket);
	free(nl);
}

bool bf_attr_u8(struct nlattr *attr, uint8_t *value)
{
	if (!attr || nla_len(attr) != sizeof(*value))
		return false;
	*value = nla_get_u8(attr);
	return true;
}

bool bf_attr_u32(struct nlattr *attr, uint32_t *value)
{
	if (!attr || nla_len(attr) != sizeof(*value))
		return false;
	*value = nla_get_u32(attr);
	return true;
}

bool bf_attr_u64(struct nlattr *attr, uint64_t *value)
{
	if (!attr || nla_len(attr) != sizeof(*value))
		return false;
	*value = nla_get_u64(attr);
	return true;
}

bool bf_attr_string(struct nlattr *attr, char *value, size_t bytes)
{
	size_t length;

	if (!attr)
		return false;
	length = strnlen(nla_data(attr), nla_len(attr));
	if (length >= bytes)
		return false;
	memcpy(value, nla_data(attr), length);
	value[length] = 0;
	return true;
}

/*
 * A newer module's reason must not be dropped: it stands as one that this
 * program does know, and hides nothing of that one.
 */
static void add_reason(struct bf_reasons *reasons, uint32_t id,
		       const struct bf_reason_counts *counts)
{
	struct bf_reason_counts *unknown =
		&reasons->by_id[BLKFERRY_REASON_UNKNOWN_OP];

	if (id <= BLKFERRY_REASON_MAX) {
		reasons->by_id[id].raised += counts->raised;
		reasons->by_id[id].cleared += counts->cleared;
	} else if (counts->raised > counts->cleared) {
		unknown->raised += counts->raised - counts->cleared;
	}
}

bool bf_attr_reasons(struct nlattr *list, struct bf_reasons *reasons)
{
	struct nlattr *attrs[BLKFERRY_A_MAX + 1];
	struct nlattr *nest;
	int rest;

	memset(reasons, 0, sizeof(*reasons));
	if (!list)
		return false;
	nla_for_each_nested(nest, list, rest) {
		struct bf_reason_counts counts;
		uint32_t id;

		if (nla_parse_nested(attrs, BLKFERRY_A_MAX, nest, NULL) ||
		    !bf_attr_u32(attrs[BLKFERRY_A_REASON_ID], &id) ||
		    !bf_attr_u64(attrs[BLKFERRY_A_REASON_RAISED], &counts.raised) ||
		    !bf_attr_u64(attrs[BLKFERRY_A_REASON_CLEARED], &counts.cleared))
			return false;
		add_reason(reasons, id, &counts);
	}
	return true;
}

int bf_request_open(struct bf_request *request, const struct bf_netlink *nl,
		    uint8_t command, int flags, struct bf_error *err)
{
	*request = (struct bf_request){
		.message = new_request(nl, command, flags),
	};
	return request->message ? 0 : bf_netlink_no_memory(err);
}

void bf_request_put(struct bf_request *request, int attr, const void *data,
		    size_t bytes)
{
	if (nla_put(request->message, attr, bytes, data))
		request->overflow = true;
}

void bf_request_put_u32(struct bf_request *request, int attr, uint32_t value)
{
	bf_request_put(request, attr, &value, sizeof(value));
}

void bf_request_put_u64(struct bf_request *request, int attr, uint64_t value)
{
	bf_request_put(request, attr, &value, sizeof(value));
}

struct nlattr *bf_request_nest(struct bf_request *request, int attr)
{
	struct nlattr *nest = nla_nest_start(request->message,
					     attr | NLA_F_NESTED);

	if (!nest)
		request->overflow = true;
	return nest;
}

void bf_request_nest_end(struct bf_request *request, struct nlattr *nest)
{
	if (nest)
		nla_nest_end(request->message, nest);
}

int bf_request_run(struct bf_request *request, struct bf_netlink *nl,
		   bf_parse_fn *parse, void *out, struct bf_error *err)
{
	_cleanup_message_ struct nl_msg *message = request->message;

	if (request->overflow)
		return bf_fail(err, BF_E_SYSTEM, EMSGSIZE,
			       "a request to the module does not fit into its message");
	return exchange(nl, message, parse, out, err);
}
