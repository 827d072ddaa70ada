// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: one request a connection gets one answer, from whichever thread and
 * however late; bad input is refused with words; one name has one server; what
 * a dead server left behind does not stop the next.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/transport.h"
#include "tap.h"

static struct bf_error err;
static char dir[] = "/tmp/blkferry-control-XXXXXX";
static char path[108];

/* What a test's handler does with requests; one server at a time. */
struct fixture {
	struct bf_control_server *server;
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	struct bf_control_client *kept;
	unsigned int requests;
};

static struct fixture fixture = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.arrived = PTHREAD_COND_INITIALIZER,
};

static void keep(struct bf_control_client *client)
{
	fixture.kept = client;
	pthread_cond_broadcast(&fixture.arrived);
}

static void handle(void *context, struct bf_control_client *client,
		   json_t *request)
{
	const char *command =
		json_string_value(json_object_get(request, "command"));
	struct bf_error refusal;

	pthread_mutex_lock(&fixture.lock);
	fixture.requests++;
	if (!strcmp(command, "echo")) {
		bf_control_answer(client, json_pack("{s:O}", "request", request));
	} else if (!strcmp(command, "big")) {
		char *text = malloc(3 << 20);

		memset(text, 'x', 3 << 20);
		bf_control_answer(client, json_pack("{s:s%}", "text", text,
						    (size_t)3 << 20));
		free(text);
	} else if (!strcmp(command, "steps")) {
		for (int i = 0; i < 3; i++)
			bf_control_progress(client, json_pack("{s:i}", "step", i));
		bf_control_answer(client, json_object());
	} else if (!strcmp(command, "keep")) {
		keep(client);
	} else {
		bf_fail(&refusal, BF_E_STATE, 0, "not in this state: \xff wait");
		bf_control_fail(client, &refusal);
	}
	pthread_mutex_unlock(&fixture.lock);
}

static struct bf_control_client *wait_kept(void)
{
	struct bf_control_client *client;

	pthread_mutex_lock(&fixture.lock);
	while (!fixture.kept)
		pthread_cond_wait(&fixture.arrived, &fixture.lock);
	client = fixture.kept;
	fixture.kept = NULL;
	pthread_mutex_unlock(&fixture.lock);
	return client;
}

