// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, initramfs: the list of the modules in the initramfs of the running kernel
 * flows in, by whichever tool made it; the drivers that the copy's root disk can
 * need elsewhere and that it lacks flow out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "source/plan.h"

#define PATH_BYTES 512

static const struct {
	const char *module, *what;
} wanted[] = {
	{ "virtio_blk", "virtio disks" },
	{ "virtio_scsi", "virtio SCSI disks" },
	{ "nvme", "NVMe disks" },
	{ "sd_mod", "SCSI and SATA disks" },
};

#define NR_DRIVERS (sizeof(wanted) / sizeof(wanted[0]))

/* Debian and Ubuntu; Fedora and its kin, Arch; SUSE. */
static const char *const images[] = {
	"/boot/initrd.img-%s", "/boot/initramfs-%s.img", "/boot/initrd-%s",
};

static const struct {
	const char *command, *cure;
} listers[] = {
	{ "lsinitramfs", "MODULES=most in /etc/initramfs-tools/initramfs.conf, or the driver in /etc/initramfs-tools/modules, then update-initramfs -u" },
	{ "lsinitrd", "add_drivers+=\" virtio_blk virtio_scsi nvme sd_mod \" in a file of /etc/dracut.conf.d, then dracut --force" },
};

#define NR_LISTERS (sizeof(listers) / sizeof(listers[0]))

/* A line that names a module's file, with "_" and "-" as the same letter. */
static bool names_module(const char *line, const char *module)
{
	const char *at = strrchr(line, '/');
	size_t i;

	at = at ? at + 1 : line;
	for (i = 0; module[i]; i++)
		if ((at[i] == '-' ? '_' : at[i]) != module[i])
			return false;
	return !strncmp(at + i, ".ko", 3);
}

static void note_drivers(bool found[NR_DRIVERS], FILE *file)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, file) > 0)
		for (size_t i = 0; i < NR_DRIVERS; i++)
			found[i] |= names_module(line, wanted[i].module);
}

static void note_built_in(bool found[NR_DRIVERS], const char *root,
			  const char *release)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/lib/modules/%s/modules.builtin", root,
		 release);
	file = fopen(path, "re");
	if (file)
		note_drivers(found, file);
}

static bool find_image(const char *root, const char *release,
		       char path[PATH_BYTES])
{
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		char name[PATH_BYTES / 2];

		snprintf(name, sizeof(name), images[i], release);
		snprintf(path, PATH_BYTES, "%s%s", root, name);
		if (!access(path, R_OK))
			return true;
	}
	return false;
}

/* Return: the tool's place in listers, NR_LISTERS if none could read it. */
static size_t list_image(bool found[NR_DRIVERS], const char *path)
{
	for (size_t i = 0; i < NR_LISTERS; i++) {
		char command[2 * PATH_BYTES];
		FILE *file;

		/* The release is the kernel's own word: no quote in it. */
		snprintf(command, sizeof(command), "%s '%s' 2>/dev/null </dev/null",
			 listers[i].command, path);
		file = popen(command, "re");
		if (!file)
			continue;
		note_drivers(found, file);
		if (!pclose(file))
			return i;
	}
	return NR_LISTERS;
}

static void tell_unread(struct bf_plan *plan, const char *subject)
{
	bf_plan_add(plan, BF_SEVERITY_WARNING, "initramfs-unread", subject,
		    "list it by hand (lsinitramfs, lsinitrd), and look for virtio_blk, virtio_scsi, nvme and sd_mod",
		    "its drivers could not be listed");
}

void bf_plan_initramfs(struct bf_plan *plan, const char *root)
{
	bool found[NR_DRIVERS] = { false };
	struct utsname kernel;
	char path[PATH_BYTES];
	const char *cure;
	size_t lister;

	if (uname(&kernel))
		return;
	note_built_in(found, root, kernel.release);
	if (!find_image(root, kernel.release, path)) {
		tell_unread(plan, "the initramfs of this kernel");
		return;
	}
	lister = list_image(found, path);
	if (lister == NR_LISTERS) {
		tell_unread(plan, path);
		return;
	}
	cure = listers[lister].cure;
	for (size_t i = 0; i < NR_DRIVERS; i++)
		if (!found[i])
			bf_plan_add(plan, BF_SEVERITY_WARNING,
				    "initramfs-driver", path, cure,
				    "it lacks %s: the copy will not find its root on %s",
				    wanted[i].module, wanted[i].what);
}
