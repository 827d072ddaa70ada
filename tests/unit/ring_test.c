/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring. Policy: an operation completes once, whole or failed; a read beyond
 * the end is -ENODATA, never short; more than the depth is -EAGAIN; freeing a
 * ring waits out what the kernel has.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/ring.h"
#include "tap.h"

#define DEPTH 8
#define BUFFER (64u << 10)

static char path[] = "/tmp/ring_test.XXXXXX";
static int file;

static struct bf_ring *make_ring(void)
{
	struct bf_ring *ring = NULL;
	struct bf_error err = { 0 };

	if (bf_ring_new(&ring, DEPTH, 4, BUFFER, &err))
		tap_fail(__FILE__, __LINE__, "%s", err.text);
	return ring;
}

static struct bf_ring_op op(bool write, uint32_t buffer, uint32_t bytes,
			    uint64_t offset, uint64_t tag)
{
	return (struct bf_ring_op){
		.fd = file, .write = write, .buffer = buffer, .bytes = bytes,
		.offset_bytes = offset, .tag = tag,
	};
}

static struct bf_ring_done one(struct bf_ring *ring)
{
	struct bf_ring_done done;
	uint32_t nr;

	check_eq(bf_ring_reap(ring, 1, &done, 1, &nr, NULL), 0);
	check_eq(nr, 1);
	return done;
}

static void write_flush_and_read_back(void)
{
	struct bf_ring *ring = make_ring();
	struct bf_ring_op w = op(true, 1, BUFFER, 4096, 42);
	struct bf_ring_op r = op(false, 2, BUFFER, 4096, 43);
	struct bf_ring_done done;

	for (uint32_t i = 0; i < BUFFER; i++)
		bf_ring_buffer(ring, 1)[i] = i * 31 >> 3;
	check_eq(bf_ring_queue(ring, &w), 0);
	done = one(ring);
	check_eq(done.tag, 42);
	check_eq(done.result, 0);
	check_eq(bf_ring_queue_flush(ring, file, 7), 0);
	done = one(ring);
	check_eq(done.tag, 7);
	check_eq(done.result, 0);
	check_eq(bf_ring_queue(ring, &r), 0);
	check_eq(one(ring).result, 0);
	check(!memcmp(bf_ring_buffer(ring, 1), bf_ring_buffer(ring, 2), BUFFER));
	check_eq(bf_ring_in_flight(ring), 0);
	bf_ring_free(ring);
}

static void buffers_are_page_aligned(void)
{
	struct bf_ring *ring = make_ring();

	for (uint32_t i = 0; i < 4; i++)
		check_eq((uintptr_t)bf_ring_buffer(ring, i) % 4096, 0);
	bf_ring_free(ring);
}

static void end_of_file_is_no_data(void)
{
	struct bf_ring *ring = make_ring();
	struct bf_ring_op part = op(false, 0, 8192, (4096 + BUFFER) - 4096, 1);
	struct bf_ring_op beyond = op(false, 0, 4096, 1 << 20, 2);

	check_eq(bf_ring_queue(ring, &part), 0);
	check_eq(one(ring).result, -ENODATA);
	check_eq(bf_ring_queue(ring, &beyond), 0);
	check_eq(one(ring).result, -ENODATA);
	bf_ring_free(ring);
}

static void bad_descriptor_fails_its_operation_only(void)
{
	struct bf_ring *ring = make_ring();
	struct bf_ring_op bad = op(false, 0, 4096, 0, 1);
	struct bf_ring_op good = op(false, 1, 4096, 4096, 2);
	struct bf_ring_done done[2];
	uint32_t nr;

	bad.fd = 9999;
	check_eq(bf_ring_queue(ring, &bad), 0);
	check_eq(bf_ring_queue(ring, &good), 0);
	check_eq(bf_ring_reap(ring, 2, done, 2, &nr, NULL), 0);
	check_eq(nr, 2);
	for (uint32_t i = 0; i < 2; i++)
		check_eq(done[i].result, done[i].tag == 1 ? -EBADF : 0);
	check_eq(bf_ring_queue_flush(ring, 9999, 3), 0);
	check_eq(one(ring).result, -EBADF);
	bf_ring_free(ring);
}

static void the_depth_is_a_bound(void)
{
	struct bf_ring *ring = make_ring();
	struct bf_ring_op r = op(false, 0, 4096, 4096, 0);
	struct bf_ring_done done[DEPTH];
	uint32_t nr;

	for (uint32_t i = 0; i < DEPTH; i++)
		check_eq(bf_ring_queue(ring, &r), 0);
	check_eq(bf_ring_queue(ring, &r), -EAGAIN);
	check_eq(bf_ring_queue_flush(ring, file, 0), -EAGAIN);
	check_eq(bf_ring_reap(ring, DEPTH, done, DEPTH, &nr, NULL), 0);
	check_eq(nr, DEPTH);
	check_eq(bf_ring_queue(ring, &r), 0);
	bf_ring_free(ring);	/* queued, never submitted */
}

