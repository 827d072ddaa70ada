// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks: see disk.h.
 */
#include <linux/netlink.h>
#include <linux/slab.h>

#include "alias.h"
#include "bio.h"
#include "compat/compat.h"
#include "disk.h"
#include "doubt.h"
#include "events.h"
#include "fault.h"
#include "inflight.h"
#include "kind.h"
#include "mark.h"
#include "notify.h"
#include "probe.h"
#include "tracker.h"
#include "uevents.h"

struct hlist_head bf_disks[1 << BF_DISK_HASH_BITS];

/* Under bf_control_mutex: trackers that need the probe and notifiers, bios. */
static unsigned int nr_watching, nr_watching_bios;

/**
 * bf_disk_raise_all() - raise a reason on every tracker
 * @reason: enum blkferry_reason
 *
 * Context: Any.
 */
void bf_disk_raise_all(u32 reason)
{
	struct bf_tracker *tracker;
	struct bf_disk *disk;
	int bucket;

	rcu_read_lock();
	hash_for_each_rcu(bf_disks, bucket, disk, hash_node)
		list_for_each_entry_rcu(tracker, &disk->trackers, disk_node)
			bf_tracker_raise(tracker, reason);
	rcu_read_unlock();
}

/**
 * bf_disk_gone() - a disk leaves its class
 * @devt: number of the whole disk, still its own
 *
 * Context: Any; called under the class's mutex.
 */
void bf_disk_gone(dev_t devt)
{
	struct bf_tracker *tracker;
	struct bf_disk *disk;
	int bucket;

	rcu_read_lock();
	hash_for_each_rcu(bf_disks, bucket, disk, hash_node) {
		if (READ_ONCE(disk->devt) != devt || READ_ONCE(disk->gone))
			continue;
		WRITE_ONCE(disk->gone, true);
		list_for_each_entry_rcu(tracker, &disk->trackers, disk_node) {
			bf_tracker_raise(tracker, BLKFERRY_REASON_GONE);
			bf_events_send(tracker, BLKFERRY_EVENT_GONE);
		}
	}
	rcu_read_unlock();
}

/**
 * bf_disk_table_changed() - a dm disk has resumed
 * @devt: its number, or BF_ANY_DISK
 *
 * Context: Any.
 */
void bf_disk_table_changed(dev_t devt)
{
	struct bf_disk *disk;
	int bucket;

	rcu_read_lock();
	hash_for_each_rcu(bf_disks, bucket, disk, hash_node)
		if (disk->is_mapped &&
		    (devt == BF_ANY_DISK || READ_ONCE(disk->devt) == devt))
			bf_raise_disk(disk, BLKFERRY_REASON_TABLE);
	rcu_read_unlock();
}

static void raise_now(struct bf_disk *disk, u32 reason)
{
	rcu_read_lock();
	bf_raise_disk(disk, reason);
	rcu_read_unlock();
}

static void disk_free(struct bf_disk *disk)
{
	bf_inflight_free(disk->inflight);
	kfree(disk);
}

static bool is_mapped(const struct bf_device *device)
{
	return !strncmp(device->disk->disk_name, "dm-", 3);
}

/* What is seen by its bios, and what the uevents tell something of. */
static bool needs_bios(const struct bf_device *device, enum bf_disk_kind kind)
{
	return kind != BF_DISK_MQ || is_mapped(device);
}

static struct bf_disk *disk_alloc(const struct bf_device *device,
				  enum bf_disk_kind kind)
{
	struct bf_disk *disk;

	if (bf_fault(BF_FAULT_DISK_MEMORY))
		return NULL;
	disk = kzalloc(sizeof(*disk), GFP_KERNEL);
	if (!disk)
		return NULL;
	disk->queue = device->queue;
	disk->kind = kind;
	disk->devt = disk_devt(device->disk);
	disk->commands = bf_device_commands(device);
	disk->is_mapped = is_mapped(device);
	disk->watches_bios = needs_bios(device, kind);
	INIT_LIST_HEAD(&disk->trackers);
	if (kind == BF_DISK_NVME_HEAD)
		bf_alias_parse_head(device->disk->disk_name,
				    &disk->nvme_subsystem, &disk->nvme_head);
	if (kind != BF_DISK_BIO)
		return disk;
	disk->inflight = bf_inflight_new();
	if (disk->inflight)
		return disk;
	kfree(disk);
	return NULL;
}

static struct bf_disk *disk_get(const struct bf_device *device,
				enum bf_disk_kind kind)
{
	struct bf_disk *disk = bf_disk_find(device->queue);

	if (disk) {
		/* SCSI keeps the queue when its disk driver goes and comes. */
		WRITE_ONCE(disk->devt, disk_devt(device->disk));
		WRITE_ONCE(disk->gone, false);
		return disk;
	}
	disk = disk_alloc(device, kind);
	if (!disk)
		return ERR_PTR(-ENOMEM);
	if (bf_fault(BF_FAULT_DISK_QUEUE) || !blk_get_queue(device->queue)) {
		disk_free(disk);
		return ERR_PTR(-ENODEV);
	}
	hash_add_rcu(bf_disks, &disk->hash_node, (unsigned long)disk->queue);
	return disk;
}

static int watch_all(const struct bf_device *device,
		     struct netlink_ext_ack *extack)
{
	int ret;

