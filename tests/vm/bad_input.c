/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * Netlink input that the module must refuse: each attribute of each command
 * missing, too short, too long, out of range. In: two disks that may be
 * tracked. Out: TAP; a case passes when the module refuses with the errno that
 * the contract names. "bad_input call" only asks for a dump and says what came
 * of it. Speaks netlink by itself: the library would let none of this out.
 */
#include <fcntl.h>
#include <unistd.h>

#include "raw_netlink.h"

#define ATTRS_MAX 6

struct attr {
	uint16_t type;
	uint16_t len;
	const void *data;
};

struct bad {
	const char *name;
	uint8_t cmd;
	int errnum;		/* what the module must answer, or BOUND */
	struct attr attrs[ATTRS_MAX];
};

/* EINVAL, or for some bounds of size and range the netlink core's ERANGE. */
#define BOUND	(-1)

static int test_number;
static int failures;

#define U8(v)	sizeof(uint8_t), &(uint8_t){ (v) }
#define U16(v)	sizeof(uint16_t), &(uint16_t){ (v) }
#define U32(v)	sizeof(uint32_t), &(uint32_t){ (v) }
#define U64(v)	sizeof(uint64_t), &(uint64_t){ (v) }
#define STR(s)	sizeof(s), (s)
#define BAD(name, cmd, errnum, ...) \
	{ (name), BLKFERRY_CMD_##cmd, (errnum), { __VA_ARGS__ } }

/* --- cases ------------------------------------------------------------------- */

/* An unknown command is refused by generic netlink itself, without words. */
static void report(const struct wire *w, const char *name, int got, int wanted)
{
	bool good = wanted == BOUND ? got == EINVAL || got == ERANGE :
				      got == wanted;

	if (got && got != EOPNOTSUPP && !w->words) {
		printf("# no words say why\n");
		good = false;
	}
	test_number++;
	printf("%sok %d - refuses %s\n", good ? "" : "not ", test_number, name);
	if (!good) {
		printf("# answered %d (%s), wanted %d (%s)\n", got, strerror(got),
		       wanted, wanted == BOUND ? "EINVAL or ERANGE" : strerror(wanted));
		failures++;
	}
}

static void try_all(struct wire *w, const struct bad *cases, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		start_message(w, w->family, cases[i].cmd, 0);
		for (size_t j = 0; j < ATTRS_MAX && cases[i].attrs[j].type; j++)
			put(w, cases[i].attrs[j].type, cases[i].attrs[j].data,
			    cases[i].attrs[j].len);
		report(w, cases[i].name, exchange(w), cases[i].errnum);
	}
}

#define TRY(w, cases) try_all(w, cases, sizeof(cases) / sizeof((cases)[0]))

