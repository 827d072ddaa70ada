/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of bf_holders_find, each on its own so that tests can drive them
 * on a made-up /sys or mountinfo. They repeat until none reports a change: a
 * loop device above a filesystem above a loop device needs that.
 */
#ifndef BF_SOURCE_HOLDERS_STEPS_H
#define BF_SOURCE_HOLDERS_STEPS_H

#include "source/holders.h"

int bf_holders_note(struct bf_holders *holders, enum bf_severity severity,
		    const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
struct bf_holder_device *bf_holders_device(const struct bf_holders *holders,
					   dev_t dev);
struct bf_filesystem *bf_holders_filesystem(const struct bf_holders *holders,
					    dev_t dev);

/* holders_devices.c: @sys is "/sys" but in tests. */
int bf_holders_add_device(struct bf_holders *holders, const char *sys, dev_t dev,
			  uint32_t depth, bool *changed, struct bf_error *err);
/* One step up from every known device: partitions, holders, bcache. */
int bf_holders_climb(struct bf_holders *holders, const char *sys, bool *changed,
		     struct bf_error *err);
/* Devices below what was found that are not the job's. */
int bf_holders_check_members(struct bf_holders *holders, const char *sys,
			     struct bf_error *err);
/* First line of an attribute; false if there is none. */
bool bf_sysfs_read(const char *sys, const char *name, const char *attribute,
		   char *text, size_t bytes);
bool bf_sysfs_dev(const char *sys, const char *name, dev_t *dev);
/* Does another device stand on it? */
bool bf_sysfs_has_holders(const char *sys, const char *name);
/* Calls @each for every entry of @folder until one returns an error. */
int bf_sysfs_each(const char *folder,
		  int (*each)(void *context, const char *name), void *context);

/* One line of a mountinfo; strings are unescaped and malloc'ed. */
struct bf_mount {
	uint64_t mount_id;
	dev_t dev;
	char *mountpoint, *type, *super_options;
	bool read_only;
	pid_t pid;			/* a process that sees it */
};

struct bf_mounts {
	struct bf_mount *mounts;
	size_t nr;
};

/* holders_mounts.c. Return: 0, -EINVAL for a line that is none, -ENOMEM. */
int bf_mount_parse(const char *line, struct bf_mount *mount);
void bf_mount_clear(struct bf_mount *mount);
/* All mounts of all mount namespaces, each namespace once. */
int bf_mounts_read(struct bf_mounts *mounts, struct bf_error *err);
void bf_mounts_free(struct bf_mounts *mounts);
/* Filesystems on known devices; raises their depth where it must. */
int bf_holders_add_mounts(struct bf_holders *holders,
			  const struct bf_mounts *mounts, bool *changed,
			  struct bf_error *err);
/* Device of "logdev=/dev/x" among mount options; false if it is not there. */
bool bf_mount_option_path(const char *options, const char *key, char *path,
			  size_t bytes);
void bf_unescape_octal(char *text);

/* holders_loops.c */
int bf_holders_add_loops(struct bf_holders *holders, bool *changed,
			 struct bf_error *err);
int bf_holders_check_swap(struct bf_holders *holders, struct bf_error *err);

/* holders_content.c: what libblkid says is on the devices, and what of that
 * needs a device which the job does not hold. */
int bf_holders_check_content(struct bf_holders *holders,
			     const struct bf_mounts *mounts,
			     struct bf_error *err);

/* holders_lvm.c: after the types are known. */
int bf_holders_check_lvm(struct bf_holders *holders);

/* Everything that a btrfs lies on: the set of its devices in sysfs. */
int bf_btrfs_devices(const uint8_t id[16],
		     int (*each)(void *context, const char *name),
		     void *context);
bool bf_btrfs_id(int fd, uint8_t id[16]);

#endif /* BF_SOURCE_HOLDERS_STEPS_H */
