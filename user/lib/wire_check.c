// SPDX-License-Identifier: Apache-2.0
/*
 * Validators: payloads whose length is within limits flow in, structs in host
 * byte order in which every count, offset, length, name and reserved field has
 * been checked flow out. One a message. Keeps RULE 6: nothing behind these
 * functions needs to doubt a number again.
 */
#include <errno.h>
#include <string.h>

#include "lib/config.h"
#include "lib/frame.h"

#define GENERATION_MAX WIRE_EPOCH_MAX
#define GRANULARITY_MAX (64u << 20)
#define DIGEST_BLOCK_MIN 4096u
#define DIGEST_BLOCK_MAX (1u << 20)

static int bad(const struct bf_frame *f, struct bf_error *err, const char *what)
{
	return bf_fail(err, BF_E_PROTOCOL, EPROTO,
		       "%s with %s: the peer's blkferry is faulty or of an incompatible version",
		       bf_frame_name(f->type), what);
}

/* Copies the fixed part, if the payload has it. */
static int take(const struct bf_frame *f, void *message, size_t bytes,
		struct bf_error *err)
{
	if (f->length < bytes)
		return bad(f, err, "too few bytes");
	memcpy(message, f->payload, bytes);
	return 0;
}

static bool power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static bool blocks_aligned(uint64_t bytes)
{
	return bytes % WIRE_BLOCK_BYTES == 0;
}

/* NUL-terminated, nothing behind the NUL, and a valid name. */
static bool wire_name_valid(const char name[WIRE_NAME_BYTES])
{
	size_t length = strnlen(name, WIRE_NAME_BYTES);

	for (size_t i = length; i < WIRE_NAME_BYTES; i++)
		if (name[i])
			return false;
	return length < WIRE_NAME_BYTES && bf_name_valid(name);
}

int bf_check_hello(const struct bf_frame *f, struct wire_hello *m,
		   struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_hello(m);
	if (m->magic != WIRE_MAGIC)
		return bad(f, err, "a wrong magic number");
	if (!m->version_min || m->version_min > m->version_max)
		return bad(f, err, "an impossible range of versions");
	if (m->reserved)
		return bad(f, err, "reserved bits set");
	if (!wire_name_valid(m->job))
		return bad(f, err, "an invalid job name");
	return 0;
}

int bf_check_welcome(const struct bf_frame *f, struct wire_welcome *m,
		     struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_welcome(m);
	if (m->magic != WIRE_MAGIC)
		return bad(f, err, "a wrong magic number");
	if (m->version < WIRE_VERSION_MIN || m->version > WIRE_VERSION)
		return bad(f, err, "a version that was not offered");
	if (m->last_epoch > WIRE_EPOCH_MAX || m->cutover_epoch > m->last_epoch)
		return bad(f, err, "impossible epochs");
	if (m->state > WIRE_JOB_CUT_OVER || m->reserved || m->reserved2)
		return bad(f, err, "an unknown state");
	return 0;
}

int bf_check_open(const struct bf_frame *f, struct wire_open *m,
		  struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_open(m);
	if (!m->size_bytes || m->size_bytes > WIRE_DEVICE_BYTES_MAX ||
	    !blocks_aligned(m->size_bytes))
		return bad(f, err, "an impossible size");
	if (!power_of_two(m->granularity_bytes) ||
	    m->granularity_bytes < WIRE_BLOCK_BYTES ||
	    m->granularity_bytes > GRANULARITY_MAX)
		return bad(f, err, "an impossible granularity");
	if ((m->flags & ~WIRE_OPEN_READ_ONLY) || m->reserved)
		return bad(f, err, "unknown flags");
	if (!wire_name_valid(m->target))
		return bad(f, err, "an invalid target name");
	return 0;
}

int bf_check_opened(const struct bf_frame *f, struct wire_opened *m,
		    struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_opened(m);
	if (!m->size_bytes || m->size_bytes > WIRE_DEVICE_BYTES_MAX)
		return bad(f, err, "an impossible size");
	if (m->generation > GENERATION_MAX || m->through_bytes > m->size_bytes)
		return bad(f, err, "impossible progress");
	if ((m->flags & ~WIRE_OPENED_COMPLETE) || m->reserved || m->reserved2)
		return bad(f, err, "unknown flags");
	return 0;
}