static void try_track(struct wire *w, uint32_t disk)
{
	char long_name[BLKFERRY_NAME_MAX + 2];
	struct attr good_fd = { A(DEV_FD), U32(disk) };
	struct attr good_name = { A(NAME), STR("fresh") };
	int directory = open("/", O_RDONLY), null = open("/dev/null", O_RDWR);

	memset(long_name, 'n', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';

	const struct bad cases[] = {
		BAD("track without DEV_FD", TRACK, EINVAL, good_name),
		BAD("track without NAME", TRACK, EINVAL, good_fd),
		BAD("track with nothing", TRACK, EINVAL),
		BAD("a DEV_FD of 2 bytes", TRACK, BOUND, { A(DEV_FD), U16(disk) }, good_name),
		BAD("a DEV_FD of 8 bytes", TRACK, BOUND, { A(DEV_FD), U64(disk) }, good_name),
		BAD("a DEV_FD that is not open", TRACK, EBADF, { A(DEV_FD), U32(9999) }, good_name),
		BAD("a DEV_FD of -1", TRACK, EBADF, { A(DEV_FD), U32(-1) }, good_name),
		BAD("a DEV_FD of a directory", TRACK, ENODEV, { A(DEV_FD), U32(directory) }, good_name),
		BAD("a DEV_FD of a character device", TRACK, ENODEV, { A(DEV_FD), U32(null) }, good_name),
		BAD("an empty NAME", TRACK, EINVAL, good_fd, { A(NAME), STR("") }),
		BAD("a NAME without bytes", TRACK, BOUND, good_fd, { A(NAME), 0, NULL }),
		BAD("a NAME of 64 bytes", TRACK, BOUND, good_fd, { A(NAME), sizeof(long_name), long_name }),
		BAD("a NAME with a slash", TRACK, EINVAL, good_fd, { A(NAME), STR("a/b") }),
		BAD("a NAME with a space", TRACK, EINVAL, good_fd, { A(NAME), STR("a b") }),
		BAD("a NAME with a control character", TRACK, EINVAL, good_fd, { A(NAME), STR("a\n") }),
		BAD("a NAME that is taken", TRACK, EEXIST, good_fd, { A(NAME), STR("base") }),
		BAD("a granularity of 0", TRACK, EINVAL, good_fd, good_name, { A(GRANULARITY), U32(0) }),
		BAD("a granularity of 512", TRACK, EINVAL, good_fd, good_name, { A(GRANULARITY), U32(512) }),
		BAD("a granularity of 5000", TRACK, EINVAL, good_fd, good_name, { A(GRANULARITY), U32(5000) }),
		BAD("a granularity of 128 MiB", TRACK, EINVAL, good_fd, good_name, { A(GRANULARITY), U32(128u << 20) }),
		BAD("a granularity of 2^32-1", TRACK, EINVAL, good_fd, good_name, { A(GRANULARITY), U32(-1) }),
		BAD("a granularity of 2 bytes", TRACK, BOUND, good_fd, good_name, { A(GRANULARITY), U16(4096) }),
		BAD("an ALL_DIRTY that says more", TRACK, BOUND, good_fd, good_name, { A(ALL_DIRTY), U32(1) }),
		BAD("an unknown attribute", TRACK, BOUND, good_fd, good_name, { BLKFERRY_A_MAX + 7, U32(1) }),
		BAD("an attribute of another command", UNTRACK, EINVAL, good_fd),
	};
	TRY(w, cases);
	close(directory);
	close(null);
}

static void try_tracker_id(struct wire *w, uint32_t id)
{
	static const struct {
		uint8_t cmd;
		const char *name;
	} cmds[] = {
		{ BLKFERRY_CMD_UNTRACK, "untrack" }, { BLKFERRY_CMD_GET, "get" },
		{ BLKFERRY_CMD_SET, "set" }, { BLKFERRY_CMD_MARK, "mark" },
		{ BLKFERRY_CMD_PEEK, "peek" },
	};
	struct blkferry_extent one = { 0, 8 };
	/* What else each command wants; no command minds the others' absence. */
	struct attr set = { A(WATERMARK_BYTES), U64(0) };
	struct attr mark = { A(EXTENTS), sizeof(one), &one };
	struct attr peek = { A(FROM_SECTOR), U64(0) };

	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		uint8_t cmd = cmds[i].cmd;
		struct attr more = cmd == BLKFERRY_CMD_SET ? set :
				   cmd == BLKFERRY_CMD_MARK ? mark :
				   cmd == BLKFERRY_CMD_PEEK ? peek :
				   (struct attr){ 0 };
		char name[5][64];

		snprintf(name[0], 64, "%s without TRACKER_ID", cmds[i].name);
		snprintf(name[1], 64, "%s with a TRACKER_ID of 2 bytes", cmds[i].name);
		snprintf(name[2], 64, "%s with a TRACKER_ID of 8 bytes", cmds[i].name);
		snprintf(name[3], 64, "%s of no tracker", cmds[i].name);
		snprintf(name[4], 64, "%s of tracker 2^32-1", cmds[i].name);
		const struct bad cases[] = {
			{ name[0], cmd, EINVAL, { more } },
			{ name[1], cmd, BOUND, { { A(TRACKER_ID), U16(id) }, more } },
			{ name[2], cmd, BOUND, { { A(TRACKER_ID), U64(id) }, more } },
			{ name[3], cmd, ENOENT, { { A(TRACKER_ID), U32(id + 1000) }, more } },
			{ name[4], cmd, ENOENT, { { A(TRACKER_ID), U32(-1) }, more } },
		};
		TRY(w, cases);
	}
}

