// SPDX-License-Identifier: Apache-2.0
/*
 * helper: a subcommand that is a program of its own becomes that program. Those
 * for onlookers need libraries (of HTTP, of archives, and all that these bring)
 * which have no business in a process that holds disks and keys, and locks its
 * memory for a cutover.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

const struct cli_command cli_metrics = {
	.name = "metrics", .arguments = "",
	.summary = "Prometheus metrics over HTTP, on the loopback address",
};

const struct cli_command cli_diag = {
	.name = "diag", .arguments = "",
	.summary = "one archive of what somebody who helps wants to see",
};

/* From the folder of this program: as built, and as installed. */
static const char *const places[] = { "", "../libexec/blkferry/" };

/* The folder of this program with a slash, "" if that is not known. */
static void own_folder(char folder[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);

	folder[length > 0 ? length : 0] = '\0';
	folder[strrchr(folder, '/') ? strrchr(folder, '/') - folder + 1 : 0] =
		'\0';
}

int cli_run_helper(const struct cli_command *command, char **argv,
		   struct bf_error *err)
{
	char folder[PATH_MAX], path[PATH_MAX + 64];

	own_folder(folder);
	for (size_t i = 0; i < CLI_NR(places); i++) {
		snprintf(path, sizeof(path), "%s%sblkferry-%s",
			 *folder ? folder : "/usr/sbin/", places[i],
			 command->name);
		argv[0] = path;		/* as ps shows it */
		execv(path, argv);
		if (errno != ENOENT)
			break;
	}
	return bf_fail(err, errno == ENOENT ? BF_E_NOT_FOUND : BF_E_SYSTEM,
		       errno, "cannot run %s: %s: it belongs to this package, install that again",
		       path, strerror(errno));
}
