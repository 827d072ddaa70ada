/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holders: the disks of a job flow in; what stands above them flows out: block
 * devices (partitions, dm, md, bcache, loop), the filesystems mounted on them
 * in whatever mount namespace, swap areas, and findings: what the job lacks,
 * what cannot be frozen. Serves RULE 5: what is to be frozen is known, ordered
 * and opened beforehand.
 */
#ifndef BF_SOURCE_HOLDERS_H
#define BF_SOURCE_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"

/* A stack of devices deeper than this is taken for a loop in sysfs. */
#define BF_HOLDER_DEPTH_MAX	64

struct bf_holder_device {
	dev_t dev;
	char name[64];			/* kernel name: "vda1", "dm-0" */
	char label[192];		/* for words: "dm-0 (vg0-root)" */
	char dm_uuid[192];		/* "LVM-..." or empty */
	char type[32];			/* by libblkid: "ext4", "LVM2_member" */
	uint32_t depth;			/* 0: a disk of the job */
};

enum bf_freeze_state {
	BF_FREEZE_NOT,			/* not frozen by us */
	BF_FREEZE_DONE,			/* frozen by us: ours to thaw */
	BF_FREEZE_OTHER,		/* frozen by somebody else: not ours */
	BF_FREEZE_UNABLE,		/* synced only: must be quiet by itself */
};

/* One superblock. */
struct bf_filesystem {
	dev_t dev;			/* as mountinfo has it */
	char type[32];
	char *mountpoint;		/* in the namespace it was found in */
	int fd;				/* O_RDONLY, on its root or below */
	uint32_t depth;			/* greater: nearer to the top */
	bool is_root;			/* of the machine */
	bool read_only;
	uint8_t btrfs_id[16];		/* 0 for others */
	enum bf_freeze_state state;
};

enum bf_severity { BF_SEVERITY_INFO, BF_SEVERITY_WARNING, BF_SEVERITY_REFUSE };

struct bf_finding {
	enum bf_severity severity;
	const char *name;		/* stable: "spans-outside" */
	char text[BF_ERROR_TEXT_BYTES];
};

struct bf_holders {
	struct bf_holder_device *devices;
	size_t nr_devices;
	/* Topmost first: the order of freezing; thaw in reverse. */
	struct bf_filesystem *filesystems;
	size_t nr_filesystems;
	struct bf_finding *findings;
	size_t nr_findings;
};

/*
 * bf_holders_find - look at the running system
 * @disks: the job's disks or partitions
 *
 * Findings are not errors: bf_holders_refuse turns the first that refuses
 * into one. Return: 0 or a negative errno; free @holders in either case.
 */
int bf_holders_find(struct bf_holders *holders, const dev_t *disks,
		    size_t nr_disks, struct bf_error *err);
void bf_holders_free(struct bf_holders *holders);

int bf_holders_refuse(const struct bf_holders *holders, struct bf_error *err);
bool bf_holders_have_root(const struct bf_holders *holders);
/* A filesystem that came after @before was found, NULL if there is none. */
const struct bf_filesystem *bf_holders_added(const struct bf_holders *before,
					     const struct bf_holders *now);
/* True if @path lies, or would be created, on one of the filesystems. */
bool bf_holders_cover(const struct bf_holders *holders, const char *path);
bool bf_holders_cover_fd(const struct bf_holders *holders, int fd);

#endif /* BF_SOURCE_HOLDERS_H */
