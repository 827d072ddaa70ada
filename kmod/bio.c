// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bios: see bio.h. RULE 1: looks, never touches.
 *
 * A bio is marked as it is submitted and stays in the in-flight table until it
 * ends. One that ends without being there was submitted before the disk was
 * tracked, or found the table full, or is a piece that was split off: a piece
 * lies within what its parent has in the table; any other is marked at its end,
 * as on a blk-mq disk, which needs nobody to be quiet when tracking begins.
 * Where the range cannot be told any more the reason UNSEEN is raised (RULE 3).
 *
 * Context of all of this: any, hard interrupt included; no lock but those of
 * the table's shards and of the reserve, no allocation.
 */
#include <linux/bio.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <trace/events/block.h>

#include "bio.h"
#include "compat/compat.h"
#include "doubt.h"
#include "fault.h"
#include "inflight.h"
#include "mark.h"
#include "probe.h"

struct change {
	struct bf_range range;
	enum bf_count kind;
};

static bool is_change(struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_READ:
	case REQ_OP_FLUSH:
	case REQ_OP_ZONE_OPEN:
	case REQ_OP_ZONE_CLOSE:
		return false;
	default:
		return true;
	}
}

static struct bf_range bio_range(struct bio *bio)
{
	return (struct bf_range){
		.sector = bio->bi_iter.bi_sector,
		.nr_sectors = bio->bi_iter.bi_size >> SECTOR_SHIFT,
	};
}

/* Return: false if the operation is not known. */
static bool change_of(struct bf_disk *disk, struct bio *bio,
		      struct change *change)
{
	change->range = bio_range(bio);
	change->kind = BF_COUNT_PLAIN;
	switch (bio_op(bio)) {
	case REQ_OP_WRITE:
		return true;
	case REQ_OP_WRITE_ZEROES:
		change->kind = BF_COUNT_ZEROES;
		return true;
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		change->kind = BF_COUNT_DISCARDS;
		return true;
	case REQ_OP_ZONE_APPEND:	/* where in the zone is not known yet */
	case REQ_OP_ZONE_RESET:
	case REQ_OP_ZONE_RESET_ALL:
	case REQ_OP_ZONE_FINISH:
		change->kind = BF_COUNT_ZONE_OPS;
		change->range = bf_zone_range(disk->queue,
				bio_op(bio) == REQ_OP_ZONE_RESET_ALL,
				bio->bi_iter.bi_sector);
		return true;
	default:
		return bf_op_is_write_same(bio_op(bio));
	}
}

/* --- chained bios, the end of which some kernels do not trace -------------------- */

/* The function that ends a chained bio: not exported, told by a chained bio. */
static bio_end_io_t *chain_end;

static int find_chain_end(void)
{
	struct bio *bios;

	if (chain_end)
		return 0;
	bios = bf_fault(BF_FAULT_WATCH_CHAIN) ? NULL :
	       kcalloc(2, sizeof(*bios), GFP_KERNEL);
	if (!bios)
		return -ENOMEM;
	bio_chain(&bios[0], &bios[1]);
	chain_end = bios[0].bi_end_io;
	kfree(bios);
	return 0;
}

static bool end_is_hidden(struct bio *bio)
{
	return BF_CHAINED_BIO_HIDES && bio->bi_end_io == chain_end;
}

/*
 * The bio with which a chain ends, as far as it is made yet. What a bio is chained
 * to lives until it has ended.
 */
static const struct bio *last_of(struct bio *bio)
{
	while (end_is_hidden(bio))
		bio = bio->bi_private;
	return bio;
}

static void add_child(struct bf_disk *disk, struct bio *bio,
		      const struct bf_range *range)
{
	if (!bf_inflight_add_child(disk->inflight, bio->bi_private, range))
		bf_doubt(disk, last_of(bio));
}

