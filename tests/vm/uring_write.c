/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static -luring */
/*
 * Writes through io_uring. In: a device, a sector, a number of sectors, and how:
 * "registered" (from a registered buffer to a registered file) or "polled" (that,
 * and completions are polled for: no interrupt tells of them). Out: the status.
 * Blocks of 4096 bytes, all submitted at once, never the same data twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BLOCK		4096
#define BLOCKS_MAX	128

static int submit_all(struct io_uring *ring, char *data, size_t bytes, off_t at)
{
	for (size_t done = 0; done < bytes; done += BLOCK) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

		io_uring_prep_write_fixed(sqe, 0, data + done, BLOCK, at + done, 0);
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	return io_uring_submit(ring);
}

/* Return: 0, or what the first write that failed says. */
static int reap_all(struct io_uring *ring, size_t nr)
{
	struct io_uring_cqe *cqe;
	int ret;

	while (nr--) {
		ret = io_uring_wait_cqe(ring, &cqe);
		if (!ret && cqe->res != BLOCK)
			ret = cqe->res < 0 ? cqe->res : -EIO;
		if (ret)
			return ret;
		io_uring_cqe_seen(ring, cqe);
	}
	return 0;
}

static int write_all(int fd, char *data, size_t bytes, off_t at, unsigned int flags)
{
	struct iovec buffer = { .iov_base = data, .iov_len = bytes };
	struct io_uring ring;
	int ret = io_uring_queue_init(BLOCKS_MAX, &ring, flags);

	if (!ret)
		ret = io_uring_register_buffers(&ring, &buffer, 1);
	if (!ret)
		ret = io_uring_register_files(&ring, &fd, 1);
	if (!ret)
		ret = submit_all(&ring, data, bytes, at);
	if (ret >= 0)
		ret = reap_all(&ring, bytes / BLOCK);
	io_uring_queue_exit(&ring);
	return ret;
}

int main(int argc, char **argv)
{
	size_t bytes = argc > 3 ? strtoul(argv[3], NULL, 0) * 512 : 0;
	int fd = argc == 5 ? open(argv[1], O_WRONLY | O_DIRECT) : -1;
	unsigned int seed, flags;
	char *data;
	int ret;

	if (fd < 0 || !bytes || bytes % BLOCK || bytes > BLOCKS_MAX * BLOCK ||
	    posix_memalign((void **)&data, BLOCK, bytes) ||
	    getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
		perror("uring_write DEVICE SECTOR COUNT registered|polled");
		return 2;
	}
	flags = strcmp(argv[4], "polled") ? 0 : IORING_SETUP_IOPOLL;
	for (size_t at = 0; at + sizeof(seed) <= bytes; at += sizeof(seed))
		memcpy(data + at, &seed, sizeof(seed));
	ret = write_all(fd, data, bytes, strtoull(argv[2], NULL, 0) * 512, flags);
	if (ret)
		fprintf(stderr, "uring_write: %s\n", strerror(-ret));
	free(data);
	return ret ? 1 : 0;
}