	if (nr_watching)
		return 0;
	ret = bf_notify_register(disk_to_dev(device->disk)->class);
	if (ret) {
		NL_SET_ERR_MSG(extack, "the removal of disks cannot be watched: see the kernel log");
		return ret;
	}
	ret = bf_probe_register(extack);
	if (ret)
		bf_notify_unregister();
	return ret;
}

static void unwatch_all(void)
{
	if (nr_watching)
		return;
	bf_probe_unregister();
	bf_notify_unregister();
}

static int watch_bios(struct netlink_ext_ack *extack)
{
	int ret;

	if (nr_watching_bios) {
		bf_uevents_flush();	/* told of before this tracker */
		return 0;
	}
	ret = bf_uevents_register();
	if (ret) {
		NL_SET_ERR_MSG(extack, "the kernel's uevents cannot be listened to, which tell of mapping tables: see the kernel log");
		return ret;
	}
	ret = bf_bio_register(extack);
	if (ret)
		bf_uevents_unregister();
	return ret;
}

static void unwatch_bios(void)
{
	if (nr_watching_bios)
		return;
	bf_bio_unregister();
	bf_uevents_unregister();
}

/* Probes and notifiers are there while there is a tracker that needs them. */
static int watch(const struct bf_device *device, enum bf_disk_kind kind,
		 struct netlink_ext_ack *extack)
{
	int ret = watch_all(device, extack);

	if (ret)
		return ret;
	if (needs_bios(device, kind))
		ret = watch_bios(extack);
	if (ret) {
		unwatch_all();
		return ret;
	}
	nr_watching++;
	nr_watching_bios += needs_bios(device, kind);
	return 0;
}

static void unwatch(bool bios)
{
	nr_watching--;
	if (bios) {
		nr_watching_bios--;
		unwatch_bios();
	}
	unwatch_all();
}

/* What is in flight already and is seen: by way of the table, or of the paths. */
static int catch_up(struct bf_tracker *tracker, const struct bf_device *device)
{
	struct bf_disk *disk = tracker->disk;

	if (disk->kind == BF_DISK_MQ)
		return 0;
	if (disk->kind == BF_DISK_NVME_HEAD)
		return bf_alias_add_all(disk, device);
	synchronize_rcu_expedited();
	bf_tracker_carry(tracker);
	return 0;
}

/**
 * bf_disk_attach() - let a tracker see its disk
 * @tracker: the tracker
 * @device: its device
 * @extack: gets cause and cure
 *
 * Context: Process, may sleep, under bf_control_mutex.
 * Return: 0 or an error of the contract.
 */
int bf_disk_attach(struct bf_tracker *tracker, const struct bf_device *device,
		   struct netlink_ext_ack *extack)
{
	enum bf_disk_kind kind;
	struct bf_disk *disk;
	int ret;

	lockdep_assert_held(&bf_control_mutex);
	ret = bf_kind_of(device, &kind, extack);
	if (!ret)
		ret = watch(device, kind, extack);
	if (ret)
		return ret;
	disk = disk_get(device, kind);
	if (IS_ERR(disk)) {
		unwatch(needs_bios(device, kind));
		return PTR_ERR(disk);
	}
	tracker->disk = disk;
	list_add_tail_rcu(&tracker->disk_node, &disk->trackers);
	ret = catch_up(tracker, device);
	if (ret)
		bf_disk_detach(tracker);
	return ret;
}

/**
 * bf_disk_check() - is a tracked disk still seen as it was?
 * @disk: the disk
 * @device: what it is now
 *
 * An md array may have been reshaped to a level that hides its bios; a path of an
 * NVMe head may have found no memory for its alias. The reason is raised after
 * the path is known: what it completed before is then covered by a resync that
 * begins later.
 *
 * Context: Process, may sleep, under bf_control_mutex, before a swap.
 * Return: 0 or -ENOMEM.
 */
int bf_disk_check(struct bf_disk *disk, const struct bf_device *device)
{
	enum bf_disk_kind kind;
	int ret = bf_kind_of(device, &kind, NULL);

	if (ret == -ENOMEM)
		return ret;
	if (READ_ONCE(disk->blind)) {
		WRITE_ONCE(disk->blind, false);
		if (bf_alias_add_all(disk, device))
			WRITE_ONCE(disk->blind, true);
		raise_now(disk, BLKFERRY_REASON_UNSEEN);
	}
	if (ret || kind != disk->kind)
		raise_now(disk, BLKFERRY_REASON_UNSEEN);
	return 0;
}

/**
 * bf_disk_detach() - let a tracker see no more
 * @tracker: the tracker
 *
 * When this returns no mark and no notifier holds it: all of them look under
 * RCU. Its irq_work and worker may still run.
 *
 * Context: Process, may sleep, under bf_control_mutex.
 */
void bf_disk_detach(struct bf_tracker *tracker)
{
	struct bf_disk *disk = tracker->disk;
	bool bios = disk->watches_bios;

	lockdep_assert_held(&bf_control_mutex);
	list_del_rcu(&tracker->disk_node);
	if (list_empty(&disk->trackers)) {
		hash_del_rcu(&disk->hash_node);
		bf_alias_drop_all(disk);
	} else {
		disk = NULL;
	}
	unwatch(bios);
	synchronize_rcu_expedited();
	if (disk) {
		bf_doubts_drop(disk);
		blk_put_queue(disk->queue);
		disk_free(disk);
	}
}
