// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, boot: the configuration of this system flows in; what would keep a copy
 * of its root disk from booting on other hardware flows out, with the cure.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "source/plan.h"

#define PATH_BYTES 512

/* Calls @line for each line of a file without its comments. */
struct line_check {
	struct bf_plan *plan;
	const char *path;		/* as a person knows it */
	unsigned int number;
	unsigned int hits;		/* what was told of this file: bits or a count */
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

/* A row for a device by such a name on this line; what it is to the system. */
static void check_name(struct line_check *check, const char *finding,
		       const char *device, const char *what)
{
	char subject[PATH_BYTES];

	if (!is_volatile_name(device))
		return;
	snprintf(subject, sizeof(subject), "%s:%u", check->path, check->number);
	bf_plan_add(check->plan, BF_SEVERITY_WARNING, finding, subject,
		    "write UUID=... in its place, as `blkid` prints it",
		    "%s is named %s, a name that other hardware gives to another disk",
		    what, device);
}

static void look_at_fstab(struct line_check *check, char *line)
{
	char device[128] = "", where[128] = "";

	if (sscanf(line, "%127s %127s", device, where) >= 1)
		check_name(check, "fstab-device-name", device,
			   *where ? where : "a filesystem");
}

/* NAME DEVICE KEY OPTIONS: see crypttab(5). */
static void look_at_crypttab(struct line_check *check, char *line)
{
	char name[64] = "", device[128] = "", what[96];

	if (sscanf(line, "%63s %127s", name, device) != 2)
		return;
	snprintf(what, sizeof(what), "what unlocks as %s", name);
	check_name(check, "crypttab-device-name", device, what);
}

/* Of initramfs-tools: RESUME=DEVICE, auto or none. */
static void look_at_resume(struct line_check *check, char *line)
{
	char device[128] = "";

	if (sscanf(line, " RESUME=%127s", device) == 1)
		check_name(check, "resume-device-name", device,
			   "the area to resume from");
}

/* The device of a word KEY=/dev/... on a kernel's command line. */
static bool find_parameter(const char *line, const char *key, char device[128])
{
	for (const char *at = strstr(line, key); at; at = strstr(at + 1, key))
		if (at == line || isspace((unsigned char)at[-1]) ||
		    at[-1] == '"')
			return sscanf(at + strlen(key), "%127[^ \t\"]",
				      device) == 1;
	return false;
}

/* Of the running kernel and of the boot loader's files alike. */
static void look_at_cmdline(struct line_check *check, char *line)
{
	static const char *const keys[] = { "root=", "resume=" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char device[128];

		if ((check->hits & 1u << i) ||
		    !find_parameter(line, keys[i], device) ||
		    !is_volatile_name(device))
			continue;
		check->hits |= 1u << i;
		bf_plan_add(check->plan, BF_SEVERITY_WARNING,
			    "boot-device-name", check->path,
			    "remove GRUB_DISABLE_LINUX_UUID from /etc/default/grub, or write UUID=..., and run update-grub",
			    "the kernel is told %s%s, a name that other hardware gives to another disk",
			    keys[i], device);
	}
}

/* ---- network, firmware, console ---- */

static void look_at_mac(struct line_check *check, char *line)
{
	if (check->hits || (!strstr(line, "MACAddress=") &&
			    !strstr(line, "ATTR{address}==") &&
			    !strstr(line, "hwaddress ") &&
			    !strstr(line, "mac-address=") &&
			    !strstr(line, "macaddress:") &&
			    !strstr(line, "HWADDR=")))
		return;
	check->hits++;
	bf_plan_add(check->plan, BF_SEVERITY_WARNING, "network-mac",
		    check->path, "give the new machine's card the same address, or match by another word than the address",
		    "it names a network card by its hardware address, which another machine does not have");
}

/*
 * "enp3s0", "ens18", "eno1", "wlp2s0" are made from where the card sits,
 * "enx0011..." from its address (systemd.net-naming-scheme(7)); "br0", "bond0",
 * "eth0" are not.
 */
static bool is_slot_name(const char *name)
{
	return (!strncmp(name, "en", 2) || !strncmp(name, "wl", 2) ||
		!strncmp(name, "ib", 2)) &&
	       name[2] && strchr("opsPcdabx", name[2]) &&
	       isxdigit((unsigned char)name[3]);
}

static void check_interface(struct line_check *check, const char *name)
{
	if (!is_slot_name(name))
		return;
	bf_plan_add(check->plan, BF_SEVERITY_WARNING, "network-name",
		    check->path, "on the new machine rename it there, or boot once with net.ifnames=0 and call it eth0",
		    "it configures %s, a name made from the slot or the address of the card, which differ on other hardware",
		    name);
}

/* interfaces(5) */
static void look_at_interface(struct line_check *check, char *line)
{
	char word[32] = "", name[64] = "";

	if (sscanf(line, "%31s %63s", word, name) == 2 &&
	    !strcmp(word, "iface"))
		check_interface(check, name);
}

/* systemd.network(5), NetworkManager's keyfile, ifcfg: KEY=NAME. */
static void look_at_assignment(struct line_check *check, char *line)
{
	static const char *const keys[] = { " Name=%63s", " interface-name=%63s",
					    " DEVICE=%63[^\"]",
					    " DEVICE=\"%63[^\"]" };
	char name[64];

	look_at_mac(check, line);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (sscanf(line, keys[i], name) == 1)
			check_interface(check, name);
}

/* netplan(5): "    enp3s0:" */
static void look_at_netplan(struct line_check *check, char *line)
{
	char name[64] = "";

	look_at_mac(check, line);
	if (sscanf(line, " %63[^: ]:", name) == 1)
		check_interface(check, name);
}

/* The files of a @folder, which ends in "/". */
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
		snprintf(path, sizeof(path), "%s%s", folder, entry->d_name);
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

/* A file to look at line by line; a folder of such files if it ends in "/". */
static const struct {
	const char *path;
	void (*look)(struct line_check *check, char *line);
} places[] = {
	{ "/etc/fstab", look_at_fstab },
	{ "/etc/crypttab", look_at_crypttab },
	{ "/etc/initramfs-tools/conf.d/resume", look_at_resume },
	{ "/proc/cmdline", look_at_cmdline },
	{ "/etc/kernel/cmdline", look_at_cmdline },
	{ "/boot/grub/grub.cfg", look_at_cmdline },
	{ "/boot/grub2/grub.cfg", look_at_cmdline },
	{ "/boot/loader/entries/", look_at_cmdline },
	{ "/etc/network/interfaces", look_at_interface },
	{ "/etc/network/interfaces.d/", look_at_interface },
	{ "/etc/systemd/network/", look_at_assignment },
	{ "/etc/udev/rules.d/", look_at_mac },
	{ "/etc/NetworkManager/system-connections/", look_at_assignment },
	{ "/etc/sysconfig/network-scripts/", look_at_assignment },
	{ "/etc/netplan/", look_at_netplan },
};

void bf_plan_boot(struct bf_plan *plan, const char *root)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *path = places[i].path;

		if (path[strlen(path) - 1] == '/')
			each_file(plan, root, path, places[i].look);
		else
			each_line(plan, root, path, places[i].look);
	}
	check_firmware(plan, root);
	check_console(plan, root);
}
