/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors and log. Policy: codes, names and exit codes are stable and found by
 * number; an error is one line whatever it is made of; while the log is held
 * nothing is written, afterwards everything is, in order, and what did not fit
 * is counted; where standard error is the journal an entry has the fields that the
 * manual names, and no empty ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/error.h"
#include "lib/log.h"
#include "tap.h"

static char written[256 * 1024];
static int capture_fd = -1, stderr_fd = -1;

static void capture(void)
{
	char path[] = "/tmp/log_test.XXXXXX";

	capture_fd = mkstemp(path);
	check(capture_fd >= 0);
	unlink(path);
	stderr_fd = dup(STDERR_FILENO);
	dup2(capture_fd, STDERR_FILENO);
}

/* What the log has written since capture(), until the next look. */
static const char *look(void)
{
	ssize_t n = pread(capture_fd, written, sizeof(written) - 1, 0);

	written[n > 0 ? n : 0] = '\0';
	return written;
}

static void release(void)
{
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(capture_fd);
}

static void codes(void)
{
	check_eq(bf_code_from_number(BF_E_BUSY), BF_E_BUSY);
	check_eq(bf_code_from_number(9999), BF_E_SYSTEM);
	check(!strcmp(bf_code_name(BF_E_NO_MODULE), "no-module"));
	check(!strcmp(bf_code_name(BF_E_STALE), "stale-generation"));
	check_eq(bf_code_exit(BF_E_BUSY), BF_EXIT_REFUSED);
	check_eq(bf_code_exit(BF_E_UNREACHABLE), BF_EXIT_PEER);
	check_eq(bf_code_exit((enum bf_code)9999), BF_EXIT_FAILED);
}

static void errors(void)
{
	struct bf_error err;

	check_eq(bf_fail(&err, BF_E_BUSY, EBUSY, "disk %s\nis busy", "a"), -EBUSY);
	check(!strcmp(err.text, "disk a is busy"));
	check_eq(err.code, BF_E_BUSY);
	check_eq(err.errnum, EBUSY);
	check_eq(bf_fail_prefix(&err, -EBUSY, "job %d: ", 7), -EBUSY);
	check(!strcmp(err.text, "job 7: disk a is busy"));
	check_eq(err.code, BF_E_BUSY);
	check_eq(bf_fail(&err, BF_E_CORRUPT, 0, "no errno"), -EIO);
	check_eq(bf_fail(NULL, BF_E_BUSY, EBUSY, "nobody listens"), -EBUSY);
	check_eq(bf_fail_prefix(NULL, -EBUSY, "nobody listens"), -EBUSY);
}

static void long_errors(void)
{
	char words[2 * BF_ERROR_TEXT_BYTES];
	struct bf_error err;

	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	bf_fail(&err, BF_E_SYSTEM, EIO, "%s", words);
	check_eq(strlen(err.text), BF_ERROR_TEXT_BYTES - 1);
	bf_fail_prefix(&err, -EIO, "%s", words);
	check_eq(strlen(err.text), BF_ERROR_TEXT_BYTES - 1);
}

static void levels(void)
{
	capture();
	bf_info("%s", "one\nline");
	bf_debug("not this");
	bf_warn("two");
	bf_log_set_level(BF_LOG_DEBUG);
	bf_debug("three");
	bf_log_set_level(BF_LOG_INFO);
	look();
	release();
	check(!strcmp(written, "one line\nwarning: two\nthree\n"));
}

static void held(void)
{
	size_t before;

	capture();
	bf_log_hold();
	bf_log_hold();
	bf_info("one");
	bf_log_release();
	bf_info("two");
	before = strlen(look());
	bf_log_release();
	bf_info("three");
	look();
	release();
	check_eq(before, 0);
	check(!strcmp(written, "one\ntwo\nthree\n"));
}

static void held_too_much(void)
{
	char words[900];

	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	capture();
	bf_log_hold();
	for (int i = 0; i < 100; i++)
		bf_info("%s", words);
	bf_log_release();
	bf_log_release();		/* one too many does no harm */
	look();
	release();
	check_says(written, " more lines did not fit while held\n");
	check(strlen(written) < 70000);
}

static void *many_lines(void *arg)
{
	for (int i = 0; i < 1000; i++)
		bf_info("line of thread %c", *(char *)arg);
	return NULL;
}

