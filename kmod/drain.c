// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drain: see drain.h.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "drain.h"
#include "events.h"
#include "fault.h"
#include "mistakes.h"
#include "uevents.h"
#include "walk.h"

/* Whoever gets the map ends the generation; everybody else gets NULL. */
static struct bf_dirtymap *drain_take_map(struct bf_drain *drain)
{
	struct bf_dirtymap *map;

	mutex_lock(&drain->lock);
	map = drain->map;
	drain->map = NULL;
	mutex_unlock(&drain->lock);
	return map;
}

/* The last step of a generation's end: the next BEGIN may come. */
static void drain_let_go(struct bf_drain *drain, struct bf_dirtymap *map)
{
	struct bf_tracker *tracker = drain->tracker;

	lockdep_assert_held(&bf_control_mutex);
	tracker->spare = map;
	tracker->drain = NULL;
}

/* What came back had been written: what is there now is not merely carried. */
static void drain_came_back(struct bf_drain *drain, struct bf_dirtymap *map)
{
	drain->tracker->carried_blocks = 0;
	drain_let_go(drain, map);
}

/*
 * Merge back what is uncommitted. Takes long for a large generation, so not
 * under bf_control_mutex: while tracker->drain is set nobody swaps the active
 * map or frees the tracker.
 */
static void drain_return(struct bf_drain *drain, struct bf_dirtymap *map)
{
	if (bf_makes(LOSE_RETURNED))
		bf_map_clear(map);
	bf_map_merge(bf_tracker_map(drain->tracker), map, drain->low_block);
	mutex_lock(&bf_control_mutex);
	drain_came_back(drain, map);
	bf_events_send(drain->tracker, BLKFERRY_EVENT_DRAIN_RETURNED);
	mutex_unlock(&bf_control_mutex);
}

static int drain_release(struct inode *inode, struct file *file)
{
	struct bf_drain *drain = file->private_data;
	struct bf_dirtymap *map = drain_take_map(drain);

	if (map)
		drain_return(drain, map);
	mutex_destroy(&drain->lock);
	kfree(drain);
	return 0;
}

static void drain_show_fdinfo(struct seq_file *seq, struct file *file)
{
	const struct bf_drain *drain = file->private_data;

	seq_printf(seq, "blkferry-generation:\t%llu\nblkferry-blocks:\t%llu\n",
		   drain->generation, drain->nr_blocks);
}

static const struct file_operations drain_fops = {
	.owner = THIS_MODULE,
	.release = drain_release,
	.show_fdinfo = drain_show_fdinfo,
};

/* Everything that can fail, before anything is swapped. */
static int begin_prepare(struct bf_begin *begin)
{
	struct bf_drain *drain = bf_fault(BF_FAULT_BEGIN_DRAIN) ? NULL :
				 kzalloc(sizeof(*drain), GFP_KERNEL);
	struct file *file;

	if (!drain)
		return -ENOMEM;
	mutex_init(&drain->lock);
	drain->tracker = begin->tracker;

	begin->fd = bf_fault(BF_FAULT_BEGIN_FD) ?:
		    get_unused_fd_flags(O_CLOEXEC);
	if (begin->fd < 0) {
		kfree(drain);
		return begin->fd;
	}
	file = bf_fault(BF_FAULT_BEGIN_FILE) ? ERR_PTR(-ENFILE) :
	       anon_inode_getfile("[blkferry-drain]", &drain_fops, drain,
				  O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(begin->fd);
		kfree(drain);
		return PTR_ERR(file);
	}
	begin->drain = drain;
	begin->file = file;
	bf_tracker_prepare_swap(begin->tracker);
	return 0;
}

static void begin_swap(struct bf_begin *begin)
{
	struct bf_tracker *tracker = begin->tracker;
	struct bf_drain *drain = begin->drain;

	drain->map = bf_tracker_swap(tracker);
	drain->carried_blocks = tracker->carried_blocks;
	drain->generation = ++tracker->generation;
	tracker->drain = drain;
}

/* After the grace period: the map is out of service, its counts are exact. */
static void begin_settle(struct bf_begin *begin)
{
	struct bf_tracker *tracker = begin->tracker;
	struct bf_drain *drain = begin->drain;
	u64 counts[BF_COUNT_NR] = {};
	size_t i;

	bf_tracker_carry(tracker);
	bf_map_add_counts(drain->map, counts);
	bf_tracker_fold(tracker, drain->map);
	drain->writes = counts[BF_COUNT_WRITES];
	drain->nr_blocks = bf_map_dirty_blocks(drain->map);
	drain->left_blocks = drain->nr_blocks;
	for (i = 0; i < ARRAY_SIZE(drain->raised); i++)
		drain->raised[i] = atomic64_read(&tracker->raised[i]);
}

static bool is_any_mapped(const struct bf_begin *begins, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (begins[i].tracker->disk->is_mapped)
			return true;
	return false;
}

