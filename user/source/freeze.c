// SPDX-License-Identifier: Apache-2.0
/*
 * Freeze: FIFREEZE and FITHAW in order, told to the guardian before and after
 * (RULE 5). See freeze.h.
 */
#include "source/freeze.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/cleanup.h"
#include "lib/transport.h"

/* Locks the pages of mapped files: program and libraries. */
static void lock_files(void)
{
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (maps && getline(&line, &size, maps) > 0) {
		unsigned long from, to, inode;
		char readable;

		if (sscanf(line, "%lx-%lx %c%*s %*s %*s %lu", &from, &to,
			   &readable, &inode) != 4 ||
		    !inode || readable != 'r')
			continue;
		/* A page that stays out is read from the frozen disk: that
		 * works, it only takes longer. */
		(void)!mlock((void *)from, to - from);
	}
}

/*
 * On fault: locking all that is mapped would fill in the unused stack of each
 * thread. Anonymous pages need no disk, those of files are fetched here.
 */
int bf_memory_lock(struct bf_error *err)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		return bf_fail(err, BF_E_FREEZE, errno,
			       "memory could not be locked before the freeze (%s): give the service CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK",
			       strerror(errno));
	lock_files();
	return 0;
}

void bf_memory_unlock(void)
{
	munlockall();
}

int bf_freeze_sync(const struct bf_holders *holders, uint64_t short_ns,
		   unsigned int rounds, struct bf_error *err)
{
	while (rounds--) {
		uint64_t start_ns = bf_now_ns();

		for (size_t i = 0; i < holders->nr_filesystems; i++)
			if (syncfs(holders->filesystems[i].fd))
				return bf_fail(err, BF_E_FREEZE, errno,
					       "syncing %s failed: %s; look into the kernel log",
					       holders->filesystems[i].mountpoint,
					       strerror(errno));
		if (bf_now_ns() - start_ns <= short_ns)
			break;
	}
	return 0;
}

static int freeze_failed(const struct bf_filesystem *filesystem, int errnum,
			 struct bf_error *err)
{
	return bf_fail(err, BF_E_FREEZE, errnum,
		       "freezing %s (%s) failed: %s; everything is thawed again",
		       filesystem->mountpoint, filesystem->type,
		       strerror(errnum));
}

static int freeze_one(struct bf_filesystem *filesystem, size_t index,
		      struct bf_guardian *guardian, struct bf_error *err)
{
	enum bf_guardian_result result = BF_GUARDIAN_NOT_FROZEN;
	int ret = bf_guardian_announce(guardian, index), cause = 0;

	if (ret)
		return freeze_failed(filesystem, -ret, err);
	if (!ioctl(filesystem->fd, FIFREEZE, 0)) {
		filesystem->state = BF_FREEZE_DONE;
		result = BF_GUARDIAN_FROZEN;
	} else if (errno == EBUSY) {
		filesystem->state = BF_FREEZE_OTHER;
		result = BF_GUARDIAN_NOT_OURS;
	} else if (errno == EOPNOTSUPP || errno == ENOTTY) {
		filesystem->state = BF_FREEZE_UNABLE;
		cause = syncfs(filesystem->fd) ? errno : 0;
	} else {
		cause = errno;
	}
	ret = bf_guardian_result(guardian, index, result);
	if (!cause)
		cause = -ret;
	return cause ? freeze_failed(filesystem, cause, err) : 0;
}

int bf_freeze(struct bf_holders *holders, struct bf_guardian *guardian,
	      bool (*cancelled)(void *context), void *context,
	      struct bf_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < holders->nr_filesystems; i++)
		holders->filesystems[i].state = BF_FREEZE_NOT;
	bf_guardian_start_clock(guardian);
	for (size_t i = 0; i < holders->nr_filesystems && !ret; i++) {
		ret = freeze_one(&holders->filesystems[i], i, guardian, err);
		if (!ret && cancelled(context))
			ret = bf_fail(err, BF_E_DOWNTIME, ETIME,
				      "the bound of the downtime passed while %s was being frozen",
				      holders->filesystems[i].mountpoint);
	}
	if (ret)
		bf_thaw(holders, guardian, NULL);
	return ret;
}

int bf_thaw(struct bf_holders *holders, struct bf_guardian *guardian,
	    struct bf_error *err)
{
	int ret = 0;

	for (size_t i = holders->nr_filesystems; i--;) {
		struct bf_filesystem *filesystem = &holders->filesystems[i];

		if (filesystem->state != BF_FREEZE_DONE)
			continue;
		/* EINVAL: not frozen (any more): that is what we want. */
		if (ioctl(filesystem->fd, FITHAW, 0) && errno != EINVAL) {
			ret = bf_fail(err, BF_E_FREEZE, errno,
				      "thawing %s failed: %s; `fsfreeze -u %s` thaws it by hand",
				      filesystem->mountpoint, strerror(errno),
				      filesystem->mountpoint);
			continue;	/* the guardian still has it */
		}
		filesystem->state = BF_FREEZE_NOT;
		bf_guardian_result(guardian, i, BF_GUARDIAN_NOT_FROZEN);
	}
	return ret;
}
