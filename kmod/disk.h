/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Disks: a request queue with at least one tracker. Probes find it by the
 * queue, notifiers by its number; trackers hang on it.
 *
 * Life: made with its first tracker, freed with its last one, under
 * bf_control_mutex and a grace period after nobody can find it. It holds a
 * reference to the queue, which keeps the key unique, and none to the disk,
 * which may go at any time; nothing of that is used outside a request of the
 * sender of a netlink command, who has it open.
 */
#ifndef BF_DISK_H
#define BF_DISK_H

#include <linux/blkdev.h>
#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/mutex.h>

struct bf_device;
struct bf_inflight;
struct bf_tracker;
struct netlink_ext_ack;

/* How the changes of a disk are seen. */
enum bf_disk_kind {
	BF_DISK_MQ,		/* its requests complete */
	BF_DISK_BIO,		/* its bios are submitted and end */
	BF_DISK_NVME_HEAD,	/* the requests of its paths complete */
};

/* Which passthrough commands a disk's driver lets through. */
enum bf_command_set {
	BF_COMMANDS_UNKNOWN,
	BF_COMMANDS_SCSI,
	BF_COMMANDS_VIRTIO,	/* only its own GET_ID */
};

struct bf_disk {
	struct hlist_node hash_node;	/* RCU; written under bf_control_mutex */
	struct request_queue *queue;	/* reference held */
	struct list_head trackers;	/* RCU; written under bf_control_mutex */
	struct bf_inflight *inflight;	/* for BF_DISK_BIO, constant */
	enum bf_disk_kind kind;
	enum bf_command_set commands;
	int nvme_subsystem, nvme_head;	/* for BF_DISK_NVME_HEAD */
	bool is_mapped;			/* dm: its table may change */
	bool watches_bios;		/* or uevents, which go together */
	bool blind;			/* a path may have been missed: alias.c */
	bool doubts_chains;		/* more than doubt.c can remember */
	dev_t devt;			/* of the whole disk now on the queue */
	bool gone;			/* set by the class interface */
};

#define BF_DISK_HASH_BITS 8

extern struct mutex bf_control_mutex;
/* RCU; written under bf_control_mutex. */
extern struct hlist_head bf_disks[1 << BF_DISK_HASH_BITS];

int bf_disk_attach(struct bf_tracker *tracker, const struct bf_device *device,
		   struct netlink_ext_ack *extack);
void bf_disk_detach(struct bf_tracker *tracker);
int bf_disk_check(struct bf_disk *disk, const struct bf_device *device);
void bf_disk_gone(dev_t devt);
void bf_disk_raise_all(u32 reason);

#define BF_ANY_DISK 0
void bf_disk_table_changed(dev_t devt);

/**
 * bf_disk_find() - the tracked disk behind a queue
 * @queue: the queue
 *
 * Context: Any; in an RCU read section or under bf_control_mutex.
 * Return: the disk, NULL if nothing on it is tracked.
 */
static __always_inline struct bf_disk *
bf_disk_find(const struct request_queue *queue)
{
	struct bf_disk *disk;

	hash_for_each_possible_rcu(bf_disks, disk, hash_node,
				   (unsigned long)queue,
				   lockdep_is_held(&bf_control_mutex))
		if (disk->queue == queue)
			return disk;
	return NULL;
}

#endif /* BF_DISK_H */