/**
 * bf_drain_begin() - swap the maps of trackers, all or none
 * @begins: the trackers; the rest is filled in
 * @nr: how many; no tracker is named twice or has a generation
 * @extack: gets cause and cure
 *
 * Nobody sees the descriptors yet: either bf_drain_install() or
 * bf_drain_cancel() must follow.
 *
 * Context: Process of the sender, may sleep, under bf_control_mutex.
 * Return: 0, -ENOMEM, or -EMFILE if the sender has too many files open.
 */
int bf_drain_begin(struct bf_begin *begins, unsigned int nr,
		   struct netlink_ext_ack *extack)
{
	unsigned int i;

	lockdep_assert_held(&bf_control_mutex);
	for (i = 0; i < nr; i++) {
		int ret = begin_prepare(&begins[i]);

		if (ret) {
			if (ret == -EMFILE)
				NL_SET_ERR_MSG(extack, "the sender has too many files open: raise its limit (ulimit -n) or begin on fewer trackers");
			bf_drain_cancel(begins, i);
			return ret;
		}
	}
	for (i = 0; i < nr; i++)
		begin_swap(&begins[i]);
	synchronize_rcu_expedited();
	/* A table that was resumed before is told of with this generation. */
	if (is_any_mapped(begins, nr))
		bf_uevents_flush();
	for (i = 0; i < nr; i++)
		begin_settle(&begins[i]);
	return 0;
}

/**
 * bf_drain_install() - hand the generations to their owner
 * @begins: from bf_drain_begin()
 * @nr: how many
 *
 * Context: Process of the sender.
 */
void bf_drain_install(struct bf_begin *begins, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		fd_install(begins[i].fd, begins[i].file);
}

/**
 * bf_drain_cancel() - undo a BEGIN that nobody heard of
 * @begins: prepared, swapped or not
 * @nr: how many
 *
 * Context: Process of the sender, under bf_control_mutex.
 */
void bf_drain_cancel(struct bf_begin *begins, unsigned int nr)
{
	unsigned int i;

	lockdep_assert_held(&bf_control_mutex);
	for (i = 0; i < nr; i++) {
		struct bf_drain *drain = begins[i].drain;
		struct bf_dirtymap *map = drain_take_map(drain);

		if (map) {
			bf_map_merge(bf_tracker_map(drain->tracker), map, 0);
			drain_came_back(drain, map);
		}
		put_unused_fd(begins[i].fd);
		fput(begins[i].file);	/* released later, with nothing to do */
	}
}

/**
 * bf_drain_file() - find the drain behind a file descriptor
 * @fd: file descriptor of the sender
 * @extack: gets cause and cure
 *
 * Context: Process of the sender.
 * Return: the file, whose private_data is the struct bf_drain, for fput(); or
 * -EBADF as ERR_PTR().
 */
struct file *bf_drain_file(u32 fd, struct netlink_ext_ack *extack)
{
	struct file *file = bf_fault(BF_FAULT_DRAIN_FILE) ? NULL : fget(fd);

	if (file && file->f_op == &drain_fops)
		return file;
	if (file)
		fput(file);
	NL_SET_ERR_MSG(extack, "DRAIN_FD is not a drain descriptor: take it from the reply to BEGIN");
	return ERR_PTR(-EBADF);
}

/**
 * bf_drain_lock() - work on a generation
 * @drain: the drain
 * @generation: the number its owner believes in
 * @extack: gets cause and cure
 *
 * Context: Process, may sleep.
 * Return: 0 with drain->lock held, or -ESTALE.
 */
int bf_drain_lock(struct bf_drain *drain, u64 generation,
		  struct netlink_ext_ack *extack)
{
	mutex_lock(&drain->lock);
	if (drain->map && !bf_fault(BF_FAULT_DRAIN_LOCK) &&
	    (drain->generation == generation || bf_makes(ANY_GENERATION)))
		return 0;
	if (drain->map)
		NL_SET_ERR_MSG(extack, "GENERATION is not the one that DRAIN_FD owns: use the number that BEGIN gave");
	else
		NL_SET_ERR_MSG(extack, "the generation was committed or aborted: close DRAIN_FD and begin another");
	mutex_unlock(&drain->lock);
	return -ESTALE;
}

/**
 * bf_drain_unlock() - undo bf_drain_lock()
 * @drain: the drain
 *
 * Context: Process.
 */
void bf_drain_unlock(struct bf_drain *drain)
{
	mutex_unlock(&drain->lock);
}

/**
 * bf_drain_walk() - read a window
 * @drain: the drain, locked
 * @from_sector: where to start
 * @window: the answer, good while the drain is locked
 * @extack: gets cause and cure
 *
 * Context: Process.
 * Return: 0 or -EINVAL.
 */
int bf_drain_walk(struct bf_drain *drain, u64 from_sector,
		  struct bf_walk_window *window, struct netlink_ext_ack *extack)
{
	const struct bf_walk walk = bf_tracker_walk(drain->tracker, drain->map);
	u64 from;
	int ret;