/* What is chained to this one ends when the one ends that this is chained to. */
static void hand_children_on(struct bf_disk *disk, struct bio *bio)
{
	struct bf_range range;

	while (bf_inflight_take_child(disk->inflight, bio, &range)) {
		add_child(disk, bio, &range);
		bf_mark_again(disk, &range);
	}
}

/* A bio with others chained to it, none of which was seen: they are older. */
static bool has_older_children(struct bf_disk *disk, struct bio *bio)
{
	return BF_CHAINED_BIO_HIDES && bio_flagged(bio, BIO_CHAIN) &&
	       !bf_inflight_has_child(disk->inflight, bio);
}

/* --- submission ------------------------------------------------------------------ */

static void add(struct bf_disk *disk, struct bio *bio,
		const struct bf_range *range)
{
	struct bf_range old;

	bf_inflight_add(disk->inflight, bio, range, &old);
	if (old.nr_sectors)
		bf_mark_again(disk, &old);
}

static noinline void submitted(struct bf_disk *disk, struct bio *bio)
{
	struct change change;

	if (!change_of(disk, bio, &change)) {
		bf_raise_disk(disk, BLKFERRY_REASON_UNKNOWN_OP);
		return;
	}
	if (has_older_children(disk, bio))
		bf_doubt(disk, last_of(bio));
	if (end_is_hidden(bio))
		hand_children_on(disk, bio);
	if (!change.range.nr_sectors)
		return;
	if (end_is_hidden(bio))
		add_child(disk, bio, &change.range);
	else
		add(disk, bio, &change.range);
	bf_mark_disk(disk, &change.range, change.kind, false);
}

/* A write whose end is traced, and that has no children: most changes. */
static __always_inline bool is_plain_write(struct bio *bio)
{
	return bio_op(bio) == REQ_OP_WRITE &&
	       !(BF_CHAINED_BIO_HIDES &&
		 (bio_flagged(bio, BIO_CHAIN) || end_is_hidden(bio)));
}

/* Return: false if it takes more than that; nothing is done then. */
static __always_inline bool write_submitted(struct bf_disk *disk,
					    struct bio *bio)
{
	u64 sector = bio->bi_iter.bi_sector;
	u64 nr_sectors = bio->bi_iter.bi_size >> SECTOR_SHIFT;

	if (unlikely(!is_plain_write(bio) || !nr_sectors ||
		     !bf_inflight_add_fast(disk->inflight, bio, sector,
					   nr_sectors)))
		return false;
	bf_written(disk, sector, nr_sectors);
	return true;
}

static void bio_queued(void *data, BF_BIO_QUEUE_ARG struct bio *bio)
{
	struct bf_disk *disk;

	if (!is_change(bio))
		return;
	rcu_read_lock_sched_notrace();
	/* It was the last one, and has been chained to another since. */
	if (end_is_hidden(bio))
		bf_doubts_hand_on(bio, last_of(bio));
	disk = bf_disk_find(bf_bio_queue(bio));
	if (disk && disk->inflight && !write_submitted(disk, bio))
		submitted(disk, bio);
	rcu_read_unlock_sched_notrace();
}

/*
 * A driver hands the very bio that it was given on to another disk (md raid0 and
 * linear): of that bio, which has been queued, nothing more is traced but its
 * end; and not even that where chained bios hide. The bio that it is chained to
 * may end on any disk.
 */
static void bio_remapped(void *data, BF_BIO_QUEUE_ARG struct bio *bio,
			 dev_t from, sector_t from_sector)
{
	struct bf_disk *disk;

	if (!is_change(bio) || !end_is_hidden(bio) ||
	    !bio_flagged(bio, BIO_TRACE_COMPLETION))
		return;
	rcu_read_lock_sched_notrace();
	disk = bf_disk_find(bf_bio_queue(bio));
	if (disk && disk->inflight)
		bf_doubt(disk, last_of(bio));
	rcu_read_unlock_sched_notrace();
}

/* --- the end ------------------------------------------------------------------- */

