/* SPDX-License-Identifier: Apache-2.0 */
/* BUILD: -static */
/*
 * Judges acknowledgements by what a power cut would leave. In: the log of a
 * dm-log-writes device, the ledger of acked_source. The log is replayed onto a
 * blank image as a disk with a volatile cache would keep it: a write counts
 * once a flush behind it is in the log, or at once with FUA; a discard promises
 * no content. Every sector that an acknowledgement covers must then hold the
 * newest write that it covers, or a later one that had been sent. Out: figures;
 * status 1 on a violation, 2 if the log or ledger is not whole.
 *
 * The log (Documentation/admin-guide/device-mapper/log-writes.rst, WRITE_LOG_*
 * in the driver): sectors of the superblock's size; in the first the
 * superblock, then for each entry one sector that begins with its head and as
 * many as it says of data. A discard has none; a mark's text follows its head.
 */
#include <fcntl.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tests/vm/acked.h"
#include "lib/cleanup.h"

#define LOG_MAGIC 0x6a736677736872ull
#define LOG_VERSION 1
#define LOG_SECTOR_MAX 65536

#define ENTRY_FLUSH (1u << 0)
#define ENTRY_FUA (1u << 1)
#define ENTRY_DISCARD (1u << 2)
#define ENTRY_MARK (1u << 3)

#define MARK_BYTES 64
#define DISCARDED 0xdb
#define SHOWN_MAX 10			/* violations that are described */

struct log_super {
	uint64_t magic, version, nr_entries;
	uint32_t sector_bytes;
};

struct log_entry {
	uint64_t sector, nr_sectors, flags, data_bytes;
};

struct log {
	const uint8_t *map;
	uint64_t bytes, nr_entries;
	uint32_t sector_bytes;
	/* The next one to read. */
	uint64_t at_bytes, index;
};

struct entry {
	uint64_t index, flags, offset_bytes, bytes;
	const uint8_t *data;		/* NULL: a discard */
	char mark[MARK_BYTES];
};

struct replay {
	uint8_t *image;
	uint64_t bytes;
	bool *proven;			/* of the ledger, or NULL */
	struct entry *cached;		/* written, not flushed */
	size_t nr_cached, room;
	bool ignore_flush;
	uint64_t writes, written_bytes, flushes, fua, discards, marks;
};

struct sent_write {
	uint64_t first, end;		/* sectors */
	bool zero;
};

struct promise {
	uint64_t covers, generation, through;
	uint64_t sent;			/* when it was acknowledged */
};

struct ledger {
	uint64_t seed, bytes;
	struct sent_write *writes;	/* [seq] */
	struct promise *promises;	/* [n] */
	uint64_t nr_writes, nr_promises, nr_acks;
	/* By sector: the newest write that is covered up to now, and whether
	 * the sector was right since it or its image changed last. */
	uint64_t *newest, covers;
	bool *proven;
};

static bool bad(const char *what)
{
	fprintf(stderr, "log_judge: %s\n", what);
	return false;
}

static int damaged(const char *what)
{
	bad(what);
	return -1;
}

static bool grow(void **array, size_t *room, size_t nr, size_t bytes)
{
	size_t more = *room ? 2 * *room : 1024;
	void *grown;

	if (nr < *room)
		return true;
	grown = reallocarray(*array, more, bytes);
	if (!grown)
		return bad("no memory");
	memset((uint8_t *)grown + *room * bytes, 0, (more - *room) * bytes);
	*array = grown;
	*room = more;
	return true;
}

/* --- the log -------------------------------------------------------------------- */

