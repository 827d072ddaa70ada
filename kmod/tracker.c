// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trackers: see tracker.h. Commands flow in and find trackers by id; marks come
 * to the maps by way of their disk (disk.h).
 */
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/timekeeping.h>

#include "compat/compat.h"
#include "device.h"
#include "drain.h"
#include "events.h"
#include "fault.h"
#include "inflight.h"
#include "kind.h"
#include "mark.h"
#include "mistakes.h"
#include "tracker.h"

/* Outermost lock, see tracker.h. */
DEFINE_MUTEX(bf_control_mutex);

/* Under bf_control_mutex. */
static DEFINE_IDR(trackers);
static unsigned int nr_trackers;

static struct bf_leaf_pool leaf_pool;
module_param_named(leaves_max_bytes, leaf_pool.max_bytes, ulong, 0644);
MODULE_PARM_DESC(leaves_max_bytes, "memory for the leaves of all dirty maps; beyond it marks get coarse (default: 1/16 of memory)");

#define NAME_CHARACTERS	"abcdefghijklmnopqrstuvwxyz" \
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
			"0123456789-_.:"

/* Up to this size a block is 4 KiB; then it doubles with each doubling. */
#define FINE_SECTORS	(4ULL << (40 - SECTOR_SHIFT))

/**
 * bf_tracker_init() - prepare the memory of dirty maps
 *
 * Context: Process.
 * Return: 0 or -ENOMEM.
 */
int bf_tracker_init(void)
{
	int ret = bf_fault(BF_FAULT_LOAD_LEAVES);

	if (ret)
		return ret;
	if (!leaf_pool.max_bytes)
		leaf_pool.max_bytes = (totalram_pages() << PAGE_SHIFT) / 16;
	leaf_pool.cache = kmem_cache_create("blkferry_leaf", sizeof(struct bf_leaf),
					    sizeof(struct bf_leaf),
					    BF_SLAB_NO_MERGE, NULL);
	return leaf_pool.cache ? 0 : -ENOMEM;
}

/**
 * bf_tracker_exit() - free what bf_tracker_init() made; no tracker exists
 *
 * Context: Process.
 */
void bf_tracker_exit(void)
{
	WARN_ON_ONCE(atomic_long_read(&leaf_pool.nr_bytes));
	kmem_cache_destroy(leaf_pool.cache);
	idr_destroy(&trackers);
}

/**
 * bf_tracker_find() - look a tracker up
 * @id: its id
 *
 * Context: Process, under bf_control_mutex.
 * Return: the tracker or NULL.
 */
struct bf_tracker *bf_tracker_find(u32 id)
{
	lockdep_assert_held(&bf_control_mutex);
	return idr_find(&trackers, id);
}

/**
 * bf_tracker_next() - step through all trackers in the order of their ids
 * @id: lowest id to look at; becomes the id of the tracker found
 *
 * Context: Process, under bf_control_mutex.
 * Return: the tracker or NULL at the end.
 */
struct bf_tracker *bf_tracker_next(u32 *id)
{
	struct bf_tracker *tracker;
	int next = *id;

	lockdep_assert_held(&bf_control_mutex);
	tracker = idr_get_next(&trackers, &next);
	*id = next;
	return tracker;
}

/**
 * bf_tracker_map() - the active map
 * @tracker: the tracker
 *
 * Context: Process, under bf_control_mutex, or by the owner of the tracker's
 * generation, as nobody swaps meanwhile.
 * Return: the map.
 */
struct bf_dirtymap *bf_tracker_map(struct bf_tracker *tracker)
{
	return rcu_dereference_protected(tracker->active, true);
}

/**
 * bf_tracker_walk() - one of a tracker's maps with its geometry
 * @tracker: the tracker
 * @map: its active map or that of its generation
 *
 * Context: Any.
 * Return: what bf_walk() wants.
 */
struct bf_walk bf_tracker_walk(const struct bf_tracker *tracker,
			       const struct bf_dirtymap *map)
{
	return (struct bf_walk){
		.map = map,
		.block_shift = tracker->block_shift,
		.nr_sectors = tracker->nr_sectors,
	};
}

/**
 * bf_tracker_raise() - tell that something may have been missed (RULE 3)
 * @tracker: the tracker
 * @reason: enum blkferry_reason
 *
 * Context: Any, in an RCU read section or with the tracker kept alive.
 */