/* The last one of a chain to end has nothing remaining; others have one, theirs. */
static bool was_cut(struct bio *bio)
{
	return !atomic_read(&bio->__bi_remaining);
}

/* The vector of a clone is another's, and says nothing of how long the clone is. */
static bool is_clone(struct bio *bio)
{
	return bio_flagged(bio, BIO_CLONED);
}

/*
 * A flush is a write of nothing: there is nothing in its vector, and the clone
 * of one has no vector. One that has gone all the way through its data does.
 * md chains those of its members to it.
 */
static bool is_flush(struct bio *bio)
{
	return bio_op(bio) == REQ_OP_WRITE && (bio->bi_opf & REQ_PREFLUSH) &&
	       !bio->bi_iter.bi_size &&
	       !(is_clone(bio) ? !!bio->bi_io_vec : bio->bi_vcnt);
}

/* Bytes of a bio as its owner filled it. */
static u64 vector_bytes(struct bio *bio)
{
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < bio->bi_vcnt; i++)
		bytes += bio->bi_io_vec[i].bv_len;
	return bytes;
}

/*
 * Whatever is taken off a bio, by a split or by a driver that goes through it
 * (brd on newer kernels), is taken from its front: the end is where it was.
 */
static void range_of_vector(struct bio *bio, struct bf_range *range)
{
	u64 end_sector = range->sector + range->nr_sectors;
	u64 nr_sectors = vector_bytes(bio) >> SECTOR_SHIFT;

	range->nr_sectors = min(nr_sectors, end_sector);
	range->sector = end_sector - range->nr_sectors;
}

/*
 * Whether it ends with the range that it began with. Drivers go through the
 * data of writes alone, to the end if all goes well; NVMe heads do not.
 */
static bool is_whole(const struct bf_disk *disk, struct bio *bio)
{
	if (was_cut(bio) || !bio->bi_iter.bi_size)
		return false;
	return bio_op(bio) != REQ_OP_WRITE || !bio->bi_status ||
	       disk->kind == BF_DISK_NVME_HEAD;
}

/*
 * The range of a bio that ends, empty for a flush. Return: false if nothing
 * tells: what it was may be more than what is left of it.
 */
static bool ended_range(struct bf_disk *disk, struct bio *bio,
			struct change *change)
{
	if (!change_of(disk, bio, change))
		return false;
	if (change->kind == BF_COUNT_ZONE_OPS || is_flush(bio))
		return true;
	if (was_cut(bio) && BF_CHAINED_BIO_HIDES)
		return false;
	if (bio_op(bio) != REQ_OP_WRITE || is_clone(bio) || !bio->bi_vcnt)
		return is_whole(disk, bio);
	range_of_vector(bio, &change->range);
	return true;
}

/*
 * Split off from a bio that is in the table with all of its pieces, or from a
 * piece of one (md raid0). What a bio is chained to lives until it has ended.
 */
static bool is_piece(const struct bf_disk *disk, struct bio *bio)
{
	struct bf_range rest = bio_range(bio);

	for (; bio->bi_end_io == chain_end && is_clone(bio); bio = bio->bi_private)
		if (bf_inflight_covers(disk->inflight, bio->bi_private, &rest))
			return true;
	return false;
}

/* Was not in the table, and is no piece of what is. */
static noinline void ended_late(struct bf_disk *disk, struct bio *bio)
{
	struct change change;

	if (bf_fault(BF_FAULT_BIO_UNSEEN) || !ended_range(disk, bio, &change)) {
		bf_raise_disk(disk, BLKFERRY_REASON_UNSEEN);
		return;
	}
	if (!change.range.nr_sectors)
		return;
	bf_mark_disk(disk, &change.range, change.kind, bio->bi_status);
	bf_count_disk(disk, BF_COUNT_LATE);
}

