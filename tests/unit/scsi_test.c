/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: kmod/scsi_cdb.c -Itests/unit/shim -Ikmod */
/*
 * SCSI commands, classified by the shipped source. Policy: what cannot change
 * blocks is harmless, a write is known by its exact range, and everything else
 * is opaque, also what is too short, unknown or only looks harmless.
 */
#include <stdlib.h>

#include "scsi_cdb.h"
#include "tap.h"

#define CDB(...) (const u8[32]){ __VA_ARGS__ }

/* In a block of memory of just that size, so that reading on is noticed. */
static struct bf_command classify(const u8 *cdb, unsigned int bytes)
{
	u8 *exact = malloc(bytes ? bytes : 1);
	struct bf_command command;

	memcpy(exact, cdb, bytes);
	command = bf_scsi_classify(exact, bytes);
	free(exact);
	return command;
}

static void check_harmless(const u8 *cdb, unsigned int bytes)
{
	check_eq(classify(cdb, bytes).effect, BF_EFFECT_HARMLESS);
}

static void check_opaque(const u8 *cdb, unsigned int bytes)
{
	check_eq(classify(cdb, bytes).effect, BF_EFFECT_OPAQUE);
}

static void check_ranged(const u8 *cdb, unsigned int bytes, u64 lba, u64 nr)
{
	struct bf_command command = classify(cdb, bytes);

	check_eq(command.effect, BF_EFFECT_RANGED);
	check_eq(command.lba, lba);
	check_eq(command.nr_blocks, nr);
}

