/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring. Policy: an operation completes once, whole or failed; a read beyond
 * the end is BF_RING_END, never short; what the kernel did in part only goes on
 * behind that part, or fails; more than the depth is -EAGAIN; freeing a ring waits
 * out what the kernel has. Where the system refuses io_uring, all of that holds as
 * well, and the refusal is told with its cure.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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

static void end_of_file_is_told(void)
{
	struct bf_ring *ring = make_ring();
	struct bf_ring_op part = op(false, 0, 8192, (4096 + BUFFER) - 4096, 1);
	struct bf_ring_op beyond = op(false, 0, 4096, 1 << 20, 2);

	check_eq(bf_ring_queue(ring, &part), 0);
	check_eq(one(ring).result, BF_RING_END);
	check_eq(bf_ring_queue(ring, &beyond), 0);
	check_eq(one(ring).result, BF_RING_END);
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

/* A transfer has ended, in part; nobody has looked at it, or goes on with it. */
static void wait_for_part(struct bf_ring *ring)
{
	struct pollfd event = { .fd = bf_ring_event_fd(ring), .events = POLLIN };
	uint32_t nr;

	check(event.fd >= 0);
	check_eq(bf_ring_reap(ring, 0, NULL, 0, &nr, NULL), 0);
	check_eq(poll(&event, 1, 10000), 1);
}

/* Offset and content of a part must fit: each byte says where it belongs. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 >> 3);
}

/* A file of @bytes, as they should be. */
static int make_part(size_t bytes)
{
	static uint8_t content[BUFFER];
	char name[] = "/tmp/ring_part.XXXXXX";
	int fd = mkstemp(name);

	check(fd >= 0 && !unlink(name));
	for (size_t i = 0; i < bytes; i++)
		content[i] = byte_at(i);
	check_eq(write(fd, content, bytes), (ssize_t)bytes);
	return fd;
}

/* The file ends within the read, and has grown by the time it goes on. */
static void a_read_in_part_goes_on(void)
{
	struct bf_ring *ring = make_ring();
	_cleanup_close_ int fd = make_part(5000);
	struct bf_ring_op r = op(false, 3, 12000, 0, 5);
	uint8_t rest[12000 - 5000];
	struct bf_ring_done done;

	r.fd = fd;
	memset(bf_ring_buffer(ring, 3), 0, BUFFER);
	check_eq(bf_ring_queue(ring, &r), 0);
	wait_for_part(ring);
	for (size_t i = 0; i < sizeof(rest); i++)
		rest[i] = byte_at(5000 + i);
	check_eq(write(fd, rest, sizeof(rest)), sizeof(rest));
	done = one(ring);
	check_eq(done.tag, 5);
	check_eq(done.result, 0);
	for (uint64_t i = 0; i < 12000; i++)
		check_eq(bf_ring_buffer(ring, 3)[i], byte_at(i));
	check_eq(bf_ring_in_flight(ring), 0);
	bf_ring_free(ring);
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	check_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	check_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A limit of files within the write: as much as fits, and a signal at the next. */
static int queue_cut_write(struct bf_ring *ring, struct bf_ring_op *w)
{
	int fd = make_part(0);
	uint8_t *data = bf_ring_buffer(ring, 2) + 100;

	signal(SIGXFSZ, SIG_IGN);
	*w = op(true, 2, 12000, 0, 6);
	w->fd = fd;
	w->buffer_offset = 100;
	for (uint64_t i = 0; i < 12000; i++)
		data[i] = byte_at(i);
	limit_files(5000);
	check_eq(bf_ring_queue(ring, w), 0);
	wait_for_part(ring);
	check_eq(lseek(fd, 0, SEEK_END), 5000);
	return fd;
}

static void a_write_in_part_goes_on(void)
{
	struct bf_ring *ring = make_ring();
	static uint8_t content[12001];
	struct bf_ring_done done;
	struct bf_ring_op w;
	_cleanup_close_ int fd = queue_cut_write(ring, &w);

	limit_files(RLIM_INFINITY);
	done = one(ring);
	check_eq(done.tag, 6);
	check_eq(done.result, 0);
	check_eq(pread(fd, content, sizeof(content), 0), 12000);
	for (uint64_t i = 0; i < 12000; i++)
		check_eq(content[i], byte_at(i));
	check_eq(bf_ring_in_flight(ring), 0);
	bf_ring_free(ring);
}

/* What was written of it is no success: the rest fails, and so does all of it. */
static void a_write_in_part_fails_with_its_rest(void)
{
	struct bf_ring *ring = make_ring();
	struct bf_ring_done done;
	struct bf_ring_op w;
	_cleanup_close_ int fd = queue_cut_write(ring, &w);

	done = one(ring);
	limit_files(RLIM_INFINITY);
	check_eq(done.tag, 6);
	check_eq(done.result, -EFBIG);
	check_eq(lseek(fd, 0, SEEK_END), 5000);
	check_eq(bf_ring_in_flight(ring), 0);
	bf_ring_free(ring);
}

/* Of many at once each goes on where it was cut, in its own buffer. */
static void many_in_part_go_on(void)
{
	struct bf_ring *ring = make_ring();
	_cleanup_close_ int fd = make_part(BUFFER);
	struct bf_ring_done done[4];
	uint8_t block[4096];
	uint32_t nr;

	bf_ring_event_fd(ring);
	for (uint32_t i = 0; i < 4; i++) {
		struct bf_ring_op r = op(false, i, 2 * 4096,
					 BUFFER - 1024 * (i + 1), i);

		r.fd = fd;
		check_eq(bf_ring_queue(ring, &r), 0);
	}
	wait_for_part(ring);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = byte_at(BUFFER + i);
	for (int i = 0; i < 2; i++) {
		check_eq(write(fd, block, sizeof(block)), sizeof(block));
		for (size_t k = 0; k < sizeof(block); k++)
			block[k] = byte_at(BUFFER + sizeof(block) + k);
	}
	check_eq(bf_ring_reap(ring, 4, done, 4, &nr, NULL), 0);
	check_eq(nr, 4);
	for (uint32_t i = 0; i < 4; i++)
		check_eq(done[i].result, 0);
	for (uint32_t i = 0; i < 4; i++)
		for (uint64_t k = 0; k < 2 * 4096; k++)
			check_eq(bf_ring_buffer(ring, i)[k],
				 byte_at(BUFFER - 1024 * (i + 1) + k));
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

/* From here on io_uring_setup(2) answers with @error, for this process. */
static void refuse_io_uring(int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };

	check_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	check_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void the_refusal_is_told(void)
{
	struct bf_error why = { 0 };

	check_eq(bf_ring_probe(&why), 0);
	refuse_io_uring(EPERM);
	check_eq(bf_ring_probe(&why), -EPERM);
	check(strstr(why.text, "kernel.io_uring_disabled"));
	refuse_io_uring(ENOSYS);	/* of several filters the last one answers */
	check_eq(bf_ring_probe(&why), -ENOSYS);
	check(strstr(why.text, "CONFIG_IO_URING"));
}

/* More at once than there are threads, in any order, each where it belongs. */
static void many_at_once(void)
{
	struct bf_ring *ring = NULL;
	struct bf_ring_done done[64];
	uint32_t nr, sum = 0;

	check_eq(bf_ring_new(&ring, 64, 64, 4096, NULL), 0);
	for (uint32_t round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 64; i++) {
			struct bf_ring_op o = op(round % 2 == 0, i, 4096,
						 i * 4096, i);

			if (o.write)
				memset(bf_ring_buffer(ring, i), i + round, 4096);
			else
				memset(bf_ring_buffer(ring, i), 0, 4096);
			check_eq(bf_ring_queue(ring, &o), 0);
		}
		check_eq(bf_ring_reap(ring, 64, done, 64, &nr, NULL), 0);
		check_eq(nr, 64);
		for (uint32_t i = 0; i < nr; i++)
			check_eq(done[i].result, 0);
		for (uint32_t i = 0; i < 64 && round % 2; i++)
			sum += bf_ring_buffer(ring, i)[4095] ==
			       (uint8_t)(i + round - 1);
	}
	check_eq(sum, 25 * 64);
	check_eq(ftruncate(file, 4096 + BUFFER), 0);
	bf_ring_free(ring);
}

/* What holds with every engine. */
static void cases(const char *engine)
{
	char name[128];

#define CASE(words, function)						\
	snprintf(name, sizeof(name), "%s: " words, engine);		\
	tap_run(name, function)
	CASE("write, flush and read back", write_flush_and_read_back);
	CASE("buffers are page-aligned", buffers_are_page_aligned);
	CASE("the end of a file is told", end_of_file_is_told);
	CASE("a bad descriptor fails its operation only",
	     bad_descriptor_fails_its_operation_only);
	CASE("the depth is a bound", the_depth_is_a_bound);
	CASE("operations outside a buffer are refused",
	     operations_outside_a_buffer_are_refused);
	CASE("many at once", many_at_once);
	CASE("a read in part goes on", a_read_in_part_goes_on);
	CASE("a write in part goes on", a_write_in_part_goes_on);
	CASE("a write in part fails with its rest",
	     a_write_in_part_fails_with_its_rest);
	CASE("many reads in part go on", many_in_part_go_on);
#undef CASE
}

int main(void)
{
	file = mkstemp(path);
	if (file < 0)
		return 1;
	unlink(path);
	cases("io_uring");
	tap_run("short reads are continued", short_reads_are_continued);
	tap_run("freeing waits out what the kernel has",
		freeing_waits_out_what_the_kernel_has);
	tap_run("unlocked memory works as well", unlocked_memory_works_as_well);
	tap_run("a refusal is told with its cure", the_refusal_is_told);
	cases("threads");
	close(file);
	return tap_done();
}
