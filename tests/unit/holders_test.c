// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: everything above a job's disks is found, topmost first; what rests on
 * a device outside of the job is refused by name. Device trees are made up in a
 * folder; filesystems and loop devices are real ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "source/holders_steps.h"
#include "tap.h"

static struct bf_error err;
static char folder[] = "/tmp/blkferry-holders.XXXXXX";

static void __attribute__((format(printf, 1, 2))) sh(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command))
		tap_fail(__FILE__, __LINE__, "failed: %s", command);
}

/* ---- a made-up /sys ---- */

static void make_device(const char *name, unsigned int minor_number,
			const char *parent)
{
	sh("cd %s/sys && mkdir -p devices/%s/%s/holders devices/%s/%s/slaves class/block dev/block && ln -s ../../devices/%s/%s class/block/%s && ln -s ../../devices/%s/%s dev/block/240:%u && echo 240:%u >devices/%s/%s/dev",
	   folder, parent, name, parent, name, parent, name, name, parent, name,
	   minor_number, minor_number, parent, name);
}

static void stack(const char *above, const char *below)
{
	sh("cd %s/sys/class/block && touch %s/holders/%s %s/slaves/%s", folder,
	   below, above, above, below);
}

static void made_up(void)
{
	sh("rm -rf %s/sys && mkdir -p %s/sys", folder, folder);
	make_device("sda", 0, ".");
	make_device("sda1", 1, "sda");
	sh("echo 1 >%s/sys/class/block/sda1/partition", folder);
	make_device("sdb", 16, ".");
	make_device("dm-0", 100, ".");
	stack("dm-0", "sda1");
	sh("mkdir %s/sys/class/block/dm-0/dm && cd %s/sys/class/block/dm-0/dm && echo vg-root >name && echo LVM-0123456789abcdef0123456789ABCDEFaaaa >uuid",
	   folder, folder);
}

static int climb(struct bf_holders *holders, unsigned int minor_number)
{
	char sys[64];
	bool changed;
	int ret;

	snprintf(sys, sizeof(sys), "%s/sys", folder);
	ret = bf_holders_add_device(holders, sys, makedev(240, minor_number), 0,
				    &changed, &err);
	do {
		changed = false;
		if (!ret)
			ret = bf_holders_climb(holders, sys, &changed, &err);
	} while (!ret && changed);
	return ret ? ret : bf_holders_check_members(holders, sys, &err);
}

static void partition_and_volume(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };

	made_up();
	check_eq(climb(&holders, 0), 0);
	check_eq(holders.nr_devices, 3);
	check_eq(bf_holders_device(&holders, makedev(240, 100))->depth, 2);
	check_says(bf_holders_device(&holders, makedev(240, 100))->label,
		   "vg-root");
	check_eq(bf_holders_refuse(&holders, &err), 0);
}

static void volume_spans(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };

	made_up();
	stack("dm-0", "sdb");
	check_eq(climb(&holders, 0), 0);
	check(bf_holders_refuse(&holders, &err) < 0);
	check_eq(err.code, BF_E_UNTRACKABLE);
	check_says(err.text, "vg-root");
	check_says(err.text, "sdb");
}

/* Another volume of the same group stands on another disk only. */
static void group_spans(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };

	made_up();
	make_device("dm-1", 101, ".");
	stack("dm-1", "sdb");
	sh("mkdir %s/sys/class/block/dm-1/dm && cd %s/sys/class/block/dm-1/dm && echo vg-data >name && echo LVM-0123456789abcdef0123456789ABCDEFbbbb >uuid",
	   folder, folder);
	check_eq(climb(&holders, 0), 0);
	check(bf_holders_refuse(&holders, &err) < 0);
	check_says(err.text, "vg-data");
}

static void deepest_way_counts(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };

	made_up();
	make_device("dm-1", 101, ".");
	stack("dm-1", "sda1");
	stack("dm-1", "dm-0");
	check_eq(climb(&holders, 0), 0);
	check_eq(bf_holders_device(&holders, makedev(240, 101))->depth, 3);
}

static void circle_is_an_error(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };

	made_up();
	stack("sda1", "dm-0");
	check_eq(climb(&holders, 0), -ELOOP);
}

/* ---- lines ---- */

