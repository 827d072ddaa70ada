// SPDX-License-Identifier: Apache-2.0
/*
 * Control server: lines of JSON flow in from the operator's command, requests
 * flow to a handler, answers flow back from whichever thread has them. Keeps
 * RULE 6: a request is bounded before it is parsed, clients are counted, only
 * root and the job's own user are heard.
 *
 * An answer never blocks the thread that gives it: what the socket does not
 * take at once waits in memory for the server's thread.
 */
#include "lib/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "lib/cleanup.h"
#include "lib/thread.h"
#include "lib/transport.h"

#define CLIENTS_MAX 64
#define OUTPUT_MAX_BYTES (1u << 20)	/* progress is left out beyond it */
#define CLIENT_DEADLINE_NS (10 * BF_NSEC_PER_SEC)
#define STOP_DEADLINE_NS BF_NSEC_PER_SEC

/*
 * Locking: server->lock guards everything below that says so. It is a leaf:
 * nothing is called under it but memory and non-blocking socket calls.
 */
struct bf_control_server {
	pthread_mutex_t lock;
	pthread_t thread;
	int listen_fd, lock_fd;
	int wake_fd;			/* eventfd: look again */
	bf_control_handler handler;
	void *context;
	bool stopping;			/* by lock */
	unsigned int references;	/* by lock: 1 and one a client */
	/* The thread's own: its reference on each client. */
	struct bf_control_client *clients[CLIENTS_MAX];
	size_t nr_clients;
	struct sockaddr_un address;
};

/*
 * A client has up to two holders: the server's thread, while the connection is
 * up, and the handler, from the request until it has answered.
 */
struct bf_control_client {
	struct bf_control_server *server;
	int fd;				/* closed by the last holder only */
	unsigned int holders;		/* by lock */
	bool gone;			/* by lock: hung up, nobody listens */
	bool answered;			/* by lock: close after output */
	uint64_t deadline_ns;		/* by lock: for request and output */
	char *output;			/* by lock */
	size_t output_bytes;
	/* The thread's own. */
	bool requested;
	bool half_closed;		/* nothing comes, it may still listen */
	size_t input_bytes;
	char input[BF_CONTROL_LINE_BYTES];
};

void bf_control_path(char path[108], const char *dir, const char *job)
{
	if (snprintf(path, 108, "%s/%s.sock", dir, job) >= 108)
		*path = '\0';
}

void bf_guardian_path(char path[108], const char *dir, const char *job)
{
	if (snprintf(path, 108, "%s/%s.guardian.sock", dir, job) >= 108)
		*path = '\0';
}

static void wake(struct bf_control_server *server)
{
	uint64_t one = 1;
	ssize_t written = write(server->wake_fd, &one, sizeof(one));

	(void)written;			/* a full counter wakes as well */
}

