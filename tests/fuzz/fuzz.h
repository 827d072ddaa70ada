/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzing: what the targets share. An input is bytes that are taken from the
 * front; when they are used up, zeroes follow, so that every input means
 * something. Each target is linked with libFuzzer (`make fuzz`) or with
 * replay.c, which runs the kept corpus once (`make check`).
 */
#ifndef BF_TESTS_FUZZ_H
#define BF_TESTS_FUZZ_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct input {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t take(struct input *in, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes && in->left; i++, in->left--)
		value |= (uint64_t)*in->at++ << (8 * i);
	return value;
}

static inline size_t take_bytes(struct input *in, void *to, size_t bytes)
{
	size_t n = bytes < in->left ? bytes : in->left;

	memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
	return n;
}

/* A folder in memory for this process; removed with it. */
static char fuzz_folder[64];

static inline void remove_fuzz_folder(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", fuzz_folder);
	if (system(command))
		fprintf(stderr, "%s is left\n", fuzz_folder);
}

static inline int make_fuzz_folder(void)
{
	strcpy(fuzz_folder, access("/dev/shm", W_OK) ? "/tmp/blkferry-fuzz-XXXXXX" :
						       "/dev/shm/blkferry-fuzz-XXXXXX");
	bf_log_set_level((enum bf_log_level)0);
	if (!mkdtemp(fuzz_folder))
		abort();
	return atexit(remove_fuzz_folder);
}

static inline void write_fuzz_file(char path[128], const char *name,
				   const void *data, size_t bytes)
{
	int fd;

	snprintf(path, 128, "%s/%s", fuzz_folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
		abort();
	close(fd);
}

#endif /* BF_TESTS_FUZZ_H */