static void try_set_and_mark(struct wire *w, uint32_t id, uint64_t nr_sectors)
{
	static struct blkferry_extent many[BLKFERRY_MARK_EXTENTS_MAX + 1];
	struct blkferry_extent empty = { 8, 0 }, at_end = { nr_sectors, 8 };
	struct blkferry_extent past = { nr_sectors - 8, 16 };
	struct blkferry_extent wraps = { -8ULL, 16 }, huge = { 0, -1ULL };
	struct blkferry_extent second[2] = { { 0, 8 }, { nr_sectors, 8 } };
	struct attr good_id = { A(TRACKER_ID), U32(id) };

	for (size_t i = 0; i <= BLKFERRY_MARK_EXTENTS_MAX; i++)
		many[i].nr_sectors = 8;

	const struct bad cases[] = {
		BAD("set without WATERMARK_BYTES", SET, EINVAL, good_id),
		BAD("a WATERMARK_BYTES of 4 bytes", SET, BOUND, good_id, { A(WATERMARK_BYTES), U32(1) }),
		BAD("a WATERMARK_BYTES of 12 bytes", SET, BOUND, good_id, { A(WATERMARK_BYTES), 12, many }),
		BAD("mark without EXTENTS", MARK, EINVAL, good_id),
		BAD("EXTENTS without bytes", MARK, BOUND, good_id, { A(EXTENTS), 0, NULL }),
		BAD("EXTENTS of 15 bytes", MARK, BOUND, good_id, { A(EXTENTS), 15, many }),
		BAD("EXTENTS of 24 bytes", MARK, BOUND, good_id, { A(EXTENTS), 24, many }),
		BAD("1025 extents", MARK, BOUND, good_id, { A(EXTENTS), sizeof(many), many }),
		BAD("an empty extent", MARK, ERANGE, good_id, { A(EXTENTS), 16, &empty }),
		BAD("an extent behind the end", MARK, ERANGE, good_id, { A(EXTENTS), 16, &at_end }),
		BAD("an extent over the end", MARK, ERANGE, good_id, { A(EXTENTS), 16, &past }),
		BAD("an extent that wraps around", MARK, ERANGE, good_id, { A(EXTENTS), 16, &wraps }),
		BAD("an extent of 2^64-1 sectors", MARK, ERANGE, good_id, { A(EXTENTS), 16, &huge }),
		BAD("a bad extent behind a good one", MARK, ERANGE, good_id, { A(EXTENTS), 32, second }),
		BAD("peek without FROM_SECTOR", PEEK, EINVAL, good_id),
		BAD("a FROM_SECTOR of 4 bytes", PEEK, BOUND, good_id, { A(FROM_SECTOR), U32(0) }),
		BAD("peek from within a block", PEEK, EINVAL, good_id, { A(FROM_SECTOR), U64(3) }),
		BAD("peek from behind the end", PEEK, EINVAL, good_id, { A(FROM_SECTOR), U64(nr_sectors + 8) }),
		BAD("peek from 2^64-8", PEEK, EINVAL, good_id, { A(FROM_SECTOR), U64(-8ULL) }),
	};
	TRY(w, cases);
}

static void try_list(struct wire *w, const char *name, int errnum,
		     const char *list, size_t len)
{
	start_message(w, w->family, BLKFERRY_CMD_BEGIN, 0);
	put(w, A(BEGIN_LIST) | NLA_F_NESTED, list, len);
	report(w, name, exchange(w), errnum);
}

/* An entry whose numbers have other sizes than the contract's. */
static size_t odd_entry(char *at, uint64_t id, uint16_t id_len, uint64_t fd,
			uint16_t fd_len)
{
	char inner[64];
	size_t len = put_attr(inner, A(TRACKER_ID), &id, id_len);

	len += put_attr(inner + len, A(DEV_FD), &fd, fd_len);
	return put_attr(at, A(BEGIN_ENTRY) | NLA_F_NESTED, inner, len);
}

static void try_begin(struct wire *w, uint32_t id, uint32_t disk, uint32_t other)
{
	static char list[MESSAGE_MAX - 256];
	size_t len = 0;

	start_message(w, w->family, BLKFERRY_CMD_BEGIN, 0);
	report(w, "begin without BEGIN_LIST", exchange(w), EINVAL);
	try_list(w, "an empty BEGIN_LIST", EINVAL, list, 0);
	try_list(w, "an entry without TRACKER_ID", EINVAL, list, entry(list, -1, disk));
	try_list(w, "an entry without DEV_FD", EINVAL, list, entry(list, id, -1));
	try_list(w, "an empty entry", EINVAL, list, entry(list, -1, -1));
	try_list(w, "an entry's TRACKER_ID of 8 bytes", BOUND, list,
		 odd_entry(list, id, 8, disk, 4));
	try_list(w, "an entry's DEV_FD of 2 bytes", BOUND, list,
		 odd_entry(list, id, 4, disk, 2));
	try_list(w, "begin of no tracker", ENOENT, list, entry(list, id + 1000, disk));
	try_list(w, "begin with a DEV_FD that is not open", EBADF, list, entry(list, id, 9999));
	try_list(w, "begin with another disk's DEV_FD", ENODEV, list, entry(list, id, other));
	len = entry(list, id, disk);
	len += entry(list + len, id, disk);
	try_list(w, "begin of one tracker twice", EINVAL, list, len);
	len = entry(list, id, disk);
	len += entry(list + len, id + 1000, disk);
	try_list(w, "begin of a tracker and of none", ENOENT, list, len);
	for (len = 0; len < (BLKFERRY_BEGIN_MAX + 1) * 20;)
		len += entry(list + len, id, disk);
	try_list(w, "one entry too many", EINVAL, list, len);
	len = put_attr(list, A(NAME), "garbage", 8);
	try_list(w, "a list of something else", EINVAL, list, len);
	memset(list, 0xff, 64);
	try_list(w, "a list of noise", EINVAL, list, 64);
}

