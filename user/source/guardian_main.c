// SPDX-License-Identifier: Apache-2.0
/*
 * Guardian, the process: messages of the source flow in, the word to thaw flows
 * out (RULE 5). While something may be frozen it opens no file, writes no line
 * and touches no page that is not locked.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "lib/cleanup.h"
#include "lib/control.h"
#include "lib/log.h"
#include "lib/transport.h"
#include "source/guardian.h"
#include "source/guardian_protocol.h"
#include "source/guardian_thaw.h"

enum guard_state { GUARD_SETUP, GUARD_ARMED, GUARD_HOLDING, GUARD_FIRING };

/* The thawer's lock guards what says so; the main thread alone writes the rest. */
struct guard {
	struct bf_thawer thawer;
	enum guard_state state;		/* by lock */
	uint64_t deadline_ns;		/* 0: none */
	uint64_t poweroff_ns;		/* by lock; 0: never */
	unsigned int silent_ticks;
	int source_fd;			/* the socket; -1 once it hung up */
	int pidfd;
	int signal_fd;
	int wake_fd;			/* a client wants a thaw */
	struct bf_control_server *server;
	struct bf_control_client *thaw_client;	/* by lock */
	const char *job, *run_dir;
};

static void set_state(struct guard *guard, enum guard_state state)
{
	pthread_mutex_lock(&guard->thawer.lock);
	guard->state = state;
	pthread_mutex_unlock(&guard->thawer.lock);
}

/* ---- messages ---- */

static int receive_fd(struct msghdr *header)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);
	int fd;

	if (!control || control->cmsg_level != SOL_SOCKET ||
	    control->cmsg_type != SCM_RIGHTS ||
	    control->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -1;
	memcpy(&fd, CMSG_DATA(control), sizeof(fd));
	return fd;
}

