/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * Writes a whole device, 1 MiB at a time and in order, past the page cache. In: a
 * device. Out: a line once all is ready, so that from there on it spends its time
 * within writes; the status.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (1 << 20)

/* Return: 0 at the end of the device, or an errno. */
static int write_all(int fd, const char *data)
{
	ssize_t done;

	do {
		done = write(fd, data, BLOCK);
	} while (done == BLOCK);
	if (done >= 0)
		return EIO;
	return errno == ENOSPC ? 0 : errno;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_WRONLY | O_DIRECT) : -1;
	char *data;
	int ret;

	if (fd < 0 || posix_memalign((void **)&data, 4096, BLOCK)) {
		perror("write_on DEVICE");
		return 2;
	}
	memset(data, 0x5a, BLOCK);
	puts("writing");
	fflush(stdout);
	ret = write_all(fd, data);
	if (ret)
		fprintf(stderr, "write_on: %s\n", strerror(ret));
	free(data);
	return ret ? 1 : 0;
}
