// SPDX-License-Identifier: Apache-2.0
/*
 * Policy (RULE 5): however the process that froze a filesystem ends, hangs or
 * overstays, the guardian thaws it, within a second of a death; it thaws what
 * that process froze and nothing else; in hold it thaws on the operator's word
 * only. Real filesystems on loop devices.
 *
 * A case forks a source, which freezes and then does what the case is about.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/control.h"
#include "lib/transport.h"
#include "source/freeze.h"
#include "source/guardian.h"
#include "source/holders.h"
#include "tap.h"

#define SECOND_NS BF_NSEC_PER_SEC

static struct bf_error err;
static char folder[] = "/tmp/blkferry-guardian.XXXXXX";
static dev_t disk;
static int mount_fd = -1;

static void __attribute__((format(printf, 1, 2))) sh(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command))
		tap_fail(__FILE__, __LINE__, "failed: %s", command);
}

static void set_up(void)
{
	char path[128];
	struct stat status;

	if (geteuid() || access("/dev/loop-control", W_OK))
		tap_skip("needs root and loop devices");
	sh("cd %s && mkdir mnt && truncate -s 32M disk.img && mkfs.ext4 -q disk.img && ln -s \"$(losetup -f --show disk.img)\" loop && mount loop mnt",
	   folder);
	snprintf(path, sizeof(path), "%s/loop", folder);
	check(!stat(path, &status));
	disk = status.st_rdev;
	snprintf(path, sizeof(path), "%s/mnt", folder);
	mount_fd = open(path, O_RDONLY | O_CLOEXEC);
	check(mount_fd >= 0);
}

static void tear_down(void)
{
	close(mount_fd);
	sh("cd %s && umount mnt && losetup -d \"$(readlink loop)\" && rm -rf %s",
	   folder, folder);
}

static bool is_frozen(void)
{
	if (!ioctl(mount_fd, FIFREEZE, 0)) {
		ioctl(mount_fd, FITHAW, 0);
		return false;
	}
	return errno == EBUSY;
}

/* One poll(2) of @ms; 100 Hz is enough for what is waited for here. */
static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

static bool thawed_within(uint64_t ns)
{
	uint64_t end_ns = bf_now_ns() + ns;

	while (is_frozen()) {
		if (bf_now_ns() > end_ns)
			return false;
		pause_ms(10);
	}
	return true;
}

/* ---- the source ---- */

struct source {
	pid_t pid;
	int events;			/* a byte of what it says, then its end */
};

struct plan {
	uint64_t bound_ns;
	bool no_result;			/* dies before it tells the result */
	bool thaw_and_stop;
	bool hold;
	bool late;			/* long between the start and the freeze */
	bool deaf_guardian;		/* which is stopped once it is armed */
	const char *group;		/* enters this control group first */
};

static int say_fd;

static void say(char what)
{
	if (write(say_fd, &what, 1) != 1)
		_exit(9);
}

static void on_expired(void *context)
{
	say('x');
}

static bool never(void *context)
{
	return false;
}

static void freeze_untold(struct bf_holders *holders,
			  struct bf_guardian *guardian)
{
	bf_guardian_start_clock(guardian);
	if (bf_guardian_announce(guardian, 0) ||
	    ioctl(holders->filesystems[0].fd, FIFREEZE, 0))
		_exit(5);
}

static void enter_group(const char *group)
{
	_cleanup_close_ int fd = open(group, O_WRONLY);

	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(8);
}

static pid_t guardian_of(pid_t source)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];
	pid_t pid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", source,
		 source);
	file = fopen(path, "re");
	check(file && fscanf(file, "%d", &pid) == 1);
	return pid;
}

/* It reads nothing: each word to it fails soon, and the freeze can end. */
static void __attribute__((noreturn))
freeze_with_deaf_guardian(struct bf_holders *holders,
			  struct bf_guardian *guardian)
{
	uint64_t start_ns = bf_now_ns();
	pid_t pid = guardian_of(getpid());
	int ret = 0;

	kill(pid, SIGSTOP);
	if (bf_freeze(holders, guardian, never, NULL, &err))
		_exit(4);
	if (!bf_guardian_hold(guardian, 0, &err))
		_exit(6);
	/* More than its queue can hold. */
	for (int i = 0; i < 10000 && !ret; i++)
		ret = bf_guardian_result(guardian, 0, BF_GUARDIAN_FROZEN);
	if (!ret)
		_exit(7);
	if (bf_thaw(holders, guardian, &err) ||
	    bf_now_ns() - start_ns > 20 * SECOND_NS)
		_exit(10);
	say('t');
	kill(pid, SIGCONT);
	bf_guardian_stop(guardian);
	_exit(0);
}