static noinline void ended(struct bf_disk *disk, struct bio *bio)
{
	if (bf_inflight_remove(disk->inflight, bio)) {
		if (bio->bi_status)
			bf_count_disk(disk, BF_COUNT_FAILED);
	} else if (!is_piece(disk, bio)) {
		ended_late(disk, bio);
	}
}

/*
 * Of a bio that an NVMe head has handed on no end is traced here: it ends as
 * part of a path's request. If no path is left the head ends it, with an error,
 * though it may have landed in part on a path that failed.
 */
static void bio_completed(void *data, struct request_queue *queue,
			  struct bio *bio)
{
	struct bf_disk *disk;

	if (!is_change(bio))
		return;
	rcu_read_lock_sched_notrace();
	if (BF_CHAINED_BIO_HIDES)
		bf_doubts_end(bio);
	disk = bf_disk_find(queue);
	if (!disk)
		goto out;
	if (BF_CHAINED_BIO_HIDES && READ_ONCE(disk->doubts_chains) &&
	    was_cut(bio))
		bf_raise_disk(disk, BLKFERRY_REASON_UNSEEN);
	if (disk->inflight) {
		if (unlikely(bio->bi_status ||
			     !bf_inflight_remove_fast(disk->inflight, bio)))
			ended(disk, bio);
	} else if (disk->kind == BF_DISK_NVME_HEAD) {
		ended_late(disk, bio);
	}
out:
	rcu_read_unlock_sched_notrace();
}

/* --- probes ------------------------------------------------------------------- */

/* Ends first: a bio that is seen to be submitted must be seen to end. */
static struct point {
	const char *name;
	void *probe;
	struct tracepoint *found;
} points[] = {
	{ "block_bio_complete", bio_completed },
	{ "block_bio_remap", bio_remapped },
	{ "block_bio_queue", bio_queued },
};

static bool is_needed(const struct point *point)
{
	return BF_CHAINED_BIO_HIDES || point->probe != bio_remapped;
}

static void unregister_before(const struct point *end)
{
	const struct point *point;

	for (point = points; point < end; point++)
		if (is_needed(point))
			tracepoint_probe_unregister(point->found, point->probe,
						    NULL);
}

static int register_all(void)
{
	struct point *point;
	int ret;

	for (point = points; point < points + ARRAY_SIZE(points); point++) {
		if (!is_needed(point))
			continue;
		point->found = bf_tracepoint_find(point->name);
		ret = bf_fault(BF_FAULT_WATCH_BIOS) ?: !point->found ? -EOPNOTSUPP :
		      tracepoint_probe_register(point->found, point->probe, NULL);
		if (ret) {
			unregister_before(point);
			return ret;
		}
	}
	return 0;
}

/**
 * bf_bio_register() - see bios from now on
 * @extack: gets cause and cure
 *
 * Context: Process, under bf_control_mutex.
 * Return: 0, -ENOMEM, or -EOPNOTSUPP if the kernel was built without the
 * tracepoints.
 */
int bf_bio_register(struct netlink_ext_ack *extack)
{
	int ret = find_chain_end();

	if (ret)
		return ret;
	check_trace_callback_type_block_bio_queue(bio_queued);
	check_trace_callback_type_block_bio_remap(bio_remapped);
	check_trace_callback_type_block_bio_complete(bio_completed);
	ret = register_all();
	if (ret == -EOPNOTSUPP)
		NL_SET_ERR_MSG(extack, "this kernel lacks one of the tracepoints block_bio_queue, block_bio_remap and block_bio_complete: use one built with CONFIG_TRACEPOINTS");
	else if (ret)
		NL_SET_ERR_MSG(extack, "the probes could not be registered on block_bio_queue and block_bio_complete: see the kernel log");
	return ret;
}

/**
 * bf_bio_unregister() - stop looking; afterwards no CPU is in a probe
 *
 * Context: Process, may sleep, under bf_control_mutex.
 */
void bf_bio_unregister(void)
{
	unregister_before(points + ARRAY_SIZE(points));
	tracepoint_synchronize_unregister();
}