/* Return: 1 with a message, 0 if the source hung up, negative errno. */
static int receive(struct guard *guard, struct bf_guardian_message *message,
		   int *fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec vector = { message, sizeof(*message) };
	struct msghdr header = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t bytes;

	*fd = -1;
	bytes = recvmsg(guard->source_fd, &header,
			MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (bytes < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (!bytes)
		return 0;
	*fd = receive_fd(&header);
	if (bytes != sizeof(*message) || header.msg_flags & MSG_TRUNC)
		return -EPROTO;
	message->text[sizeof(message->text) - 1] = '\0';
	return 1;
}

static int answer(struct guard *guard, int result, uint32_t flags,
		  const struct bf_error *err)
{
	struct bf_guardian_message message = {
		.type = BF_GUARDIAN_ANSWER,
		.result = result,
		.flags = flags,
	};

	if (result)
		snprintf(message.text, sizeof(message.text), "%.255s",
			 err->text);
	/* A source that cannot be answered is found by its pidfd. */
	send(guard->source_fd, &message, sizeof(message), MSG_NOSIGNAL);
	return result;
}

static int on_filesystem(struct guard *guard,
			 const struct bf_guardian_message *message, int *fd)
{
	int ret;

	if (*fd < 0 ||
	    guard->thawer.nr_filesystems >= BF_GUARDIAN_FILESYSTEMS_MAX)
		return -EPROTO;
	ret = bf_thawer_add(&guard->thawer, *fd, message->text);
	if (!ret)
		*fd = -1;
	return ret;
}

static int on_arm(struct guard *guard)
{
	struct bf_error err = { 0 };
	int ret = bf_thawer_start(&guard->thawer);

	if (!ret && mlockall(MCL_CURRENT | MCL_FUTURE))
		ret = -errno;
	if (ret) {
		bf_fail(&err, BF_E_FREEZE, -ret,
			"the guardian could not get threads and locked memory: %s",
			strerror(-ret));
		return answer(guard, ret, 0, &err);
	}
	set_state(guard, GUARD_ARMED);
	return answer(guard, 0, 0, NULL);
}

static int on_freeze(struct guard *guard,
		     const struct bf_guardian_message *message)
{
	struct bf_guarded *filesystem;

	if (guard->state == GUARD_SETUP ||
	    message->index >= guard->thawer.nr_filesystems)
		return -EPROTO;
	filesystem = &guard->thawer.filesystems[message->index];
	pthread_mutex_lock(&guard->thawer.lock);
	if (message->type == BF_GUARDIAN_ANNOUNCE) {
		filesystem->announced = true;
		filesystem->not_ours = false;
		guard->deadline_ns = message->deadline_ns;
	} else if (message->result == BF_GUARDIAN_NOT_OURS) {
		filesystem->not_ours = true;
	} else if (message->result == BF_GUARDIAN_NOT_FROZEN) {
		filesystem->announced = false;
	}
	if (!bf_thawer_has_work(&guard->thawer))
		guard->deadline_ns = 0;
	pthread_mutex_unlock(&guard->thawer.lock);
	return 0;
}

static int on_hold(struct guard *guard, const struct bf_guardian_message *message)
{
	bool hold = message->type == BF_GUARDIAN_HOLD;

	if (guard->state != (hold ? GUARD_ARMED : GUARD_HOLDING))
		return -EPROTO;
	pthread_mutex_lock(&guard->thawer.lock);
	guard->state = hold ? GUARD_HOLDING : GUARD_ARMED;
	guard->poweroff_ns = hold ? message->deadline_ns : 0;
	pthread_mutex_unlock(&guard->thawer.lock);
	guard->deadline_ns = 0;
	return answer(guard, 0, 0, NULL);
}

static void on_control(void *context, struct bf_control_client *client,
		       json_t *request);

static int on_setup(struct guard *guard, int *fd)
{
	struct bf_error err = { 0 };
	char path[108];
	int ret;

	if (guard->pidfd >= 0 || *fd < 0)
		return -EPROTO;
	guard->pidfd = bf_take_fd(*fd);
	bf_guardian_path(path, guard->run_dir, guard->job);
	ret = bf_control_serve(&guard->server, path, on_control, guard, &err);
	if (ret == -EBUSY)
		bf_fail(&err, BF_E_BUSY, EBUSY,
			"an earlier cutover of job %s still holds filesystems frozen: `blkferry thaw %s` first",
			guard->job, guard->job);
	if (ret)
		return answer(guard, ret, 0, &err);
	return answer(guard, 0, bf_guardian_join_group(guard->job) ?
		      BF_GUARDIAN_OWN_GROUP : 0, NULL);
}

/* Return: 0, 1 to end, negative errno: the source speaks nonsense. */
static int on_message(struct guard *guard,
		      const struct bf_guardian_message *message, int *fd)
{
	guard->silent_ticks = 0;
	switch (message->type) {
	case BF_GUARDIAN_SETUP:
		return on_setup(guard, fd);
	case BF_GUARDIAN_FILESYSTEM:
		return on_filesystem(guard, message, fd);
	case BF_GUARDIAN_ARM:
		return guard->state == GUARD_SETUP ? on_arm(guard) : -EPROTO;
	case BF_GUARDIAN_ANNOUNCE:
	case BF_GUARDIAN_RESULT:
		return on_freeze(guard, message);
	case BF_GUARDIAN_HOLD:
	case BF_GUARDIAN_UNHOLD:
		return on_hold(guard, message);
	case BF_GUARDIAN_HEARTBEAT:
		return 0;
	case BF_GUARDIAN_DISARM:
		return 1;
	}
	return -EPROTO;
}

/* All that has come. Return: as on_message, -EPIPE once the source hung up. */
static int read_messages(struct guard *guard)
{
	for (;;) {
		struct bf_guardian_message message;
		_cleanup_close_ int fd = -1;
		int ret = receive(guard, &message, &fd);

		if (ret == -EAGAIN || ret == -EINTR)
			return 0;
		if (!ret)
			return -EPIPE;
		if (ret > 0)
			ret = on_message(guard, &message, &fd);
		if (ret)
			return ret;
	}
}

/* ---- firing ---- */

static void wait_source_gone(struct guard *guard)
{
	struct pollfd wait = { guard->pidfd, POLLIN, 0 };

	while (poll(&wait, 1, -1) < 0 && errno == EINTR)
		;
	/* What it announced between the kill and its end. */
	if (guard->source_fd >= 0)
		read_messages(guard);
}

/* Return: 0 if everything is thawed. */
static int fire(struct guard *guard, const char *why, struct bf_error *err)
{
	set_state(guard, GUARD_FIRING);
	bf_thawer_fire(&guard->thawer);
	/* ESRCH when it has gone by itself. */
	syscall(SYS_pidfd_send_signal, guard->pidfd, SIGKILL, NULL, 0);
	wait_source_gone(guard);
	bf_thawer_finish(&guard->thawer);
	return bf_thawer_report(&guard->thawer, guard->job, why, err);
}

/* The source goes; what it could not thaw, if anything, gets one more try. */
static void disarm(struct guard *guard)
{
	set_state(guard, GUARD_FIRING);
	bf_thawer_fire(&guard->thawer);
	bf_thawer_finish(&guard->thawer);
}

/* ---- control socket ---- */

static const char *state_name(enum guard_state state)
{
	static const char *const names[] = {
		[GUARD_SETUP] = "setup",
		[GUARD_ARMED] = "armed",
		[GUARD_HOLDING] = "holding",
		[GUARD_FIRING] = "thawing",
	};

	return names[state];
}

static json_t *report(struct guard *guard)
{
	json_t *filesystems = json_array();
	uint64_t now_ns = bf_now_ns();
	json_t *status;

	pthread_mutex_lock(&guard->thawer.lock);
	for (size_t i = 0; i < guard->thawer.nr_filesystems; i++) {
		const struct bf_guarded *fs = &guard->thawer.filesystems[i];

		json_array_append_new(filesystems,
			json_pack("{so, sb, sb}", "mountpoint",
				  bf_control_string(fs->mountpoint), "frozen", bf_guarded_may_be_ours(fs) && !fs->thawed,
				  "thawed", fs->thawed));
	}
	status = json_pack("{ss, ss, so}", "job", guard->job, "state",
			   state_name(guard->state), "filesystems",
			   filesystems);
	if (status && guard->poweroff_ns)
		json_object_set_new(status, "poweroff_in_ns",
			json_integer(guard->poweroff_ns > now_ns ?
				     guard->poweroff_ns - now_ns : 0));
	pthread_mutex_unlock(&guard->thawer.lock);
	return status;
}

static void refuse(struct bf_control_client *client, enum bf_code code,
		   const char *text)
{
	struct bf_error err;

	bf_fail(&err, code, 0, "%s", text);
	bf_control_fail(client, &err);
}

static void on_thaw(struct guard *guard, struct bf_control_client *client)
{
	bool taken = false;
	uint64_t one = 1;

	pthread_mutex_lock(&guard->thawer.lock);
	if (guard->state == GUARD_HOLDING && !guard->thaw_client) {
		guard->thaw_client = client;
		taken = true;
	}
	pthread_mutex_unlock(&guard->thawer.lock);
	if (!taken)
		refuse(client, BF_E_STATE,
		       "nothing is held: a cutover that is under way thaws by itself; `blkferry cancel` ends it now");
	else if (write(guard->wake_fd, &one, sizeof(one)) != sizeof(one))
		bf_debug("guardian: wake-up lost");
}

static void on_control(void *context, struct bf_control_client *client,
		       json_t *request)
{
	const char *command =
		json_string_value(json_object_get(request, "command"));
	struct guard *guard = context;

	if (command && !strcmp(command, "thaw"))
		on_thaw(guard, client);
	else if (command && !strcmp(command, "status"))
		bf_control_answer(client, report(guard));
	else
		refuse(client, BF_E_USAGE,
		       "the guardian understands thaw and status only");
}

static bool thaw_asked(struct guard *guard)
{
	bool asked;

	pthread_mutex_lock(&guard->thawer.lock);
	asked = guard->thaw_client;
	pthread_mutex_unlock(&guard->thawer.lock);
	return asked;
}

/* ---- the loop ---- */

static int wait_ms(const struct guard *guard)
{
	uint64_t now_ns;

	if (guard->state == GUARD_ARMED)
		return BF_GUARDIAN_TICK_MS;
	if (guard->state != GUARD_HOLDING || !guard->poweroff_ns)
		return -1;
	now_ns = bf_now_ns();
	return now_ns >= guard->poweroff_ns ? 0 :
	       (guard->poweroff_ns - now_ns) / BF_NSEC_PER_MSEC + 1;
}

/* What it said is in thaw_client; a count that stays would end our ticks. */
static void take_wake(struct guard *guard)
{
	uint64_t count;

	if (read(guard->wake_fd, &count, sizeof(count)) < 0)
		return;
}

static bool terminated(struct guard *guard)
{
	struct signalfd_siginfo info;

	return read(guard->signal_fd, &info, sizeof(info)) == sizeof(info);
}

/*
 * NULL: no cause to fire. Ticks, not time: a paused machine is not silence. The
 * source may take its time before the freeze: it locks its memory then.
 */
static const char *cause_to_fire(struct guard *guard, bool tick)
{
	if (!bf_thawer_has_work(&guard->thawer))
		return NULL;
	if (tick && ++guard->silent_ticks >= BF_GUARDIAN_SILENCE_TICKS)
		return "the replicator fell silent";
	if (guard->deadline_ns && bf_now_ns() >= guard->deadline_ns)
		return "the bound of the freeze has passed";
	return NULL;
}

static int hold_step(struct guard *guard)
{
	struct bf_error err;

	if (thaw_asked(guard)) {
		if (fire(guard, "the operator ended the hold", &err))
			bf_control_fail(guard->thaw_client, &err);
		else
			bf_control_answer(guard->thaw_client, report(guard));
		return 1;
	}
	if (guard->poweroff_ns && bf_now_ns() >= guard->poweroff_ns)
		reboot(RB_POWER_OFF);
	return 0;
}

/* Return: 1 to end. */
static int step(struct guard *guard)
{
	/* The socket stays in the list while it lives; -1 is left out. */
	struct pollfd fds[] = {
		{ guard->source_fd, POLLIN, 0 },
		{ guard->signal_fd, POLLIN, 0 },
		{ guard->wake_fd, POLLIN, 0 },
		{ guard->state == GUARD_HOLDING ? -1 : guard->pidfd, POLLIN, 0 },
	};
	const char *why = NULL;
	struct bf_error err;
	int ready, ret = 0;

	ready = poll(fds, 4, wait_ms(guard));
	if (fds[0].revents)
		ret = read_messages(guard);
	if (fds[2].revents)
		take_wake(guard);
	if (ret > 0) {
		disarm(guard);
		return 1;
	}
	if (ret == -EPIPE && guard->state == GUARD_HOLDING) {
		close(guard->source_fd);
		guard->source_fd = -1;
		return 0;
	}
	if (fds[1].revents && terminated(guard))
		why = "SIGTERM";
	if (guard->state == GUARD_HOLDING)
		return hold_step(guard);
	if (fds[3].revents || ret == -EPIPE)
		why = "the replicator ended during the freeze";
	else if (ret)
		why = "the replicator spoke nonsense";
	if (guard->state == GUARD_SETUP)
		return why ? 1 : 0;
	if (!why)
		why = cause_to_fire(guard, !ready);
	if (why)
		fire(guard, why, &err);
	return why ? 1 : 0;
}

static int open_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void spare_from_oom(void)
{
	struct rlimit files = { 0 };
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj",
				      O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		bf_warn("guardian: the OOM killer may take it: %s",
			strerror(errno));
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static void guard_free(struct guard *guard)
{
	bf_control_stop(guard->server);
	bf_guardian_leave_group(guard->job);
	bf_thawer_free(&guard->thawer);
	if (guard->pidfd >= 0)
		close(guard->pidfd);
	if (guard->source_fd >= 0)
		close(guard->source_fd);
	close(guard->signal_fd);
	close(guard->wake_fd);
}

/* --guardian JOB RUN_DIR, the socket at standard input */
int bf_guardian_main(int argc, char **argv)
{
	struct guard guard = { .pidfd = -1, .source_fd = -1 };

	if (argc != 4)
		return BF_EXIT_USAGE;
	guard.job = argv[2];
	guard.run_dir = argv[3];
	/* Not left at a number that a child or a library takes for input. */
	guard.source_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	guard.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	guard.signal_fd = open_signals();
	close(STDIN_FILENO);
	if (open("/dev/null", O_RDONLY) != STDIN_FILENO || guard.source_fd < 0 ||
	    guard.wake_fd < 0 || guard.signal_fd < 0)
		return BF_EXIT_FAILED;
	bf_thawer_init(&guard.thawer);
	prctl(PR_SET_NAME, "blkferry-guard");
	spare_from_oom();
	while (!step(&guard))
		;
	guard_free(&guard);
	return BF_EXIT_DONE;
}
