// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, machine: the running kernel, the module that it would load, and the
 * memory that dirty maps can need flow in; findings flow out.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/units.h"
#include "source/holders_steps.h"
#include "source/plan.h"

#define PATH_BYTES 512
/* Of the map that a drain owns and the one that fills meanwhile. */
#define MAPS_AT_ONCE 2

static bool exists(const char *root, const char *path)
{
	char full[PATH_BYTES];

	snprintf(full, sizeof(full), "%s%s", root, path);
	return !access(full, F_OK);
}

/* Where DKMS, or a make install, puts it; false if it is nowhere. */
static bool find_module(const char *root, const char *release,
			char path[PATH_BYTES])
{
	static const char *const folders[] = { "updates/dkms", "extra", "updates" };
	static const char *const endings[] = { "", ".xz", ".zst", ".gz" };

	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k < 4; k++) {
			snprintf(path, PATH_BYTES,
				 "%s/lib/modules/%s/%s/blkferry.ko%s", root,
				 release, folders[i], endings[k]);
			if (!access(path, F_OK))
				return true;
		}
	return false;
}

static void check_module(struct bf_plan *plan, const char *root,
			 const char *release)
{
	char path[PATH_BYTES], headers[PATH_BYTES];

	snprintf(headers, sizeof(headers), "/lib/modules/%s/build", release);
	if (exists(root, "/sys/module/blkferry")) {
		bf_plan_add(plan, BF_SEVERITY_INFO, "module", "machine", NULL,
			    "Linux %s, the module is loaded", release);
	} else if (find_module(root, release, path)) {
		bf_plan_add(plan, BF_SEVERITY_INFO, "module", "machine", NULL,
			    "Linux %s, the module is installed", release);
		bf_plan_signature(plan, root, path);
	} else {
		bf_plan_add(plan, BF_SEVERITY_REFUSE, "module-missing",
			    "machine", exists(root, headers) ?
			    "dkms autoinstall, or install the package blkferry-dkms" :
			    "install linux-headers of this kernel and the package blkferry-dkms",
			    "there is no module for Linux %s%s", release,
			    exists(root, headers) ? "" :
			    ", nor the headers to build it with");
	}
}

/* The module's choice (uapi/linux/blkferry.h): 4 KiB up to 4 TiB, then more. */
static uint64_t map_bytes(const struct bf_plan_disk *disk)
{
	uint64_t granularity_bytes = disk->granularity_bytes;

	if (!granularity_bytes) {
		granularity_bytes = 4096;
		while (disk->size_bytes / granularity_bytes > 1ull << 30)
			granularity_bytes *= 2;
	}
	return disk->size_bytes / granularity_bytes / 8;
}

static uint64_t module_limit_bytes(const char *root, uint64_t memory_bytes)
{
	unsigned long long bytes;
	char path[PATH_BYTES];
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(path, sizeof(path),
		 "%s/sys/module/blkferry/parameters/leaves_max_bytes", root);
	file = fopen(path, "re");
	if (file && fscanf(file, "%llu", &bytes) == 1 && bytes)
		return bytes;
	return memory_bytes / 16;
}

static void check_memory(struct bf_plan *plan, const char *root)
{
	char need[BF_UNIT_TEXT_BYTES], have[BF_UNIT_TEXT_BYTES];
	uint64_t need_bytes = 0, memory_bytes, limit_bytes;
	struct sysinfo info;

	if (sysinfo(&info))
		return;
	memory_bytes = (uint64_t)info.totalram * info.mem_unit;
	for (uint32_t i = 0; i < plan->nr_disks; i++)
		need_bytes += MAPS_AT_ONCE * map_bytes(&plan->disks[i]);
	limit_bytes = module_limit_bytes(root, memory_bytes);
	bf_format_size(need_bytes, need);
	bf_format_size(limit_bytes, have);
	if (need_bytes > limit_bytes)
		bf_plan_add(plan, BF_SEVERITY_WARNING, "map-memory", "machine",
			    "a coarser granularity = in the job's [disk] sections, or a higher leaves_max_bytes of the module",
			    "dirty maps can need %s, the module takes at most %s: beyond it, marks get coarse and more is sent than changed",
			    need, have);
	else
		bf_plan_add(plan, BF_SEVERITY_INFO, "map-memory", "machine",
			    NULL, "dirty maps can need up to %s", need);
}

void bf_plan_machine(struct bf_plan *plan, const char *root)
{
	struct utsname kernel;

	if (uname(&kernel))
		return;
	check_module(plan, root, kernel.release);
	check_memory(plan, root);
}
