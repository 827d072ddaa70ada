// SPDX-License-Identifier: Apache-2.0
/*
 * Holders, LVM: the metadata on a physical volume flows in; a finding flows out
 * for each other physical volume of its group that the job lacks. sysfs shows
 * volumes that are active; the group cuts over with those that are not as well.
 *
 * What is read comes from a disk: every offset and length is checked against
 * the limits below before it is used (RULE 6), and what does not look like LVM
 * is left alone.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "source/holders_steps.h"

#define LABEL_SECTORS		4	/* the label is in one of the first */
#define SECTOR_BYTES		512
#define ID_BYTES		32
#define TEXT_BYTES_MAX		(16u << 20)

struct pv_label {
	char magic[8];			/* "LABELONE" */
	uint64_t sector;
	uint32_t crc, offset_bytes;	/* of struct pv_header, from the label */
	char type[8];			/* "LVM2 001" */
};

struct pv_area {
	uint64_t offset_bytes, size_bytes;
};

struct metadata_header {
	uint32_t crc;
	char magic[16];
	uint32_t version;
	uint64_t start_bytes, size_bytes;	/* of the area, this included */
	struct {
		uint64_t offset_bytes, size_bytes;
		uint32_t crc, flags;
	} text;
};

_Static_assert(sizeof(struct pv_label) == 32, "as it lies on the disk");
_Static_assert(sizeof(struct metadata_header) == 64, "as it lies on the disk");

static const char metadata_magic[16] = " LVM2 x[5A%r0N*>";

struct physical_volume {
	char id[ID_BYTES + 1];
	char *text;			/* of the group; NULL: none here */
};

static bool read_at(int fd, uint64_t offset_bytes, void *out, size_t bytes)
{
	return pread(fd, out, bytes, offset_bytes) == (ssize_t)bytes;
}

/* The text lies in a ring behind the header. */
static char *read_text(int fd, const struct pv_area *area)
{
	struct metadata_header header;
	uint64_t ring_bytes, at, bytes, first;
	char *text;

	if (!read_at(fd, area->offset_bytes, &header, sizeof(header)) ||
	    memcmp(header.magic, metadata_magic, sizeof(metadata_magic)))
		return NULL;
	ring_bytes = le64toh(header.size_bytes);
	at = le64toh(header.text.offset_bytes);
	bytes = le64toh(header.text.size_bytes);
	if (ring_bytes <= SECTOR_BYTES || ring_bytes > area->size_bytes ||
	    at < SECTOR_BYTES || at >= ring_bytes || !bytes ||
	    bytes > TEXT_BYTES_MAX || bytes > ring_bytes - SECTOR_BYTES)
		return NULL;
	text = calloc(1, bytes + 1);
	if (!text)
		return NULL;
	first = bytes < ring_bytes - at ? bytes : ring_bytes - at;
	if (read_at(fd, area->offset_bytes + at, text, first) &&
	    read_at(fd, area->offset_bytes + SECTOR_BYTES, text + first,
		    bytes - first))
		return text;
	free(text);
	return NULL;
}

/* Two lists of areas, each ended by an empty one: data, then metadata. */
static char *read_metadata(int fd, const uint8_t *areas, size_t room_bytes)
{
	unsigned int list = 0;

	for (size_t at = 0; at + sizeof(struct pv_area) <= room_bytes;
	     at += sizeof(struct pv_area)) {
		struct pv_area area;

		memcpy(&area, areas + at, sizeof(area));
		area.offset_bytes = le64toh(area.offset_bytes);
		area.size_bytes = le64toh(area.size_bytes);
		if (!area.offset_bytes && ++list == 2)
			return NULL;
		if (area.offset_bytes && list == 1)
			return read_text(fd, &area);
	}
	return NULL;
}

static bool read_volume(const struct bf_holder_device *device,
			struct physical_volume *volume)
{
	uint8_t sectors[LABEL_SECTORS * SECTOR_BYTES];
	_cleanup_close_ int fd = -1;
	struct pv_label label;
	char path[96];
	size_t at, pv;

	snprintf(path, sizeof(path), "/dev/%s", device->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !read_at(fd, 0, sectors, sizeof(sectors)))
		return false;
	for (at = 0; at < sizeof(sectors); at += SECTOR_BYTES) {
		memcpy(&label, sectors + at, sizeof(label));
		if (!memcmp(label.magic, "LABELONE", 8) &&
		    !memcmp(label.type, "LVM2 001", 8))
			break;
	}
	pv = at + le32toh(label.offset_bytes);
	if (at == sizeof(sectors) ||
	    le32toh(label.offset_bytes) > SECTOR_BYTES - ID_BYTES - 8)
		return false;
	memcpy(volume->id, sectors + pv, ID_BYTES);
	pv += ID_BYTES + sizeof(uint64_t);	/* the device's size */
	volume->text = read_metadata(fd, sectors + pv,
				     at + SECTOR_BYTES - pv);
	return true;
}

/* "abcdef-0123-..." between quotes, without its dashes. */
static bool take_id(const char *from, char id[ID_BYTES + 1])
{
	size_t nr = 0;

	for (; *from && *from != '"'; from++) {
		if (*from == '-')
			continue;
		if (nr == ID_BYTES)
			return false;
		id[nr++] = *from;
	}
	id[nr] = '\0';
	return nr == ID_BYTES && *from == '"';
}

static bool known(const struct physical_volume *volumes, size_t nr,
		  const char *id)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(volumes[i].id, id))
			return true;
	return false;
}

/*
 *	NAME { ... physical_volumes { pv0 { id = "..." ... } pv1 { ... } } ... }
 */
static int check_text(struct bf_holders *holders, const char *text,
		      const struct physical_volume *volumes, size_t nr)
{
	const char *at = strstr(text, "physical_volumes {");
	int depth = 0, ret = 0;
	char id[ID_BYTES + 1];

	for (at = at ? strchr(at, '{') : NULL; at && *at && !ret; at++) {
		if (*at == '{')
			depth++;
		if (*at == '}' && !--depth)
			break;
		if (depth != 2 || strncmp(at, "id = \"", 6) ||
		    !take_id(at + 6, id) || known(volumes, nr, id))
			continue;
		ret = bf_holders_note(holders, BF_SEVERITY_REFUSE,
			"spans-outside",
			"volume group %.*s also lies on the physical volume %s, which is on no disk of this job: add its disk (`pvs -o pv_name,pv_uuid` names it), a volume group cuts over as a whole",
			(int)strcspn(text, " \n{"), text, id);
	}
	return ret;
}

int bf_holders_check_lvm(struct bf_holders *holders)
{
	_cleanup_free_ struct physical_volume *volumes = NULL;
	size_t nr = 0;
	int ret = 0;

	volumes = calloc(holders->nr_devices + 1, sizeof(*volumes));
	if (!volumes)
		return -ENOMEM;
	for (size_t i = 0; i < holders->nr_devices; i++)
		if (!strcmp(holders->devices[i].type, "LVM2_member") &&
		    read_volume(&holders->devices[i], &volumes[nr]))
			nr++;
	for (size_t i = 0; i < nr; i++) {
		if (!ret && volumes[i].text)
			ret = check_text(holders, volumes[i].text, volumes, nr);
		free(volumes[i].text);
	}
	return ret;
}
