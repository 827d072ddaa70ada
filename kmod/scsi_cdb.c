// SPDX-License-Identifier: GPL-2.0-only
/*
 * SCSI command classification: see scsi_cdb.h. A pure function, built in the
 * kernel and, against tests/unit/shim, in userspace.
 *
 * Names and layouts follow SPC-5, SBC-4, ZBC-2 (SCSI), SAT-4 and ACS-4 (ATA).
 * The direction of the data tells nothing: SG_IO may send a write without any.
 */
#include "scsi_cdb.h"

#define OP_WRITE_6			0x0a
#define OP_VARIABLE_LENGTH		0x7f
#define OP_ATA_16			0x85
#define OP_SERVICE_ACTION_IN_16		0x9e
#define OP_ATA_12			0xa1
#define OP_SERVICE_ACTION_IN_12		0xab

#define ATA_CMD_SMART			0xb0
#define ATA_SMART_WRITE_LOG		0xd6
#define ATA_LOG_SCT_COMMAND		0xe0
#define ATA_LOG_SCT_DATA		0xe1
#define ATA_DEVICE_LBA			0x40

/* Commands that cannot change blocks, whatever their other bytes say. */
static const u8 harmless_ops[] = {
	0x00,	/* TEST UNIT READY */
	0x03,	/* REQUEST SENSE */
	0x08,	/* READ (6) */
	0x12,	/* INQUIRY */
	0x15,	/* MODE SELECT (6) */
	0x16,	/* RESERVE (6) */
	0x17,	/* RELEASE (6) */
	0x1a,	/* MODE SENSE (6) */
	0x1b,	/* START STOP UNIT */
	0x1c,	/* RECEIVE DIAGNOSTIC RESULTS */
	0x1e,	/* PREVENT ALLOW MEDIUM REMOVAL */
	0x25,	/* READ CAPACITY (10) */
	0x28,	/* READ (10) */
	0x2b,	/* SEEK (10) */
	0x2f,	/* VERIFY (10) */
	0x34,	/* PRE-FETCH (10) */
	0x35,	/* SYNCHRONIZE CACHE (10) */
	0x37,	/* READ DEFECT DATA (10) */
	0x3c,	/* READ BUFFER (10) */
	0x3e,	/* READ LONG (10) */
	0x44,	/* REPORT DENSITY SUPPORT */
	0x4c,	/* LOG SELECT */
	0x4d,	/* LOG SENSE */
	0x55,	/* MODE SELECT (10) */
	0x56,	/* RESERVE (10) */
	0x57,	/* RELEASE (10) */
	0x5a,	/* MODE SENSE (10) */
	0x5e,	/* PERSISTENT RESERVE IN */
	0x5f,	/* PERSISTENT RESERVE OUT */
	0x84,	/* RECEIVE COPY RESULTS */
	0x88,	/* READ (16) */
	0x8c,	/* READ ATTRIBUTE */
	0x8f,	/* VERIFY (16) */
	0x90,	/* PRE-FETCH (16) */
	0x91,	/* SYNCHRONIZE CACHE (16) */
	0x95,	/* ZONE MANAGEMENT IN */
	0x9b,	/* READ BUFFER (16) */
	0xa0,	/* REPORT LUNS */
	0xa2,	/* SECURITY PROTOCOL IN */
	0xa3,	/* MAINTENANCE IN */
	0xa8,	/* READ (12) */
	0xaf,	/* VERIFY (12) */
	0xb7,	/* READ DEFECT DATA (12) */
};

/* Service actions of SERVICE ACTION IN (16) that only report. */
static const u8 harmless_actions_16[] = {
	0x10,	/* READ CAPACITY (16) */
	0x11,	/* READ LONG (16) */
	0x12,	/* GET LBA STATUS (16) */
	0x13,	/* REPORT REFERRALS */
	0x14,	/* STREAM CONTROL */
	0x15,	/* BACKGROUND CONTROL */
	0x16,	/* GET STREAM STATUS */
	0x17,	/* GET PHYSICAL ELEMENT STATUS */
};

