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

static void sh(const char *script)
{
	char command[2048];

	snprintf(command, sizeof(command), "cd '%s' && exec >&2 && %s", root,
		 script);
	check(!system(command));
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
	put_file("/etc/crypttab", "data UUID=3-4 none luks\n"
		 "swap /dev/sdb2 /dev/urandom swap\n");
	put_file("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sdb3\n");
	put_file("/boot/loader/entries/a.conf",
		 "options root=UUID=1-2 resume=/dev/xvdb ro\n"
		 "options root=UUID=1-2 resume=/dev/xvdb ro\n");
	bf_plan_boot(&plan, root);
	check_eq(count(&plan, "warning"), 6);
	check(!strcmp(word(find(&plan, "crypttab-device-name"), "subject"),
		      "/etc/crypttab:2"));
	check_says(word(find(&plan, "resume-device-name"), "text"), "/dev/sdb3");
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
		 "iface eth0 inet dhcp\niface br0 inet dhcp\n"
		 "iface bond0 inet dhcp\niface wlan0 inet dhcp\n");
	put_file("/etc/crypttab", "data /dev/mapper/vg-data none\n");
	put_file("/etc/initramfs-tools/conf.d/resume", "RESUME=auto\n");
	put_file("/etc/netplan/a.yaml", "network:\n  ethernets:\n    eth0:\n");
	put_file("/etc/systemd/network/a.network", "[Match]\nName=en*\n");
	bf_plan_boot(&plan, root);
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
	bf_plan_boot(&plan, root);
	check_says(word(find(&plan, "network-name"), "text"), "enp3s0");
	check_says(word(find(&plan, "network-mac"), "subject"),
		   "/etc/systemd/network/10-x.network");
	check(!strcmp(word(find(&plan, "firmware"), "severity"), "warning"));
	bf_plan_free(&plan);
}

/* Each kind of file alone, so that none hides behind another. */
static void network_by_every_kind_of_file(void)
{
	static const struct {
		const char *path, *text, *finding;
	} files[] = {
		{ "/etc/netplan/a.yaml", "  ethernets:\n    enp1s0:\n      dhcp4: yes\n", "network-name" },
		{ "/etc/netplan/a.yaml", "      match:\n        macaddress: 00:11:22:33:44:55\n", "network-mac" },
		{ "/etc/systemd/network/a.network", "[Match]\nName=ens3\n", "network-name" },
		{ "/etc/NetworkManager/system-connections/a", "[connection]\ninterface-name=eno1\n", "network-name" },
		{ "/etc/sysconfig/network-scripts/ifcfg-a", "DEVICE=\"enx001122334455\"\n", "network-name" },
		{ "/etc/sysconfig/network-scripts/ifcfg-a", "HWADDR=00:11:22:33:44:55\n", "network-mac" },
		{ "/etc/udev/rules.d/70-net.rules", "ATTR{address}==\"00:11:22:33:44:55\"\n", "network-mac" },
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct bf_plan plan;

		begin(&plan);
		put_file(files[i].path, files[i].text);
		bf_plan_boot(&plan, root);
		check(find(&plan, files[i].finding));
		check_eq(count(&plan, "warning"), 1);
		bf_plan_free(&plan);
	}
}

/* ---- the initramfs, made and listed by the tools that do ---- */

/* What is built in counts, too. */
static void put_initramfs(const char *image)
{
	char path[256], script[1024];

	release_path(image, path);
	snprintf(script, sizeof(script),
		 "mkdir -p boot tree/usr/lib/modules/x/kernel && cd tree && "
		 "touch usr/lib/modules/x/kernel/nvme.ko usr/lib/modules/x/kernel/virtio-blk.ko.xz "
		 "usr/lib/modules/x/kernel/nvme-core.ko && "
		 "find . | cpio -o -H newc --quiet | gzip >../%s", path);
	sh(script);
	release_path("/lib/modules/%s/modules.builtin", path);
	put_file(path, "kernel/drivers/scsi/sd_mod.ko\n");
}

static void expect_drivers(const char *image)
{
	struct bf_plan plan;
	char text[512] = "";
	json_t *row;
	size_t index;

	begin(&plan);
	put_initramfs(image);
	bf_plan_initramfs(&plan, root);
	json_array_foreach(plan.rows, index, row)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s;",
			 word(row, "text"));
	check_says(text, "it lacks virtio_scsi");
	check_eq(json_array_size(plan.rows), 1);
	bf_plan_free(&plan);
}

