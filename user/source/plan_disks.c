// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, disks: what libblkid and sysfs say of each disk flows in; what it
 * holds, what could change it unseen, who else could write it, and how it
 * compares with its target flow out.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/netlink.h"
#include "lib/units.h"
#include "source/holders_steps.h"
#include "source/plan.h"

/* /sys/dev/block/8:0, resolved: its path tells the transport. */
static bool sysfs_path(const struct bf_plan_disk *disk, const char *root,
		       char path[PATH_MAX])
{
	char link[256];

	snprintf(link, sizeof(link), "%s/sys/dev/block/%u:%u", root,
		 major(disk->dev), minor(disk->dev));
	return realpath(link, path);
}

static void cleanup_probe(blkid_probe *probe)
{
	blkid_free_probe(*probe);
}

/* A word of libblkid on the disk, "" if it has none. */
static const char *probe_word(blkid_probe probe, const char *name)
{
	const char *value = NULL;

	return blkid_probe_lookup_value(probe, name, &value, NULL) ? "" : value;
}

static void check_target(struct bf_plan *plan, const struct bf_plan_disk *disk,
			 const char *table)
{
	char size[BF_UNIT_TEXT_BYTES], target[BF_UNIT_TEXT_BYTES];

	if (!disk->target_bytes)
		return;
	bf_format_size(disk->size_bytes, size);
	bf_format_size(disk->target_bytes, target);
	if (disk->target_bytes < disk->size_bytes)
		bf_plan_add(plan, BF_SEVERITY_REFUSE, "target-too-small",
			    disk->name, "give it a target at least as large",
			    "its target has %s, it has %s", target, size);
	else if (disk->target_bytes > disk->size_bytes &&
		 !strcmp(table, "gpt"))
		bf_plan_add(plan, BF_SEVERITY_WARNING, "gpt-backup",
			    disk->name, "after the cutover, on the target: sgdisk --move-second-header",
			    "its target has %s, it has %s: the backup header of the partition table will not lie at the target's end",
			    target, size);
}

static void check_cluster(struct bf_plan *plan, const char *name,
			  const char *type)
{
	static const char *const clusters[] = { "ocfs2", "gfs2", "gfs", "lustre",
						"VMFS", "drbd" };

	for (size_t i = 0; i < sizeof(clusters) / sizeof(clusters[0]); i++)
		if (!strcmp(type, clusters[i]))
			bf_plan_add(plan, BF_SEVERITY_REFUSE,
				    "cluster-filesystem", name,
				    "replicate from one machine while the others have it unmounted",
				    "it holds %s, which other machines write as well: their writes are not seen here",
				    type);
}

static const char *transport_of(const char *path)
{
	return strstr(path, "/session") ? "iSCSI" :
	       strstr(path, "/rport-") ? "Fibre Channel" :
	       strstr(path, "/nvme-fabrics") ? "NVMe over a network" :
	       strstr(path, "/rbd") ? "RADOS" : NULL;
}

/* What a stack of devices (multipath, above all) stands on. */
struct below {
	char sys[256];
	const char *transport;
	unsigned int depth;
};

static int look_below(void *context, const char *name)
{
	struct below *below = context;
	char link[512], path[PATH_MAX];

	snprintf(link, sizeof(link), "%s/class/block/%.64s", below->sys, name);
	if (!realpath(link, path))
		return 0;
	below->transport = transport_of(path);
	if (below->transport || below->depth == BF_HOLDER_DEPTH_MAX)
		return 1;
	below->depth++;
	snprintf(link, sizeof(link), "%s/class/block/%.64s/slaves", below->sys,
		 name);
	bf_sysfs_each(link, look_below, below);
	below->depth--;
	return below->transport != NULL;
}

static void check_shared(struct bf_plan *plan, const struct bf_plan_disk *disk,
			 const char *root, const char *path)
{
	const char *name = strrchr(path, '/');
	struct below below = { .transport = NULL };

	snprintf(below.sys, sizeof(below.sys), "%.200s/sys", root);
	if (name)
		look_below(&below, name + 1);
	if (below.transport)
		bf_plan_add(plan, BF_SEVERITY_WARNING, "shared-disk",
			    disk->name, "make sure that no other machine has it mounted or writes it, from now to the cutover",
			    "it comes over %s: what another machine writes to it is not seen here",
			    below.transport);
}

/*
 * Return: false if there is no module to be asked. A job that starts need not ask:
 * the next thing that it does is to track the disk.
 */
static bool ask_module(struct bf_plan *plan, const struct bf_plan_disk *disk)
{
	char name[BLKFERRY_NAME_MAX + 1];
	struct bf_netlink *nl;
	struct bf_error err;

	if (bf_netlink_open(&nl, &err))
		return false;
	snprintf(name, sizeof(name), "plan-%ld", (long)getpid());
	if (bf_tracker_try(nl, disk->fd, name, &err) == -EOPNOTSUPP)
		bf_plan_add(plan, BF_SEVERITY_REFUSE, "untrackable", disk->name,
			    "name the disks below it in the job instead", "%s",
			    err.text);
	bf_netlink_close(nl);
	return true;
}

