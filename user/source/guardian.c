// SPDX-License-Identifier: Apache-2.0
/*
 * Guardian, the replicator's side: starts the process, hands it the
 * filesystems, and tells it before and after each FIFREEZE (RULE 5). A thread
 * sends the heartbeats and says when the bound has passed.
 */
#include "source/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/control.h"
#include "lib/log.h"
#include "lib/thread.h"
#include "lib/transport.h"
#include "source/guardian_protocol.h"
#include "source/holders.h"

#define ANSWER_WAIT_MS 30000		/* of systemd, too */
#define HOLD_WAIT_MS 5000		/* everything is frozen meanwhile */
#define STOP_WAIT_MS 10000
#define RELEASE_WAIT_NS (60 * BF_NSEC_PER_SEC)
#define SEND_WAIT_SECONDS 2

/* Announcements come from one thread, heartbeats from another: by lock. */
struct bf_guardian {
	int fd;				/* blocking, SOCK_SEQPACKET */
	pid_t pid;
	int pidfd;			/* of the guardian */
	bool own_group;
	bool deaf;			/* it reads nothing: not waited for again */
	bool missed;			/* a word was lost on it */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;			/* by lock */
	uint64_t bound_ns;
	uint64_t since_ns;		/* by lock: the clock, 0: not started */
	bool told;			/* by lock: expired was called */
	void (*expired)(void *context);
	void *context;
};

static int send_message(struct bf_guardian *guardian,
			const struct bf_guardian_message *message, int fd,
			int flags)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec vector = { (void *)message, sizeof(*message) };
	struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1 };
	struct cmsghdr *rights;

	if (fd >= 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	}
	while (sendmsg(guardian->fd, &header, MSG_NOSIGNAL | flags) < 0)
		if (errno != EINTR)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return 0;
}

static int tell(struct bf_guardian *guardian, uint32_t type, size_t index,
		int result, uint64_t deadline_ns)
{
	struct bf_guardian_message message = {
		.type = type,
		.index = index,
		.result = result,
		.deadline_ns = deadline_ns,
	};
	int ret = send_message(guardian, &message, -1,
			       guardian->deaf ? MSG_DONTWAIT : 0);

	guardian->deaf = ret == -ETIMEDOUT;
	guardian->missed |= ret != 0;
	return ret;
}

static int no_answer(struct bf_error *err, int errnum)
{
	return bf_fail(err, BF_E_FREEZE, errnum,
		       "the guardian of the freeze does not answer (%s): nothing is frozen without it, try again",
		       strerror(errnum));
}

/* Waits for the answer to what was @sent (0 or a negative errno). */
static int await_answer(struct bf_guardian *guardian, int sent, int wait_ms,
			uint32_t *flags, struct bf_error *err)
{
	struct pollfd wait = { guardian->fd, POLLIN, 0 };
	struct bf_guardian_message message;
	int ready;

	if (sent)
		return no_answer(err, -sent);
	do {
		ready = poll(&wait, 1, wait_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return no_answer(err, ETIMEDOUT);
	if (recv(guardian->fd, &message, sizeof(message), MSG_DONTWAIT) !=
	    sizeof(message) || message.type != BF_GUARDIAN_ANSWER)
		return no_answer(err, EPIPE);
	if (message.result)
		return bf_fail(err, BF_E_FREEZE, -message.result, "%.255s",
			       message.text);
	if (flags)
		*flags = message.flags;
	return 0;
}

/* ---- starting ---- */

/* Between fork and exec: async-signal-safe calls only. */
static void __attribute__((noreturn)) become_guardian(int fd, char *const argv[])
{
	sigset_t none;
	int null;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(fd, STDIN_FILENO) != STDIN_FILENO)
		_exit(BF_EXIT_FAILED);
	null = open("/dev/null", O_WRONLY);
	dup2(null, STDOUT_FILENO);
	syscall(__NR_close_range, 3, ~0u, 0);
	execv("/proc/self/exe", argv);
	_exit(BF_EXIT_FAILED);
}

static int spawn(struct bf_guardian *guardian, const char *job,
		 const char *run_dir, struct bf_error *err)
{
	char *const argv[] = { (char *)"blkferry",
			       (char *)BF_GUARDIAN_ARGUMENT, (char *)job,
			       (char *)run_dir, NULL };
	const struct timeval send_wait = { SEND_WAIT_SECONDS, 0 };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return bf_fail(err, BF_E_SYSTEM, errno, "socketpair: %s",
			       strerror(errno));
	guardian->pid = fork();
	if (!guardian->pid)
		become_guardian(pair[1], argv);
	close(pair[1]);
	guardian->fd = pair[0];
	/* A guardian that stands still must not keep us from thawing. */
	setsockopt(guardian->fd, SOL_SOCKET, SO_SNDTIMEO, &send_wait,
		   sizeof(send_wait));
	if (guardian->pid < 0)
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "the guardian of the freeze could not be started: %s",
			       strerror(errno));
	guardian->pidfd = syscall(SYS_pidfd_open, guardian->pid, 0);
	return guardian->pidfd >= 0 ? 0 :
	       bf_fail(err, BF_E_SYSTEM, errno, "pidfd_open: %s",
		       strerror(errno));
}