int bf_check_claim(const struct bf_frame *f, struct wire_claim *m,
		   struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_claim(m);
	if (!m->epoch || m->epoch > WIRE_EPOCH_MAX)
		return bad(f, err, "an impossible epoch");
	if (!m->nr_disks || m->nr_disks > WIRE_DISKS_MAX)
		return bad(f, err, "an impossible number of disks");
	if (m->flags & ~WIRE_CLAIM_RESTART)
		return bad(f, err, "unknown flags");
	if (!m->connections || m->connections > WIRE_CONNECTIONS_MAX)
		return bad(f, err, "an impossible number of connections");
	return 0;
}

int bf_check_claimed(const struct bf_frame *f, struct wire_claimed *m,
		     uint32_t nr_disks, const uint8_t (**cookies)[16],
		     struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_claimed(m);
	if (!m->epoch || m->epoch > WIRE_EPOCH_MAX || m->reserved)
		return bad(f, err, "an impossible epoch");
	if (m->nr_disks != nr_disks ||
	    f->length != sizeof(*m) + (size_t)nr_disks * 16)
		return bad(f, err, "another number of disks than was claimed");
	if (!m->connections || m->connections > WIRE_CONNECTIONS_MAX)
		return bad(f, err, "an impossible number of connections");
	*cookies = (const uint8_t (*)[16])(f->payload + sizeof(*m));
	return 0;
}

int bf_check_attach(const struct bf_frame *f, struct wire_attach *m,
		    struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_attach(m);
	if (m->magic != WIRE_MAGIC)
		return bad(f, err, "a wrong magic number");
	if (!m->version || m->reserved)
		return bad(f, err, "an impossible version");
	if (!m->epoch || m->epoch > WIRE_EPOCH_MAX)
		return bad(f, err, "an impossible epoch");
	if (!wire_name_valid(m->job))
		return bad(f, err, "an invalid job name");
	return 0;
}

int bf_check_attached(const struct bf_frame *f, struct wire_attached *m,
		      struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_attached(m);
	if (!m->epoch || m->epoch > WIRE_EPOCH_MAX)
		return bad(f, err, "an impossible epoch");
	return 0;
}

int bf_check_sync(const struct bf_frame *f, struct wire_sync *m,
		  struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_sync(m);
	if (!m->number)
		return bad(f, err, "an impossible number");
	return 0;
}

int bf_check_begin(const struct bf_frame *f, struct wire_begin *m,
		   struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_begin(m);
	if (m->generation > GENERATION_MAX)
		return bad(f, err, "an impossible generation");
	if (m->nr_blocks > WIRE_DEVICE_BYTES_MAX / WIRE_BLOCK_BYTES)
		return bad(f, err, "an impossible number of blocks");
	if (m->kind < WIRE_PASS_FULL || m->kind > WIRE_PASS_RESYNC || m->reserved)
		return bad(f, err, "an unknown kind of pass");
	return 0;
}

static int check_data_head(const struct bf_frame *f, const struct wire_data *m,
			   struct bf_error *err)
{
	size_t nr = (size_t)m->nr_data + m->nr_zero;
	size_t table_bytes = nr * sizeof(struct wire_extent);

	if (!nr || nr > WIRE_EXTENTS_MAX)
		return bad(f, err, "an impossible number of extents");
	if (m->raw_bytes > WIRE_RAW_MAX || m->encoded_bytes > WIRE_RAW_MAX)
		return bad(f, err, "more than a frame's blocks");
	if (f->length != sizeof(*m) + table_bytes + m->encoded_bytes)
		return bad(f, err, "a length that is not the sum of its parts");
	if (m->generation > GENERATION_MAX || m->reserved)
		return bad(f, err, "an impossible generation");
	if (m->codec > WIRE_CODEC_ZSTD)
		return bad(f, err, "an unknown encoding");
	if (m->codec == WIRE_CODEC_NONE && m->encoded_bytes != m->raw_bytes)
		return bad(f, err, "plain blocks of another length");
	if (m->codec != WIRE_CODEC_NONE &&
	    (!m->encoded_bytes || m->encoded_bytes >= m->raw_bytes))
		return bad(f, err, "an encoding that does not pay");
	return 0;
}

/* Ascending, disjoint, within the device; *sum: of their lengths. */
static int check_extents(const struct bf_frame *f, const struct wire_extent *e,
			 size_t nr, uint64_t device_bytes, uint64_t *sum,
			 struct bf_error *err)
{
	uint64_t end_bytes = 0;

