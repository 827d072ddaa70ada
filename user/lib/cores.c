// SPDX-License-Identifier: Apache-2.0
/*
 * Cores: a number and what the process was given flow in, every thread of this
 * process runs on that many processors at most. New threads take it over from
 * the one that starts them.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/limits.h"

/* The last ones: interrupts tend to be served by the first. */
static void keep_last(cpu_set_t *set, unsigned int cores)
{
	unsigned int surplus = CPU_COUNT(set);

	surplus = cores && surplus > cores ? surplus - cores : 0;
	for (int i = 0; i < CPU_SETSIZE && surplus; i++) {
		if (!CPU_ISSET(i, set))
			continue;
		CPU_CLR(i, set);
		surplus--;
	}
}

int bf_cores_limit(unsigned int cores, const cpu_set_t *given)
{
	cpu_set_t set = *given;
	struct dirent *entry;
	DIR *threads;
	int ret = 0;

	keep_last(&set, cores);
	threads = opendir("/proc/self/task");
	if (!threads)
		return -errno;
	/* One may have ended; the kernel's own workers refuse. */
	while ((entry = readdir(threads)))
		if (atoi(entry->d_name) > 0 &&
		    sched_setaffinity(atoi(entry->d_name), sizeof(set), &set) &&
		    errno != ESRCH && errno != EINVAL)
			ret = -errno;
	closedir(threads);
	return ret;
}
