// SPDX-License-Identifier: Apache-2.0
/*
 * Unreadable: an extent whose read failed flows in; its blocks flow out, sector
 * by sector where need be. Sectors that stay lost end the pass, or, where the
 * operator wants that, become zeroes: then they are in a list that is durable
 * before the target's word on them counts (RULE 2: said, never silent).
 */
#include "source/unreadable.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/cleanup.h"
#include "lib/log.h"

#define TRIES 3				/* of a sector, after the first read */

struct again {
	struct bf_session *session;
	int fd;
	uint32_t sector_bytes;
	struct bf_ranges lost;
};

bool bf_unreadable_error(int error)
{
	return error == EIO || error == ENODATA || error == EILSEQ ||
	       error == EREMOTEIO;
}

/* What the next attempt is cut to: a page, then a sector. */
static uint32_t smaller(const struct again *again, uint32_t bytes)
{
	return bytes > 64u << 10 ? 64u << 10 :
	       bytes > 4096 && again->sector_bytes < 4096 ? 4096 :
	       again->sector_bytes;
}

static bool try(const struct again *again, uint64_t offset_bytes, uint8_t *data,
		uint32_t bytes)
{
	return pread(again->fd, data, bytes, (off_t)offset_bytes) ==
	       (ssize_t)bytes;
}

static int read_sector(struct again *again, uint64_t offset_bytes,
		       uint8_t *data, uint32_t bytes, struct bf_error *err)
{
	for (int i = 0; i < TRIES; i++)
		if (try(again, offset_bytes, data, bytes))
			return 0;
	memset(data, 0, bytes);
	if (bf_ranges_append(&again->lost, offset_bytes, bytes))
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory to list unreadable sectors");
	return 0;
}

/* Each attempt may take a failing disk seconds: the session may end meanwhile. */
static int read_pieces(struct again *again, uint64_t offset_bytes, uint8_t *data,
		       uint32_t bytes, struct bf_error *err)
{
	uint32_t piece = smaller(again, bytes);
	int ret = 0;

	for (uint32_t at = 0; at < bytes && !ret; at += piece) {
		uint32_t n = bytes - at < piece ? bytes - at : piece;

		ret = bf_session_check(again->session, err);
		if (ret || try(again, offset_bytes + at, data + at, n))
			continue;
		ret = n <= again->sector_bytes ?
			read_sector(again, offset_bytes + at, data + at, n, err) :
			read_pieces(again, offset_bytes + at, data + at, n, err);
	}
	return ret;
}

/* --- what becomes of lost sectors ---------------------------------------------- */

static unsigned long long sectors(uint64_t bytes)
{
	return bytes / WIRE_BLOCK_BYTES;
}

static int refuse(const struct bf_session_disk *disk, const struct bf_ranges *lost,
		  int error, const char *why, struct bf_error *err)
{
	const struct bf_extent *first = &lost->range[0];

	return bf_fail(err, BF_E_SOURCE_IO, error,
		       "disk %s: %llu sectors cannot be read, the first %llu of them at sector %llu, after %d attempts: %s; %s",
		       disk->name, sectors(bf_ranges_bytes(lost)),
		       sectors(first->length_bytes), sectors(first->offset_bytes),
		       TRIES + 2, strerror(error), why);
}

static const char *refusal(const struct bf_session *s,
			   const struct bf_session_disk *disk,
			   const struct bf_ranges *lost)
{
	if (!disk->unreadable)
		return "replace the disk, or accept zeroes in their place with on-read-error = zero-and-report";
	if (s->hurry)	/* no record can be written now */
		return "the next pass sends zeroes in their place, then cut over again";
	if (bf_ranges_bytes(disk->unreadable) + bf_ranges_bytes(lost) >
	    BF_UNREADABLE_MAX_BYTES)
		return "that is no bad spot but a failing disk: save it by other means";
	return NULL;
}

/* Under a freeze the line waits in the log. */
static void tell_lost(const struct bf_session_disk *disk,
		      const struct bf_ranges *lost, int error)
{
	for (size_t i = 0; i < lost->nr; i++)
		bf_log_about(&(struct bf_log_about){ .level = BF_LOG_WARNING,
						     .disk = disk->name },
			     "disk %s: %llu sectors from sector %llu cannot be read (%s): zeroes take their place at the target",
			     disk->name, sectors(lost->range[i].length_bytes),
			     sectors(lost->range[i].offset_bytes),
			     strerror(error));
}

static int take_zeroes(struct bf_session *s, struct bf_session_disk *disk,
		       const struct bf_ranges *lost, struct bf_error *err)
{
	if (bf_ranges_add(disk->unreadable, lost))
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory to list unreadable sectors");
	return s->options.unread ?
	       s->options.unread(s->options.callback_context, err) : 0;
}

static int judge(struct bf_session *s, struct bf_session_disk *disk,
		 const struct bf_extent *e, const struct bf_ranges *lost,
		 int error, struct bf_error *err)
{
	const char *why;

	if (!lost->nr) {
		bf_log_about(&(struct bf_log_about){ .level = BF_LOG_WARNING,
						     .disk = disk->name },
			     "disk %s: reading %llu sectors from sector %llu failed (%s) and worked when it was tried again",
			     disk->name, sectors(e->length_bytes),
			     sectors(e->offset_bytes), strerror(error));
		return 0;
	}
	if (disk->unreadable)
		bf_ranges_subtract(disk->unreadable, e, 1);
	why = refusal(s, disk, lost);
	if (why)
		return refuse(disk, lost, error, why, err);
	tell_lost(disk, lost, error);
	return take_zeroes(s, disk, lost, err);
}

static void free_again(struct again *again)
{
	bf_ranges_free(&again->lost);
}

int bf_read_again(struct bf_session *session, uint32_t disk,
		  const struct bf_extent *e, uint8_t *data, int error,
		  struct bf_error *err)
{
	struct bf_session_disk *d = &session->disks[disk];
	_cleanup_(free_again) struct again again = {
		.session = session,
		.fd = d->fd,
	};
	int block_bytes = 0, ret;

	/* Of a regular file its filesystem's blocks are asked for. */
	if (ioctl(d->fd, BLKSSZGET, &block_bytes) || block_bytes <= 0)
		block_bytes = 4096;
	again.sector_bytes = block_bytes;
	ret = read_pieces(&again, e->offset_bytes, data, e->length_bytes, err);
	return ret ? ret : judge(session, d, e, &again.lost, error, err);
}
