// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, boot: the configuration of this system flows in; what would keep a copy
 * of its root disk from booting on other hardware flows out, with the cure.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "source/holders_steps.h"
#include "source/plan.h"

#define PATH_BYTES 512

/* Calls @line for each line of a file without its comments. */
struct line_check {
	struct bf_plan *plan;
	const char *path;		/* as a person knows it */
	unsigned int number;
	unsigned int hits;
};

static void each_line(struct bf_plan *plan, const char *root, const char *path,
		      void (*look)(struct line_check *check, char *line))
{
	struct line_check check = { .plan = plan, .path = path };
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	char full[PATH_BYTES];
	size_t size = 0;

	snprintf(full, sizeof(full), "%s%s", root, path);
	file = fopen(full, "re");
	while (file && getline(&line, &size, file) > 0) {
		check.number++;
		line[strcspn(line, "#\n")] = '\0';
		look(&check, line);
	}
}

/* "/dev/sda1", "/dev/vdb", "/dev/nvme0n1p2": names that another machine deals
 * out anew. /dev/mapper, /dev/disk/by-..., /dev/md/NAME stay what they are. */
static bool is_volatile_name(const char *name)
{
	static const char *const kinds[] = { "sd", "vd", "hd", "xvd", "nvme",
					     "mmcblk" };

	if (strncmp(name, "/dev/", 5))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t length = strlen(kinds[i]);

		if (!strncmp(name + 5, kinds[i], length) &&
		    isalnum((unsigned char)name[5 + length]))
			return true;
	}
	return false;
}

static void look_at_fstab(struct line_check *check, char *line)
{
	char subject[PATH_BYTES], device[128] = "", where[128] = "";

	if (sscanf(line, "%127s %127s", device, where) < 1 ||
	    !is_volatile_name(device))
		return;
	snprintf(subject, sizeof(subject), "%s:%u", check->path, check->number);
	bf_plan_add(check->plan, BF_SEVERITY_WARNING, "fstab-device-name",
		    subject, "write UUID=... in its place, as `blkid` prints it",
		    "%s is named %s, a name that other hardware gives to another disk",
		    *where ? where : "a filesystem", device);
}

/* Of the running kernel and of the boot loader's files alike. */
static void look_at_cmdline(struct line_check *check, char *line)
{
	char name[128], *root = strstr(line, "root=/dev/");

	if (!root || check->hits ||
	    (root > line && !isspace((unsigned char)root[-1])) ||
	    sscanf(root + 5, "%127s", name) != 1 || !is_volatile_name(name))
		return;
	check->hits++;
	bf_plan_add(check->plan, BF_SEVERITY_WARNING, "boot-device-name",
		    check->path, "remove GRUB_DISABLE_LINUX_UUID from /etc/default/grub and run update-grub, or write root=UUID=...",
		    "the kernel is told root=%s, a name that other hardware gives to another disk",
		    name);
}

/* ---- drivers in the initramfs ---- */

static const struct {
	const char *module, *what;
} wanted[] = {
	{ "virtio_blk", "virtio disks" },
	{ "virtio_scsi", "virtio SCSI disks" },
	{ "nvme", "NVMe disks" },
	{ "sd_mod", "SCSI and SATA disks" },
};

#define NR_DRIVERS (sizeof(wanted) / sizeof(wanted[0]))

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

static void check_drivers(struct bf_plan *plan, const char *root,
			  const char *release)
{
	char path[PATH_BYTES], command[2 * PATH_BYTES];
	bool found[NR_DRIVERS] = { false };
	FILE *file;

	snprintf(path, sizeof(path), "%s/lib/modules/%s/modules.builtin", root,
		 release);
	file = fopen(path, "re");
	if (file) {
		note_drivers(found, file);
		fclose(file);
	}
	snprintf(path, sizeof(path), "%s/boot/initrd.img-%s", root, release);
	if (access(path, R_OK))
		return;
	/* The release is the kernel's own word: no quote in it. */
	snprintf(command, sizeof(command),
		 "lsinitramfs '%s' 2>/dev/null </dev/null", path);
	file = popen(command, "re");
	if (!file)
		return;
	note_drivers(found, file);
	if (pclose(file)) {
		bf_plan_add(plan, BF_SEVERITY_WARNING, "initramfs-unread", path,
			    "lsinitramfs of it by hand, and look for virtio_blk, virtio_scsi, nvme and sd_mod",
			    "its drivers could not be listed");
		return;
	}
	for (size_t i = 0; i < NR_DRIVERS; i++)
		if (!found[i])
			bf_plan_add(plan, BF_SEVERITY_WARNING,
				    "initramfs-driver", path,
				    "MODULES=most in /etc/initramfs-tools/initramfs.conf, or the driver in /etc/initramfs-tools/modules, then update-initramfs -u",
				    "it lacks %s: the copy will not find its root on %s",
				    wanted[i].module, wanted[i].what);
}