static void __attribute__((noreturn)) be_source(const struct plan *plan)
{
	struct bf_holders holders;
	struct bf_guardian *guardian;

	if (plan->group)
		enter_group(plan->group);
	if (bf_holders_find(&holders, &disk, 1, &err) ||
	    holders.nr_filesystems != 1)
		_exit(1);
	if (bf_guardian_start(&guardian, "test", folder, &holders, &err)) {
		fprintf(stderr, "# %s\n", err.text);
		_exit(2);
	}
	if (plan->late)
		pause_ms(2 * BF_GUARDIAN_SILENCE_TICKS * BF_GUARDIAN_TICK_MS);
	if (bf_guardian_arm(guardian, plan->bound_ns, on_expired, NULL, &err))
		_exit(3);
	if (plan->deaf_guardian)
		freeze_with_deaf_guardian(&holders, guardian);
	if (plan->no_result)
		freeze_untold(&holders, guardian);
	else if (bf_freeze(&holders, guardian, never, NULL, &err))
		_exit(4);
	say(holders.filesystems[0].state == BF_FREEZE_OTHER ? 'o' : 'f');
	if (plan->thaw_and_stop) {
		bf_thaw(&holders, guardian, &err);
		bf_guardian_stop(guardian);
		_exit(0);
	}
	if (plan->hold) {
		if (bf_guardian_hold(guardian, 0, &err))
			_exit(6);
		bf_guardian_leave(guardian);
		_exit(0);
	}
	for (;;)
		pause();
}

static char heard(const struct source *source)
{
	struct pollfd wait = { source->events, POLLIN, 0 };
	char what = 0;

	if (poll(&wait, 1, 20000) <= 0 || read(source->events, &what, 1) != 1)
		return 0;
	return what;
}

static struct source start(const struct plan *plan)
{
	struct source source;
	int ends[2];

	check(!pipe2(ends, O_CLOEXEC));
	source.events = ends[0];
	source.pid = fork();
	if (!source.pid) {
		say_fd = ends[1];
		be_source(plan);
	}
	close(ends[1]);
	return source;
}

static int end(const struct source *source)
{
	int status = -1;

	close(source->events);
	waitpid(source->pid, &status, 0);
	return status;
}

static bool process_ends(pid_t pid)
{
	_cleanup_close_ int fd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd wait = { fd, POLLIN, 0 };

	return fd < 0 || poll(&wait, 1, 10000) > 0;
}

static const struct plan freezes = { .bound_ns = 60 * SECOND_NS };

/* ---- cases ---- */

static void thaws_by_itself(void)
{
	static const struct plan plan = { .bound_ns = 60 * SECOND_NS,
					  .thaw_and_stop = true };
	struct source source = start(&plan);

	check_eq(heard(&source), 'f');
	check_eq(end(&source), 0);
	check(!is_frozen());
}

/* Locking memory may take as long as it likes: nothing is frozen yet. */
static void late_to_freeze(void)
{
	static const struct plan plan = { .bound_ns = 60 * SECOND_NS,
					  .late = true,
					  .thaw_and_stop = true };
	struct source source = start(&plan);

	check_eq(heard(&source), 'f');
	check_eq(end(&source), 0);
	check(!is_frozen());
}

static void guardian_stands_still(void)
{
	static const struct plan plan = { .bound_ns = 60 * SECOND_NS,
					  .deaf_guardian = true };
	struct source source = start(&plan);

	check_eq(heard(&source), 't');
	check(!is_frozen());
	check_eq(end(&source), 0);
}

static void killed(void)
{
	struct source source = start(&freezes);

	check_eq(heard(&source), 'f');
	check(is_frozen());
	kill(source.pid, SIGKILL);
	check(thawed_within(SECOND_NS));
	end(&source);
}

static void killed_before_result(void)
{
	static const struct plan plan = { .bound_ns = 60 * SECOND_NS,
					  .no_result = true };
	struct source source = start(&plan);

	check_eq(heard(&source), 'f');
	check(is_frozen());
	kill(source.pid, SIGKILL);
	check(thawed_within(SECOND_NS));
	end(&source);
}

static void not_ours(void)
{
	struct source source;
	pid_t guardian;

	check(!ioctl(mount_fd, FIFREEZE, 0));
	source = start(&freezes);
	check_eq(heard(&source), 'o');
	guardian = guardian_of(source.pid);
	kill(source.pid, SIGKILL);
	end(&source);
	check(process_ends(guardian));
	check(is_frozen());
	check(!ioctl(mount_fd, FITHAW, 0));
}

static void silent(void)
{
	struct source source = start(&freezes);

	check_eq(heard(&source), 'f');
	kill(source.pid, SIGSTOP);
	check(is_frozen());
	check(thawed_within(10 * SECOND_NS));
	check(WTERMSIG(end(&source)) == SIGKILL);
}

static void overstays(void)
{
	static const struct plan plan = { .bound_ns = 3 * SECOND_NS };
	struct source source = start(&plan);

	check_eq(heard(&source), 'f');
	check_eq(heard(&source), 'x');	/* it had its chance */
	check(is_frozen());
	check(thawed_within(10 * SECOND_NS));
	check(WTERMSIG(end(&source)) == SIGKILL);
}

static void terminated(void)
{
	struct source source = start(&freezes);

	check_eq(heard(&source), 'f');
	kill(guardian_of(source.pid), SIGTERM);
	check(thawed_within(SECOND_NS));
	check(WTERMSIG(end(&source)) == SIGKILL);
}

