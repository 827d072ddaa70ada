// SPDX-License-Identifier: Apache-2.0
/*
 * Replay: files of a corpus flow in, each is run once through the target that
 * this is linked with; a line of TAP flows out. A fault ends the program, and a
 * corpus that has become smaller fails.
 *
 *	usage: replay NAME FOLDER INPUTS
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_MAX (1 << 20)

static uint8_t input[INPUT_MAX];

static int replay(const char *folder, const char *name)
{
	char path[512];
	ssize_t bytes;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	bytes = fd < 0 ? -1 : read(fd, input, sizeof(input));
	if (fd >= 0)
		close(fd);
	if (bytes < 0)
		return -1;
	fprintf(stderr, "%s\n", path);	/* the last line names the culprit */
	return LLVMFuzzerTestOneInput(input, bytes);
}

int main(int argc, char **argv)
{
	const char *name = argc == 4 ? argv[1] : NULL;
	DIR *dir = name ? opendir(argv[2]) : NULL;
	struct dirent *entry;
	unsigned int nr = 0, wanted;

	if (!dir)
		return 2;
	wanted = strtoul(argv[3], NULL, 10);
	LLVMFuzzerInitialize(&argc, &argv);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !replay(argv[2], entry->d_name))
			nr++;
	closedir(dir);
	printf("# %u inputs, %u are kept\n%sok 1 - %u inputs of %s do no harm\n1..1\n",
	       nr, wanted, nr >= wanted ? "" : "not ", nr, name);
	return nr < wanted;
}