/*
 * What the tracker cannot see on this kind of disk. The module refuses what it
 * does not cover; this tells it before.
 */
static void check_coverage(struct bf_plan *plan,
			   const struct bf_plan_disk *disk, const char *path,
			   bool ask)
{
	char name[64], dax[16] = "";
	const char *last = strrchr(path, '/');

	snprintf(name, sizeof(name), "%.63s", last ? last + 1 : path);
	if (bf_sysfs_read("/sys", name, "queue/dax", dax, sizeof(dax)) &&
	    *dax == '1')
		bf_plan_add(plan, BF_SEVERITY_WARNING, "dax", disk->name,
			    "mount it without the option dax",
			    "%s can be written through DAX, which passes by every tracker",
			    disk->device);
	if ((!ask || !ask_module(plan, disk)) && (!strncmp(name, "bcache", 6) ||
	    !strncmp(name, "drbd", 4) || !strncmp(name, "rbd", 3)))
		bf_plan_add(plan, BF_SEVERITY_WARNING, "coverage", disk->name,
			    "name the disks below it in the job instead",
			    "%s may be refused by the module", name);
}

static void add_content(struct bf_plan *plan, const struct bf_plan_disk *disk,
			const char *table, const char *type)
{
	char size[BF_UNIT_TEXT_BYTES];

	bf_format_size(disk->size_bytes, size);
	bf_plan_add(plan, BF_SEVERITY_INFO, "content", disk->name, NULL,
		    "%s, %s%s%s%s%s", disk->device, size,
		    *table ? ", partition table " : "", table,
		    *type ? ", holds " : "", type);
}

static void look_at_disk(struct bf_plan *plan, const struct bf_plan_disk *disk,
			 const char *root, bool ask)
{
	_cleanup_(cleanup_probe) blkid_probe probe = blkid_new_probe();
	char path[PATH_MAX];

	if (probe && !blkid_probe_set_device(probe, disk->fd, 0, 0)) {
		blkid_probe_enable_partitions(probe, 1);
		blkid_probe_enable_superblocks(probe, 1);
		blkid_do_safeprobe(probe);
		add_content(plan, disk, probe_word(probe, "PTTYPE"),
			    probe_word(probe, "TYPE"));
		check_target(plan, disk, probe_word(probe, "PTTYPE"));
		check_cluster(plan, disk->name, probe_word(probe, "TYPE"));
	}
	if (!sysfs_path(disk, root, path))
		return;
	check_shared(plan, disk, root, path);
	check_coverage(plan, disk, path, ask);
}

static void add_mounted(struct bf_plan *plan)
{
	const struct bf_holders *holders = &plan->holders;

	for (size_t i = 0; i < holders->nr_filesystems; i++)
		bf_plan_add(plan, BF_SEVERITY_INFO, "mounted",
			    holders->filesystems[i].mountpoint, NULL,
			    "%s, %s at the cutover",
			    holders->filesystems[i].type,
			    holders->filesystems[i].read_only ?
			    "read-only, untouched" : "will be frozen");
}

static void add_device(struct bf_plan *plan, const struct bf_holder_device *device)
{
	if (!*device->type)
		bf_plan_add(plan, BF_SEVERITY_INFO, "unmounted", device->label,
			    NULL, "holds nothing that is known: copied as it is");
	else if (!strcmp(device->type, "swap"))
		bf_plan_add(plan, BF_SEVERITY_INFO, "swap-area", device->label,
			    NULL, "holds swap: %s", plan->config->whole_disk ?
			    "copied as it is" :
			    "its header is copied, its content is not");
	else
		bf_plan_add(plan, BF_SEVERITY_INFO, "unmounted", device->label,
			    NULL, "holds %s, which is not mounted: copied as it is",
			    device->type);
}

/* Partitions and volumes; those that others stand on, and mounted ones, have
 * rows of theirs. */
static void add_unmounted(struct bf_plan *plan, const char *root)
{
	const struct bf_holders *holders = &plan->holders;
	char sys[256];

	snprintf(sys, sizeof(sys), "%.200s/sys", root);
	for (size_t i = 0; i < holders->nr_devices; i++) {
		const struct bf_holder_device *device = &holders->devices[i];

		if (!device->depth)
			continue;
		check_cluster(plan, device->label, device->type);
		if (!bf_sysfs_has_holders(sys, device->name) &&
		    !bf_holders_filesystem(holders, device->dev))
			add_device(plan, device);
	}
}

static void add_use(struct bf_plan *plan, const char *root)
{
	add_mounted(plan);
	add_unmounted(plan, root);
	if (bf_holders_have_root(&plan->holders) && !plan->config->then_given)
		bf_plan_add(plan, BF_SEVERITY_WARNING, "then-unnamed", "job",
			    "then = poweroff (or hold, or thaw) in the job, or --then with the cutover",
			    "the job holds the root filesystem and does not say what becomes of this machine after the cutover");
}

void bf_plan_disks(struct bf_plan *plan, const char *root, bool ask)
{
	for (uint32_t i = 0; i < plan->nr_disks; i++)
		look_at_disk(plan, &plan->disks[i], root, ask);
	add_use(plan, root);
}