/* The last holder of anything frees the server. */
static void server_put(struct bf_control_server *server)
{
	bool last;

	pthread_mutex_lock(&server->lock);
	last = !--server->references;
	pthread_mutex_unlock(&server->lock);
	if (!last)
		return;
	close(server->wake_fd);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

static void client_put(struct bf_control_client *client)
{
	struct bf_control_server *server = client->server;
	bool last;

	pthread_mutex_lock(&server->lock);
	last = !--client->holders;
	pthread_mutex_unlock(&server->lock);
	if (!last)
		return;
	close(client->fd);
	free(client->output);
	free(client);
	server_put(server);
}

/* --- output, by lock --- */

/* Any thread may: the number stays taken until no thread can use it. */
static void hang_up(struct bf_control_client *client)
{
	shutdown(client->fd, SHUT_RDWR);
	client->gone = true;
	client->output_bytes = 0;
}

static void flush_output(struct bf_control_client *client)
{
	ssize_t sent;

	while (client->output_bytes) {
		sent = send(client->fd, client->output, client->output_bytes,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) {
			hang_up(client);
			return;
		}
		client->output_bytes -= sent;
		memmove(client->output, client->output + sent,
			client->output_bytes);
	}
}

static void append_output(struct bf_control_client *client, const char *line)
{
	size_t bytes = strlen(line);
	char *grown;

	if (client->gone)
		return;
	grown = realloc(client->output, client->output_bytes + bytes + 1);
	if (!grown) {
		hang_up(client);	/* no answer beats half of one */
		return;
	}
	client->output = grown;
	memcpy(grown + client->output_bytes, line, bytes);
	grown[client->output_bytes + bytes] = '\n';
	client->output_bytes += bytes + 1;
	flush_output(client);
}

static void send_line(struct bf_control_client *client, json_t *object, bool last)
{
	struct bf_control_server *server = client->server;
	_cleanup_free_ char *line = json_dumps(object, JSON_COMPACT);

	pthread_mutex_lock(&server->lock);
	if (!line)
		hang_up(client);
	else if (last || client->output_bytes + strlen(line) < OUTPUT_MAX_BYTES)
		append_output(client, line);
	if (last) {
		client->answered = true;
		client->deadline_ns = bf_now_ns() + CLIENT_DEADLINE_NS;
	}
	pthread_mutex_unlock(&server->lock);
	wake(server);
}

void bf_control_answer(struct bf_control_client *client, json_t *answer)
{
	json_object_set_new(answer, "format_version",
			    json_integer(BF_FORMAT_VERSION));
	if (!json_object_get(answer, "ok"))
		json_object_set_new(answer, "ok", json_true());
	send_line(client, answer, true);
	json_decref(answer);
	client_put(client);
}

json_t *bf_control_string(const char *text)
{
	json_t *string = json_string(text);
	_cleanup_free_ char *copy = string ? NULL : strdup(text);

	if (!copy)
		return string;
	for (char *at = copy; *at; at++) {
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	}
	return json_string(copy);
}

json_t *bf_control_error(const struct bf_error *err)
{
	return json_pack("{s:i, s:b, s:{s:s, s:o}}", "format_version",
			 BF_FORMAT_VERSION, "ok", 0, "error", "code",
			 bf_code_name(err->code), "text",
			 bf_control_string(err->text));
}

void bf_control_fail(struct bf_control_client *client, const struct bf_error *err)
{
	bf_control_answer(client, bf_control_error(err));
}

void bf_control_progress(struct bf_control_client *client, json_t *progress)
{
	json_object_set_new(progress, "event", json_string("progress"));
	send_line(client, progress, false);
	json_decref(progress);
}

bool bf_control_gone(struct bf_control_client *client)
{
	bool gone;

	pthread_mutex_lock(&client->server->lock);
	gone = client->gone;
	pthread_mutex_unlock(&client->server->lock);
	return gone;
}

int bf_control_peer(struct bf_control_client *client)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes))
		return -1;
	return syscall(SYS_pidfd_open, peer.pid, 0);
}

/* --- the server's thread --- */