void bf_tracker_raise(struct bf_tracker *tracker, u32 reason)
{
	atomic64_inc(&tracker->raised[reason]);
	bf_events_reason(tracker, reason);
}

static void reserve_low(struct bf_reserve *reserve)
{
	bf_events_refill(container_of(reserve, struct bf_tracker, reserve));
}

/**
 * bf_tracker_refill() - fill a tracker's reserve
 * @tracker: the tracker
 *
 * Context: Process, may sleep; allocates without I/O, as filesystems on the
 * tracked disk may be frozen.
 */
void bf_tracker_refill(struct bf_tracker *tracker)
{
	bf_reserve_fill(&tracker->reserve, GFP_NOIO);
}

static void watermark_crossed(struct bf_dirtymap *map)
{
	bf_events_send(container_of(map->reserve, struct bf_tracker, reserve),
		       BLKFERRY_EVENT_WATERMARK);
}

static u64 watermark_blocks(const struct bf_tracker *tracker)
{
	unsigned int shift = tracker->block_shift + SECTOR_SHIFT;
	u64 blocks = tracker->watermark_bytes >> shift;

	return blocks + !!(tracker->watermark_bytes & ((1ULL << shift) - 1));
}

/**
 * bf_tracker_set_watermark() - say when the event WATERMARK is wanted
 * @tracker: the tracker
 * @bytes: dirty bytes in the active map, 0: never
 *
 * Context: Process, under bf_control_mutex.
 */
void bf_tracker_set_watermark(struct bf_tracker *tracker, u64 bytes)
{
	lockdep_assert_held(&bf_control_mutex);
	tracker->watermark_bytes = bytes;
	bf_map_set_alarm(bf_tracker_map(tracker), watermark_blocks(tracker));
}

/**
 * bf_tracker_check() - compare a tracker with what its device is now
 * @tracker: the tracker
 * @device: its device
 *
 * Context: Process, under bf_control_mutex.
 */
void bf_tracker_check(struct bf_tracker *tracker, const struct bf_device *device)
{
	lockdep_assert_held(&bf_control_mutex);
	if (device->start_sector != tracker->start_sector ||
	    device->nr_sectors != tracker->nr_sectors ||
	    bf_fault(BF_FAULT_BEGIN_RESIZED)) {
		bf_tracker_raise(tracker, BLKFERRY_REASON_RESIZED);
		bf_events_send(tracker, BLKFERRY_EVENT_RESIZED);
	}
	if (device->diskseq != tracker->diskseq ||
	    bf_fault(BF_FAULT_BEGIN_MEDIA)) {
		tracker->diskseq = device->diskseq;
		bf_tracker_raise(tracker, BLKFERRY_REASON_MEDIA);
	}
}

/* As many leaves ready as the generation that is ending has used. */
static void reserve_prepare(struct bf_tracker *tracker)
{
	const struct bf_dirtymap *map = bf_tracker_map(tracker);
	unsigned int used = atomic_read(&map->nr_leaves);

	bf_reserve_set_target(&tracker->reserve,
			      min_t(u32, map->nr_slots,
				    max_t(u32, used, BF_RESERVE_MIN)));
	bf_tracker_refill(tracker);
}

/**
 * bf_tracker_prepare_swap() - do beforehand what may take time
 * @tracker: the tracker, without a generation
 *
 * Context: Process, may sleep, under bf_control_mutex.
 */
void bf_tracker_prepare_swap(struct bf_tracker *tracker)
{
	reserve_prepare(tracker);
	bf_map_set_alarm(tracker->spare, watermark_blocks(tracker));
}

/**
 * bf_tracker_swap() - let an empty map take over
 * @tracker: the tracker, without a generation, prepared
 *
 * A completion that looked before the swap marks the old map, which is why its
 * data can be read once the grace period is over; one that looks after it
 * marks the new one.
 *
 * Context: Process, under bf_control_mutex.
 * Return: the old map, out of service after a grace period.
 */
struct bf_dirtymap *bf_tracker_swap(struct bf_tracker *tracker)
{
	struct bf_dirtymap *old = bf_tracker_map(tracker);