static int set_up(struct bf_guardian *guardian, struct bf_error *err)
{
	struct bf_guardian_message message = { .type = BF_GUARDIAN_SETUP };
	_cleanup_close_ int self = syscall(SYS_pidfd_open, getpid(), 0);
	uint32_t flags;
	int ret;

	if (self < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "pidfd_open: %s",
			       strerror(errno));
	ret = await_answer(guardian, send_message(guardian, &message, self, 0),
			   ANSWER_WAIT_MS, &flags, err);
	if (ret)
		return ret;
	guardian->own_group = flags & BF_GUARDIAN_OWN_GROUP;
	return 0;
}

static int hand_over(struct bf_guardian *guardian,
		     const struct bf_holders *holders, struct bf_error *err)
{
	if (holders->nr_filesystems > BF_GUARDIAN_FILESYSTEMS_MAX)
		return bf_fail(err, BF_E_FREEZE, E2BIG,
			       "%zu filesystems stand on the disks of the job, more than the %d that one freeze can hold: split the job",
			       holders->nr_filesystems,
			       BF_GUARDIAN_FILESYSTEMS_MAX);
	for (size_t i = 0; i < holders->nr_filesystems; i++) {
		const struct bf_filesystem *fs = &holders->filesystems[i];
		struct bf_guardian_message message = {
			.type = BF_GUARDIAN_FILESYSTEM,
			.index = i,
		};
		int ret;

		snprintf(message.text, sizeof(message.text), "%s",
			 fs->mountpoint);
		ret = send_message(guardian, &message, fs->fd, 0);
		if (ret)
			return no_answer(err, -ret);
	}
	return await_answer(guardian, tell(guardian, BF_GUARDIAN_ARM, 0, 0, 0),
			    ANSWER_WAIT_MS, NULL, err);
}

static struct bf_guardian *guardian_new(void)
{
	struct bf_guardian *guardian = calloc(1, sizeof(*guardian));
	pthread_condattr_t monotonic;

	if (!guardian)
		return NULL;
	guardian->fd = guardian->pidfd = -1;
	pthread_mutex_init(&guardian->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&guardian->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return guardian;
}

int bf_guardian_start(struct bf_guardian **out, const char *job,
		      const char *run_dir, const struct bf_holders *holders,
		      struct bf_error *err)
{
	struct bf_guardian *guardian = guardian_new();
	int ret;

	if (!guardian)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	ret = spawn(guardian, job, run_dir, err);
	if (!ret)
		ret = set_up(guardian, err);
	if (!ret)
		ret = hand_over(guardian, holders, err);
	if (ret) {
		bf_guardian_stop(guardian);
		return ret;
	}
	*out = guardian;
	return 0;
}

bool bf_guardian_own_group(const struct bf_guardian *guardian)
{
	return guardian->own_group;
}

/* ---- heartbeats ---- */

static void deadline_at(struct timespec *until, uint64_t ns)
{
	until->tv_sec = ns / BF_NSEC_PER_SEC;
	until->tv_nsec = ns % BF_NSEC_PER_SEC;
}

/* With the lock. Return: when to look again. */
static uint64_t check_bound(struct bf_guardian *guardian, uint64_t now_ns)
{
	uint64_t next_ns = now_ns + BF_GUARDIAN_TICK_MS * BF_NSEC_PER_MSEC;
	uint64_t bound_ns = guardian->since_ns + guardian->bound_ns;

	if (!guardian->since_ns || guardian->told)
		return next_ns;
	if (now_ns < bound_ns)
		return next_ns < bound_ns ? next_ns : bound_ns;
	guardian->told = true;
	guardian->expired(guardian->context);
	return next_ns;
}

static void *heartbeats(void *context)
{
	static const struct bf_guardian_message beat = {
		.type = BF_GUARDIAN_HEARTBEAT,
	};
	struct bf_guardian *guardian = context;

	pthread_mutex_lock(&guardian->lock);
	while (!guardian->stopping) {
		struct timespec until;

		deadline_at(&until, check_bound(guardian, bf_now_ns()));
		/* A full queue says that we live as well as one more would; a
		 * guardian that has gone is noticed by bf_guardian_gone. */
		send_message(guardian, &beat, -1, MSG_DONTWAIT);
		pthread_cond_timedwait(&guardian->wake, &guardian->lock,
				       &until);
	}
	pthread_mutex_unlock(&guardian->lock);
	return NULL;
}

int bf_guardian_arm(struct bf_guardian *guardian, uint64_t bound_ns,
		    void (*expired)(void *context), void *context,
		    struct bf_error *err)
{
	int ret;