static void try_drain(struct wire *w, uint32_t fd, uint64_t generation,
		      uint64_t nr_sectors)
{
	struct attr good_fd = { A(DRAIN_FD), U32(fd) };
	struct attr good_gen = { A(GENERATION), U64(generation) };
	struct attr from = { A(FROM_SECTOR), U64(0) };
	struct attr through = { A(THROUGH_SECTOR), U64(8) };
	struct attr all = { A(THROUGH_SECTOR), U64(nr_sectors) };
	char reason[64];
	size_t len = put_attr(reason, A(REASON_RAISED), &(uint64_t){ 1 }, 8);

	const struct bad cases[] = {
		BAD("walk without DRAIN_FD", WALK, EINVAL, good_gen, from),
		BAD("walk without GENERATION", WALK, EINVAL, good_fd, from),
		BAD("walk without FROM_SECTOR", WALK, EINVAL, good_fd, good_gen),
		BAD("walk with a DRAIN_FD of 2 bytes", WALK, BOUND, { A(DRAIN_FD), U16(fd) }, good_gen, from),
		BAD("walk with a GENERATION of 4 bytes", WALK, BOUND, good_fd, { A(GENERATION), U32(generation) }, from),
		BAD("walk with a FROM_SECTOR of 4 bytes", WALK, BOUND, good_fd, good_gen, { A(FROM_SECTOR), U32(0) }),
		BAD("walk with a DRAIN_FD that is none", WALK, EBADF, { A(DRAIN_FD), U32(1) }, good_gen, from),
		BAD("walk with a DRAIN_FD that is not open", WALK, EBADF, { A(DRAIN_FD), U32(9999) }, good_gen, from),
		BAD("walk of the generation before", WALK, ESTALE, good_fd, { A(GENERATION), U64(generation - 1) }, from),
		BAD("walk of the generation to come", WALK, ESTALE, good_fd, { A(GENERATION), U64(generation + 1) }, from),
		BAD("walk from within a block", WALK, EINVAL, good_fd, good_gen, { A(FROM_SECTOR), U64(1) }),
		BAD("walk from behind the end", WALK, EINVAL, good_fd, good_gen, { A(FROM_SECTOR), U64(nr_sectors + 8) }),
		BAD("walk from 2^64-8", WALK, EINVAL, good_fd, good_gen, { A(FROM_SECTOR), U64(-8ULL) }),
		BAD("commit without DRAIN_FD", COMMIT, EINVAL, good_gen, through),
		BAD("commit without GENERATION", COMMIT, EINVAL, good_fd, through),
		BAD("commit without THROUGH_SECTOR", COMMIT, EINVAL, good_fd, good_gen),
		BAD("commit with a DRAIN_FD of 8 bytes", COMMIT, BOUND, { A(DRAIN_FD), U64(fd) }, good_gen, through),
		BAD("commit with a GENERATION of 4 bytes", COMMIT, BOUND, good_fd, { A(GENERATION), U32(generation) }, through),
		BAD("commit with a THROUGH_SECTOR of 4 bytes", COMMIT, BOUND, good_fd, good_gen, { A(THROUGH_SECTOR), U32(8) }),
		BAD("commit with a DRAIN_FD that is none", COMMIT, EBADF, { A(DRAIN_FD), U32(0) }, good_gen, through),
		BAD("commit of another generation", COMMIT, ESTALE, good_fd, { A(GENERATION), U64(generation + 1) }, through),
		BAD("commit through the middle of a block", COMMIT, EINVAL, good_fd, good_gen, { A(THROUGH_SECTOR), U64(9) }),
		BAD("commit through more than there is", COMMIT, EINVAL, good_fd, good_gen, { A(THROUGH_SECTOR), U64(nr_sectors + 8) }),
		BAD("a commit of reasons that is not final", COMMIT, EINVAL, good_fd, good_gen, through, { A(REASONS) | NLA_F_NESTED, 0, NULL }),
		BAD("a final commit that stops early", COMMIT, EINVAL, good_fd, good_gen, through, { A(NR_BLOCKS), U64(0) }),
		BAD("a final commit of another count", COMMIT, EBADMSG, good_fd, good_gen, all, { A(NR_BLOCKS), U64(12345) }),
		BAD("an NR_BLOCKS of 4 bytes", COMMIT, BOUND, good_fd, good_gen, all, { A(NR_BLOCKS), U32(0) }),
		BAD("a final commit with broken reasons", COMMIT, BOUND, good_fd, good_gen, all, { A(NR_BLOCKS), U64(0) }, { A(REASONS) | NLA_F_NESTED, len, reason }),
		BAD("abort without DRAIN_FD", ABORT, EINVAL, good_gen),
		BAD("abort without GENERATION", ABORT, EINVAL, good_fd),
		BAD("abort with a DRAIN_FD of 2 bytes", ABORT, BOUND, { A(DRAIN_FD), U16(fd) }, good_gen),
		BAD("abort with a GENERATION of 4 bytes", ABORT, BOUND, good_fd, { A(GENERATION), U32(generation) }),
		BAD("abort of another generation", ABORT, ESTALE, good_fd, { A(GENERATION), U64(generation + 1) }),
		BAD("abort with a DRAIN_FD that is none", ABORT, EBADF, { A(DRAIN_FD), U32(2) }, good_gen),
		BAD("an event from below", EVENT, EOPNOTSUPP, good_fd),
	};
	TRY(w, cases);
	start_message(w, w->family, 200, 0);
	report(w, "command 200", exchange(w), EOPNOTSUPP);
}