static void drivers_of_an_initramfs(void)
{
	struct bf_plan plan;

	expect_drivers("boot/initrd.img-%s");
	expect_drivers("boot/initramfs-%s.img");
	begin(&plan);
	bf_plan_initramfs(&plan, root);
	check(find(&plan, "initramfs-unread"));
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

/* ---- signatures: of a real object, by the kernel's own tool ---- */

/* @packer: a command that packs it and adds its ending, or "". */
static void put_module(bool sign, const char *packer)
{
	char path[256], script[1024];

	release_path("lib/modules/%s/updates/dkms", path);
	snprintf(script, sizeof(script),
		 "mkdir -p %s && rm -f %s/* && "
		 "echo 'const char i[] __attribute__((section(\".modinfo\"))) = \"license=GPL\";' >m.c && "
		 "${CC:-cc} -c -o %s/blkferry.ko m.c",
		 path, path, path);
	sh(script);
	if (sign) {
		snprintf(script, sizeof(script),
			 "set -- /usr/lib/linux-kbuild-*/scripts/sign-file && "
			 "\"$1\" sha256 key.pem var/lib/dkms/mok.pub %s/blkferry.ko",
			 path);
		sh(script);
	}
	if (*packer) {
		snprintf(script, sizeof(script), "%s %s/blkferry.ko", packer,
			 path);
		sh(script);
	}
}

static void put_key(void)
{
	sh("mkdir -p var/lib/dkms && openssl req -x509 -newkey rsa:2048 -nodes "
	   "-days 2 -subj '/CN=the key of this test/' -keyout key.pem "
	   "-outform DER -out var/lib/dkms/mok.pub 2>/dev/null");
}

/* The firmware's answer; its words are those of mokutil 0.6. */
static void put_mokutil(const char *words)
{
	char script[1024];

	snprintf(script, sizeof(script),
		 "mkdir -p bin && printf '#!/bin/sh\\necho %s\\n' >bin/mokutil && chmod 755 bin/mokutil",
		 words);
	sh(script);
}

static void enforce_signatures(void)
{
	put_file("/sys/kernel/security/lockdown",
		 "none [integrity] confidentiality\n");
}

/* What the plan says of the module that lies there, in a plan of its own. */
static void expect_signature(const char *name, const char *severity,
			     const char *says)
{
	struct bf_plan plan = { .rows = json_array(), .figures = json_object(),
				.config = &config };
	const json_t *row;

	bf_plan_machine(&plan, root);
	row = find(&plan, name);
	check(row);
	check(!strcmp(word(row, "severity"), severity));
	check_says(word(row, "text"), says);
	bf_plan_free(&plan);
}

static void nobody_asks_for_a_signature(void)
{
	struct bf_plan plan;

	begin(&plan);
	put_module(false, "");
	bf_plan_machine(&plan, root);
	check_eq(count(&plan, "critical"), 0);
	check(!find(&plan, "module-key"));
	bf_plan_free(&plan);
}

static void unsigned_modules(void)
{
	check(!empty_root());
	enforce_signatures();
	put_module(false, "");
	expect_signature("module-unsigned", "critical", "blkferry.ko is not signed");
	put_module(false, "xz -C crc32");
	expect_signature("module-unsigned", "critical", "blkferry.ko.xz is not signed");
	put_module(false, "xz -C crc32");
	sh("for m in lib/modules/*/updates/dkms/blkferry.ko.xz; do echo x >$m; done");
	expect_signature("module-key", "warning", "cannot be read");
}

static void signed_modules(void)
{
	char path[4096];

	check(!empty_root());
	enforce_signatures();
	put_key();
	snprintf(path, sizeof(path), "%s/bin:%s", root, getenv("PATH"));
	setenv("PATH", path, 1);
	put_module(true, "xz -C crc32");
	put_mokutil("/var/lib/dkms/mok.pub is already enrolled");
	expect_signature("module-key", "info", "the key of this test");
	put_mokutil("/var/lib/dkms/mok.pub is not enrolled");
	expect_signature("module-key", "critical", "does not know");
	put_mokutil("SKIP: /x is already in the enrollment request");
	expect_signature("module-key", "critical", "waits to be confirmed");
	put_mokutil("EFI variables are not supported on this system");
	expect_signature("module-key", "warning", "could not be asked");
	/* Signed by a key that is not this machine's: mokutil is no help. */
	put_mokutil("/var/lib/dkms/mok.pub is already enrolled");
	put_key();
	expect_signature("module-key", "warning", "the key of this test");
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
	tap_run("network names in every kind of file", network_by_every_kind_of_file);
	tap_run("drivers that an initramfs lacks", drivers_of_an_initramfs);
	tap_run("a missing module refuses by its own code", module_missing);
	tap_run("no signature where the kernel asks for none", nobody_asks_for_a_signature);
	tap_run("an unsigned module, packed or not, is found", unsigned_modules);
	tap_run("who signed, and whether the firmware knows the key", signed_modules);
	tap_run("memory that maps can need", memory_of_maps);
	tap_run("overrides by name, and by a right name only", overrides);
	empty_root();
	rmdir(root);
	return tap_done();
}