static bool open_log(const char *path, struct log *log)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct log_super super;
	off_t end;
	void *map;

	if (fd < 0)
		return bad("cannot open the log");
	end = lseek(fd, 0, SEEK_END);
	map = end < LOG_SECTOR_MAX ? MAP_FAILED :
	      mmap(NULL, (size_t)end, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return bad("cannot read the log");
	memcpy(&super, map, sizeof(super));
	*log = (struct log){
		.map = map, .bytes = (uint64_t)end,
		.nr_entries = le64toh(super.nr_entries),
		.sector_bytes = le32toh(super.sector_bytes),
		.at_bytes = le32toh(super.sector_bytes),
	};
	if (le64toh(super.magic) != LOG_MAGIC ||
	    le64toh(super.version) != LOG_VERSION ||
	    log->sector_bytes < SECTOR_BYTES || log->sector_bytes > LOG_SECTOR_MAX)
		return bad("this is no log of dm-log-writes");
	return true;
}

static bool take_mark(const struct log_entry *head, const uint8_t *text,
		      uint32_t sector_bytes, struct entry *e)
{
	uint64_t bytes = le64toh(head->data_bytes);

	if (bytes >= MARK_BYTES || bytes > sector_bytes - sizeof(*head))
		return bad("a mark is too long");
	memcpy(e->mark, text, bytes);
	e->mark[bytes] = '\0';
	return true;
}

/* Return: 1 with the next entry, 0 at the end, -1 if the log is damaged. */
static int next_entry(struct log *log, struct entry *e)
{
	const uint8_t *at = log->map + log->at_bytes;
	uint64_t left = log->bytes - log->at_bytes, sectors;
	struct log_entry head;
	bool data;

	if (log->index == log->nr_entries)
		return 0;
	if (left < log->sector_bytes)
		return damaged("the log ends early");
	memcpy(&head, at, sizeof(head));
	sectors = le64toh(head.nr_sectors);
	*e = (struct entry){
		.index = log->index++,
		.flags = le64toh(head.flags),
		.offset_bytes = le64toh(head.sector) * log->sector_bytes,
		.bytes = sectors * log->sector_bytes,
	};
	left -= log->sector_bytes;
	log->at_bytes += log->sector_bytes;
	if (e->flags & ENTRY_MARK)
		return take_mark(&head, at + sizeof(head), log->sector_bytes, e) ? 1 : -1;
	data = !(e->flags & ENTRY_DISCARD);
	if (data && sectors > left / log->sector_bytes)
		return damaged("an entry's data is beyond the log's end");
	if (data) {
		e->data = at + log->sector_bytes;
		log->at_bytes += e->bytes;
	}
	return 1;
}

/* --- replay --------------------------------------------------------------------- */

static bool new_replay(struct replay *r, uint64_t bytes, bool *proven,
		       bool ignore_flush)
{
	*r = (struct replay){
		.image = calloc(1, bytes), .bytes = bytes, .proven = proven,
		.ignore_flush = ignore_flush,
	};
	return r->image || bad("no memory");
}

static bool apply(struct replay *r, const struct entry *e)
{
	if (e->bytes > r->bytes || e->offset_bytes > r->bytes - e->bytes)
		return bad("a write beyond the image's end");
	if (e->data)
		memcpy(r->image + e->offset_bytes, e->data, e->bytes);
	else
		memset(r->image + e->offset_bytes, DISCARDED, e->bytes);
	if (r->proven)
		memset(r->proven + e->offset_bytes / SECTOR_BYTES, false,
		       e->bytes / SECTOR_BYTES);
	return true;
}

static bool apply_cached(struct replay *r)
{
	for (size_t i = 0; i < r->nr_cached; i++)
		if (!apply(r, &r->cached[i]))
			return false;
	r->nr_cached = 0;
	return true;
}

static void count(struct replay *r, const struct entry *e)
{
	r->marks += !!(e->flags & ENTRY_MARK);
	r->flushes += !!(e->flags & ENTRY_FLUSH);
	r->discards += !!(e->flags & ENTRY_DISCARD);
	r->fua += !!(e->flags & ENTRY_FUA);
	r->writes += e->data && e->bytes;
	r->written_bytes += e->data ? e->bytes : 0;
}