	*sum = 0;
	for (size_t i = 0; i < nr; i++) {
		if (!e[i].length_bytes || !blocks_aligned(e[i].length_bytes) ||
		    !blocks_aligned(e[i].offset_bytes))
			return bad(f, err, "an unaligned or empty extent");
		if (e[i].length_bytes > device_bytes ||
		    e[i].offset_bytes > device_bytes - e[i].length_bytes)
			return bad(f, err, "an extent beyond the device's end");
		if (e[i].offset_bytes < end_bytes)
			return bad(f, err, "extents that overlap or do not ascend");
		end_bytes = e[i].offset_bytes + e[i].length_bytes;
		*sum += e[i].length_bytes;
	}
	return 0;
}

/* Both lists ascend, so one walk over them finds every overlap. */
static int check_kinds_disjoint(const struct bf_frame *f,
				const struct wire_extent *a, size_t nr_a,
				const struct wire_extent *b, size_t nr_b,
				struct bf_error *err)
{
	while (nr_a && nr_b) {
		if (a->offset_bytes + a->length_bytes <= b->offset_bytes) {
			a++, nr_a--;
		} else if (b->offset_bytes + b->length_bytes <= a->offset_bytes) {
			b++, nr_b--;
		} else {
			return bad(f, err, "a block that is both data and zero");
		}
	}
	return 0;
}

int bf_check_data(const struct bf_frame *f, uint64_t device_bytes,
		  struct bf_data_view *view, struct bf_error *err)
{
	struct wire_data *m = &view->head;
	uint64_t data_bytes, zero_bytes;
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_data(m);
	ret = check_data_head(f, m, err);
	if (ret)
		return ret;
	view->extent_bytes = f->payload + sizeof(*m);
	view->extent_table_bytes = ((size_t)m->nr_data + m->nr_zero) *
				   sizeof(struct wire_extent);
	view->encoded = view->extent_bytes + view->extent_table_bytes;
	memcpy(view->extents, view->extent_bytes, view->extent_table_bytes);
	for (size_t i = 0; i < (size_t)m->nr_data + m->nr_zero; i++)
		bf_wire_swap_extent(&view->extents[i]);
	ret = check_extents(f, view->extents, m->nr_data, device_bytes,
			    &data_bytes, err);
	if (!ret)
		ret = check_extents(f, view->extents + m->nr_data, m->nr_zero,
				    device_bytes, &zero_bytes, err);
	if (!ret)
		ret = check_kinds_disjoint(f, view->extents, m->nr_data,
					   view->extents + m->nr_data,
					   m->nr_zero, err);
	if (!ret && data_bytes != m->raw_bytes)
		ret = bad(f, err, "extents that do not sum up to its blocks");
	return ret;
}

static int check_progress(const struct bf_frame *f, const struct wire_progress *p,
			  uint32_t nr_disks, struct bf_error *err)
{
	uint32_t known = WIRE_PROGRESS_END | WIRE_PROGRESS_COMPLETE;

	if (p->disk >= nr_disks)
		return bad(f, err, "progress of a disk that was not opened");
	if (p->generation > GENERATION_MAX ||
	    p->through_bytes > WIRE_DEVICE_BYTES_MAX)
		return bad(f, err, "impossible progress");
	if ((p->flags & ~known) || p->reserved || p->reserved2)
		return bad(f, err, "unknown flags");
	if ((p->flags & WIRE_PROGRESS_COMPLETE) &&
	    !(p->flags & WIRE_PROGRESS_END))
		return bad(f, err, "a complete copy whose generation has not ended");
	return 0;
}

int bf_check_barrier(const struct bf_frame *f, struct wire_barrier *m,
		     uint32_t nr_disks, struct wire_progress *progress,
		     struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_barrier(m);
	if (m->nr_disks > nr_disks || m->reserved ||
	    f->length != sizeof(*m) + (size_t)m->nr_disks * sizeof(*progress))
		return bad(f, err, "an impossible number of disks");
	memcpy(progress, f->payload + sizeof(*m), m->nr_disks * sizeof(*progress));
	for (uint32_t i = 0; i < m->nr_disks; i++) {
		bf_wire_swap_progress(&progress[i]);
		ret = check_progress(f, &progress[i], nr_disks, err);
		if (ret)
			return ret;
		if (i && progress[i].disk <= progress[i - 1].disk)
			return bad(f, err, "disks that do not ascend");
	}
	return 0;
}

int bf_check_durable(const struct bf_frame *f, struct wire_durable *m,
		     uint32_t nr_disks, struct wire_totals *totals,
		     struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_durable(m);
	if (m->nr_disks != nr_disks || m->reserved ||
	    f->length != sizeof(*m) + (size_t)nr_disks * sizeof(*totals))
		return bad(f, err, "another number of disks than was claimed");
	memcpy(totals, f->payload + sizeof(*m), nr_disks * sizeof(*totals));
	for (uint32_t i = 0; i < nr_disks; i++)
		bf_wire_swap_totals(&totals[i]);
	return 0;
}