/* Root, or the user that runs the job (tests; a job itself runs as root). */
static bool peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void accept_client(struct bf_control_server *server)
{
	_cleanup_close_ int fd = accept4(server->listen_fd, NULL, NULL,
					 SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct bf_control_client *client;

	if (fd < 0 || !peer_allowed(fd))
		return;
	client = calloc(1, sizeof(*client));
	if (!client)
		return;
	client->server = server;
	client->fd = bf_take_fd(fd);
	client->holders = 1;
	client->deadline_ns = bf_now_ns() + CLIENT_DEADLINE_NS;
	server->clients[server->nr_clients++] = client;
	pthread_mutex_lock(&server->lock);
	server->references++;
	pthread_mutex_unlock(&server->lock);
}

static void refuse_request(struct bf_control_client *client, const char *why)
{
	struct bf_error err;

	bf_fail(&err, BF_E_USAGE, EINVAL, "the request %s", why);
	bf_control_fail(client, &err);
}

/* The handler becomes a holder; it answers exactly once. */
static void hand_over(struct bf_control_client *client, size_t line_bytes)
{
	struct bf_control_server *server = client->server;
	json_t *request;

	client->requested = true;
	pthread_mutex_lock(&server->lock);
	client->holders++;
	pthread_mutex_unlock(&server->lock);
	request = json_loadb(client->input, line_bytes, JSON_REJECT_DUPLICATES,
			     NULL);
	if (!json_is_string(json_object_get(request, "command")))
		refuse_request(client, "is not a JSON object with a \"command\"");
	else
		server->handler(server->context, client, request);
	json_decref(request);
}

static void refuse_length(struct bf_control_client *client)
{
	client->requested = true;
	pthread_mutex_lock(&client->server->lock);
	client->holders++;
	pthread_mutex_unlock(&client->server->lock);
	refuse_request(client, "is longer than 65535 bytes");
}

/*
 * Return: false once the peer has hung up. One that only shut its half down
 * ("echo ... | socat") still gets its answer.
 */
static bool read_request(struct bf_control_client *client, short events)
{
	char spill[512];
	bool spilling = client->requested;
	ssize_t bytes = recv(client->fd,
			     spilling ? spill : client->input + client->input_bytes,
			     spilling ? sizeof(spill) :
			     sizeof(client->input) - client->input_bytes, 0);
	char *newline;

	if (bytes < 0)
		return errno == EAGAIN || errno == EINTR;
	client->half_closed = !bytes;
	if (!bytes)
		return client->requested && !(events & POLLHUP);
	if (spilling)
		return true;	/* one request a connection */
	client->input_bytes += bytes;
	newline = memchr(client->input, '\n', client->input_bytes);
	if (newline)
		hand_over(client, newline - client->input);
	else if (client->input_bytes == sizeof(client->input))
		refuse_length(client);
	return true;
}

static bool overdue(const struct bf_control_client *client, uint64_t now_ns)
{
	return (!client->requested || client->answered) &&
	       now_ns > client->deadline_ns;
}

/* Return: false when the thread lets go of the client. */
static bool serve_client(struct bf_control_client *client, short events)
{
	struct bf_control_server *server = client->server;
	bool keep = true;

	if (events & (POLLIN | POLLHUP | POLLERR))
		keep = read_request(client, events);
	pthread_mutex_lock(&server->lock);
	flush_output(client);
	if (client->gone || (client->answered && !client->output_bytes) ||
	    overdue(client, bf_now_ns()))
		keep = false;
	if (!keep)
		hang_up(client);
	pthread_mutex_unlock(&server->lock);
	return keep;
}

static void serve_clients(struct bf_control_server *server,
			  const struct pollfd *fds, size_t nr)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr; i++) {
		struct bf_control_client *client = server->clients[i];

		if (serve_client(client, fds[i].revents))
			server->clients[kept++] = client;
		else
			client_put(client);
	}
	server->nr_clients = kept;
}

/* Fills in @fds for the clients. Return: true if any output waits. */
static bool poll_clients(struct bf_control_server *server, struct pollfd *fds)
{
	bool waiting = false;

	pthread_mutex_lock(&server->lock);
	for (size_t i = 0; i < server->nr_clients; i++) {
		struct bf_control_client *client = server->clients[i];

		fds[i] = (struct pollfd){
			.fd = client->fd,
			.events = client->half_closed ? 0 : POLLIN,
		};
		if (client->output_bytes) {
			fds[i].events |= POLLOUT;
			waiting = true;
		}
	}
	pthread_mutex_unlock(&server->lock);
	return waiting;
}

/* Return: true while the thread has something to do. */
static bool server_wanted(struct bf_control_server *server, bool output_waits,
			  uint64_t *stop_deadline_ns)
{
	bool stopping;

	pthread_mutex_lock(&server->lock);
	stopping = server->stopping;
	pthread_mutex_unlock(&server->lock);
	if (!stopping)
		return true;
	if (!*stop_deadline_ns)
		*stop_deadline_ns = bf_now_ns() + STOP_DEADLINE_NS;
	return output_waits && bf_now_ns() < *stop_deadline_ns;
}

static void *serve(void *argument)
{
	struct bf_control_server *server = argument;
	struct pollfd fds[2 + CLIENTS_MAX];
	uint64_t stop_deadline_ns = 0, ticks;

	for (;;) {
		bool waits = poll_clients(server, fds + 2);
		bool room = server->nr_clients < CLIENTS_MAX;
		size_t nr = server->nr_clients;

		if (!server_wanted(server, waits, &stop_deadline_ns))
			return NULL;
		fds[0] = (struct pollfd){ server->wake_fd, POLLIN, 0 };
		fds[1] = (struct pollfd){ room ? server->listen_fd : -1,
					  POLLIN, 0 };
		if (poll(fds, 2 + nr, nr ? 1000 : -1) < 0)
			continue;
		if (fds[0].revents &&
		    read(server->wake_fd, &ticks, sizeof(ticks)) < 0)
			continue;
		serve_clients(server, fds + 2, nr);
		if (fds[1].revents)
			accept_client(server);
	}
}

