// SPDX-License-Identifier: GPL-2.0-only
/*
 * Aliases: see alias.h.
 *
 * We hear of a path when its disk enters the block class. Without ANA that is
 * before it gets any I/O: nvme_alloc_ns() makes it live after device_add_disk().
 * With ANA a change of state that arrives just then can make it live earlier:
 * what it completed before we heard of it raises UNSEEN (RULE 3). One that is
 * removed may still complete requests, so that its alias stays until its queue is
 * dead and empty.
 */
#include <linux/kernfs.h>
#include <linux/slab.h>

#include "alias.h"
#include "fault.h"
#include "mark.h"

#define ALIAS_HASH_BITS 4

struct alias {
	struct hlist_node hash_node;	/* RCU; written under alias_mutex */
	struct request_queue *queue;	/* reference held: the key stays unique */
	struct bf_disk *head;
	struct rcu_head rcu;
};

/*
 * Within bf_control_mutex and the class's mutex. A head that is found among the
 * disks while this is held stays: its last untrack takes this after it has
 * removed the head from there.
 */
static DEFINE_MUTEX(alias_mutex);

unsigned int bf_nr_aliases;		/* written under alias_mutex */
static DEFINE_HASHTABLE(aliases, ALIAS_HASH_BITS);

/**
 * bf_alias_parse_head() - take the name of a multipath head apart
 * @disk_name: such as nvme0n1
 * @subsystem: gets the first number
 * @head: gets the second
 *
 * Context: Any.
 * Return: false if it is not such a name.
 */
bool bf_alias_parse_head(const char *disk_name, int *subsystem, int *head)
{
	int end = 0;

	return sscanf(disk_name, "nvme%dn%d%n", subsystem, head, &end) == 2 &&
	       end && !disk_name[end];
}

static bool is_path_of(const char *name, const struct bf_disk *disk)
{
	int subsystem, controller, head, end = 0;

	return sscanf(name, "nvme%dc%dn%d%n", &subsystem, &controller, &head,
		      &end) == 3 && end && !name[end] &&
	       subsystem == disk->nvme_subsystem && head == disk->nvme_head;
}

/**
 * bf_alias_find() - the tracked head behind the queue of a path
 * @queue: the queue
 *
 * Context: Any, in an RCU read section.
 * Return: the disk or NULL.
 */
struct bf_disk *bf_alias_find(const struct request_queue *queue)
{
	struct alias *alias;

	hash_for_each_possible_rcu(aliases, alias, hash_node,
				   (unsigned long)queue,
				   rcu_read_lock_sched_held() ||
				   lockdep_is_held(&alias_mutex))
		if (alias->queue == queue)
			return alias->head;
	return NULL;
}

static bool is_over(const struct request_queue *queue)
{
	return blk_queue_dying(queue) &&
	       percpu_ref_is_zero((struct percpu_ref *)&queue->q_usage_counter);
}

/* Forget the paths of a head, all or those whose end has come. */
static void drop(const struct bf_disk *disk, bool all)
{
	struct hlist_node *next;
	struct alias *alias;
	int bucket;

	lockdep_assert_held(&alias_mutex);
	hash_for_each_safe(aliases, bucket, next, alias, hash_node) {
		if (alias->head != disk || (!all && !is_over(alias->queue)))
			continue;
		hash_del_rcu(&alias->hash_node);
		WRITE_ONCE(bf_nr_aliases, bf_nr_aliases - 1);
		blk_put_queue(alias->queue);
		kfree_rcu(alias, rcu);
	}
}

/**
 * bf_alias_drop_all() - forget the paths of a head
 * @disk: a disk that nobody can find any more; to be freed after a grace period
 *
 * Context: Process, may sleep.
 */
void bf_alias_drop_all(struct bf_disk *disk)
{
	mutex_lock(&alias_mutex);
	drop(disk, true);
	mutex_unlock(&alias_mutex);
}

/* A queue that is dying gets nothing new: then there is nothing to learn. */
static int add(struct bf_disk *disk, struct request_queue *queue)
{
	struct alias *alias;

	lockdep_assert_held(&alias_mutex);
	drop(disk, false);
	if (bf_alias_find(queue) || !blk_get_queue(queue))
		return 0;
	alias = bf_fault(BF_FAULT_ALIAS_MEMORY) ? NULL :
		kzalloc(sizeof(*alias), GFP_NOIO);
	if (!alias) {
		blk_put_queue(queue);
		return -ENOMEM;
	}
	alias->queue = queue;
	alias->head = disk;
	hash_add_rcu(aliases, &alias->hash_node, (unsigned long)queue);
	WRITE_ONCE(bf_nr_aliases, bf_nr_aliases + 1);
	return 0;
}

static int add_if_path(struct device *dev, void *data)
{
	int ret;

	if (!is_path_of(dev_name(dev), data))
		return 0;
	mutex_lock(&alias_mutex);
	ret = add(data, dev_to_disk(dev)->queue);
	mutex_unlock(&alias_mutex);
	return ret;
}

/**
 * bf_alias_add_all() - learn the paths of a head that are there
 * @disk: the head, known to the probes
 * @device: the same as the sender has it open
 *
 * Context: Process, may sleep, under bf_control_mutex.
 * Return: 0 or -ENOMEM.
 */
int bf_alias_add_all(struct bf_disk *disk, const struct bf_device *device)
{
	return class_for_each_device(disk_to_dev(device->disk)->class, NULL,
				     disk, add_if_path);
}

static struct bf_disk *head_of(const char *name)
{
	struct bf_disk *disk;
	int bucket;

	hash_for_each_rcu(bf_disks, bucket, disk, hash_node)
		if (disk->kind == BF_DISK_NVME_HEAD && is_path_of(name, disk))
			return disk;
	return NULL;
}

/* Only paths of controllers that report ANA show its state. */
static bool may_have_been_live(struct device *dev)
{
	struct kernfs_node *state = kernfs_find_and_get(dev->kobj.sd, "ana_state");

	kernfs_put(state);
	return state;
}

/* For want of memory the path is tried again at each BEGIN: bf_disk_check(). */
static void add_or_raise(struct bf_disk *disk, struct device *dev)
{
	bool missed = add(disk, dev_to_disk(dev)->queue);

	if (missed)
		WRITE_ONCE(disk->blind, true);
	if (!missed && !may_have_been_live(dev))
		return;
	rcu_read_lock();
	bf_raise_disk(disk, BLKFERRY_REASON_UNSEEN);
	rcu_read_unlock();
}

/**
 * bf_alias_device() - a device appears in the block class
 * @dev: the device
 *
 * Context: Process, may sleep, under the class's mutex.
 */
void bf_alias_device(struct device *dev)
{
	struct bf_disk *disk;

	mutex_lock(&alias_mutex);
	rcu_read_lock();
	disk = head_of(dev_name(dev));
	rcu_read_unlock();
	if (disk)
		add_or_raise(disk, dev);
	mutex_unlock(&alias_mutex);
}
