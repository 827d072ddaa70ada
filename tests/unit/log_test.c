/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors and log. Policy: codes, names and exit codes are stable and found by
 * number; an error is one line whatever it is made of; while the log is held
 * nothing is written, afterwards everything is, in order, and what did not fit
 * is counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
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

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	tap_run("codes by number, their names and exit codes", codes);
	tap_run("an error is one line", errors);
	tap_run("errors too long for their place", long_errors);
	tap_run("levels", levels);
	tap_run("a held log writes afterwards", held);
	tap_run("a held log that is full counts", held_too_much);
	tap_run("lines of threads are not mixed", threads);
	return tap_done();
}
