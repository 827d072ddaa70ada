// SPDX-License-Identifier: Apache-2.0
/*
 * Coverage: a device flows in, what a tracker on it would see, find out about,
 * or never hear of flows out as rows, from /sys and, where the module is there,
 * from the module itself, which is asked by tracking the device for a moment.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/coverage.h"
#include "cli/trackers.h"
#include "lib/cleanup.h"

const struct cli_column cli_coverage_columns[] = {
	{ "what", "what", CLI_TEXT },
	{ "seen", "seen", CLI_TEXT },
	{ "text", "how", CLI_TEXT },
	{ 0 },
};

/* What the driver's name in front of a disk's number says. */
enum kind { SCSI = 1, NVME = 2, LOOP = 4, DM = 8, MD = 16, MEMORY = 32,
	    OTHER = 64, EVERY = 127 };

static const struct {
	const char *prefix;
	enum kind kind;
} kinds[] = {
	{ "sd", SCSI }, { "sr", SCSI }, { "nvme", NVME }, { "loop", LOOP },
	{ "dm-", DM }, { "md", MD }, { "ram", MEMORY }, { "zram", MEMORY },
};

static const struct {
	unsigned int kinds;
	const char *what, *seen, *text;
} rows[] = {
	{ EVERY & ~(DM | MD | MEMORY), "writes, discards, write zeroes, zone operations",
	  "tracked", "marked when they complete, failed ones too" },
	{ DM | MD | MEMORY, "writes, discards, write zeroes, zone operations",
	  "tracked", "marked when they are submitted, again at each pass until they end, failed ones too" },
	{ SCSI, "commands of programs (SG_IO)", "tracked",
	  "decoded: what cannot write is ignored, known writes are marked, the rest raises \"passthrough\"" },
	{ NVME, "commands of programs (NVMe passthrough)", "detected",
	  "each one to the namespace raises \"passthrough\"" },
	{ NVME, "Format and Sanitize of the whole controller", "not seen",
	  "they go past the namespace: do not use them while tracked" },
	{ LOOP, "writes into the backing file, not through this disk", "not seen",
	  "track the disk that holds the file instead" },
	{ DM, "another mapping table (dmsetup reload, lvconvert)", "detected",
	  "each resume raises \"table\", as it changes blocks without writing" },
	{ DM | MD, "writes straight to its members, and commands (SG_IO) that dm hands on to them",
	  "not seen", "they go past this disk: leave its members to it while tracked" },
	{ MD, "another level (mdadm --grow)", "detected",
	  "one whose bios are not seen to end raises \"unseen\" at each pass" },
	{ MD, "resync and repair by md itself", "not seen",
	  "they do not change what the array shows, if its members agreed" },
	{ SCSI | NVME | OTHER, "writes by other machines to a shared disk, snapshots taken back by an array",
	  "not seen", "they do not pass this kernel: keep others away while tracked" },
	{ EVERY, "another size", "detected", "raises \"resized\" at the next pass" },
	{ EVERY, "removal", "detected", "raises \"gone\"" },
	{ EVERY, "hibernation", "detected", "raises \"hibernation\"" },
	{ EVERY, "a processor taken offline", "detected", "raises \"cpu-offline\"" },
	{ EVERY, "what happened before tracking began or after the module was unloaded",
	  "detected", "a tracker has a new UUID each time: the first pass after that compares or copies all" },
};

static enum kind kind_of(const char *name)
{
	for (size_t i = 0; i < CLI_NR(kinds); i++)
		if (!strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix)))
			return kinds[i].kind;
	return OTHER;
}

/* A partition's name is that of the disk in whose folder /sys has it. */
static int disk_name(dev_t dev, char name[CLI_KERNEL_NAME_BYTES],
		     struct bf_error *err)
{
	char path[96], target[512];
	char *last, *before;
	ssize_t bytes;
	int ret = cli_kernel_name(dev, name, err);

	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/sys/class/block/%.63s/partition", name);
	if (access(path, F_OK))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/block/%.63s", name);
	bytes = readlink(path, target, sizeof(target) - 1);
	if (bytes <= 0)
		return 0;
	target[bytes] = '\0';
	last = strrchr(target, '/');
	if (!last)
		return 0;
	*last = '\0';
	before = strrchr(target, '/');
	snprintf(name, CLI_KERNEL_NAME_BYTES, "%.63s", before ? before + 1 : target);
	return 0;
}

static void add(json_t *list, const char *what, const char *seen,
		const char *text)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", what,
					      "seen", seen, "text", text));
}

/* The refusal's words are what is to be told. */
static int ask_module(int fd, json_t *list)
{
	char name[BLKFERRY_NAME_MAX + 1];
	struct bf_netlink *nl;
	struct bf_error err;
	int ret = bf_netlink_open(&nl, &err);

	if (ret) {
		add(list, "the module", "unknown", err.text);
		return 0;
	}
	snprintf(name, sizeof(name), "coverage-%ld", (long)getpid());
	ret = bf_tracker_try(nl, fd, name, &err);
	bf_netlink_close(nl);
	if (ret == -EOPNOTSUPP)
		add(list, "this disk", "refused", err.text);
	else if (ret)
		add(list, "this disk", "unknown", err.text);
	return ret;
}

/* The kernel counts media, and shows it, from 5.15 on. */
static void add_medium(json_t *list, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/block/%.63s/diskseq", name);
	if (!access(path, F_OK))
		add(list, "another medium", "detected",
		    "raises \"media\" at the next pass");
	else
		add(list, "another medium", "not seen",
		    "this kernel does not count media: track anew after a change");
}

int cli_coverage(const char *path, json_t *list, struct bf_error *err)
{
	char name[CLI_KERNEL_NAME_BYTES];
	_cleanup_close_ int fd = -1;
	dev_t dev = 0;
	int ret = cli_open_device(path, &fd, &dev, err);

	if (!ret)
		ret = disk_name(dev, name, err);
	if (ret || ask_module(fd, list))
		return ret;
	for (size_t i = 0; i < CLI_NR(rows); i++)
		if (rows[i].kinds & kind_of(name))
			add(list, rows[i].what, rows[i].seen, rows[i].text);
	if (kind_of(name) & (SCSI | LOOP | OTHER))
		add_medium(list, name);
	return 0;
}