/* Lines of several threads are not mixed. */
static void threads(void)
{
	pthread_t ids[3];
	unsigned int lines = 0;

	capture();
	for (int i = 0; i < 3; i++)
		check_eq(pthread_create(&ids[i], NULL, many_lines, &"abc"[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(ids[i], NULL);
	look();
	release();
	for (char *line = strtok(written, "\n"); line; line = strtok(NULL, "\n")) {
		check_eq(strlen(line), strlen("line of thread a"));
		lines++;
	}
	check_eq(lines, 3000);
}

/* ---- the journal ---- */

/*
 * The socket that the journal's library sends to, in a mount namespace of this
 * process; the stream that says so is our own standard error.
 */
static int listen_as_journal(void)
{
	struct sockaddr_un address = {
		.sun_family = AF_UNIX,
		.sun_path = "/run/systemd/journal/socket",
	};
	char stream[64];
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	check(fd >= 0);
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/run", "tmpfs", 0, NULL))
		tap_skip("needs a mount namespace");
	check(!mkdir("/run/systemd", 0755) && !mkdir("/run/systemd/journal", 0755));
	check(!bind(fd, (struct sockaddr *)&address, sizeof(address)));
	check(!fstat(STDERR_FILENO, &st));
	snprintf(stream, sizeof(stream), "%llu:%llu",
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	return fd;
}

/* The next entry, its fields a line each, with one before the first. */
static const char *next_entry(int fd)
{
	ssize_t bytes;

	written[0] = '\n';
	bytes = recv(fd, written + 1, sizeof(written) - 2, MSG_DONTWAIT);
	check(bytes > 0);
	written[bytes + 1] = '\0';
	return written;
}

static void tell_journal(void)
{
	struct bf_error err;

	bf_info("plain");
	bf_log_set_job("web");
	bf_log_hold();
	bf_log_about(&(struct bf_log_about){ .level = BF_LOG_WARNING,
			.event = BF_EVENT_RESYNC_NEEDED, .disk = "data" },
		     "of a disk > %d", 1);
	bf_log_release();
	bf_fail(&err, BF_E_SOURCE_IO, EIO, "disk root-2: cannot be read");
	bf_log_error(&err);
	bf_fail(&err, BF_E_CONFIG, EINVAL, "disk root has a bad size: no");
	bf_log_failure(&err);
}

static void check_journal(int fd)
{
	check(bf_log_to_journal());
	next_entry(fd);
	check_says(written, "\nMESSAGE=plain\nPRIORITY=6\n");
	check(!strstr(written, "BLKFERRY_") && !strstr(written, "MESSAGE_ID"));
	next_entry(fd);
	check_says(written, "\nMESSAGE=of a disk > 1\nPRIORITY=4\n");
	check_says(written, "\nBLKFERRY_JOB=web\nBLKFERRY_DISK=data\n");
	check_says(written, "\nMESSAGE_ID=ab54f54671f446abab54029f0a717b9e\n");
	check(!strstr(written, "BLKFERRY_ERROR"));
	next_entry(fd);
	check_says(written, "\nMESSAGE=disk root-2: cannot be read (source-io)\n");
	check_says(written, "\nPRIORITY=3\nBLKFERRY_JOB=web\n");
	check_says(written, "\nBLKFERRY_DISK=root-2\nBLKFERRY_ERROR=source-io\n");
	check(!strstr(written, "MESSAGE_ID"));
	next_entry(fd);
	check_says(written, "\nMESSAGE=disk root has a bad size: no (config)\n");
	check_says(written, "\nBLKFERRY_ERROR=config\n");
	check_says(written, "\nMESSAGE_ID=48f095249f134492baaa8c3cb50942a1\n");
	check(!strstr(written, "BLKFERRY_DISK"));
	check(recv(fd, written, sizeof(written), MSG_DONTWAIT) < 0);
}

static void talk(void)
{
	int fd = listen_as_journal();

	tell_journal();
	check_journal(fd);
}

/* In the child; a failed check must not return to the parent's cases. */
static void __attribute__((noreturn)) be_judged(void)
{
	int failed = setjmp(tap_case);

	if (!failed)
		talk();
	fflush(stdout);
	_exit(failed);
}

/* Whether it is the journal is looked at once: in a process of its own. */
static void journal_fields(void)
{
	int status;
	pid_t child = fork();

	check(child >= 0);
	if (!child)
		be_judged();
	check_eq(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		tap_skip("needs a mount namespace");
	check_eq(status, 0);
}

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	tap_run("fields of the journal", journal_fields);
	tap_run("codes by number, their names and exit codes", codes);
	tap_run("an error is one line", errors);
	tap_run("errors too long for their place", long_errors);
	tap_run("levels", levels);
	tap_run("a held log writes afterwards", held);
	tap_run("a held log that is full counts", held_too_much);
	tap_run("lines of threads are not mixed", threads);
	return tap_done();
}