static bool replay(struct replay *r, const struct entry *e)
{
	count(r, e);
	if (e->flags & ENTRY_MARK)
		return true;
	if ((e->flags & ENTRY_FLUSH) && !r->ignore_flush && !apply_cached(r))
		return false;
	if (!e->bytes)
		return true;
	if (e->flags & ENTRY_FUA)
		return apply(r, e);
	if (!grow((void **)&r->cached, &r->room, r->nr_cached, sizeof(*e)))
		return false;
	r->cached[r->nr_cached++] = *e;
	return true;
}

/* --- the ledger ------------------------------------------------------------------- */

static bool add_write(struct ledger *l, size_t *room, uint64_t seq,
		      uint64_t offset, uint64_t length, bool zero)
{
	if (seq != l->nr_writes + 1 || offset > l->bytes ||
	    length > l->bytes - offset ||
	    !grow((void **)&l->writes, room, seq, sizeof(*l->writes)))
		return bad("a write in the ledger is wrong");
	l->writes[++l->nr_writes] = (struct sent_write){
		.first = offset / SECTOR_BYTES,
		.end = (offset + length) / SECTOR_BYTES,
		.zero = zero,
	};
	return true;
}

static bool add_promise(struct ledger *l, size_t *room, uint64_t n,
			const struct promise *p)
{
	if (n != l->nr_promises + 1 || p->covers != l->nr_writes ||
	    !grow((void **)&l->promises, room, n, sizeof(*l->promises)))
		return bad("a barrier in the ledger is wrong");
	l->promises[++l->nr_promises] = *p;
	return true;
}

static bool add_ack(struct ledger *l, uint64_t n, uint64_t sent)
{
	if (n != l->nr_acks + 1 || n > l->nr_promises || sent != l->nr_writes)
		return bad("an acknowledgement in the ledger is wrong");
	l->promises[++l->nr_acks].sent = sent;
	return true;
}