static const u8 harmless_ata[] = {
	0x00,	/* NOP */
	0x20,	/* READ SECTOR(S) */
	0x24,	/* READ SECTOR(S) EXT */
	0x25,	/* READ DMA EXT */
	0x27,	/* READ NATIVE MAX ADDRESS EXT */
	0x29,	/* READ MULTIPLE EXT */
	0x2a,	/* READ STREAM DMA EXT */
	0x2b,	/* READ STREAM EXT */
	0x2f,	/* READ LOG EXT */
	0x40,	/* READ VERIFY SECTOR(S) */
	0x42,	/* READ VERIFY SECTOR(S) EXT */
	0x47,	/* READ LOG DMA EXT */
	0x5c,	/* TRUSTED RECEIVE */
	0x5d,	/* TRUSTED RECEIVE DMA */
	0x60,	/* READ FPDMA QUEUED */
	0x90,	/* EXECUTE DEVICE DIAGNOSTIC */
	0xa1,	/* IDENTIFY PACKET DEVICE */
	0xc4,	/* READ MULTIPLE */
	0xc6,	/* SET MULTIPLE MODE */
	0xc8,	/* READ DMA */
	0xe0,	/* STANDBY IMMEDIATE */
	0xe1,	/* IDLE IMMEDIATE */
	0xe2,	/* STANDBY */
	0xe3,	/* IDLE */
	0xe4,	/* READ BUFFER */
	0xe5,	/* CHECK POWER MODE */
	0xe6,	/* SLEEP */
	0xe7,	/* FLUSH CACHE */
	0xe9,	/* READ BUFFER DMA */
	0xea,	/* FLUSH CACHE EXT */
	0xec,	/* IDENTIFY DEVICE */
	0xef,	/* SET FEATURES */
	0xf5,	/* SECURITY FREEZE LOCK */
	0xf8,	/* READ NATIVE MAX ADDRESS */
};

/* Where a write command has its first block and its number of blocks. */
struct write_layout {
	u8 op;
	u8 lba_at, lba_bytes;
	u8 nr_at, nr_bytes;
	bool zero_is_to_end;
};

static const struct write_layout write_layouts[] = {
	{ 0x2a,  2, 4,  7, 2, false },	/* WRITE (10) */
	{ 0x2e,  2, 4,  7, 2, false },	/* WRITE AND VERIFY (10) */
	{ 0x41,  2, 4,  7, 2, true },	/* WRITE SAME (10) */
	{ 0x50,  2, 4,  7, 2, false },	/* XDWRITE (10) */
	{ 0x51,  2, 4,  7, 2, false },	/* XPWRITE (10) */
	{ 0x53,  2, 4,  7, 2, false },	/* XDWRITEREAD (10) */
	{ 0x89,  2, 8, 13, 1, false },	/* COMPARE AND WRITE */
	{ 0x8a,  2, 8, 10, 4, false },	/* WRITE (16) */
	{ 0x8b,  2, 8, 10, 4, false },	/* ORWRITE (16) */
	{ 0x8e,  2, 8, 10, 4, false },	/* WRITE AND VERIFY (16) */
	{ 0x93,  2, 8, 10, 4, true },	/* WRITE SAME (16) */
	{ 0x9a,  2, 8, 12, 2, false },	/* WRITE STREAM (16) */
	{ 0x9c,  2, 8, 12, 2, false },	/* WRITE ATOMIC (16) */
	{ 0xaa,  2, 4,  6, 4, false },	/* WRITE (12) */
	{ 0xae,  2, 4,  6, 4, false },	/* WRITE AND VERIFY (12) */
};