	lockdep_assert_held(&bf_control_mutex);
	rcu_assign_pointer(tracker->active, tracker->spare);
	tracker->spare = NULL;
	return old;
}

/**
 * bf_tracker_carry() - mark what is in flight in the map that has taken over
 * @tracker: the tracker, a grace period after the map was published
 *
 * On a bio-based disk a write is marked as it is submitted, so that the mark
 * may be in a generation that is read before the write lands.
 *
 * Context: Process, under bf_control_mutex.
 */
void bf_tracker_carry(struct bf_tracker *tracker)
{
	struct bf_dirtymap *map = bf_tracker_map(tracker);
	struct bf_range ranges[16];
	unsigned int cursor = 0;
	unsigned int i, nr;

	lockdep_assert_held(&bf_control_mutex);
	tracker->carried_blocks = 0;
	if (!tracker->disk->inflight || bf_makes(NO_CARRY))
		return;
	while ((nr = bf_inflight_next(tracker->disk->inflight, &cursor, ranges,
				      ARRAY_SIZE(ranges))))
		for (i = 0; i < nr; i++)
			tracker->carried_blocks +=
				bf_mark_carried(tracker, map, &ranges[i]);
	bf_map_count(map, BF_COUNT_MERGED, tracker->carried_blocks);
}

/**
 * bf_tracker_fold() - keep what a map counted
 * @tracker: the tracker
 * @map: its map that just went out of service
 *
 * Context: Process, under bf_control_mutex.
 */
void bf_tracker_fold(struct bf_tracker *tracker, const struct bf_dirtymap *map)
{
	lockdep_assert_held(&bf_control_mutex);
	bf_map_add_counts(map, tracker->totals);
	tracker->new_blocks += bf_map_new_blocks(map);
}

static u32 default_granularity(const struct bf_device *device)
{
	u32 bytes = max_t(u32, BLKFERRY_GRANULARITY_MIN,
			  queue_logical_block_size(device->queue));
	u64 fine_sectors = FINE_SECTORS;

	while (device->nr_sectors > fine_sectors &&
	       bytes < BLKFERRY_GRANULARITY_MAX) {
		fine_sectors *= 2;
		bytes *= 2;
	}
	return bytes;
}

static int check_device(const struct bf_device *device,
			struct netlink_ext_ack *extack)
{
	enum bf_disk_kind kind;
	int ret = bf_kind_of(device, &kind, extack);

	if (!ret && !device->nr_sectors) {
		NL_SET_ERR_MSG(extack, "the device has no sectors: insert a medium or attach its backing first");
		return -ENODEV;
	}
	return ret;
}

static int check_name(const char *name, struct netlink_ext_ack *extack)
{
	struct bf_tracker *tracker;
	int id;

	if (!*name || name[strspn(name, NAME_CHARACTERS)]) {
		NL_SET_ERR_MSG(extack, "NAME must have 1 to 63 letters, digits or any of -_.: and nothing else");
		return -EINVAL;
	}
	idr_for_each_entry(&trackers, tracker, id)
		if (!strcmp(tracker->name, name)) {
			NL_SET_ERR_MSG(extack, "a tracker of this name exists: choose another name or untrack it");
			return -EEXIST;
		}
	return 0;
}

static int check_granularity(const struct bf_device *device, u32 bytes,
			     struct netlink_ext_ack *extack)
{
	u64 leaf_sectors = (u64)bytes / BLKFERRY_SECTOR_BYTES * BLKFERRY_LEAF_BLOCKS;

	if (bytes < BLKFERRY_GRANULARITY_MIN || bytes > BLKFERRY_GRANULARITY_MAX ||
	    !is_power_of_2(bytes)) {
		NL_SET_ERR_MSG(extack, "GRANULARITY must be a power of two from 4 KiB to 64 MiB");
		return -EINVAL;
	}
	if ((device->nr_sectors - 1) / leaf_sectors >= BLKFERRY_LEAVES_MAX) {
		NL_SET_ERR_MSG(extack, "the device is too large for this GRANULARITY: take a larger one or leave it out");
		return -E2BIG;
	}
	return 0;
}

