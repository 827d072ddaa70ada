/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernels from 5.10 to 7.x seen as one. The only place that tests what
 * kmod/compat/probe.sh found out; nothing in the module tests a version.
 */
#ifndef BF_COMPAT_H
#define BF_COMPAT_H

#include <linux/blkdev.h>
#include <linux/blk-mq.h>
#include <linux/device.h>
#include <linux/irq_work.h>
#include <linux/socket.h>
#include <linux/slab.h>
#include <scsi/scsi_cmnd.h>

#include "config.h"

#ifndef HAVE_SCSI_CMND_CDB
#include <scsi/scsi_request.h>
#endif

/* How block_rq_complete tells what went wrong; 0 is success either way. */
#if defined(HAVE_RQ_COMPLETE_STATUS)
typedef blk_status_t bf_rq_error_t;
#elif defined(HAVE_RQ_COMPLETE_ERRNO)
typedef int bf_rq_error_t;
#else
#error "blkferry: the tracepoint block_rq_complete of this kernel has arguments that are not known; see kmod/compat/tests/rq_complete_*.c"
#endif

static inline bool bf_rq_failed(bf_rq_error_t error)
{
	return (__force int)error != 0;
}

/* Second parameter of class_interface callbacks, comma included. */
#ifdef HAVE_CLASS_INTERFACE_ONE_ARG
#define BF_CLASS_INTERFACE_ARG
#else
#define BF_CLASS_INTERFACE_ARG , struct class_interface *interface
#endif

static inline u64 bf_bdev_nr_sectors(struct block_device *bdev)
{
#if defined(HAVE_BDEV_NR_SECTORS)
	return bdev_nr_sectors(bdev);
#elif defined(HAVE_BD_PART)
	return READ_ONCE(bdev->bd_part->nr_sects);
#else
	return i_size_read(bdev->bd_inode) >> SECTOR_SHIFT;
#endif
}

/* True from before the disk's device leaves its class. */
static inline bool bf_disk_is_dying(struct gendisk *disk)
{
#ifdef HAVE_GD_DEAD
	return test_bit(GD_DEAD, &disk->state);
#else
	return !(READ_ONCE(disk->flags) & GENHD_FL_UP);
#endif
}

/* Changes with the medium; 0 where the kernel does not count that. */
static inline u64 bf_disk_seq(struct gendisk *disk)
{
#ifdef HAVE_DISKSEQ
	return READ_ONCE(disk->diskseq);
#else
	return 0;
#endif
}

/* The command of a passthrough request on a SCSI disk's queue. */
static inline const u8 *bf_scsi_cdb(struct request *rq, unsigned int *cdb_bytes)
{
#ifdef HAVE_SCSI_CMND_CDB
	struct scsi_cmnd *command = blk_mq_rq_to_pdu(rq);

	*cdb_bytes = command->cmd_len;
	return command->cmnd;
#else
	*cdb_bytes = scsi_req(rq)->cmd_len;
	return scsi_req(rq)->cmd;
#endif
}

/* In hard interrupts on PREEMPT_RT as well, where the kernel offers that. */
#ifdef IRQ_WORK_INIT_HARD
#define BF_IRQ_WORK_HARD(function) IRQ_WORK_INIT_HARD(function)
#else
#define BF_IRQ_WORK_HARD(function) \
	(struct irq_work){ .func = (function) }
#endif

/* A cache of its own shows what is in it, and what leaked when it goes. */
#ifdef HAVE_SLAB_NO_MERGE
#define BF_SLAB_NO_MERGE SLAB_NO_MERGE
#else
#define BF_SLAB_NO_MERGE 0
#endif

/* A macro: the type of an operation is another on each kernel. */
#ifdef HAVE_REQ_OP_WRITE_SAME
#define bf_op_is_write_same(op) ((op) == REQ_OP_WRITE_SAME)
#else
#define bf_op_is_write_same(op) false
#endif

/* First parameter of probes on block_bio_queue and _remap, comma included. */
#if defined(HAVE_BIO_QUEUE_TAKES_QUEUE)
#define BF_BIO_QUEUE_ARG struct request_queue *queue,
#elif defined(HAVE_BIO_QUEUE_BIO_ONLY)
#define BF_BIO_QUEUE_ARG
#else
#error "blkferry: the tracepoint block_bio_queue of this kernel has arguments that are not known; see kmod/compat/tests/bio_queue_*.c"
#endif

static inline struct request_queue *bf_bio_queue(const struct bio *bio)
{
#ifdef HAVE_BI_BDEV
	return bdev_get_queue(bio->bi_bdev);
#else
	return bio->bi_disk->queue;
#endif
}

/*
 * True if the end of a bio that is chained to another is not traced: bio_endio()
 * of these kernels goes on to the parent before it comes to the tracepoint.
 */
#ifdef HAVE_BIO_QUEUE_TAKES_QUEUE
#define BF_CHAINED_BIO_HIDES true
#else
#define BF_CHAINED_BIO_HIDES false
#endif

/* Ways around block I/O that brd, zram and pmem offer. */
#ifdef HAVE_RW_PAGE
#define BF_DISKS_HAVE_RW_PAGE true
#else
#define BF_DISKS_HAVE_RW_PAGE false
#endif

/* False: md raid0 and linear hand the very bio on to a member. */
#ifdef HAVE_BDEV_MARK_DEAD
#define BF_MD_KEEPS_EVERY_BIO true
#else
#define BF_MD_KEEPS_EVERY_BIO false
#endif

/* What kernel_bind() takes. */
#ifdef HAVE_SOCKADDR_UNSIZED
typedef struct sockaddr_unsized bf_sockaddr;
#else
typedef struct sockaddr bf_sockaddr;
#endif

#endif /* BF_COMPAT_H */