/* The same for service actions of the variable length command (32 bytes). */
static const struct write_layout write_layouts_32[] = {
	{ 0x0b, 12, 8, 28, 4, false },	/* WRITE (32) */
	{ 0x0c, 12, 8, 28, 4, false },	/* WRITE AND VERIFY (32) */
	{ 0x0d, 12, 8, 28, 4, true },	/* WRITE SAME (32) */
	{ 0x0e, 12, 8, 28, 4, false },	/* ORWRITE (32) */
};

#define ARRAY_NR(array) (sizeof(array) / sizeof((array)[0]))

static struct bf_command harmless(void)
{
	return (struct bf_command){ .effect = BF_EFFECT_HARMLESS };
}

static struct bf_command opaque(void)
{
	return (struct bf_command){ .effect = BF_EFFECT_OPAQUE };
}

static struct bf_command ranged(u64 lba, u64 nr_blocks)
{
	if (!nr_blocks)
		return harmless();
	return (struct bf_command){
		.effect = BF_EFFECT_RANGED,
		.lba = lba,
		.nr_blocks = nr_blocks,
	};
}

static bool listed(const u8 *list, size_t nr, u8 value)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (list[i] == value)
			return true;
	return false;
}

static u64 big_endian(const u8 *bytes, unsigned int nr)
{
	u64 value = 0;

	while (nr--)
		value = value << 8 | *bytes++;
	return value;
}

static const struct write_layout *find_layout(const struct write_layout *layouts,
					      size_t nr, u8 op)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (layouts[i].op == op)
			return &layouts[i];
	return NULL;
}

static struct bf_command classify_write(const struct write_layout *layout,
					const u8 *cdb, unsigned int cdb_bytes)
{
	u64 lba, nr;

	if (!layout || cdb_bytes < layout->nr_at + layout->nr_bytes)
		return opaque();
	lba = big_endian(cdb + layout->lba_at, layout->lba_bytes);
	nr = big_endian(cdb + layout->nr_at, layout->nr_bytes);
	if (!nr && layout->zero_is_to_end)
		nr = BF_TO_END;
	return ranged(lba, nr);
}

static struct bf_command classify_write_6(const u8 *cdb)
{
	return ranged(big_endian(cdb + 1, 3) & 0x1fffff, cdb[4] ? cdb[4] : 256);
}

/* READ, VERIFY and GET LBA STATUS of 32 bytes only report. */
static struct bf_command classify_variable(const u8 *cdb, unsigned int cdb_bytes)
{
	if (cdb_bytes < 10 || cdb[8])
		return opaque();
	if (cdb[9] == 0x09 || cdb[9] == 0x0a || cdb[9] == 0x12)
		return harmless();
	return classify_write(find_layout(write_layouts_32,
					  ARRAY_NR(write_layouts_32), cdb[9]),
			      cdb, cdb_bytes);
}

/* The registers of an ATA command, out of either pass-through form. */
struct ata_command {
	u8 command;
	u8 device;
	bool extended;		/* 48 bits */
	u16 features;
	u16 count;
	u64 lba;
};

static struct ata_command ata_decode_12(const u8 *cdb)
{
	return (struct ata_command){
		.command = cdb[9],
		.device = cdb[8],
		.features = cdb[3],
		.count = cdb[4],
		.lba = cdb[5] | cdb[6] << 8 | (u64)cdb[7] << 16,
	};
}

static struct ata_command ata_decode_16(const u8 *cdb)
{
	struct ata_command ata = {
		.command = cdb[14],
		.device = cdb[13],
		.extended = cdb[1] & 1,
		.features = cdb[4],
		.count = cdb[6],
		.lba = cdb[8] | cdb[10] << 8 | (u64)cdb[12] << 16,
	};

	if (ata.extended) {	/* the upper halves count */
		ata.features |= cdb[3] << 8;
		ata.count |= cdb[5] << 8;
		ata.lba |= (u64)cdb[7] << 24 | (u64)cdb[9] << 32 |
			   (u64)cdb[11] << 40;
	}
	return ata;
}