static void operations_outside_a_buffer_are_refused(void)
{
	struct bf_ring *ring = make_ring();
	struct bf_ring_op o = op(false, 4, 4096, 0, 0);

	check_eq(bf_ring_queue(ring, &o), -EINVAL);
	o = op(false, 0, BUFFER + 1, 0, 0);
	check_eq(bf_ring_queue(ring, &o), -EINVAL);
	o = op(false, 0, 4096, 0, 0);
	o.buffer_offset = BUFFER - 4095;
	check_eq(bf_ring_queue(ring, &o), -EINVAL);
	o = op(false, 0, 0, 0, 0);
	check_eq(bf_ring_queue(ring, &o), -EINVAL);
	check_eq(bf_ring_in_flight(ring), 0);
	bf_ring_free(ring);
}

static void freeing_waits_out_what_the_kernel_has(void)
{
	struct bf_ring *ring = make_ring();
	_cleanup_close_ int other = -1;
	struct bf_ring_op r = op(false, 0, 4096, 0, 1);
	int pipe_fds[2];
	uint32_t nr;
	pid_t child;

	check_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	other = pipe_fds[1];
	r.fd = pipe_fds[0];
	check_eq(bf_ring_queue(ring, &r), 0);
	check_eq(bf_ring_reap(ring, 0, NULL, 0, &nr, NULL), 0);
	child = fork();	/* feeds the pipe while the ring is being freed */
	if (!child) {
		char block[4096] = { 0 };

		_exit(write(other, block, sizeof(block)) != sizeof(block));
	}
	bf_ring_free(ring);
	check(waitpid(child, NULL, 0) == child);
	close(pipe_fds[0]);
}

/* A pipe gives what it has: the rest must be asked for inside the ring. */
static void short_reads_are_continued(void)
{
	struct bf_ring *ring = make_ring();
	struct bf_ring_op r = op(false, 0, 8192, 0, 5);
	struct pollfd event = { .fd = bf_ring_event_fd(ring), .events = POLLIN };
	char block[4096];
	struct bf_ring_done done;
	int fds[2];
	uint32_t nr;

	check(event.fd >= 0);
	check_eq(pipe2(fds, O_CLOEXEC), 0);
	r.fd = fds[0];
	check_eq(bf_ring_queue(ring, &r), 0);
	memset(block, 'a', sizeof(block));
	check_eq(write(fds[1], block, sizeof(block)), sizeof(block));
	check_eq(bf_ring_reap(ring, 0, &done, 1, &nr, NULL), 0);
	check_eq(poll(&event, 1, 10000), 1);	/* the first half has come */
	check_eq(bf_ring_reap(ring, 0, &done, 1, &nr, NULL), 0);
	check_eq(nr, 0);
	memset(block, 'b', sizeof(block));
	check_eq(write(fds[1], block, sizeof(block)), sizeof(block));
	done = one(ring);
	check_eq(done.tag, 5);
	check_eq(done.result, 0);
	check_eq(bf_ring_buffer(ring, 0)[4095], 'a');
	check_eq(bf_ring_buffer(ring, 0)[8191], 'b');
	close(fds[0]);
	close(fds[1]);
	bf_ring_free(ring);
}

/*
 * RLIMIT_MEMLOCK binds those without CAP_IPC_LOCK: enough for the ring, which
 * some kernels count, too little for its four buffers.
 */
static void unlocked_memory_works_as_well(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		struct rlimit some = { 128 << 10, 128 << 10 };
		struct bf_ring *ring;
		struct bf_ring_op r = op(false, 0, 4096, 4096, 9);
		struct bf_ring_done done;
		uint32_t nr;

		if (setrlimit(RLIMIT_MEMLOCK, &some) || setuid(65534) ||
		    bf_ring_new(&ring, DEPTH, 4, BUFFER, NULL))
			_exit(1);
		if (bf_ring_queue(ring, &r) ||
		    bf_ring_reap(ring, 1, &done, 1, &nr, NULL))
			_exit(2);
		bf_ring_free(ring);
		_exit(done.result ? 3 : 0);
	}
	check(waitpid(child, &status, 0) == child);
	check_eq(status, 0);
}

int main(void)
{
	file = mkstemp(path);
	if (file < 0)
		return 1;
	unlink(path);
	tap_run("write, flush and read back", write_flush_and_read_back);
	tap_run("buffers are page-aligned", buffers_are_page_aligned);
	tap_run("the end of a file is no data", end_of_file_is_no_data);
	tap_run("a bad descriptor fails its operation only",
		bad_descriptor_fails_its_operation_only);
	tap_run("the depth is a bound", the_depth_is_a_bound);
	tap_run("operations outside a buffer are refused",
		operations_outside_a_buffer_are_refused);
	tap_run("short reads are continued", short_reads_are_continued);
	tap_run("freeing waits out what the kernel has",
		freeing_waits_out_what_the_kernel_has);
	tap_run("unlocked memory works as well", unlocked_memory_works_as_well);
	close(file);
	return tap_done();
}