/* --- all ---------------------------------------------------------------------- */

static uint32_t track(struct wire *w, uint32_t disk, uint64_t *nr_sectors)
{
	uint32_t id;

	start_message(w, w->family, BLKFERRY_CMD_TRACK, 0);
	put(w, A(DEV_FD), &disk, 4);
	put(w, A(NAME), "base", 5);
	id = *(const uint32_t *)must(w, A(TRACKER_ID), "track");
	start_message(w, w->family, BLKFERRY_CMD_GET, 0);
	put(w, A(TRACKER_ID), &id, 4);
	memcpy(nr_sectors, must(w, A(NR_SECTORS), "get"), 8);
	return id;
}

/* Still sound after all that: begins, and has no block dirty. */
static uint32_t begin(struct wire *w, uint32_t id, uint32_t disk, uint64_t *generation)
{
	char list[64];
	uint64_t nr_blocks;
	size_t len = entry(list, id, disk);
	uint32_t fd;

	start_message(w, w->family, BLKFERRY_CMD_BEGIN, 0);
	put(w, A(BEGIN_LIST) | NLA_F_NESTED, list, len);
	fd = *(const uint32_t *)must(w, A(DRAIN_FD), "begin");
	memcpy(generation, find_attr(w->in + NLMSG_HDRLEN + GENL_HDRLEN,
				     512, A(GENERATION)), 8);
	memcpy(&nr_blocks, find_attr(w->in + NLMSG_HDRLEN + GENL_HDRLEN,
				     512, A(NR_BLOCKS)), 8);
	test_number++;
	printf("%sok %d - a refused message marks nothing\n", nr_blocks ? "not " : "",
	       test_number);
	failures += nr_blocks != 0;
	return fd;
}

static int call(void)
{
	static struct wire w;
	int errnum;

	open_wire(&w);
	start_message(&w, w.family, BLKFERRY_CMD_GET, NLM_F_DUMP);
	errnum = exchange(&w);
	printf("%s\n", errnum ? strerrorname_np(errnum) : "answered");
	return errnum ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct wire w;
	uint64_t nr_sectors, generation;
	uint32_t disk, other, id, fd;

	if (argc == 2 && !strcmp(argv[1], "call"))
		return call();
	if (argc != 3) {
		fprintf(stderr, "usage: bad_input DISK OTHER | call\n");
		return 2;
	}
	disk = open(argv[1], O_RDONLY);
	other = open(argv[2], O_RDONLY);
	open_wire(&w);
	id = track(&w, disk, &nr_sectors);
	try_track(&w, disk);
	try_tracker_id(&w, id);
	try_set_and_mark(&w, id, nr_sectors);
	try_begin(&w, id, disk, other);
	fd = begin(&w, id, disk, &generation);
	try_drain(&w, fd, generation, nr_sectors);
	close(fd);
	start_message(&w, w.family, BLKFERRY_CMD_UNTRACK, 0);
	put(&w, A(TRACKER_ID), &id, 4);
	test_number++;
	printf("%sok %d - the tracker can still be deleted\n",
	       exchange(&w) ? "not " : "", test_number);
	printf("1..%d\n", test_number);
	return failures ? 1 : 0;
}
