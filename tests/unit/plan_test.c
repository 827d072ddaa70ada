// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: the plan finds what would keep a copy from booting and a module from
 * being loaded, each as one row with a cure; names that stay the same anywhere
 * are not complained of; a critical finding refuses, by the code of the thing
 * itself, until it is overridden by its own name.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "source/plan.h"
#include "tap.h"

static char root[] = "/tmp/blkferry-plan-XXXXXX";
static struct bf_job_config config;

static void put_file(const char *path, const char *text)
{
	char command[1024], full[512];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s')\"", full);
	check(!system(command));
	file = fopen(full, "w");
	check(file && fputs(text, file) >= 0 && !fclose(file));
}

static int empty_root(void)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf '%s'/*", root);
	return system(command);
}

/* Everything of the case before is gone. */
static void begin(struct bf_plan *plan)
{
	check(!empty_root());
	*plan = (struct bf_plan){
		.rows = json_array(), .figures = json_object(),
		.config = &config,
	};
}

static const json_t *find(const struct bf_plan *plan, const char *name)
{
	json_t *row;
	size_t index;

	json_array_foreach(plan->rows, index, row)
		if (!strcmp(json_string_value(json_object_get(row, "check")),
			    name))
			return row;
	return NULL;
}

static const char *word(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

static unsigned int count(const struct bf_plan *plan, const char *severity)
{
	unsigned int nr = 0;
	json_t *row;
	size_t index;

	json_array_foreach(plan->rows, index, row) {
		if (!strcmp(word(row, "severity"), severity))
			nr++;
		if (strcmp(word(row, "severity"), "info"))
			check(*word(row, "cure"));
	}
	return nr;
}

static const char *release_path(const char *format, char path[256])
{
	struct utsname kernel;

	check(!uname(&kernel));
	snprintf(path, 256, format, kernel.release);
	return path;
}

static void names_of_devices(void)
{
	struct bf_plan plan;

	begin(&plan);
	put_file("/etc/fstab",
		 "# /dev/sda9 in a comment\n"
		 "UUID=1-2 / ext4 defaults 0 1\n"
		 "/dev/sda2 /home ext4 defaults 0 2\n"
		 "/dev/mapper/vg-srv /srv ext4 defaults 0 2\n"
		 "/dev/disk/by-id/x /x ext4 defaults 0 2\n"
		 "/dev/nvme0n1p3 none swap sw 0 0\n");
	put_file("/proc/cmdline", "quiet root=/dev/vda1 ro console=ttyS0\n");
	put_file("/boot/grub/grub.cfg", "linux /vmlinuz root=UUID=1-2 ro\n");
	bf_plan_boot(&plan, root, false);
	check_eq(count(&plan, "warning"), 3);
	check(!strcmp(word(find(&plan, "fstab-device-name"), "subject"),
		      "/etc/fstab:3"));
	check_says(word(find(&plan, "fstab-device-name"), "text"), "/home");
	check_says(word(find(&plan, "boot-device-name"), "text"), "/dev/vda1");
	check(!find(&plan, "console"));
	bf_plan_free(&plan);
}

static void names_that_last(void)
{
	struct bf_plan plan;

	begin(&plan);
	put_file("/etc/fstab", "UUID=1-2 / ext4 defaults 0 1\n"
		 "LABEL=sda /x ext4 defaults 0 2\n");
	put_file("/proc/cmdline", "root=/dev/mapper/vg-root\n");
	put_file("/etc/network/interfaces", "auto lo\niface lo inet loopback\n"
		 "iface eth0 inet dhcp\n");
	bf_plan_boot(&plan, root, false);
	check_eq(count(&plan, "warning"), 0);
	check(find(&plan, "firmware") && find(&plan, "console"));
	bf_plan_free(&plan);
}

static void network_and_firmware(void)
{
	struct bf_plan plan;

	begin(&plan);
	put_file("/etc/network/interfaces.d/lan", "iface enp3s0 inet dhcp\n");
	put_file("/etc/systemd/network/10-x.network",
		 "[Match]\nMACAddress=00:11:22:33:44:55\n");
	put_file("/sys/firmware/efi/x", "");
	bf_plan_boot(&plan, root, false);
	check_says(word(find(&plan, "network-name"), "text"), "enp3s0");
	check_says(word(find(&plan, "network-mac"), "subject"),
		   "/etc/systemd/network/10-x.network");
	check(!strcmp(word(find(&plan, "firmware"), "severity"), "warning"));
	bf_plan_free(&plan);
}

static void module_missing(void)
{
	struct bf_error err;
	struct bf_plan plan;

	begin(&plan);
	bf_plan_machine(&plan, root);
	check_says(word(find(&plan, "module-missing"), "cure"), "linux-headers");
	check_eq(bf_plan_refuse(&plan, &err), -EPERM);
	check_eq(err.code, BF_E_NO_MODULE);
	check_says(err.text, "override = module-missing");
	bf_plan_free(&plan);
}

static void module_signature(void)
{
	char path[256];
	struct bf_plan plan;

	begin(&plan);
	release_path("/lib/modules/%s/updates/dkms/blkferry.ko", path);
	put_file(path, "an object without a signature, of some length");
	bf_plan_machine(&plan, root);
	check_eq(count(&plan, "critical"), 0);	/* nobody asks for one */
	bf_plan_free(&plan);

	plan = (struct bf_plan){ .rows = json_array(), .figures = json_object(),
				 .config = &config };
	put_file("/sys/kernel/security/lockdown",
		 "none [integrity] confidentiality\n");
	bf_plan_machine(&plan, root);
	check(find(&plan, "module-unsigned"));
	bf_plan_free(&plan);

	plan = (struct bf_plan){ .rows = json_array(), .figures = json_object(),
				 .config = &config };
	put_file(path, "an object~Module signature appended~\n");
	bf_plan_machine(&plan, root);
	check(!find(&plan, "module-unsigned"));
	check_says(word(find(&plan, "module-key"), "cure"), "mokutil");
	bf_plan_free(&plan);
}

static void memory_of_maps(void)
{
	struct bf_plan_disk disk = { .fd = -1, .name = "d",
				     .size_bytes = 1ull << 40 };
	struct bf_plan plan;

	begin(&plan);
	put_file("/sys/module/blkferry/parameters/leaves_max_bytes",
		 "1048576\n");
	plan.disks = &disk;
	plan.nr_disks = 1;
	bf_plan_machine(&plan, root);
	/* 1 TiB at 4 KiB is 32 MiB a map, and there are two. */
	check_says(word(find(&plan, "map-memory"), "text"), "64M");
	check(!strcmp(word(find(&plan, "map-memory"), "severity"), "warning"));
	plan.disks = NULL;
	plan.nr_disks = 0;
	bf_plan_free(&plan);
}

static void overrides(void)
{
	struct bf_error err;
	struct bf_plan plan;

	begin(&plan);
	bf_plan_add(&plan, BF_SEVERITY_REFUSE, "cluster-filesystem", "data",
		    "unmount it", "it holds ocfs2");
	bf_plan_add(&plan, BF_SEVERITY_REFUSE, "spans-outside", "job",
		    "add it", "a volume group");
	check_eq(bf_plan_refuse(&plan, &err), -EPERM);
	check_eq(err.code, BF_E_PLAN);
	check(!bf_plan_override(&plan, "cluster-filesystem", &err));
	check_eq(bf_plan_refuse(&plan, &err), -EPERM);
	check_eq(err.code, BF_E_UNTRACKABLE);
	check_eq(bf_plan_override(&plan, "spans-inside", &err), -EINVAL);
	check_says(err.text, "spans-inside");
	check(!bf_plan_override(&plan, " spans-outside,cluster-filesystem",
				&err));
	check(!bf_plan_refuse(&plan, &err));
	bf_plan_free(&plan);
}

int main(void)
{
	if (!mkdtemp(root))
		return 2;
	tap_run("device names that other hardware deals out anew", names_of_devices);
	tap_run("names that last are no findings", names_that_last);
	tap_run("network names and UEFI", network_and_firmware);
	tap_run("a missing module refuses by its own code", module_missing);
	tap_run("a signature counts where the kernel asks for it", module_signature);
	tap_run("memory that maps can need", memory_of_maps);
	tap_run("overrides by name, and by a right name only", overrides);
	empty_root();
	rmdir(root);
	return tap_done();
}
