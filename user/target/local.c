// SPDX-License-Identifier: Apache-2.0
/*
 * Local target: one end of a transport pair flows in and is served by a thread
 * exactly as a connection is, without a listener, keys or a time-out.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "target/receiver.h"
#include "target/registry.h"
#include "target/session.h"

struct bf_local_target {
	struct bf_registry registry;
	struct bf_target_config *targets;
	char *records_dir;
	struct bf_target_session *session;
	pthread_t thread;
};

static void *serve(void *pointer)
{
	struct bf_local_target *local = pointer;
	struct bf_error err = { 0 };

	/* The source gets an ERROR frame, and run has logged the words. */
	bf_target_session_run(local->session, &err);
	return NULL;
}

static void free_local(struct bf_local_target *local)
{
	bf_target_session_free(local->session);
	bf_registry_destroy(&local->registry);
	free(local->targets);
	free(local->records_dir);
	free(local);
}

static struct bf_local_target *new_local(const struct bf_target_config *targets,
					 size_t nr, const char *records_dir)
{
	struct bf_local_target *local = calloc(1, sizeof(*local));

	if (!local)
		return NULL;
	bf_registry_init(&local->registry);
	local->targets = calloc(nr + 1, sizeof(*targets));
	local->records_dir = records_dir ? strdup(records_dir) : NULL;
	if (!local->targets || (records_dir && !local->records_dir)) {
		free_local(local);
		return NULL;
	}
	memcpy(local->targets, targets, nr * sizeof(*targets));
	local->registry.targets = local->targets;
	local->registry.nr_targets = nr;
	local->registry.records_dir = local->records_dir;
	return local;
}

int bf_local_target_start(struct bf_local_target **local,
			  struct bf_transport *end,
			  const struct bf_target_config *targets, size_t nr,
			  const char *records_dir, struct bf_error *err)
{
	struct bf_local_target *new = new_local(targets, nr, records_dir);
	int ret;

	if (!new) {
		bf_transport_close(end);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	}
	ret = bf_target_session_new(&new->session, &new->registry, end, true,
				    err);
	if (!ret) {
		ret = pthread_create(&new->thread, NULL, serve, new);
		if (ret)
			ret = bf_fail(err, BF_E_SYSTEM, ret,
				      "cannot start a thread: %s",
				      strerror(ret));
	}
	if (ret) {
		free_local(new);
		return ret;
	}
	*local = new;
	return 0;
}

void bf_local_target_join(struct bf_local_target *local)
{
	if (!local)
		return;
	pthread_join(local->thread, NULL);
	free_local(local);
}

/* --- is it the source itself? ----------------------------------------------- */

/* The whole disk that a partition is on: its sysfs folder is one up. */
static dev_t whole_disk(dev_t dev)
{
	_cleanup_fclose_ FILE *file = NULL;
	unsigned int dev_major, dev_minor;
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition",
		 major(dev), minor(dev));
	if (access(path, F_OK) < 0)
		return dev;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(dev),
		 minor(dev));
	file = fopen(path, "re");
	if (!file || fscanf(file, "%u:%u", &dev_major, &dev_minor) != 2)
		return dev;
	return makedev(dev_major, dev_minor);
}

static bool overlap(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) != S_ISBLK(b->st_mode))
		return false;
	if (!S_ISBLK(a->st_mode))
		return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
	return a->st_rdev == b->st_rdev ||
	       a->st_rdev == whole_disk(b->st_rdev) ||
	       b->st_rdev == whole_disk(a->st_rdev);
}

int bf_local_target_check(const char *path, int source_fd, struct bf_error *err)
{
	struct stat source, target;

	if (fstat(source_fd, &source) < 0 || stat(path, &target) < 0)
		return 0;		/* opening it will say what is wrong */
	if (!overlap(&source, &target))
		return 0;
	return bf_fail(err, BF_E_IN_USE, EINVAL,
		       "%s is the source itself, or a part of it: name another target",
		       path);
}