static void speaks_nonsense(void)
{
	struct source source = start(&freezes);
	char path[64];
	int fd = -1;

	/* Its end of the pair is the first socket that it opened. */
	check_eq(heard(&source), 'f');
	for (int number = 3; fd < 0 && number < 64; number++) {
		_cleanup_close_ int pidfd =
			syscall(SYS_pidfd_open, source.pid, 0);
		int type = 0;
		socklen_t size = sizeof(type);

		fd = syscall(SYS_pidfd_getfd, pidfd, number, 0);
		if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) ||
		    type != SOCK_SEQPACKET) {
			close(fd);
			fd = -1;
		}
	}
	check(fd >= 0);
	snprintf(path, sizeof(path), "nonsense");
	check(send(fd, path, sizeof(path), 0) > 0);
	close(fd);
	check(thawed_within(SECOND_NS));
	check(WTERMSIG(end(&source)) == SIGKILL);
}

static json_t *ask(const char *command)
{
	json_t *answer = NULL, *request = json_pack("{ss}", "command", command);
	char path[108];

	bf_guardian_path(path, folder, "test");
	bf_control_call(path, request, 10 * SECOND_NS, NULL, NULL, &answer,
			&err);
	json_decref(request);
	return answer;
}

static void held(void)
{
	static const struct plan plan = { .bound_ns = 3 * SECOND_NS,
					  .hold = true };
	struct source source = start(&plan);
	json_t *answer;

	check_eq(heard(&source), 'f');
	check_eq(end(&source), 0);
	/* Well beyond bound, grace and silence: nothing comes that thaws it. */
	check(!thawed_within(7 * SECOND_NS));
	answer = ask("status");
	check(answer);
	check_says(json_string_value(json_object_get(answer, "state")),
		   "holding");
	json_decref(answer);
	answer = ask("thaw");
	check(answer);
	json_decref(answer);
	check(!is_frozen());
}

static void no_thaw_before_hold(void)
{
	struct source source = start(&freezes);

	check_eq(heard(&source), 'f');
	check(!ask("thaw"));
	check_eq(err.code, BF_E_STATE);
	check(is_frozen());
	kill(source.pid, SIGKILL);
	check(thawed_within(SECOND_NS));
	end(&source);
}

/* The replicator's control group is killed as a whole. */
static void killed_with_its_group(void)
{
	static const char *const roots[] = { "/sys/fs/cgroup",
					     "/sys/fs/cgroup/unified" };
	char group[128] = "", procs[160];
	struct plan plan = freezes;
	_cleanup_fclose_ FILE *file = NULL;
	struct source source;
	pid_t pid, killed_pids = 0;

	for (size_t i = 0; i < 2 && !*group; i++) {
		snprintf(procs, sizeof(procs), "%s/cgroup.controllers", roots[i]);
		if (!access(procs, F_OK))
			snprintf(group, sizeof(group), "%s/blkferry-test-%d",
				 roots[i], getpid());
	}
	if (!*group || mkdir(group, 0755))
		tap_skip("needs a writable cgroup2");
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", group);
	plan.group = procs;
	source = start(&plan);
	check_eq(heard(&source), 'f');
	file = fopen(procs, "re");
	while (file && fscanf(file, "%d", &pid) == 1) {
		kill(pid, SIGKILL);
		killed_pids++;
	}
	check_eq(killed_pids, 1);	/* the guardian is not among them */
	check(thawed_within(SECOND_NS));
	end(&source);
	check(!rmdir(group));
}

/* A guardian leaves its group just after the thaw. */
static void leaves_no_group(void)
{
	uint64_t end_ns = bf_now_ns() + 10 * SECOND_NS;

	while (system("test -z \"$(find /sys/fs/cgroup -maxdepth 2 -name 'blkferry-guardian-test-*')\"")) {
		check(bf_now_ns() < end_ns);
		pause_ms(50);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], BF_GUARDIAN_ARGUMENT))
		return bf_guardian_main(argc, argv);
	if (!mkdtemp(folder))
		return 1;
	tap_run("a filesystem is mounted", set_up);
	if (mount_fd < 0)
		return tap_done();
	tap_run("the source thaws by itself", thaws_by_itself);
	tap_run("a source that is late is not taken for a silent one",
		late_to_freeze);
	tap_run("a guardian that stands still holds up no thaw",
		guardian_stands_still);
	tap_run("a killed source's freeze ends within a second", killed);
	tap_run("killed between FIFREEZE and its report", killed_before_result);
	tap_run("somebody else's freeze stays", not_ours);
	tap_run("a silent source is killed, its freeze ends", silent);
	tap_run("a source that overstays is killed, its freeze ends", overstays);
	tap_run("SIGTERM makes it thaw", terminated);
	tap_run("nonsense makes it thaw", speaks_nonsense);
	tap_run("a hold lasts until the operator ends it", held);
	tap_run("no thaw by word before the hold", no_thaw_before_hold);
	tap_run("killed with its whole control group", killed_with_its_group);
	tap_run("no control group is left", leaves_no_group);
	tap_run("nothing is left mounted", tear_down);
	return tap_done();
}