int bf_check_cutover(const struct bf_frame *f, struct wire_cutover *m,
		     struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_cutover(m);
	if (!m->epoch || m->epoch > WIRE_EPOCH_MAX || m->reserved)
		return bad(f, err, "an impossible epoch");
	return 0;
}

int bf_check_cutover_done(const struct bf_frame *f, struct wire_cutover_done *m,
			  struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_cutover_done(m);
	if (!m->epoch || m->epoch > WIRE_EPOCH_MAX || m->reserved)
		return bad(f, err, "an impossible epoch");
	return 0;
}

int bf_check_digest(const struct bf_frame *f, uint64_t device_bytes,
		    struct wire_digest *m, struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_digest(m);
	if (!power_of_two(m->block_bytes) || m->block_bytes < DIGEST_BLOCK_MIN ||
	    m->block_bytes > DIGEST_BLOCK_MAX || m->reserved)
		return bad(f, err, "an impossible block size");
	if (!m->length_bytes || !blocks_aligned(m->length_bytes) ||
	    !blocks_aligned(m->offset_bytes))
		return bad(f, err, "an unaligned or empty range");
	if (m->length_bytes > device_bytes ||
	    m->offset_bytes > device_bytes - m->length_bytes)
		return bad(f, err, "a range beyond the device's end");
	if (m->length_bytes > (uint64_t)m->block_bytes * WIRE_DIGESTS_MAX)
		return bad(f, err, "more blocks than an answer holds");
	return 0;
}

int bf_check_digests(const struct bf_frame *f, struct wire_digests *m,
		     const uint8_t **digests, struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_digests(m);
	if (!m->nr_digests || m->nr_digests > WIRE_DIGESTS_MAX ||
	    f->length != sizeof(*m) + (size_t)m->nr_digests * WIRE_DIGEST_BYTES)
		return bad(f, err, "an impossible number of digests");
	if (!power_of_two(m->block_bytes) || m->block_bytes < DIGEST_BLOCK_MIN ||
	    m->block_bytes > DIGEST_BLOCK_MAX)
		return bad(f, err, "an impossible block size");
	*digests = f->payload + sizeof(*m);
	return 0;
}

int bf_check_ping(const struct bf_frame *f, struct wire_ping *m,
		  struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (!ret)
		bf_wire_swap_ping(m);
	return ret;
}

int bf_check_measure(const struct bf_frame *f, struct wire_measure *m,
		     struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_measure(m);
	if ((m->flags & ~WIRE_MEASURE_ANSWER) || m->reserved)
		return bad(f, err, "unknown flags");
	return 0;
}

int bf_check_measured(const struct bf_frame *f, struct wire_measured *m,
		      struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (!ret)
		bf_wire_swap_measured(m);
	return ret;
}

int bf_check_report(const struct bf_frame *f, struct wire_report *m,
		    const char **text, struct bf_error *err)
{
	int ret = take(f, m, sizeof(*m), err);

	if (ret)
		return ret;
	bf_wire_swap_report(m);
	if (m->text_bytes > WIRE_REPORT_TEXT_MAX || m->reserved ||
	    f->length != sizeof(*m) + m->text_bytes)
		return bad(f, err, "a length that is not the sum of its parts");
	*text = (const char *)f->payload + sizeof(*m);
	return 0;
}

/* A peer's words end up on terminals and in logs: no control characters. */
static void copy_words(char *to, size_t room, const uint8_t *from, size_t bytes)
{
	size_t n = bytes < room - 1 ? bytes : room - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = from[i] < 0x20 || from[i] == 0x7f ? '?' : (char)from[i];
	to[n] = '\0';
}

int bf_check_error(const struct bf_frame *f, struct bf_error *err)
{
	char words[BF_ERROR_TEXT_BYTES];
	struct wire_error m;
	enum bf_code code;
	int ret = take(f, &m, sizeof(m), err);

	if (ret)
		return ret;
	bf_wire_swap_error(&m);
	if (f->length != sizeof(m) + m.text_bytes || m.reserved)
		return bad(f, err, "a length that is not the sum of its parts");
	copy_words(words, sizeof(words), f->payload + sizeof(m), m.text_bytes);
	code = bf_code_from_number(m.code);
	if (code == BF_E_NONE)
		code = BF_E_PROTOCOL;
	return bf_fail(err, code, EREMOTEIO, "%s",
		       words[0] ? words : "the peer gave up without saying why");
}