/* --- start and stop --- */

static int make_run_dir(const char *path, struct bf_error *err)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0700) && errno != EEXIST)
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot create %s: %s",
			       dir, strerror(errno));
	return 0;
}

/* Its lock makes two servers of one name impossible, however they start. */
static int take_lock(const char *path, int *lock_fd, struct bf_error *err)
{
	char lock_path[128];
	_cleanup_close_ int fd = -1;

	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot open %s: %s",
			       lock_path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		return bf_fail(err, BF_E_BUSY, EBUSY,
			       "%s is served by another process: the job runs already; stop that one first",
			       path);
	*lock_fd = bf_take_fd(fd);
	return 0;
}

/* Nobody can connect before listen(2), so the mode is right in time. */
static int listen_at(const struct sockaddr_un *address, int *listen_fd,
		     struct bf_error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
					SOCK_NONBLOCK, 0);

	if (fd < 0 || (unlink(address->sun_path) && errno != ENOENT) ||
	    bind(fd, (const struct sockaddr *)address, sizeof(*address)) ||
	    chmod(address->sun_path, 0600) || listen(fd, 16))
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "cannot listen on %s: %s", address->sun_path,
			       strerror(errno));
	*listen_fd = bf_take_fd(fd);
	return 0;
}

static int server_open(struct bf_control_server *server, const char *path,
		       struct bf_error *err)
{
	int ret;

	if (!*path || strlen(path) >= sizeof(server->address.sun_path))
		return bf_fail(err, BF_E_USAGE, ENAMETOOLONG,
			       "the control socket's path is longer than 107 bytes: take a shorter run directory");
	server->address.sun_family = AF_UNIX;
	strcpy(server->address.sun_path, path);
	ret = make_run_dir(path, err);
	if (!ret)
		ret = take_lock(path, &server->lock_fd, err);
	if (!ret)
		ret = listen_at(&server->address, &server->listen_fd, err);
	if (ret)
		return ret;
	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake_fd < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "eventfd: %s",
			       strerror(errno));
	return 0;
}

static void server_free_unstarted(struct bf_control_server *server)
{
	if (server->listen_fd >= 0) {
		unlink(server->address.sun_path);
		close(server->listen_fd);
	}
	if (server->lock_fd >= 0)
		close(server->lock_fd);
	if (server->wake_fd >= 0)
		close(server->wake_fd);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

int bf_control_serve(struct bf_control_server **out, const char *path,
		     bf_control_handler handler, void *context,
		     struct bf_error *err)
{
	struct bf_control_server *server = calloc(1, sizeof(*server));
	int ret;

	if (!server)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	pthread_mutex_init(&server->lock, NULL);
	server->listen_fd = server->lock_fd = server->wake_fd = -1;
	server->handler = handler;
	server->context = context;
	server->references = 1;
	ret = server_open(server, path, err);
	if (!ret && (ret = bf_thread_start(&server->thread, serve, server)))
		ret = bf_fail(err, BF_E_SYSTEM, ret, "cannot start a thread: %s",
			      strerror(ret));
	if (ret)
		server_free_unstarted(server);
	else
		*out = server;
	return ret;
}

/*
 * Answers given before are delivered first, within a second. A handler that
 * still holds a client may answer later: nobody hears it and it is freed then.
 */
void bf_control_stop(struct bf_control_server *server)
{
	if (!server)
		return;
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	pthread_mutex_unlock(&server->lock);
	wake(server);
	pthread_join(server->thread, NULL);
	unlink(server->address.sun_path);
	close(server->listen_fd);
	close(server->lock_fd);
	for (size_t i = 0; i < server->nr_clients; i++) {
		pthread_mutex_lock(&server->lock);
		hang_up(server->clients[i]);
		pthread_mutex_unlock(&server->lock);
		client_put(server->clients[i]);
	}
	server_put(server);
}
