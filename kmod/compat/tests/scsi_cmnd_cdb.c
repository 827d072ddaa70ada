/* scsi_cmnd.cmnd is an array: "scsi: core: Remove the cmd field from struct scsi_request", v5.18 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/blkdev.h>
#include <linux/blk-mq.h>
#include <scsi/scsi_cmnd.h>

unsigned char bf_probe(struct request *rq);

unsigned char bf_probe(struct request *rq)
{
	struct scsi_cmnd *command = blk_mq_rq_to_pdu(rq);
	unsigned char (*cdb)[32] = &command->cmnd;

	return (*cdb)[0];
}