static bool add_line(struct ledger *l, const char *line, size_t rooms[2])
{
	struct promise p = { 0 };
	uint64_t n, offset, length;
	char kind[8];

	if (sscanf(line, "write %" SCNu64 " %" SCNu64 " %" SCNu64 " %7s", &n,
		   &offset, &length, kind) == 4)
		return add_write(l, &rooms[0], n, offset, length, kind[0] == 'z');
	if (sscanf(line, "barrier %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &n, &p.covers, &p.generation, &p.through) == 4)
		return add_promise(l, &rooms[1], n, &p);
	if (sscanf(line, "ack %" SCNu64 " %" SCNu64, &n, &p.sent) == 2)
		return add_ack(l, n, p.sent);
	if (sscanf(line, "seed %" SCNu64, &l->seed) == 1 ||
	    sscanf(line, "bytes %" SCNu64, &l->bytes) == 1)
		return true;
	return bad("the ledger has a line that nobody knows");
}

static bool load_ledger(const char *path, struct ledger *l)
{
	_cleanup_fclose_ FILE *file = fopen(path, "r");
	size_t rooms[2] = { 0 };
	char line[256];

	*l = (struct ledger){ 0 };
	if (!file)
		return bad("cannot open the ledger");
	while (fgets(line, sizeof(line), file))
		if (!add_line(l, line, rooms))
			return false;
	l->newest = calloc(l->bytes / SECTOR_BYTES + 1, sizeof(*l->newest));
	l->proven = calloc(l->bytes / SECTOR_BYTES + 1, sizeof(*l->proven));
	if (!l->newest || !l->proven || !l->nr_acks)
		return bad("nothing was acknowledged");
	return true;
}

static void cover(struct ledger *l, uint64_t covers)
{
	while (l->covers < covers) {
		const struct sent_write *w = &l->writes[++l->covers];

		for (uint64_t i = w->first; i < w->end; i++) {
			l->newest[i] = l->covers;
			l->proven[i] = false;
		}
	}
}

/* --- judgement -------------------------------------------------------------------- */

static bool touches(const struct sent_write *w, uint64_t sector)
{
	return sector >= w->first && sector < w->end;
}

static bool is_zero(const uint8_t *content)
{
	static const uint8_t zero[SECTOR_BYTES];

	return !memcmp(content, zero, SECTOR_BYTES);
}

/* As the newest covered write left it, or a later one up to @sent. */
static bool holds(const struct ledger *l, uint64_t sector, const uint8_t *content,
		  uint64_t sent)
{
	uint64_t newest = l->newest[sector];

	if (!is_zero(content)) {
		uint64_t seq = acked_seq(content, l->seed, sector);

		return seq && seq >= newest && seq <= sent &&
		       !l->writes[seq].zero && touches(&l->writes[seq], sector);
	}
	if (!newest || l->writes[newest].zero)
		return true;
	for (uint64_t seq = l->covers + 1; seq <= sent; seq++)
		if (l->writes[seq].zero && touches(&l->writes[seq], sector))
			return true;
	return false;
}

static void describe(const struct ledger *l, uint64_t n, uint64_t sector,
		     const uint8_t *content)
{
	uint64_t seq = acked_seq(content, l->seed, sector);

	printf("after %" PRIu64 ": sector %" PRIu64 " holds %s %" PRIu64 ", covered is %s %" PRIu64 "\n",
	       n, sector, is_zero(content) ? "zeroes, write" : seq ? "write" :
	       "what nobody sent, write", seq,
	       l->writes[l->newest[sector]].zero ? "the zero write" : "write",
	       l->newest[sector]);
}

/* Return: sectors that break promise @n; the first of all are described. */
static uint64_t judge_promise(struct ledger *l, uint64_t n, uint64_t sent,
			      const uint8_t *image, uint64_t *shown)
{
	uint64_t violations = 0;

	cover(l, l->promises[n].covers);
	for (uint64_t i = 0; i < l->bytes / SECTOR_BYTES; i++) {
		const uint8_t *content = image + i * SECTOR_BYTES;

		if (!l->proven[i])
			l->proven[i] = holds(l, i, content, sent);
		if (l->proven[i])
			continue;
		violations++;
		if ((*shown)++ < SHOWN_MAX)
			describe(l, n, i, content);
	}
	return violations;
}

struct verdict {
	uint64_t judged, broken, violations, shown;
	bool ended;
};

/* @word: which marks are taken for acknowledgements. */
static bool judge_mark(struct ledger *l, const struct replay *r, const char *mark,
		       const char *word, struct verdict *v)
{
	size_t length = strlen(word);
	uint64_t n, found;

	if (!strcmp(mark, "dm-log-writes-end"))
		v->ended = true;
	if (strncmp(mark, word, length) || mark[length] != '-')
		return true;
	n = strtoull(mark + length + 1, NULL, 10);
	if (n != v->judged + 1 || n > l->nr_acks)
		return bad("a mark is missing in the log");
	found = judge_promise(l, n, strcmp(word, "ack") ? l->promises[n].covers :
			      l->promises[n].sent, r->image, &v->shown);
	v->judged++;
	v->broken += found != 0;
	v->violations += found;
	return true;
}

static int judge(const char *log_path, const char *ledger_path, const char *word,
		 bool ignore_flush)
{
	struct verdict v = { 0 };
	struct ledger l;
	struct replay r;
	struct entry e;
	struct log log;
	int ret;

	if (!open_log(log_path, &log) || !load_ledger(ledger_path, &l) ||
	    !new_replay(&r, l.bytes, l.proven, ignore_flush))
		return 2;
	while ((ret = next_entry(&log, &e)) > 0)
		if (!replay(&r, &e) || !judge_mark(&l, &r, e.mark, word, &v))
			return 2;
	if (!v.ended || v.judged != l.nr_acks)
		ret = damaged("the log does not reach its end, or lacks acknowledgements");
	printf("entries=%" PRIu64 " writes=%" PRIu64 " bytes=%" PRIu64 " flushes=%" PRIu64 " fua=%" PRIu64 " discards=%" PRIu64 " marks=%" PRIu64 "\n",
	       log.nr_entries, r.writes, r.written_bytes, r.flushes, r.fua,
	       r.discards, r.marks);
	printf("judged=%" PRIu64 " broken=%" PRIu64 " violations=%" PRIu64 "\n",
	       v.judged, v.broken, v.violations);
	return ret < 0 ? 2 : v.broken != 0;
}

/* --- the rest of the tools --------------------------------------------------------- */

static int points(const char *log_path)
{
	struct entry e;
	struct log log;
	int ret;

	if (!open_log(log_path, &log))
		return 2;
	while ((ret = next_entry(&log, &e)) > 0) {
		if (e.flags & ENTRY_MARK)
			printf("%" PRIu64 " %s\n", e.index, e.mark);
		else if (e.flags & (ENTRY_FLUSH | ENTRY_FUA))
			printf("%" PRIu64 " %s\n", e.index,
			       e.flags & ENTRY_FLUSH ? "flush" : "fua");
	}
	return ret ? 2 : 0;
}

static bool write_image(const char *path, const uint8_t *image, uint64_t bytes)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	for (uint64_t at = 0; fd >= 0 && at < bytes;) {
		ssize_t put = pwrite(fd, image + at, bytes - at, (off_t)at);

		if (put <= 0)
			return bad("cannot write the image");
		at += (uint64_t)put;
	}
	return (fd >= 0 && !fsync(fd)) || bad("cannot write the image");
}

/* What a power cut behind entry @last leaves; "all": nothing is lost. */
static int image(const char *log_path, const char *last, uint64_t bytes,
		 const char *out)
{
	bool all = !strcmp(last, "all");
	uint64_t end = all ? UINT64_MAX : strtoull(last, NULL, 10);
	struct replay r;
	struct entry e;
	struct log log;
	int ret;

	if (!open_log(log_path, &log) || !new_replay(&r, bytes, NULL, false))
		return 2;
	while ((ret = next_entry(&log, &e)) > 0 && e.index <= end)
		if (!replay(&r, &e))
			return 2;
	if (ret < 0 || (all && !apply_cached(&r)))
		return 2;
	return write_image(out, r.image, bytes) ? 0 : 2;
}

/* @disk must hold what a record covers that says @generation, @through. */
static int check(const char *ledger_path, const char *disk, uint64_t generation,
		 uint64_t through, uint64_t least)
{
	_cleanup_close_ int fd = open(disk, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ uint8_t *content = NULL;
	uint64_t n, violations, shown = 0;
	struct ledger l;

	if (!load_ledger(ledger_path, &l))
		return 2;
	for (n = l.nr_promises; n; n--)
		if (l.promises[n].generation < generation ||
		    (l.promises[n].generation == generation &&
		     l.promises[n].through <= through))
			break;
	content = malloc(l.bytes);
	if (fd < 0 || !content ||
	    pread(fd, content, l.bytes, 0) != (ssize_t)l.bytes) {
		bad("cannot read the disk");
		return 2;
	}
	violations = judge_promise(&l, n, l.nr_writes, content, &shown);
	printf("recorded=%" PRIu64 " least=%" PRIu64 " violations=%" PRIu64 "\n",
	       n, least, violations);
	return violations || n < least;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc >= 5 && !strcmp(what, "judge"))
		return judge(argv[2], argv[3], argv[4],
			     argc > 5 && !strcmp(argv[5], "--ignore-flush"));
	if (argc == 3 && !strcmp(what, "points"))
		return points(argv[2]);
	if (argc == 6 && !strcmp(what, "image"))
		return image(argv[2], argv[3], strtoull(argv[4], NULL, 0), argv[5]);
	if (argc == 7 && !strcmp(what, "check"))
		return check(argv[2], argv[3], strtoull(argv[4], NULL, 0),
			     strtoull(argv[5], NULL, 0), strtoull(argv[6], NULL, 0));
	fprintf(stderr,
		"log_judge judge LOG LEDGER ack|barrier [--ignore-flush]\n"
		"log_judge points LOG\n"
		"log_judge image LOG ENTRY|all BYTES OUT\n"
		"log_judge check LEDGER DISK GENERATION THROUGH LEAST\n");
	return 2;
}