static int tracker_init_maps(struct bf_tracker *tracker)
{
	u64 nr_blocks = ((tracker->nr_sectors - 1) >> tracker->block_shift) + 1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tracker->maps); i++) {
		int ret = bf_map_init(&tracker->maps[i], nr_blocks,
				      &tracker->reserve);

		if (ret)
			return ret;
		tracker->maps[i].alarm = watermark_crossed;
	}
	RCU_INIT_POINTER(tracker->active, &tracker->maps[0]);
	tracker->spare = &tracker->maps[1];
	reserve_prepare(tracker);
	return 0;
}

static void tracker_free(struct bf_tracker *tracker)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tracker->maps); i++)
		bf_map_destroy(&tracker->maps[i]);
	bf_reserve_destroy(&tracker->reserve);
	kfree(tracker);
}

static struct bf_tracker *tracker_alloc(const struct bf_device *device,
					const struct bf_tracker_spec *spec,
					u32 granularity_bytes)
{
	struct bf_tracker *tracker;

	if (bf_fault(BF_FAULT_TRACK_MEMORY))
		return NULL;
	tracker = kzalloc(sizeof(*tracker), GFP_KERNEL);
	if (!tracker)
		return NULL;
	tracker->start_sector = device->start_sector;
	tracker->nr_sectors = device->nr_sectors;
	tracker->whole_disk = device->whole_disk;
	tracker->block_shift = ilog2(granularity_bytes) - SECTOR_SHIFT;
	tracker->devt = device->devt;
	tracker->diskseq = device->diskseq;
	tracker->created_ns = ktime_get_boottime_ns();
	uuid_gen(&tracker->uuid);
	strscpy(tracker->name, spec->name, sizeof(tracker->name));
	strscpy(tracker->device_name, device->name, sizeof(tracker->device_name));
	bf_events_init(tracker);
	bf_reserve_init(&tracker->reserve, &leaf_pool, reserve_low);
	if (tracker_init_maps(tracker)) {
		tracker_free(tracker);
		return NULL;
	}
	return tracker;
}

static int tracker_check_spec(const struct bf_device *device,
			      const struct bf_tracker_spec *spec,
			      u32 granularity_bytes,
			      struct netlink_ext_ack *extack)
{
	int ret = check_device(device, extack);

	if (!ret)
		ret = check_name(spec->name, extack);
	if (!ret)
		ret = check_granularity(device, granularity_bytes, extack);
	if (!ret && nr_trackers >= BLKFERRY_TRACKERS_MAX) {
		NL_SET_ERR_MSG(extack, "1024 trackers exist, which is the limit: untrack one");
		ret = -ENOSPC;
	}
	return ret;
}

/**
 * bf_tracker_create() - begin to track
 * @device: what to track
 * @spec: how
 * @extack: gets cause and cure
 *
 * Nothing needs draining: a write that completed before the probes were there
 * has landed, and one that is in flight then is marked at its end.
 *
 * Context: Process, may sleep, under bf_control_mutex.
 * Return: the tracker, or an error of the contract as ERR_PTR().
 */
struct bf_tracker *bf_tracker_create(const struct bf_device *device,
				     const struct bf_tracker_spec *spec,
				     struct netlink_ext_ack *extack)
{
	u32 granularity_bytes = spec->granularity_bytes ?:
				default_granularity(device);
	struct bf_tracker *tracker;
	int ret;

