// SPDX-License-Identifier: Apache-2.0
/*
 * Byte order: wire structs in host order flow in, the same structs in the
 * wire's little-endian order flow out, and back, by the same functions: each
 * swap is its own inverse. On little-endian machines they compile to nothing.
 */
#include <endian.h>

#include "lib/frame.h"

#define SWAP16(field) ((field) = htole16(field))
#define SWAP32(field) ((field) = htole32(field))
#define SWAP64(field) ((field) = htole64(field))

void bf_wire_swap_hello(struct wire_hello *m)
{
	SWAP32(m->magic);
	SWAP16(m->version_min);
	SWAP16(m->version_max);
	SWAP64(m->features);
	SWAP64(m->reserved);
}

void bf_wire_swap_welcome(struct wire_welcome *m)
{
	SWAP32(m->magic);
	SWAP16(m->version);
	SWAP16(m->reserved);
	SWAP64(m->features);
	SWAP64(m->last_epoch);
	SWAP64(m->cutover_epoch);
	SWAP64(m->checksum_seed);
	SWAP32(m->state);
	SWAP32(m->reserved2);
}

void bf_wire_swap_open(struct wire_open *m)
{
	SWAP64(m->size_bytes);
	SWAP32(m->granularity_bytes);
	SWAP32(m->flags);
	SWAP64(m->reserved);
}

void bf_wire_swap_opened(struct wire_opened *m)
{
	SWAP64(m->size_bytes);
	SWAP64(m->generation);
	SWAP64(m->through_bytes);
	SWAP32(m->flags);
	SWAP32(m->reserved);
	SWAP64(m->reserved2);
}

void bf_wire_swap_claim(struct wire_claim *m)
{
	SWAP64(m->epoch);
	SWAP32(m->nr_disks);
	SWAP16(m->flags);
	SWAP16(m->connections);
}

void bf_wire_swap_claimed(struct wire_claimed *m)
{
	SWAP64(m->epoch);
	SWAP32(m->nr_disks);
	SWAP16(m->connections);
	SWAP16(m->reserved);
}

void bf_wire_swap_attach(struct wire_attach *m)
{
	SWAP32(m->magic);
	SWAP16(m->version);
	SWAP16(m->reserved);
	SWAP64(m->epoch);
}

void bf_wire_swap_attached(struct wire_attached *m)
{
	SWAP64(m->epoch);
}

void bf_wire_swap_sync(struct wire_sync *m)
{
	SWAP64(m->number);
}

void bf_wire_swap_begin(struct wire_begin *m)
{
	SWAP64(m->generation);
	SWAP64(m->nr_blocks);
	SWAP32(m->kind);
	SWAP32(m->reserved);
}

void bf_wire_swap_data(struct wire_data *m)
{
	SWAP64(m->generation);
	SWAP64(m->checksum);
	SWAP32(m->raw_bytes);
	SWAP32(m->encoded_bytes);
	SWAP16(m->codec);
	SWAP16(m->nr_data);
	SWAP16(m->nr_zero);
	SWAP16(m->reserved);
}

void bf_wire_swap_extent(struct wire_extent *m)
{
	SWAP64(m->offset_bytes);
	SWAP64(m->length_bytes);
}

void bf_wire_swap_barrier(struct wire_barrier *m)
{
	SWAP64(m->sequence);
	SWAP32(m->nr_disks);
	SWAP32(m->reserved);
}

void bf_wire_swap_progress(struct wire_progress *m)
{
	SWAP64(m->generation);
	SWAP64(m->through_bytes);
	SWAP16(m->disk);
	SWAP16(m->reserved);
	SWAP32(m->flags);
	SWAP64(m->reserved2);
}

void bf_wire_swap_durable(struct wire_durable *m)
{
	SWAP64(m->sequence);
	SWAP32(m->nr_disks);
	SWAP32(m->reserved);
}

void bf_wire_swap_totals(struct wire_totals *m)
{
	SWAP64(m->data_bytes);
	SWAP64(m->zero_bytes);
	SWAP64(m->extents);
	SWAP64(m->frames);
	SWAP64(m->checksum_sum);
}

void bf_wire_swap_cutover(struct wire_cutover *m)
{
	SWAP64(m->epoch);
	SWAP64(m->reserved);
}

void bf_wire_swap_cutover_done(struct wire_cutover_done *m)
{
	SWAP64(m->epoch);
	SWAP64(m->reserved);
}

void bf_wire_swap_digest(struct wire_digest *m)
{
	SWAP64(m->offset_bytes);
	SWAP64(m->length_bytes);
	SWAP32(m->block_bytes);
	SWAP32(m->reserved);
}

void bf_wire_swap_digests(struct wire_digests *m)
{
	SWAP64(m->offset_bytes);
	SWAP32(m->nr_digests);
	SWAP32(m->block_bytes);
}

void bf_wire_swap_ping(struct wire_ping *m)
{
	SWAP64(m->cookie);
}

void bf_wire_swap_measure(struct wire_measure *m)
{
	SWAP32(m->flags);
	SWAP32(m->reserved);
}

void bf_wire_swap_measured(struct wire_measured *m)
{
	SWAP64(m->bytes);
	SWAP64(m->time_ns);
}

void bf_wire_swap_report(struct wire_report *m)
{
	SWAP32(m->text_bytes);
	SWAP32(m->reserved);
}

void bf_wire_swap_error(struct wire_error *m)
{
	SWAP32(m->code);
	SWAP16(m->text_bytes);
	SWAP16(m->reserved);
}