	ret = bf_walk_block(&walk, from_sector, &from);
	if (ret) {
		NL_SET_ERR_MSG(extack, "FROM_SECTOR must be a multiple of the granularity, not beyond the device");
		return ret;
	}
	bf_walk(&walk, max(from, drain->low_block), window);
	return 0;
}

static int commit_through(struct bf_drain *drain, u64 through_sector,
			  struct netlink_ext_ack *extack)
{
	const struct bf_walk walk = bf_tracker_walk(drain->tracker, drain->map);
	u64 through;

	if (bf_walk_block(&walk, through_sector, &through)) {
		NL_SET_ERR_MSG(extack, "THROUGH_SECTOR must be a multiple of the granularity or NR_SECTORS");
		return -EINVAL;
	}
	if (through < drain->low_block) {
		NL_SET_ERR_MSG(extack, "THROUGH_SECTOR is below an earlier watermark: it can only rise");
		return -EINVAL;
	}
	drain->left_blocks -= bf_map_forget(drain->map, drain->low_block, through);
	drain->low_block = through;
	drain->tracker->committed = (struct bf_committed){
		.generation = drain->generation,
		.through_sector = through_sector,
	};
	return 0;
}

static int check_final(const struct bf_drain *drain,
		       const struct bf_commit *commit,
		       struct netlink_ext_ack *extack)
{
	if (commit->through_sector != drain->tracker->nr_sectors) {
		NL_SET_ERR_MSG(extack, "the final commit must go through NR_SECTORS: leave NR_BLOCKS out of the others");
		return -EINVAL;
	}
	if (commit->nr_blocks != drain->nr_blocks) {
		NL_SET_ERR_MSG(extack, "NR_BLOCKS differs from what BEGIN said: walk the generation again before committing it");
		return -EBADMSG;
	}
	return 0;
}

/* RULE 3: a resync clears a reason only up to what it knew at its begin. */
static void clear_reasons(struct bf_tracker *tracker,
			  const struct bf_drain *drain, const u64 *resynced)
{
	size_t i;

	lockdep_assert_held(&bf_control_mutex);
	for (i = 0; i < ARRAY_SIZE(tracker->cleared); i++) {
		u64 raised = bf_makes(CLEAR_ALL) ?
			     atomic64_read(&tracker->raised[i]) :
			     min(resynced[i], drain->raised[i]);

		tracker->cleared[i] = max(tracker->cleared[i], raised);
	}
}

/**
 * bf_drain_commit() - forget what is durable elsewhere
 * @drain: the drain, not locked
 * @generation: the number its owner believes in
 * @commit: what to commit
 * @extack: gets cause and cure
 *
 * Context: Process, may sleep.
 * Return: 0, -ESTALE, -EINVAL or -EBADMSG.
 */
int bf_drain_commit(struct bf_drain *drain, u64 generation,
		    const struct bf_commit *commit,
		    struct netlink_ext_ack *extack)
{
	struct bf_dirtymap *map = NULL;
	int ret;

	ret = bf_drain_lock(drain, generation, extack);
	if (ret)
		return ret;
	if (commit->final)
		ret = bf_fault(BF_FAULT_COMMIT_FINAL) ?:
		      check_final(drain, commit, extack);
	if (!ret)
		ret = bf_fault(BF_FAULT_COMMIT_THROUGH) ?:
		      commit_through(drain, commit->through_sector, extack);
	if (!ret && commit->final)
		swap(map, drain->map);
	bf_drain_unlock(drain);
	if (!map)
		return ret;

	bf_map_clear(map);
	mutex_lock(&bf_control_mutex);
	if (commit->resynced)
		clear_reasons(drain->tracker, drain, commit->resynced);
	drain_let_go(drain, map);
	mutex_unlock(&bf_control_mutex);
	return 0;
}

/**
 * bf_drain_committed() - what the last COMMIT on a tracker forgot
 * @tracker: the tracker
 *
 * Context: Process, may sleep, under bf_control_mutex.
 * Return: generation and sector, 0 before the first.
 */
struct bf_committed bf_drain_committed(const struct bf_tracker *tracker)
{
	struct bf_committed committed;

	lockdep_assert_held(&bf_control_mutex);
	if (tracker->drain)
		mutex_lock(&tracker->drain->lock);
	committed = tracker->committed;
	if (tracker->drain)
		mutex_unlock(&tracker->drain->lock);
	return committed;
}

/**
 * bf_drain_abort() - merge back what is uncommitted
 * @drain: the drain, not locked
 * @generation: the number its owner believes in
 * @extack: gets cause and cure
 *
 * Context: Process, may sleep.
 * Return: 0 or -ESTALE.
 */
int bf_drain_abort(struct bf_drain *drain, u64 generation,
		   struct netlink_ext_ack *extack)
{
	int ret = bf_drain_lock(drain, generation, extack);
	struct bf_dirtymap *map;

	if (ret)
		return ret;
	map = drain->map;
	drain->map = NULL;
	bf_drain_unlock(drain);
	drain_return(drain, map);
	return 0;
}
