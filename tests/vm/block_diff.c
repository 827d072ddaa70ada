/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * The oracle's eye. In: a disk, a file with its earlier content, the dirty
 * extents "SECTOR+COUNT,..." or "-". Out: "changed N marked M missed K"; status
 * 1 if a block of 4096 bytes changed that no extent covers. Reads past the page
 * cache.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096
#define CHUNK (1 << 20)
#define BLOCK_SECTORS (BLOCK / 512)

static bool *marked_blocks(const char *extents, uint64_t nr_blocks, uint64_t *nr)
{
	bool *marked = calloc(nr_blocks, 1);
	char *next;

	*nr = 0;
	if (!marked || !strcmp(extents, "-"))
		return marked;
	for (;; extents = next + 1) {
		uint64_t sector = strtoull(extents, &next, 10);
		uint64_t end = sector + strtoull(next + 1, &next, 10);

		for (uint64_t b = sector / BLOCK_SECTORS;
		     b < (end + BLOCK_SECTORS - 1) / BLOCK_SECTORS && b < nr_blocks; b++) {
			*nr += !marked[b];
			marked[b] = true;
		}
		if (*next != ',')
			return marked;
	}
}

int main(int argc, char **argv)
{
	static char now[CHUNK] __attribute__((aligned(BLOCK)));
	static char before[CHUNK];
	uint64_t block = 0, nr_marked, changed = 0, missed = 0;
	int disk = argc == 4 ? open(argv[1], O_RDONLY | O_DIRECT) : -1;
	int file = argc == 4 ? open(argv[2], O_RDONLY) : -1;
	bool *marked;
	ssize_t got;

	if (disk < 0 || file < 0) {
		perror("block_diff DISK FILE EXTENTS");
		return 2;
	}
	marked = marked_blocks(argv[3], lseek(disk, 0, SEEK_END) / BLOCK + 1, &nr_marked);
	lseek(disk, 0, SEEK_SET);
	while ((got = read(disk, now, CHUNK)) > 0) {
		if (read(file, before, got) != got || got % BLOCK) {
			fprintf(stderr, "block_diff: sizes differ\n");
			return 2;
		}
		for (ssize_t at = 0; at < got; at += BLOCK, block++) {
			if (!memcmp(now + at, before + at, BLOCK))
				continue;
			changed++;
			if (!marked[block]) {
				missed++;
				printf("block %ju changed, not marked\n", (uintmax_t)block);
			}
		}
	}
	printf("changed %ju marked %ju missed %ju\n", (uintmax_t)changed,
	       (uintmax_t)nr_marked, (uintmax_t)missed);
	free(marked);
	return missed || got < 0 ? 1 : 0;
}
