// SPDX-License-Identifier: Apache-2.0
/*
 * Control call: one request flows to a job's control socket, progress events
 * and one answer flow back. Keeps RULE 6: lines from the socket are bounded.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/cleanup.h"
#include "lib/control.h"
#include "lib/transport.h"

#define ANSWER_MAX_BYTES (16u << 20)

struct call {
	int fd;
	uint64_t deadline_ns;		/* 0: none */
	char *buffer;
	size_t bytes, room;
};

static int fail_connect(const char *path, int errnum, struct bf_error *err)
{
	/* The socket bears the job's name: bf_control_path(). */
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.');
	int length = dot ? (int)(dot - name) : (int)strlen(name);

	if (errnum == ENOENT || errnum == ECONNREFUSED)
		return bf_fail(err, BF_E_NOT_RUNNING, errnum,
			       "nobody answers at %s: the job does not run; start it with systemctl start blkferry@%.*s or blkferry run %.*s",
			       path, length, name, length, name);
	if (errnum == EACCES || errnum == EPERM)
		return bf_fail(err, BF_E_PERMISSION, errnum,
			       "may not connect to %s: become root", path);
	return bf_fail(err, BF_E_SYSTEM, errnum, "cannot connect to %s: %s",
		       path, strerror(errnum));
}

static int open_call(struct call *call, const char *path, struct bf_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return bf_fail(err, BF_E_USAGE, ENAMETOOLONG,
			       "the control socket's path is longer than 107 bytes: take a shorter run directory");
	strcpy(address.sun_path, path);
	call->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (call->fd < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "socket: %s",
			       strerror(errno));
	if (connect(call->fd, (struct sockaddr *)&address, sizeof(address)))
		return fail_connect(path, errno, err);
	return 0;
}

static int send_request(struct call *call, json_t *request, struct bf_error *err)
{
	_cleanup_free_ char *line = json_dumps(request, JSON_COMPACT);
	size_t bytes = line ? strlen(line) : 0;

	if (!line || bytes + 1 >= BF_CONTROL_LINE_BYTES)
		return bf_fail(err, BF_E_USAGE, EMSGSIZE,
			       "the request is too long");
	line[bytes++] = '\n';		/* in the NUL's place */
	for (size_t at = 0; at < bytes;) {
		ssize_t sent = send(call->fd, line + at, bytes - at,
				    MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return bf_fail(err, BF_E_NOT_RUNNING, errno,
				       "the job ended before it took the request: see its log");
		at += sent < 0 ? 0 : sent;
	}
	return 0;
}

/* Milliseconds for poll(2): rounded up, so that it does not spin. */
static int poll_timeout_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = bf_now_ns(), left_ms;

	if (!deadline_ns)
		return -1;
	if (now_ns >= deadline_ns)
		return 0;
	left_ms = (deadline_ns - now_ns + BF_NSEC_PER_MSEC - 1) / BF_NSEC_PER_MSEC;
	return left_ms > 3600000 ? 3600000 : (int)left_ms;
}

static int wait_readable(struct call *call, struct bf_error *err)
{
	struct pollfd fd = { call->fd, POLLIN, 0 };

	for (;;) {
		int ready = poll(&fd, 1, poll_timeout_ms(call->deadline_ns));

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return bf_fail(err, BF_E_SYSTEM, errno, "poll: %s",
				       strerror(errno));
		if (!ready && bf_now_ns() >= call->deadline_ns)
			return bf_fail(err, BF_E_TIMEOUT, ETIMEDOUT,
				       "the job did not answer in time: try again, or see its log");
	}
}

static int make_room(struct call *call, struct bf_error *err)
{
	size_t room = call->room ? call->room * 2 : 4096;
	char *grown;

	if (call->bytes < call->room)
		return 0;
	if (room > ANSWER_MAX_BYTES)
		return bf_fail(err, BF_E_PROTOCOL, EMSGSIZE,
			       "the job's answer is longer than %u bytes",
			       ANSWER_MAX_BYTES);
	grown = realloc(call->buffer, room);
	if (!grown)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	call->buffer = grown;
	call->room = room;
	return 0;
}

static int read_more(struct call *call, struct bf_error *err)
{
	int ret = make_room(call, err);
	ssize_t bytes;

	if (!ret)
		ret = wait_readable(call, err);
	if (ret)
		return ret;
	bytes = recv(call->fd, call->buffer + call->bytes,
		     call->room - call->bytes, 0);
	if (bytes < 0 && errno == EINTR)
		return 0;
	if (bytes <= 0)
		return bf_fail(err, BF_E_NOT_RUNNING, bytes ? errno : EPIPE,
			       "the job ended before it answered: see its log");
	call->bytes += bytes;
	return 0;
}

static int read_object(struct call *call, json_t **object, struct bf_error *err)
{
	char *newline = NULL;
	size_t line_bytes;

	for (size_t seen = 0; !newline;) {
		int ret;

		if (call->bytes > seen)
			newline = memchr(call->buffer + seen, '\n',
					 call->bytes - seen);
		seen = call->bytes;
		if (!newline && (ret = read_more(call, err)))
			return ret;
	}
	line_bytes = newline - call->buffer;
	*object = json_loadb(call->buffer, line_bytes, 0, NULL);
	call->bytes -= line_bytes + 1;
	memmove(call->buffer, newline + 1, call->bytes);
	if (json_is_object(*object))
		return 0;
	json_decref(*object);
	*object = NULL;
	return bf_fail(err, BF_E_PROTOCOL, EPROTO,
		       "the job's answer is not a JSON object: are command and job of the same release?");
}

static enum bf_code code_from_name(const char *name)
{
#define BF_ERROR_COMPARE(constant, number, code_name, exit_code) \
	if (!strcmp(name, code_name))				 \
		return constant;
	BF_ERROR_TABLE(BF_ERROR_COMPARE)
#undef BF_ERROR_COMPARE
	return BF_E_SYSTEM;
}

/* The server's error becomes ours. */
static int fail_answer(json_t *answer, struct bf_error *err)
{
	const char *code = "", *text = "the job failed without words";

	json_unpack(answer, "{s:{s?s, s?s}}", "error", "code", &code, "text",
		    &text);
	return bf_fail(err, code_from_name(code), 0, "%s", text);
}

static int read_answer(struct call *call,
		       void (*progress)(void *context, json_t *event),
		       void *context, json_t **answer, struct bf_error *err)
{
	json_t *object;
	int ret;

	for (;;) {
		ret = read_object(call, &object, err);
		if (ret)
			return ret;
		if (!json_object_get(object, "event"))
			break;
		if (progress)
			progress(context, object);
		json_decref(object);
	}
	if (json_is_true(json_object_get(object, "ok"))) {
		*answer = object;
		return 0;
	}
	ret = fail_answer(object, err);
	json_decref(object);
	return ret;
}

int bf_control_call(const char *path, json_t *request, uint64_t timeout_ns,
		    void (*progress)(void *context, json_t *event), void *context,
		    json_t **answer, struct bf_error *err)
{
	struct call call = { .fd = -1 };
	int ret;

	if (timeout_ns)
		call.deadline_ns = bf_now_ns() + timeout_ns;
	ret = open_call(&call, path, err);
	if (!ret)
		ret = send_request(&call, request, err);
	if (!ret)
		ret = read_answer(&call, progress, context, answer, err);
	if (call.fd >= 0)
		close(call.fd);
	free(call.buffer);
	return ret;
}