static struct bf_command ata_write_28(const struct ata_command *ata)
{
	if (!(ata->device & ATA_DEVICE_LBA))
		return opaque();	/* cylinder, head, sector */
	return ranged((u64)(ata->device & 0xf) << 24 | (ata->lba & 0xffffff),
		      (ata->count & 0xff) ? (ata->count & 0xff) : 256);
}

static struct bf_command ata_write_48(const struct ata_command *ata, u16 nr)
{
	if (!ata->extended)
		return opaque();	/* what the upper halves are is not said */
	return ranged(ata->lba, nr ? nr : 65536);
}

/* SMART only reports, but its log E0h carries SCT commands, which may write. */
static struct bf_command classify_smart(const struct ata_command *ata)
{
	u8 log = ata->lba & 0xff;

	if ((ata->features & 0xff) == ATA_SMART_WRITE_LOG &&
	    (log == ATA_LOG_SCT_COMMAND || log == ATA_LOG_SCT_DATA))
		return opaque();
	return harmless();
}

static struct bf_command classify_ata(struct ata_command ata)
{
	if (listed(harmless_ata, ARRAY_NR(harmless_ata), ata.command))
		return harmless();
	switch (ata.command) {
	case ATA_CMD_SMART:
		return classify_smart(&ata);
	case 0x30:	/* WRITE SECTOR(S) */
	case 0xc5:	/* WRITE MULTIPLE */
	case 0xca:	/* WRITE DMA */
		return ata_write_28(&ata);
	case 0x34:	/* WRITE SECTOR(S) EXT */
	case 0x35:	/* WRITE DMA EXT */
	case 0x39:	/* WRITE MULTIPLE EXT */
	case 0x3d:	/* WRITE DMA FUA EXT */
	case 0xce:	/* WRITE MULTIPLE FUA EXT */
		return ata_write_48(&ata, ata.count);
	case 0x61:	/* WRITE FPDMA QUEUED: the tag is where the count was */
		return ata_write_48(&ata, ata.features);
	default:
		return opaque();
	}
}

/* The shortest form of each group of operation codes (SPC-5, 4.2.5). */
static unsigned int op_bytes(u8 op)
{
	static const u8 group_bytes[8] = { 6, 10, 10, 10, 16, 12, 6, 6 };

	return group_bytes[op >> 5];
}

/**
 * bf_scsi_classify() - say what a SCSI command can do to its disk
 * @cdb: the command descriptor block
 * @cdb_bytes: its length
 *
 * Context: Any.
 * Return: the effect. A block that is too short for its command is opaque.
 */
struct bf_command bf_scsi_classify(const u8 *cdb, unsigned int cdb_bytes)
{
	if (!cdb_bytes || cdb_bytes < op_bytes(cdb[0]))
		return opaque();
	if (listed(harmless_ops, ARRAY_NR(harmless_ops), cdb[0]))
		return harmless();

	switch (cdb[0]) {
	case OP_WRITE_6:
		return classify_write_6(cdb);
	case OP_VARIABLE_LENGTH:
		return classify_variable(cdb, cdb_bytes);
	case OP_ATA_12:
		return classify_ata(ata_decode_12(cdb));
	case OP_ATA_16:
		return classify_ata(ata_decode_16(cdb));
	case OP_SERVICE_ACTION_IN_16:
		return listed(harmless_actions_16, ARRAY_NR(harmless_actions_16),
			      cdb[1] & 0x1f) ? harmless() : opaque();
	case OP_SERVICE_ACTION_IN_12:	/* READ MEDIA SERIAL NUMBER */
		return (cdb[1] & 0x1f) == 0x01 ? harmless() : opaque();
	default:
		return classify_write(find_layout(write_layouts,
						  ARRAY_NR(write_layouts), cdb[0]),
				      cdb, cdb_bytes);
	}
}