static void harmless_commands(void)
{
	static const struct { u8 op, bytes; } list[] = {
		{ 0x00, 6 }, { 0x03, 6 }, { 0x08, 6 }, { 0x12, 6 }, { 0x15, 6 },
		{ 0x1a, 6 }, { 0x1b, 6 }, { 0x1e, 6 }, { 0x25, 10 }, { 0x28, 10 },
		{ 0x2f, 10 }, { 0x35, 10 }, { 0x3c, 10 }, { 0x4c, 10 }, { 0x4d, 10 },
		{ 0x55, 10 }, { 0x5a, 10 }, { 0x5e, 10 }, { 0x5f, 10 }, { 0x88, 16 },
		{ 0x8f, 16 }, { 0x91, 16 }, { 0x95, 16 }, { 0xa0, 12 }, { 0xa3, 12 },
		{ 0xa8, 12 }, { 0xaf, 12 },
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		check_harmless(CDB(list[i].op), list[i].bytes);
}

static void dangerous_commands(void)
{
	static const struct { u8 op, bytes; } list[] = {
		{ 0x04, 6 },	/* FORMAT UNIT */
		{ 0x07, 6 },	/* REASSIGN BLOCKS */
		{ 0x1d, 6 },	/* SEND DIAGNOSTIC */
		{ 0x3b, 10 },	/* WRITE BUFFER */
		{ 0x3f, 10 },	/* WRITE LONG (10) */
		{ 0x42, 10 },	/* UNMAP: its ranges are in the data */
		{ 0x48, 10 },	/* SANITIZE */
		{ 0x83, 16 },	/* EXTENDED COPY */
		{ 0x94, 16 },	/* ZONE MANAGEMENT OUT */
		{ 0x9f, 16 },	/* SERVICE ACTION OUT (16) */
		{ 0xa4, 12 },	/* MAINTENANCE OUT */
		{ 0xb5, 12 },	/* SECURITY PROTOCOL OUT */
		{ 0xc0, 12 },	/* of a vendor */
		{ 0xff, 6 },
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		check_opaque(CDB(list[i].op), list[i].bytes);
}

static void writes_of_6_bytes(void)
{
	check_ranged(CDB(0x0a, 0x1f, 0x23, 0x45, 8), 6, 0x1f2345, 8);
	check_ranged(CDB(0x0a, 0xff, 0, 1, 1), 6, 0x1f0001, 1);
	check_ranged(CDB(0x0a, 0, 0, 0, 0), 6, 0, 256);
}

static void writes_of_10_bytes(void)
{
	static const u8 ops[] = { 0x2a, 0x2e, 0x50, 0x51, 0x53 };

	for (size_t i = 0; i < sizeof(ops); i++) {
		check_ranged(CDB(ops[i], 0, 0x12, 0x34, 0x56, 0x78, 0, 0xab, 0xcd),
			     10, 0x12345678, 0xabcd);
		check_harmless(CDB(ops[i], 0, 0x12, 0x34, 0x56, 0x78), 10);
	}
}

static void writes_of_12_bytes(void)
{
	check_ranged(CDB(0xaa, 0, 0x80, 0, 0, 1, 0, 1, 0, 2), 12, 0x80000001, 0x10002);
	check_ranged(CDB(0xae, 0, 0, 0, 0, 1, 0, 0, 0, 2), 12, 1, 2);
	check_harmless(CDB(0xaa, 0, 0, 0, 0, 1), 12);
}

static void writes_of_16_bytes(void)
{
	static const u8 ops[] = { 0x8a, 0x8b, 0x8e };

	for (size_t i = 0; i < sizeof(ops); i++)
		check_ranged(CDB(ops[i], 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0, 0, 9), 16,
			     0x0102030405060708, 0xff000009);
	check_ranged(CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 3), 16, 77, 3);
	check_ranged(CDB(0x9a, 0, 0, 0, 0, 0, 0, 0, 0, 77, 9, 9, 1, 3), 16, 77, 0x103);
	check_ranged(CDB(0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 77, 9, 9, 1, 3), 16, 77, 0x103);
}

static void writes_of_32_bytes(void)
{
	u8 cdb[32] = { 0x7f, [7] = 24, [9] = 0x0b, [12] = 1, [19] = 5, [31] = 6 };

	check_ranged(cdb, 32, 0x0100000000000005, 6);
	cdb[9] = 0x0d;
	cdb[31] = 0;
	check_ranged(cdb, 32, 0x0100000000000005, BF_TO_END);
	cdb[9] = 0x09;
	check_harmless(cdb, 32);
	cdb[9] = 0x12;
	check_harmless(cdb, 32);
	cdb[8] = 0x88;			/* a vendor's */
	check_opaque(cdb, 32);
	cdb[8] = 0x1f;			/* ATA PASS-THROUGH (32) */
	cdb[9] = 0xf0;
	check_opaque(cdb, 32);
}

/* 0 blocks mean: as many as there are. */
static void write_same(void)
{
	check_ranged(CDB(0x41, 0, 0, 0, 1, 0, 0, 0, 8), 10, 0x100, 8);
	check_ranged(CDB(0x41, 0, 0, 0, 1, 0), 10, 0x100, BF_TO_END);
	check_ranged(CDB(0x93, 8, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 8), 16, 0x100, 8);
	check_ranged(CDB(0x93, 8, 0, 0, 0, 0, 0, 0, 1, 0), 16, 0x100, BF_TO_END);
}

static void too_short(void)
{
	u8 cdb[32] = { 0 };

	check_opaque(cdb, 0);
	for (unsigned int op = 0; op < 256; op++)
		for (unsigned int bytes = 0; bytes < 6; bytes++) {
			cdb[0] = op;
			check_opaque(cdb, bytes);
		}
	check_opaque(CDB(0x2a), 9);
	check_opaque(CDB(0x28), 6);
	check_opaque(CDB(0x8a), 15);
	check_opaque(CDB(0x88), 10);
	check_opaque(CDB(0x7f, [9] = 0x0b), 10);
	check_opaque(CDB(0x7f, [9] = 0x0b), 31);
	check_opaque(CDB(0x85), 12);
	check_opaque(CDB(0xa1), 10);
}

/* No command, whatever its bytes, is read beyond its length. */
static void every_length(void)
{
	u8 cdb[32];

	for (unsigned int op = 0; op < 256; op++)
		for (unsigned int bytes = 0; bytes <= 32; bytes++)
			for (unsigned int fill = 0; fill < 256; fill += 51) {
				memset(cdb, fill, sizeof(cdb));
				cdb[0] = op;
				check(classify(cdb, bytes).effect <= BF_EFFECT_OPAQUE);
			}
}

static void service_actions(void)
{
	check_harmless(CDB(0x9e, 0x10), 16);	/* READ CAPACITY (16) */
	check_harmless(CDB(0x9e, 0xf0), 16);	/* reserved bits set */
	check_harmless(CDB(0x9e, 0x12), 16);	/* GET LBA STATUS */
	check_opaque(CDB(0x9e, 0x18), 16);	/* REMOVE ELEMENT AND TRUNCATE */
	check_opaque(CDB(0x9e, 0x19), 16);	/* RESTORE ELEMENTS AND REBUILD */
	check_harmless(CDB(0xab, 0x01), 12);	/* READ MEDIA SERIAL NUMBER */
	check_opaque(CDB(0xab, 0x02), 12);
}

#define ATA_16(command) CDB(0x85, 0, [14] = (command))
#define ATA_12(command) CDB(0xa1, 0, [9] = (command))

static void ata_harmless(void)
{
	static const u8 list[] = { 0x00, 0x20, 0x25, 0x2f, 0x40, 0x47, 0x60, 0xa1,
				   0xb0, 0xc8, 0xe0, 0xe1, 0xe5, 0xe7, 0xea, 0xec,
				   0xef, 0xf5 };

	for (size_t i = 0; i < sizeof(list); i++) {
		check_harmless(ATA_16(list[i]), 16);
		check_harmless(ATA_12(list[i]), 12);
	}
}

static void ata_opaque(void)
{
	static const u8 list[] = {
		0x06,	/* DATA SET MANAGEMENT */
		0x3f,	/* WRITE LOG EXT */
		0x45,	/* WRITE UNCORRECTABLE EXT */
		0x57,	/* WRITE LOG DMA EXT */
		0x77,	/* SET DATE & TIME, unknown to us */
		0x92,	/* DOWNLOAD MICROCODE */
		0xb4,	/* SANITIZE DEVICE */
		0xb1,	/* DEVICE CONFIGURATION */
		0xf4,	/* SECURITY ERASE UNIT */
		0xf9,	/* SET MAX ADDRESS */
		0xff,
	};

	for (size_t i = 0; i < sizeof(list); i++) {
		check_opaque(ATA_16(list[i]), 16);
		check_opaque(ATA_12(list[i]), 12);
	}
}

/* SMART WRITE LOG of the log that takes SCT commands, such as Write Same. */
static void ata_smart(void)
{
	check_harmless(CDB(0x85, 0, [4] = 0xd0, [14] = 0xb0), 16);
	check_harmless(CDB(0x85, 0, [4] = 0xd6, [8] = 0x80, [14] = 0xb0), 16);
	check_opaque(CDB(0x85, 0, [4] = 0xd6, [8] = 0xe0, [14] = 0xb0), 16);
	check_opaque(CDB(0x85, 0, [4] = 0xd6, [8] = 0xe1, [14] = 0xb0), 16);
	check_opaque(CDB(0xa1, 0, [3] = 0xd6, [5] = 0xe0, [9] = 0xb0), 12);
}

static void ata_writes_of_28_bits(void)
{
	check_ranged(CDB(0x85, 0, [6] = 8, [8] = 0x45, [10] = 0x23, [12] = 0x01,
			 [13] = 0x4f, [14] = 0xca), 16, 0xf012345, 8);
	check_ranged(CDB(0xa1, 0, [4] = 0, [5] = 0x45, [6] = 0x23, [7] = 0x01,
			 [8] = 0x40, [9] = 0x30), 12, 0x12345, 256);
	check_opaque(CDB(0x85, 0, [6] = 8, [14] = 0xca), 16);	/* no LBA mode */
}

static void ata_writes_of_48_bits(void)
{
	check_ranged(CDB(0x85, 1, [5] = 1, [6] = 2, [7] = 4, [8] = 1, [9] = 5,
			 [10] = 2, [11] = 6, [12] = 3, [14] = 0x35), 16,
		     0x060504030201, 0x102);
	check_ranged(CDB(0x85, 1, [14] = 0x34), 16, 0, 65536);
	check_ranged(CDB(0x85, 1, [3] = 1, [4] = 2, [5] = 9, [6] = 9, [8] = 7,
			 [14] = 0x61), 16, 7, 0x102);
	check_opaque(CDB(0x85, 0, [6] = 1, [14] = 0x35), 16);
	check_opaque(CDB(0xa1, 0, [4] = 1, [9] = 0x35), 12);
}

int main(void)
{
	tap_run("harmless commands", harmless_commands);
	tap_run("commands that may do anything", dangerous_commands);
	tap_run("writes of 6 bytes", writes_of_6_bytes);
	tap_run("writes of 10 bytes", writes_of_10_bytes);
	tap_run("writes of 12 bytes", writes_of_12_bytes);
	tap_run("writes of 16 bytes", writes_of_16_bytes);
	tap_run("writes of 32 bytes", writes_of_32_bytes);
	tap_run("write same, also to the end", write_same);
	tap_run("too short for their commands", too_short);
	tap_run("nothing is read beyond the end", every_length);
	tap_run("service actions", service_actions);
	tap_run("ATA: harmless", ata_harmless);
	tap_run("ATA: opaque", ata_opaque);
	tap_run("ATA: SMART and its SCT log", ata_smart);
	tap_run("ATA: writes of 28 bits", ata_writes_of_28_bits);
	tap_run("ATA: writes of 48 bits", ata_writes_of_48_bits);
	return tap_done();
}