static void parses_mountinfo(void)
{
	static const char line[] =
		"36 35 253:7 /sub /mnt/a\\040b rw,noatime shared:1 - ext4 /dev/x ro,logdev=/dev/y,z";
	struct bf_mount mount;
	char path[32];

	check_eq(bf_mount_parse(line, &mount), 0);
	check_eq(mount.mount_id, 36);
	check(mount.dev == makedev(253, 7));
	check(!strcmp(mount.mountpoint, "/mnt/a b"));
	check(!strcmp(mount.type, "ext4"));
	check(mount.read_only);
	check(bf_mount_option_path(mount.super_options, "logdev", path,
				   sizeof(path)));
	check(!strcmp(path, "/dev/y"));
	check(!bf_mount_option_path(mount.super_options, "log", path,
				    sizeof(path)));
	bf_mount_clear(&mount);
	check_eq(bf_mount_parse("36 35 nonsense", &mount), -EINVAL);
}

/* ---- real ones ---- */

static dev_t device_of(const char *path)
{
	struct stat status;

	check(!stat(path, &status));
	return status.st_rdev;
}

static void read_line(const char *file, char *text, size_t bytes)
{
	_cleanup_fclose_ FILE *stream = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	stream = fopen(path, "re");
	check(stream && fgets(text, bytes, stream));
	text[strcspn(text, "\n")] = '\0';
}

static void needs_loops(void)
{
	if (geteuid() || access("/dev/loop-control", W_OK))
		tap_skip("needs root and loop devices");
}

/* From the top down; each may be there or not. */
static void unmount_all(void)
{
	static const char *const names[] = { "inner", "outer" };

	for (size_t i = 0; i < 2; i++)
		sh("cd %s && if mountpoint -q %s; then umount %s; fi; if [ -s %s.loop ]; then losetup -d \"$(cat %s.loop)\"; rm %s.loop; fi",
		   folder, names[i], names[i], names[i], names[i], names[i]);
	sh("cd %s && rm -rf outer inner outer.img", folder);
}

static void mount_outer(void)
{
	unmount_all();
	sh("cd %s && mkdir outer inner && truncate -s 64M outer.img && mkfs.ext4 -q outer.img && losetup -f --show outer.img >outer.loop && mount \"$(cat outer.loop)\" outer",
	   folder);
}

static void loop_above_its_host(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 }, now = { 0 };
	char outer[64], point[128], missing[160];
	const struct bf_filesystem *added;
	dev_t disk;

	needs_loops();
	mount_outer();
	sh("cd %s && truncate -s 16M outer/inner.img && mkfs.ext4 -q outer/inner.img && losetup -f --show outer/inner.img >inner.loop && mount \"$(cat inner.loop)\" inner",
	   folder);
	read_line("outer.loop", outer, sizeof(outer));
	disk = device_of(outer);
	check_eq(bf_holders_find(&holders, &disk, 1, &err), 0);
	check_eq(holders.nr_filesystems, 2);
	snprintf(point, sizeof(point), "%s/inner", folder);
	check(!strcmp(holders.filesystems[0].mountpoint, point));
	check(!strcmp(holders.filesystems[0].type, "ext4"));
	check(!holders.filesystems[0].is_root);
	snprintf(point, sizeof(point), "%s/outer", folder);
	check(!strcmp(holders.filesystems[1].mountpoint, point));
	check(bf_holders_cover(&holders, point));
	snprintf(missing, sizeof(missing), "%s/none/of/these", point);
	check(bf_holders_cover(&holders, missing));
	check(!bf_holders_cover(&holders, "/proc/none/of/these"));
	check(!bf_holders_cover(&holders, "/proc"));
	check(!strcmp(holders.devices[0].type, "ext4"));
	check(!bf_holders_added(&holders, &holders));
	holders.nr_filesystems = 1;	/* as before the mount of the second */
	check_eq(bf_holders_find(&now, &disk, 1, &err), 0);
	added = bf_holders_added(&holders, &now);
	check(added && !strcmp(added->mountpoint, point));
	bf_holders_free(&now);
	holders.nr_filesystems = 2;
	bf_holders_free(&holders);
	unmount_all();
}

