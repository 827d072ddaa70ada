/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * Makes a zonefs filesystem: writes its superblock, the first 4096 bytes of the
 * first zone. In: a zoned disk. Out: the status. Not every distribution has a
 * program for it; Documentation/filesystems/zonefs.rst and fs/zonefs/zonefs.h of
 * the kernel say what is in it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUPER_BYTES	4096
#define SUPER_MAGIC	0x5a4f4653	/* "ZOFS" */

/* All little-endian; what is not set is 0. */
struct super {
	uint32_t magic;
	uint32_t crc;
	char label[64];
	uint8_t uuid[16];
	uint64_t features;
	uint32_t uid, gid, perm;
	uint8_t reserved[SUPER_BYTES - 108];
} __attribute__((packed));

_Static_assert(sizeof(struct super) == SUPER_BYTES, "size of the superblock");

/* CRC-32 (IEEE), begun with ones and not inverted at the end. */
static uint32_t crc32_of(const uint8_t *at, size_t bytes)
{
	uint32_t crc = ~0u;

	while (bytes--) {
		crc ^= *at++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_WRONLY | O_DIRECT) : -1;
	struct super *super = aligned_alloc(SUPER_BYTES, SUPER_BYTES);

	if (fd < 0 || !super) {
		perror("mkzonefs DISK");
		return 2;
	}
	memset(super, 0, sizeof(*super));
	super->magic = SUPER_MAGIC;
	super->uuid[0] = 1;
	super->crc = crc32_of((const uint8_t *)super, sizeof(*super));
	if (pwrite(fd, super, sizeof(*super), 0) != sizeof(*super)) {
		perror("mkzonefs");
		return 1;
	}
	free(super);
	return close(fd) ? 1 : 0;
}