	guardian->bound_ns = bound_ns;
	guardian->expired = expired;
	guardian->context = context;
	ret = bf_thread_start(&guardian->thread, heartbeats, guardian);
	if (ret)
		return bf_fail(err, BF_E_SYSTEM, ret,
			       "no thread for the guardian's heartbeats: %s",
			       strerror(ret));
	guardian->has_thread = true;
	return 0;
}

static void stop_heartbeats(struct bf_guardian *guardian)
{
	if (!guardian->has_thread)
		return;
	pthread_mutex_lock(&guardian->lock);
	guardian->stopping = true;
	pthread_cond_signal(&guardian->wake);
	pthread_mutex_unlock(&guardian->lock);
	pthread_join(guardian->thread, NULL);
	guardian->has_thread = false;
}

/* ---- around the freeze ---- */

void bf_guardian_start_clock(struct bf_guardian *guardian)
{
	pthread_mutex_lock(&guardian->lock);
	guardian->since_ns = bf_now_ns();
	pthread_cond_signal(&guardian->wake);
	pthread_mutex_unlock(&guardian->lock);
}

int bf_guardian_stop_clock(struct bf_guardian *guardian, struct bf_error *err)
{
	pthread_mutex_lock(&guardian->lock);
	guardian->since_ns = 0;
	pthread_mutex_unlock(&guardian->lock);
	if (!guardian->missed)
		return 0;
	return bf_fail(err, BF_E_FREEZE, ETIMEDOUT,
		       "all is thawed, but the guardian has not heard of it and would end this process at the bound; try again");
}

int bf_guardian_announce(struct bf_guardian *guardian, size_t index)
{
	/* since_ns is this thread's: it has started the clock. */
	return tell(guardian, BF_GUARDIAN_ANNOUNCE, index, 0,
		    guardian->since_ns + guardian->bound_ns +
		    BF_GUARDIAN_GRACE_NS);
}

int bf_guardian_result(struct bf_guardian *guardian, size_t index,
		       enum bf_guardian_result result)
{
	return tell(guardian, BF_GUARDIAN_RESULT, index, result, 0);
}

uint64_t bf_guardian_since_ns(const struct bf_guardian *guardian)
{
	return guardian->since_ns;
}

int bf_guardian_hold(struct bf_guardian *guardian, uint64_t poweroff_ns,
		     struct bf_error *err)
{
	uint64_t at_ns = poweroff_ns ? bf_now_ns() + poweroff_ns : 0;
	bool late;

	/* From here on the bound is not for anybody to call any more. */
	pthread_mutex_lock(&guardian->lock);
	late = guardian->told;
	guardian->told = true;
	pthread_mutex_unlock(&guardian->lock);
	if (late)
		return bf_fail(err, BF_E_DOWNTIME, ETIME,
			       "the bound of the downtime passed just before the final commit");
	return await_answer(guardian,
			    tell(guardian, BF_GUARDIAN_HOLD, 0, 0, at_ns),
			    HOLD_WAIT_MS, NULL, err);
}

int bf_guardian_unhold(struct bf_guardian *guardian, struct bf_error *err)
{
	return await_answer(guardian,
			    tell(guardian, BF_GUARDIAN_UNHOLD, 0, 0, 0),
			    HOLD_WAIT_MS, NULL, err);
}

bool bf_guardian_gone(struct bf_guardian *guardian)
{
	struct pollfd wait = { guardian->pidfd, POLLIN, 0 };

	return poll(&wait, 1, 0) > 0;
}

/* ---- the end ---- */

static void guardian_free(struct bf_guardian *guardian)
{
	if (guardian->fd >= 0)
		close(guardian->fd);
	if (guardian->pidfd >= 0)
		close(guardian->pidfd);
	pthread_cond_destroy(&guardian->wake);
	pthread_mutex_destroy(&guardian->lock);
	free(guardian);
}

void bf_guardian_stop(struct bf_guardian *guardian)
{
	struct pollfd wait;

	if (!guardian)
		return;
	stop_heartbeats(guardian);
	guardian->deaf = false;		/* this word is worth a wait */
	if (guardian->fd >= 0)
		tell(guardian, BF_GUARDIAN_DISARM, 0, 0, 0);
	wait = (struct pollfd){ guardian->pidfd, POLLIN, 0 };
	if (guardian->pidfd >= 0 && poll(&wait, 1, STOP_WAIT_MS) <= 0) {
		bf_warn("the guardian of the freeze does not end: killed");
		kill(guardian->pid, SIGKILL);
	}
	if (guardian->pid > 0)
		waitpid(guardian->pid, NULL, 0);
	guardian_free(guardian);
}

void bf_guardian_leave(struct bf_guardian *guardian)
{
	if (!guardian)
		return;
	stop_heartbeats(guardian);
	guardian_free(guardian);
}

void bf_guardian_release(const char *job, const char *run_dir)
{
	json_t *request = json_pack("{ss}", "command", "thaw"), *answer = NULL;
	struct bf_error err;
	char path[108];

	bf_guardian_path(path, run_dir, job);
	if (!bf_control_call(path, request, RELEASE_WAIT_NS, NULL, NULL,
			     &answer, &err))
		bf_warn("job %s: a run before this one ended before its final commit was taken: what it held frozen is thawed",
			job);
	else if (err.code != BF_E_NOT_RUNNING)
		bf_log_error(&err);
	json_decref(answer);
	json_decref(request);
}
