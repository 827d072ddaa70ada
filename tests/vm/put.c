/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * One write. In: a device, a sector, a number of sectors, and how: "direct"
 * (the default), "sync" (direct, durable on return) or "buffered" (through the
 * page cache, then flushed). Out: the status. The data are never the same
 * twice.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static int flags_of(const char *how)
{
	if (!strcmp(how, "sync"))
		return O_DIRECT | O_DSYNC;
	return strcmp(how, "buffered") ? O_DIRECT : 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 4 ? argv[4] : "direct";
	size_t length = argc > 3 ? strtoul(argv[3], NULL, 0) * 512 : 0;
	unsigned int seed;
	int fd = length ? open(argv[1], O_WRONLY | flags_of(how)) : -1;
	char *data;

	if (fd < 0 || posix_memalign((void **)&data, 4096, length) ||
	    getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
		perror("put DEVICE SECTOR COUNT [direct|sync|buffered]");
		return 2;
	}
	memset(data, seed, length);
	for (size_t at = 0; at + 512 <= length; at += 512)
		memcpy(data + at, &seed, sizeof(seed));
	if (pwrite(fd, data, length, strtoull(argv[2], NULL, 0) * 512) !=
	    (ssize_t)length || (!strcmp(how, "buffered") && fsync(fd))) {
		perror("put");
		return 1;
	}
	free(data);
	return close(fd) ? 1 : 0;
}