	lockdep_assert_held(&bf_control_mutex);
	ret = tracker_check_spec(device, spec, granularity_bytes, extack);
	if (ret)
		return ERR_PTR(ret);
	if (bf_fault(BF_FAULT_TRACK_MODULE) || !try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	ret = -ENOMEM;
	tracker = tracker_alloc(device, spec, granularity_bytes);
	if (!tracker)
		goto put_module;
	if (spec->all_dirty)
		bf_map_mark(&tracker->maps[0], 0, tracker->maps[0].nr_blocks - 1);
	ret = bf_fault(BF_FAULT_TRACK_ID) ?:
	      idr_alloc_cyclic(&trackers, tracker, 1, 0, GFP_KERNEL);
	if (ret < 0)
		goto free_tracker;
	tracker->id = ret;
	ret = bf_disk_attach(tracker, device, extack);
	if (ret)
		goto remove_id;
	nr_trackers++;
	/* Whoever removes it later will tell us; before that, it says so here. */
	if (bf_fault(BF_FAULT_TRACK_DYING) || bf_device_is_dying(device)) {
		bf_tracker_destroy(tracker);
		return ERR_PTR(-ENODEV);
	}
	return tracker;

remove_id:
	bf_events_stop(tracker);
	idr_remove(&trackers, tracker->id);
free_tracker:
	tracker_free(tracker);
put_module:
	module_put(THIS_MODULE);
	return ERR_PTR(ret);
}

/**
 * bf_tracker_destroy() - stop tracking
 * @tracker: the tracker, without a generation; freed
 *
 * Context: Process, may sleep, under bf_control_mutex.
 */
void bf_tracker_destroy(struct bf_tracker *tracker)
{
	lockdep_assert_held(&bf_control_mutex);
	bf_disk_detach(tracker);
	nr_trackers--;
	idr_remove(&trackers, tracker->id);
	bf_events_stop(tracker);
	tracker_free(tracker);
	module_put(THIS_MODULE);
}

/**
 * bf_tracker_stats() - what a tracker has counted
 * @tracker: the tracker
 * @stats: filled in, by enum blkferry_stat
 *
 * Context: Process, under bf_control_mutex.
 */
void bf_tracker_stats(struct bf_tracker *tracker,
		      u64 stats[BLKFERRY_STAT_MAX + 1])
{
	const struct bf_dirtymap *map = bf_tracker_map(tracker);
	unsigned int shift = tracker->block_shift + SECTOR_SHIFT;
	u64 sums[BF_COUNT_NR];
	size_t i;

	lockdep_assert_held(&bf_control_mutex);
	memcpy(sums, tracker->totals, sizeof(sums));
	bf_map_add_counts(map, sums);
	stats[BLKFERRY_STAT_WRITES] = sums[BF_COUNT_WRITES];
	stats[BLKFERRY_STAT_WRITE_BYTES] = sums[BF_COUNT_SECTORS] << SECTOR_SHIFT;
	stats[BLKFERRY_STAT_DISCARDS] = sums[BF_COUNT_DISCARDS];
	stats[BLKFERRY_STAT_ZEROES] = sums[BF_COUNT_ZEROES];
	stats[BLKFERRY_STAT_ZONE_OPS] = sums[BF_COUNT_ZONE_OPS];
	stats[BLKFERRY_STAT_FAILED] = sums[BF_COUNT_FAILED];
	stats[BLKFERRY_STAT_NEW_BLOCKS] = tracker->new_blocks +
					  bf_map_new_blocks(map);
	stats[BLKFERRY_STAT_COARSE_MARKS] = sums[BF_COUNT_COARSE];
	stats[BLKFERRY_STAT_PASSTHROUGH_HARMLESS] = sums[BF_COUNT_HARMLESS];
	stats[BLKFERRY_STAT_PASSTHROUGH_RANGED] = sums[BF_COUNT_RANGED];
	stats[BLKFERRY_STAT_PASSTHROUGH_OPAQUE] = sums[BF_COUNT_OPAQUE];
	stats[BLKFERRY_STAT_DIRTY_BYTES] = bf_map_dirty_blocks(map) << shift;
	stats[BLKFERRY_STAT_DRAIN_BYTES] = bf_drain_blocks(tracker->drain) << shift;
	stats[BLKFERRY_STAT_MEMORY_BYTES] = sizeof(*tracker) +
		(u64)atomic_read(&tracker->reserve.nr_leaves) * BLKFERRY_LEAF_BYTES;
	for (i = 0; i < ARRAY_SIZE(tracker->maps); i++)
		stats[BLKFERRY_STAT_MEMORY_BYTES] +=
			bf_map_memory_bytes(&tracker->maps[i]);
	stats[BLKFERRY_STAT_RESERVE_LEAVES] = READ_ONCE(tracker->reserve.nr_free);
	if (tracker->disk->inflight) {
		stats[BLKFERRY_STAT_MEMORY_BYTES] += bf_inflight_bytes();
		stats[BLKFERRY_STAT_INFLIGHT] =
			bf_inflight_nr(tracker->disk->inflight);
	}
	stats[BLKFERRY_STAT_LATE] = sums[BF_COUNT_LATE];
	stats[BLKFERRY_STAT_AGE_NS] = ktime_get_boottime_ns() - tracker->created_ns;
}