static void start(void)
{
	if (bf_control_serve(&fixture.server, path, handle, NULL, &err))
		tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static void stop(void)
{
	bf_control_stop(fixture.server);
	fixture.server = NULL;
}

static int call(const char *command, json_t **answer)
{
	json_t *request = json_pack("{s:s}", "command", command);
	int ret;

	memset(&err, 0, sizeof(err));
	ret = bf_control_call(path, request, 20 * BF_NSEC_PER_SEC, NULL, NULL,
			      answer, &err);
	json_decref(request);
	return ret;
}

static int connect_raw(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	check(!connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

/* All that comes until the server hangs up. */
static char *raw_answer(int fd)
{
	static char text[4096];
	size_t have = 0;
	ssize_t bytes;

	while ((bytes = recv(fd, text + have, sizeof(text) - 1 - have, 0)) > 0)
		have += bytes;
	text[have] = '\0';
	close(fd);
	return text;
}

static void answers(void)
{
	json_t *answer;

	start();
	check_eq(call("echo", &answer), 0);
	check_eq(json_integer_value(json_object_get(answer, "format_version")),
		 BF_FORMAT_VERSION);
	check(json_is_true(json_object_get(answer, "ok")));
	check(json_object_get(answer, "request"));
	json_decref(answer);
	stop();
}

static void errors_keep_code_and_words(void)
{
	json_t *answer = NULL;

	start();
	check(call("other", &answer) < 0);
	check(!answer);
	check_eq(err.code, BF_E_STATE);
	check_says(err.text, "not in this state: ? wait");
	stop();
}

static void long_answers(void)
{
	json_t *answer;

	start();
	check_eq(call("big", &answer), 0);
	check_eq(json_string_length(json_object_get(answer, "text")), 3 << 20);
	json_decref(answer);
	stop();
}

static void count_step(void *context, json_t *event)
{
	int *next = context;

	if (json_integer_value(json_object_get(event, "step")) == *next)
		++*next;
}

static void progress(void)
{
	json_t *request = json_pack("{s:s}", "command", "steps"), *answer;
	int next = 0;

	start();
	check_eq(bf_control_call(path, request, 20 * BF_NSEC_PER_SEC, count_step,
				 &next, &answer, &err), 0);
	check_eq(next, 3);
	json_decref(answer);
	json_decref(request);
	stop();
}

static void *call_keep(void *argument)
{
	json_t **answer = argument;

	call("keep", answer);
	return NULL;
}

/* The answer comes from a thread that is not the server's, after others. */
static void late_answers(void)
{
	struct bf_control_client *client;
	json_t *late = NULL, *answer;
	pthread_t thread;

	start();
	pthread_create(&thread, NULL, call_keep, &late);
	client = wait_kept();
	check(!bf_control_gone(client));
	check_eq(call("echo", &answer), 0);
	json_decref(answer);
	bf_control_answer(client, json_pack("{s:s}", "said", "late"));
	pthread_join(thread, NULL);
	check(late);
	check(!strcmp(json_string_value(json_object_get(late, "said")), "late"));
	json_decref(late);
	stop();
}

/* Stopping delivers what was answered, fails what was not, leaks nothing. */
static void stop_with_requests(void)
{
	struct bf_control_client *client;
	json_t *late = NULL;
	pthread_t thread;

	start();
	pthread_create(&thread, NULL, call_keep, &late);
	client = wait_kept();
	stop();
	pthread_join(thread, NULL);
	check(!late);
	check_eq(err.code, BF_E_NOT_RUNNING);
	check(bf_control_gone(client));
	bf_control_answer(client, json_object());
}

static void hang_up_is_seen(void)
{
	struct bf_control_client *client;
	json_t *answer;
	int fd;

	start();
	fd = connect_raw();
	check_eq(write(fd, "{\"command\":\"keep\"}\n", 19), 19);
	client = wait_kept();
	close(fd);
	/* The server's thread has been round once it has answered another. */
	while (!bf_control_gone(client)) {
		check_eq(call("echo", &answer), 0);
		json_decref(answer);
	}
	bf_control_progress(client, json_object());
	bf_control_answer(client, json_object());
	stop();
}

static void half_closed_still_listens(void)
{
	int fd;

	start();
	fd = connect_raw();
	check_eq(write(fd, "{\"command\":\"echo\"}\n", 19), 19);
	shutdown(fd, SHUT_WR);
	check_says(raw_answer(fd), "\"ok\":true");
	stop();
}

static void bad_requests(void)
{
	static const char *const bad[] = {
		"\n", "null\n", "[]\n", "{}\n", "{\"command\":7}\n", "{\n",
		"{\"command\":\"echo\",\"command\":\"big\"}\n", "\xff\xfe\n",
		"GET / HTTP/1.0\r\n",
	};

	start();
	fixture.requests = 0;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = connect_raw();
		const char *text;

		check(write(fd, bad[i], strlen(bad[i])) > 0);
		text = raw_answer(fd);
		check_says(text, "\"ok\":false");
		check_says(text, "\"code\":\"usage\"");
	}
	check_eq(fixture.requests, 0);
	stop();
}

static void request_too_long(void)
{
	static char text[BF_CONTROL_LINE_BYTES];
	int fd;

	memset(text, ' ', sizeof(text));
	start();
	fd = connect_raw();
	for (size_t at = 0; at < sizeof(text);) {
		ssize_t sent = send(fd, text + at, sizeof(text) - at,
				    MSG_NOSIGNAL);

		check(sent > 0);
		at += sent;
	}
	check_says(raw_answer(fd), "longer than");
	stop();
}

static void more_clients_than_slots(void)
{
	int fds[80];
	json_t *answer;

	start();
	for (size_t i = 0; i < 80; i++)
		fds[i] = i < 60 ? connect_raw() : -1;
	check_eq(call("echo", &answer), 0);
	json_decref(answer);
	for (size_t i = 0; i < 60; i++)
		close(fds[i]);
	stop();
}

static void private_socket(void)
{
	struct stat st;

	start();
	check(!stat(path, &st));
	check_eq(st.st_mode & 0777, 0600);
	check(!stat(dir, &st));
	check_eq(st.st_mode & 0777, 0700);
	stop();
	check(stat(path, &st) && errno == ENOENT);
}

static void one_server_a_name(void)
{
	struct bf_control_server *second = NULL;
	json_t *answer;

	start();
	check_eq(bf_control_serve(&second, path, handle, NULL, &err), -EBUSY);
	check_eq(err.code, BF_E_BUSY);
	check_says(err.text, "the job runs already");
	check_eq(call("echo", &answer), 0);
	json_decref(answer);
	stop();
}

static void stale_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	json_t *answer;

	strcpy(address.sun_path, path);
	check(!bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
	check(call("echo", &answer) < 0);
	check_eq(err.code, BF_E_NOT_RUNNING);
	start();
	check_eq(call("echo", &answer), 0);
	json_decref(answer);
	stop();
}

static void nobody_there(void)
{
	json_t *answer;

	check(call("echo", &answer) < 0);
	check_eq(err.code, BF_E_NOT_RUNNING);
	check_says(err.text, "does not run");
}

static void silent_server_times_out(void)
{
	json_t *request = json_pack("{s:s}", "command", "keep"), *answer;
	struct bf_control_client *client;

	start();
	check_eq(bf_control_call(path, request, BF_NSEC_PER_MSEC * 200, NULL,
				 NULL, &answer, &err), -ETIMEDOUT);
	check_eq(err.code, BF_E_TIMEOUT);
	client = wait_kept();
	bf_control_answer(client, json_object());
	json_decref(request);
	stop();
}

static void long_paths(void)
{
	struct bf_control_server *server;
	char text[108], deep[200];

	memset(deep, 'd', sizeof(deep));
	deep[199] = '\0';
	bf_control_path(text, deep, "web");
	check(bf_control_serve(&server, text, handle, NULL, &err) < 0);
	check_says(err.text, "107 bytes");
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	bf_control_path(path, dir, "web");
	tap_run("a request is answered", answers);
	tap_run("errors keep their code and words", errors_keep_code_and_words);
	tap_run("an answer longer than the socket's buffer", long_answers);
	tap_run("progress comes before the answer", progress);
	tap_run("an answer from another thread, later", late_answers);
	tap_run("stopping while a request waits", stop_with_requests);
	tap_run("a client that hangs up", hang_up_is_seen);
	tap_run("a client that closes its half", half_closed_still_listens);
	tap_run("bad requests never reach the handler", bad_requests);
	tap_run("a request without end", request_too_long);
	tap_run("many idle clients", more_clients_than_slots);
	tap_run("socket and folder are private", private_socket);
	tap_run("a second server of the same name", one_server_a_name);
	tap_run("a socket that a dead server left", stale_socket);
	tap_run("nobody serves", nobody_there);
	tap_run("a server that does not answer", silent_server_times_out);
	tap_run("a path too long for a socket", long_paths);
	unlink(path);
	strcat(path, ".lock");
	unlink(path);
	rmdir(dir);
	return tap_done();
}