static void covered_mount_is_refused(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };
	char outer[64];
	dev_t disk;

	needs_loops();
	mount_outer();
	sh("mount -t tmpfs none %s/outer", folder);
	read_line("outer.loop", outer, sizeof(outer));
	disk = device_of(outer);
	check_eq(bf_holders_find(&holders, &disk, 1, &err), 0);
	check_eq(holders.nr_filesystems, 0);
	check(bf_holders_refuse(&holders, &err) < 0);
	check_says(err.text, "covered");
	bf_holders_free(&holders);
	sh("umount %s/outer", folder);
	unmount_all();
}

/*
 * Mount in a mount namespace of its own, say so and wait for the end. The
 * mount below is private, so nothing of this shows outside.
 */
static void hold_mount(const char *device, const char *point, int ready)
{
	if (unshare(CLONE_NEWNS) || mount(device, point, "ext4", 0, NULL) ||
	    write(ready, "", 1) != 1)
		_exit(1);
	pause();
}

static void other_namespace(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };
	char outer[64], point[128], byte;
	int ready[2];
	dev_t disk;
	pid_t pid;

	needs_loops();
	mount_outer();
	sh("cd %s && umount outer && mount -t tmpfs none outer && mount --make-private outer && mkdir outer/inside",
	   folder);
	snprintf(point, sizeof(point), "%s/outer/inside", folder);
	read_line("outer.loop", outer, sizeof(outer));
	disk = device_of(outer);
	check(!pipe(ready));
	pid = fork();
	if (!pid)
		hold_mount(outer, point, ready[1]);
	close(ready[1]);
	check_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	check_eq(bf_holders_find(&holders, &disk, 1, &err), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check_eq(holders.nr_filesystems, 1);
	check(holders.filesystems[0].fd >= 0);
	bf_holders_free(&holders);
	unmount_all();
}

/* No volume is active: only the metadata on the disk tells. */
static void group_on_two_disks(void)
{
	_cleanup_(bf_holders_free) struct bf_holders holders = { 0 };
	struct bf_holders both = { 0 };
	char name[64];
	dev_t disks[2];

	needs_loops();
	sh("mkdir %s/lvm && printf 'devices { use_devicesfile=0 }\\nglobal { locking_dir=\"%s/lvm\" }\\nbackup { backup=0\\narchive=0 }\\n' >%s/lvm/lvm.conf",
	   folder, folder, folder);
	sh("cd %s && for n in 0 1; do truncate -s 32M pv$n.img && losetup -f --show pv$n.img >pv$n.loop; done",
	   folder);
	sh("cd %s && LVM_SYSTEM_DIR=%s/lvm LVM_SUPPRESS_FD_WARNINGS=1 vgcreate -q -q group \"$(cat pv0.loop)\" \"$(cat pv1.loop)\" 2>lvm/log",
	   folder, folder);
	read_line("pv0.loop", name, sizeof(name));
	disks[0] = device_of(name);
	read_line("pv1.loop", name, sizeof(name));
	disks[1] = device_of(name);
	check_eq(bf_holders_find(&holders, disks, 1, &err), 0);
	check_eq(bf_holders_find(&both, disks, 2, &err), 0);
	sh("cd %s && for n in 0 1; do losetup -d \"$(cat pv$n.loop)\"; done",
	   folder);
	check(bf_holders_refuse(&holders, &err) < 0);
	check_says(err.text, "volume group group");
	check_eq(bf_holders_refuse(&both, &err), 0);
	bf_holders_free(&both);
}

static void clean_up(void)
{
	unmount_all();
	sh("rm -rf %s", folder);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	tap_run("a partition and a volume on it", partition_and_volume);
	tap_run("a volume on a disk outside is refused", volume_spans);
	tap_run("a group on a disk outside is refused", group_spans);
	tap_run("depth is the longest way down", deepest_way_counts);
	tap_run("a circle of devices ends", circle_is_an_error);
	tap_run("a line of mountinfo", parses_mountinfo);
	tap_run("a loop file's filesystem comes before its host",
		loop_above_its_host);
	tap_run("a covered mount is refused", covered_mount_is_refused);
	tap_run("a mount of another namespace is found", other_namespace);
	tap_run("a volume group on a second disk is refused",
		group_on_two_disks);
	tap_run("nothing is left mounted", clean_up);
	return tap_done();
}