/* ---- network, firmware, console ---- */

static void look_at_mac(struct line_check *check, char *line)
{
	if (check->hits || (!strstr(line, "MACAddress=") &&
			    !strstr(line, "ATTR{address}==") &&
			    !strstr(line, "hwaddress ") &&
			    !strstr(line, "mac-address=")))
		return;
	check->hits++;
	bf_plan_add(check->plan, BF_SEVERITY_WARNING, "network-mac",
		    check->path, "give the new machine's card the same address, or match by another word than the address",
		    "it names a network card by its hardware address, which another machine does not have");
}

static void look_at_interface(struct line_check *check, char *line)
{
	char word[32] = "", name[64] = "";

	if (sscanf(line, "%31s %63s", word, name) != 2 ||
	    strcmp(word, "iface") || !strcmp(name, "lo") ||
	    !strncmp(name, "eth", 3))
		return;
	bf_plan_add(check->plan, BF_SEVERITY_WARNING, "network-name",
		    check->path, "on the new machine rename it there, or boot once with net.ifnames=0 and call it eth0",
		    "it configures %s, a name made from the slot of the card, which differs on other hardware",
		    name);
}

/* The files of a folder whose names end so. */
static void each_file(struct bf_plan *plan, const char *root, const char *folder,
		      void (*look)(struct line_check *check, char *line))
{
	char full[PATH_BYTES];
	struct dirent *entry;
	DIR *dir;

	snprintf(full, sizeof(full), "%s%s", root, folder);
	dir = opendir(full);
	while (dir && (entry = readdir(dir))) {
		char path[PATH_BYTES];

		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		each_line(plan, root, path, look);
	}
	if (dir)
		closedir(dir);
}

static void check_firmware(struct bf_plan *plan, const char *root)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/sys/firmware/efi", root);
	if (access(path, F_OK))
		bf_plan_add(plan, BF_SEVERITY_INFO, "firmware", "machine", NULL,
			    "this machine booted by BIOS: the new one must as well");
	else
		bf_plan_add(plan, BF_SEVERITY_WARNING, "firmware", "machine",
			    "let the new one boot by UEFI; if it does not find the boot loader: efibootmgr, or grub-install --removable before the cutover",
			    "this machine booted by UEFI, and the entry for its boot loader is kept in its firmware, not on its disk");
}

static void check_console(struct bf_plan *plan, const char *root)
{
	char path[PATH_BYTES], text[1024] = "";
	_cleanup_fclose_ FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/proc/cmdline", root);
	file = fopen(path, "re");
	if (file && fgets(text, sizeof(text), file) &&
	    !strstr(text, "console=ttyS"))
		bf_plan_add(plan, BF_SEVERITY_INFO, "console", "machine", NULL,
			    "there is no serial console: on a machine without a screen add console=tty0 console=ttyS0 to the kernel's command line");
}

void bf_plan_boot(struct bf_plan *plan, const char *root, bool drivers)
{
	struct utsname kernel;

	each_line(plan, root, "/etc/fstab", look_at_fstab);
	each_line(plan, root, "/proc/cmdline", look_at_cmdline);
	each_line(plan, root, "/boot/grub/grub.cfg", look_at_cmdline);
	each_line(plan, root, "/etc/network/interfaces", look_at_interface);
	each_file(plan, root, "/etc/network/interfaces.d", look_at_interface);
	each_file(plan, root, "/etc/systemd/network", look_at_mac);
	each_file(plan, root, "/etc/udev/rules.d", look_at_mac);
	each_file(plan, root, "/etc/NetworkManager/system-connections",
		  look_at_mac);
	if (drivers && !uname(&kernel))
		check_drivers(plan, root, kernel.release);
	check_firmware(plan, root);
	check_console(plan, root);
}
