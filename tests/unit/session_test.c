// SPDX-License-Identifier: Apache-2.0
/*
 * Sessions of the receiver. Policy: what was acknowledged is on the target and
 * in the record; an older session writes nothing once a newer one has claimed;
 * only a complete and flushed copy cuts over, and that is final.
 */
#include <poll.h>
#include <sys/file.h>

#include "session_fixture.h"
#include "target/receiver.h"

/* --- the whole line ----------------------------------------------------------- */

static void two_disks_from_copy_to_cutover(void)
{
	uint8_t cookies[2][16], zero[16] = { 0 };
	struct wire_opened opened;
	struct peer *p;

	fresh();
	p = introduced("web");
	check_eq(p->welcome.state, WIRE_JOB_NEW);
	check_eq(p->welcome.last_epoch, 0);
	check_eq(peer_open(p, "a", SIZE, 0, 1, &opened), 0);
	check(!memcmp(opened.cookie, zero, 16) && !opened.flags);
	check_eq(opened.size_bytes, SIZE);
	check_eq(peer_open(p, "b", SIZE, 0, 2, &opened), 0);
	check_eq(peer_claim(p, 1, WIRE_CLAIM_RESTART, cookies), 0);
	check(memcmp(cookies[0], zero, 16) && memcmp(cookies[0], cookies[1], 16));
	for (uint16_t disk = 0; disk < 2; disk++) {
		check_eq(peer_begin(p, disk, 1, WIRE_PASS_FULL), 0);
		check_eq(peer_extent(p, disk, 1, 0, MIB, blocks, 3), 0);
		check_eq(peer_extent(p, disk, 1, MIB, 7 * MIB, NULL, 0), 0);
		check_eq(peer_finish(p, disk, 1, SIZE, true), 0);
	}
	check_eq(peer_begin(p, 1, 2, WIRE_PASS_LAST), 0);
	check_eq(peer_extent(p, 1, 2, 4 * MIB, 4096, blocks, 0), 0);
	check_eq(peer_finish(p, 1, 2, SIZE, false), 0);
	check_eq(peer_cutover(p, 1), 0);
	memset(model, 0, SIZE);
	memcpy(model, blocks, MIB);
	read_target(0, SIZE);
	check(!memcmp(model, content, SIZE));
	memcpy(model + 4 * MIB, blocks, 4096);
	read_target(1, SIZE);
	check(!memcmp(model, content, SIZE));
	check_eq(peer_digest(p, 1, 0, SIZE, 65536, model), 0);
	done();
}

/* Deltas over deltas: the target must be what the last of each block was. */
static void passes_overwrite_passes(void)
{
	struct wire_extent extents[64];
	struct peer *p;

	fresh();
	p = writer("web", 1, WIRE_CLAIM_RESTART);
	full_copy(p, 1);
	memcpy(model, blocks, SIZE);
	for (uint64_t pass = 2; pass < 12; pass++) {
		check_eq(peer_begin(p, 0, pass, WIRE_PASS_DELTA), 0);
		for (int frame = 0; frame < 8; frame++) {
			uint64_t at = (uint64_t)frame * MIB;
			size_t raw = 0;
			int nr = 0, nr_data;

			for (; nr < 64 && at < (frame + 1) * MIB; nr++) {
				uint64_t left = (frame + 1) * MIB - at;
				uint64_t bytes = 512 * (1 + draw(64));

				if (bytes > left)
					bytes = left;
				extents[nr] = (struct wire_extent){ at, bytes };
				at += bytes + 512 * draw(32);
			}
			nr_data = nr / 2;
			for (int i = 0; i < nr; i++) {
				uint64_t n = extents[i].length_bytes;
				uint8_t *to = model + extents[i].offset_bytes;

				for (uint64_t b = 0; b < n && i < nr_data; b++)
					content[raw++] = to[b] =
						(uint8_t)(pass * 7 + b / 512);
				if (i >= nr_data)
					memset(to, 0, n);
			}
			check_eq(peer_data(p, 0, &(struct peer_data){
				.generation = pass, .extents = extents,
				.nr_data = (uint16_t)nr_data,
				.nr_zero = (uint16_t)(nr - nr_data),
				.blocks = content, .level = (int)(pass % 3) }), 0);
		}
		check_eq(peer_finish(p, 0, pass, SIZE, false), 0);
	}
	check_eq(peer_digest(p, 0, 0, SIZE, 4096, model), 0);
	read_target(0, SIZE);
	check(!memcmp(model, content, SIZE));
	done();
}

/* More in flight than there are buffers and writes. */
static void many_small_extents(void)
{
	static struct wire_extent extents[WIRE_EXTENTS_MAX];
	struct peer *p;

	fresh();
	p = writer("web", 1, WIRE_CLAIM_RESTART);
	check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
	for (uint64_t frame = 0; frame < SIZE / (WIRE_EXTENTS_MAX * 1024); frame++) {
		uint64_t base = frame * WIRE_EXTENTS_MAX * 1024;

		for (uint64_t i = 0; i < WIRE_EXTENTS_MAX; i++)
			extents[i] = (struct wire_extent){ base + i * 1024, 512 };
		check_eq(peer_data(p, 0, &(struct peer_data){ .generation = 1,
			.extents = extents, .nr_data = WIRE_EXTENTS_MAX,
			.blocks = blocks + base / 2 }), 0);
	}
	check_eq(peer_finish(p, 0, 1, SIZE, true), 0);
	read_target(0, SIZE);
	for (uint64_t i = 0; i < SIZE / 1024; i++) {
		static const uint8_t zero[512];

		check(!memcmp(content + i * 1024, blocks + i * 512, 512));
		check(!memcmp(content + i * 1024 + 512, zero, 512));
	}
	done();
}

static void the_tail_of_an_odd_size(void)
{
	const uint64_t size = SIZE - 512;
	struct peer *p;

	fresh();
	memset(content, 0xee, size);
	write_target(2, 0, content, size);
	p = introduced("web");
	check_eq(peer_open(p, "small", size, 0, 1, NULL), 0);
	check_eq(peer_claim(p, 1, WIRE_CLAIM_RESTART, NULL), 0);
	check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
	for (uint64_t at = 0; at < size; at += MIB)
		check_eq(peer_extent(p, 0, 1, at, at + MIB < size ? MIB : size - at,
				     blocks + at, 0), 0);
	check_eq(peer_finish(p, 0, 1, size, true), 0);
	check_eq(peer_digest(p, 0, 0, size, 4096, blocks), 0);
	check_eq(peer_begin(p, 0, 2, WIRE_PASS_DELTA), 0);
	check_eq(peer_extent(p, 0, 2, size - MIB, MIB, NULL, 0), 0);
	check_eq(peer_finish(p, 0, 2, size, false), 0);
	memcpy(model, blocks, size);
	memset(model + size - MIB, 0, MIB);
	check_eq(peer_digest(p, 0, 0, size, 4096, model), 0);
	read_target(2, size);
	check(!memcmp(model, content, size));
	done();
}

static void without_a_record(void)
{
	struct peer *p;

	fresh();
	registry.records_dir = NULL;
	p = writer("web", 1, WIRE_CLAIM_RESTART);
	full_copy(p, 1);
	check_eq(peer_cutover(p, 1), 0);
	read_target(0, SIZE);
	check(!memcmp(blocks, content, SIZE));
	check(access(records, F_OK) < 0);
	done();
}

static void digests_tell_which_block(void)
{
	struct peer *p;

	fresh();
	write_target(0, 0, blocks, SIZE);
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, WIRE_OPEN_READ_ONLY, 0, NULL), 0);
	check_eq(peer_digest(p, 0, 0, SIZE, 4096, blocks), 0);
	check_eq(peer_digest(p, 0, 0, SIZE, 1 << 20, blocks), 0);
	check_eq(peer_digest(p, 0, 12288 + 512, 3 * MIB, 8192,
			     blocks + 12288 + 512), 0);
	write_target(0, 5 * 4096 + 4095, "x", 1);
	check_eq(peer_digest(p, 0, 0, SIZE, 4096, blocks), -EBADMSG);
	check_says(p->err.text, "block 5 differs");
	check_eq(peer_digest(p, 0, 0, 5 * 4096, 4096, blocks), 0);
	check_eq(peer_digest(p, 0, 6 * 4096, SIZE - 6 * 4096, 4096,
			     blocks + 6 * 4096), 0);
	done();
}

/* --- what is remembered ---------------------------------------------------------- */

static void progress_is_remembered(void)
{
	struct wire_opened opened;
	uint8_t first[1][16], again[1][16];
	struct peer *p;

	fresh();
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, 0, 7, NULL), 0);
	check_eq(peer_claim(p, 5, WIRE_CLAIM_RESTART, first), 0);
	check_eq(peer_begin(p, 0, 3, WIRE_PASS_FULL), 0);
	check_eq(peer_extent(p, 0, 3, 0, MIB, blocks, 1), 0);
	check_eq(peer_barrier(p, &(struct wire_progress){ .generation = 3,
				 .through_bytes = MIB }, 1), 0);
	hang_up();

	p = introduced("web");
	check_eq(p->welcome.state, WIRE_JOB_SYNCING);
	check_eq(p->welcome.last_epoch, 5);
	check_eq(peer_open(p, "a", SIZE, 0, 7, &opened), 0);
	check(!memcmp(opened.cookie, first[0], 16));
	check_eq(opened.source_uuid[0], 7);
	check_eq(opened.generation, 3);
	check_eq(opened.through_bytes, MIB);
	check_eq(opened.flags, 0);
	check_eq(peer_claim(p, 6, 0, again), 0);
	check(!memcmp(first, again, 16));
	full_copy(p, 4);
	hang_up();

	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, 0, 7, &opened), 0);
	check_eq(opened.flags, WIRE_OPENED_COMPLETE);
	check_eq(peer_claim(p, 7, WIRE_CLAIM_RESTART, again), 0);
	check(memcmp(first, again, 16));
	hang_up();

	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, 0, 7, &opened), 0);
	check(!memcmp(opened.cookie, again[0], 16));
	check(!opened.flags && !opened.generation && !opened.through_bytes);
	done();
}

static void another_tracker_needs_a_resync(void)
{
	struct wire_opened opened;
	uint8_t cookies[1][16];
	struct peer *p;

	fresh();
	full_copy(writer("web", 1, WIRE_CLAIM_RESTART), 1);
	hang_up();
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, 0, 2, &opened), 0);
	check_eq(opened.flags, WIRE_OPENED_COMPLETE);
	check_eq(opened.source_uuid[0], 1);	/* the source sees: not mine */
	check_eq(peer_claim(p, 2, 0, cookies), 0);
	check(!memcmp(cookies[0], opened.cookie, 16));
	check(peer_cutover(p, 2) < 0);
	ended_with(p, BF_E_STATE, "complete");
	done();
}

/* The name is the same, what is behind it is not. */
static void a_replaced_target_is_not_believed(void)
{
	struct wire_opened opened;
	uint8_t zero[16] = { 0 };

	fresh();
	full_copy(writer("web", 1, WIRE_CLAIM_RESTART), 1);
	hang_up();
	shell("cp %s %s.new && mv %s.new %s", targets[0].path, targets[0].path,
	      targets[0].path, targets[0].path);
	check_eq(peer_open(introduced("web"), "a", SIZE, 0, 1, &opened), 0);
	check(!memcmp(opened.cookie, zero, 16));
	check_eq(opened.flags, 0);
	done();
}

/* Between two sessions nobody else gets hold of a target that was claimed. */
static void a_claimed_target_stays_locked(void)
{
	struct peer *p;
	int fd;

	fresh();
	fd = open(targets[0].path, O_RDWR);
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, 0, 1, NULL), 0);
	hang_up();
	check_eq(flock(fd, LOCK_EX | LOCK_NB), 0);	/* opened is not claimed */
	check_eq(flock(fd, LOCK_UN), 0);
	full_copy(writer("web", 1, WIRE_CLAIM_RESTART), 1);
	hang_up();
	check(flock(fd, LOCK_EX | LOCK_NB) < 0);
	p = writer("web", 2, 0);
	check_eq(peer_cutover(p, 2), 0);
	check_eq(flock(fd, LOCK_EX | LOCK_NB), 0);	/* the operator's now */
	close(fd);
	done();
}

/* The operator has ended a job by removing its record. */
static void an_abandoned_target_is_free(void)
{
	struct peer *p;

	fresh();
	full_copy(writer("web", 1, WIRE_CLAIM_RESTART), 1);
	hang_up();
	shell("rm %s/web.*.json", records);
	p = writer("other", 1, WIRE_CLAIM_RESTART);
	full_copy(p, 1);
	done();
}

/*
 * An open that takes its time, here because somebody holds a lock on the file
 * that is waited for, keeps no other job from anything: not even from the end
 * of a cutover. It lasts a second; a busy machine gets three of them.
 */
static void a_slow_target_stops_nobody_else(void)
{
	struct pollfd pollfd = { .events = POLLIN };
	bool was_first = false;
	struct peer *slow, *p;
	int fd;

	for (uint64_t round = 1; round <= 3 && !was_first; round++) {
		fresh();
		fd = open(targets[1].path, O_RDWR);
		check_eq(flock(fd, LOCK_EX), 0);
		p = writer("web", 1, WIRE_CLAIM_RESTART);
		check_eq(peer_finish(p, 0, 1, SIZE, true), 0);
		slow = introduced("slow");
		check_eq(peer_ask_open(slow, "b", SIZE, 0, 1), 0);
		check_eq(peer_open(introduced("other"), "small", SIZE - 512, 0,
				   1, NULL), 0);
		check_eq(peer_cutover(p, 1), 0);
		pollfd.fd = slow->transport->fd;
		was_first = poll(&pollfd, 1, 0) == 0;
		ended_with(slow, BF_E_IN_USE, "locked by another program");
		close(fd);
		done();
	}
	check(was_first);
}

/* Another job's progress is on its way to the same, slow, folder. */
static void progress_waits_for_no_other_job(void)
{
	char path[96];
	struct peer *p;
	int fd;

	fresh();
	p = writer("web", 1, WIRE_CLAIM_RESTART);
	snprintf(path, sizeof(path), "%s/.lock", records);
	fd = open(path, O_RDWR);
	check(fd >= 0);
	check_eq(flock(fd, LOCK_SH), 0);
	full_copy(p, 1);
	check_eq(peer_cutover(p, 1), 0);
	close(fd);
	done();
}

static void two_sessions_open_one_target(void)
{
	struct wire_opened opened;
	struct bf_frame *frame;
	struct peer *first, *second;
	int fd;

	fresh();
	fd = open(targets[0].path, O_RDWR);
	check_eq(flock(fd, LOCK_EX), 0);
	first = introduced("web");
	check_eq(peer_ask_open(first, "a", SIZE, 0, 1), 0);
	second = introduced("web");
	check_eq(peer_ask_open(second, "a", SIZE, 0, 1), 0);
	check_eq(flock(fd, LOCK_UN), 0);
	check_eq(peer_expect(first, WIRE_OPENED, &frame), 0);
	check_eq(bf_check_opened(frame, &opened, &first->err), 0);
	check_eq(peer_expect(second, WIRE_OPENED, &frame), 0);
	close(fd);
	done();
}

static void a_grown_source_is_not_complete(void)
{
	struct wire_opened opened;
	struct peer *p;

	fresh();
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE - MIB, 0, 1, NULL), 0);
	check_eq(peer_claim(p, 1, WIRE_CLAIM_RESTART, NULL), 0);
	check_eq(peer_finish(p, 0, 1, SIZE - MIB, true), 0);
	hang_up();
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, 0, 1, &opened), 0);
	check_eq(opened.flags, 0);
	check_eq(peer_claim(p, 2, 0, NULL), 0);
	check(peer_cutover(p, 2) < 0);
	ended_with(p, BF_E_STATE, "complete");
	done();
}

static void a_damaged_record_is_refused(void)
{
	struct peer *p;

	fresh();
	full_copy(writer("web", 1, WIRE_CLAIM_RESTART), 1);
	hang_up();
	shell("sed -i 's/\"last_epoch\": 1/\"last_epoch\": 0/' %s/web.*.json", records);
	p = connect_peer();
	check(peer_hello(p, "web") < 0);
	ended_with(p, BF_E_RECORD, "checksum");
	done();
}

static void no_record_no_claim(void)
{
	struct peer *p;

	fresh();
	shell("echo > %s", records);		/* a file where the folder belongs */
	p = connect_peer();
	check(peer_hello(p, "web") < 0);
	ended_with(p, BF_E_RECORD, records);
	unlink(records);
	done();
}

/* --- epochs -------------------------------------------------------------------------- */

static void a_stale_claim_disturbs_nobody(void)
{
	struct peer *first, *p;

	fresh();
	first = writer("web", 5, WIRE_CLAIM_RESTART);
	for (uint64_t epoch = 4; epoch <= 5; epoch++) {
		p = introduced("web");
		check_eq(peer_open(p, "a", SIZE, 0, 1, NULL), 0);
		check(peer_claim(p, epoch, 0, NULL) < 0);
		ended_with(p, BF_E_STALE_SESSION, "epoch 5 was claimed");
	}
	full_copy(first, 1);
	done();
}

static void a_newer_claim_ends_the_older_session(void)
{
	struct peer *old, *new;

	fresh();
	old = writer("web", 1, WIRE_CLAIM_RESTART);
	check_eq(peer_begin(old, 0, 1, WIRE_PASS_FULL), 0);
	check_eq(peer_extent(old, 0, 1, 0, MIB, blocks, 0), 0);
	new = writer("web", 2, 0);
	ended_with(old, BF_E_STALE_SESSION, "newer session");
	full_copy(new, 1);
	done();
}

/*
 * The old session's frames lie in its socket unread, as after a network that
 * came back: none of them may reach the target once the claim is answered.
 */
static void a_stale_session_writes_nothing_late(void)
{
	struct peer *old, *new;

	fresh();
	memset(model, 0x11, SIZE);
	for (int round = 0; round < 20; round++) {
		uint64_t epoch = 1 + 2 * (uint64_t)round;

		old = writer("web", epoch, round ? 0 : WIRE_CLAIM_RESTART);
		check_eq(peer_begin(old, 0, epoch, WIRE_PASS_DELTA), 0);
		for (int i = 0; i < 4; i++)	/* not waited for */
			check_eq(peer_extent(old, 0, epoch, (uint64_t)i * 2 * MIB,
					     MIB, model, 0), 0);
		new = writer("web", epoch + 1, 0);
		check_eq(peer_begin(new, 0, epoch + 1, WIRE_PASS_FULL), 0);
		for (uint64_t at = 0; at < SIZE; at += MIB)
			check_eq(peer_extent(new, 0, epoch + 1, at, MIB,
					     blocks + at, 1), 0);
		check_eq(peer_finish(new, 0, epoch + 1, SIZE, true), 0);
		peer_extent(old, 0, epoch, 0, MIB, model, 0);
		check_eq(peer_digest(new, 0, 0, SIZE, 65536, blocks), 0);
		hang_up();
	}
	read_target(0, SIZE);
	check(!memcmp(blocks, content, SIZE));
	done();
}

static void a_session_without_claim_writes_nothing(void)
{
	struct peer *p;

	fresh();
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, 0, 1, NULL), 0);
	check_eq(peer_extent(p, 0, 1, 0, MIB, blocks, 0), 0);
	ended_with(p, BF_E_PROTOCOL, "before CLAIM");
	done();
}

/* --- cut over -------------------------------------------------------------------------- */

static void only_a_complete_flushed_copy_cuts_over(void)
{
	struct peer *p;

	fresh();
	p = writer("web", 1, WIRE_CLAIM_RESTART);
	check(peer_cutover(p, 1) < 0);
	ended_with(p, BF_E_STATE, "target a holds no complete copy");
	hang_up();
	p = writer("web", 2, 0);
	full_copy(p, 1);
	check_eq(peer_begin(p, 0, 2, WIRE_PASS_LAST), 0);
	check_eq(peer_extent(p, 0, 2, 0, 4096, blocks, 0), 0);
	check(peer_cutover(p, 2) < 0);
	ended_with(p, BF_E_STATE, "after the last barrier");
	hang_up();
	p = writer("web", 3, 0);
	check(peer_cutover(p, 2) < 0);
	ended_with(p, BF_E_PROTOCOL, "epoch 2");
	hang_up();
	p = writer("web", 4, 0);
	check_eq(peer_cutover(p, 4), 0);
	done();
}

static void cut_over_is_final_until_reopened(void)
{
	struct bf_receiver_config config = { 0 };
	struct wire_opened opened;
	struct bf_error err;
	struct peer *p;

	fresh();
	snprintf(config.records_dir, sizeof(config.records_dir), "%s", records);
	p = writer("web", 9, WIRE_CLAIM_RESTART);
	full_copy(p, 1);
	check(bf_receiver_reopen(&config, "a", &err) < 0);
	check_eq(err.code, BF_E_STATE);
	check_eq(peer_cutover(p, 9), 0);
	check_eq(peer_begin(p, 0, 2, WIRE_PASS_DELTA), 0);
	ended_with(p, BF_E_PROTOCOL, "after CUTOVER");
	hang_up();

	p = introduced("web");
	check_eq(p->welcome.state, WIRE_JOB_CUT_OVER);
	check_eq(p->welcome.cutover_epoch, 9);
	check(peer_open(p, "a", SIZE, 0, 1, NULL) < 0);
	ended_with(p, BF_E_CUT_OVER, "receive --reopen a");
	hang_up();

	p = introduced("web");			/* verifying goes on */
	check_eq(peer_open(p, "a", SIZE, WIRE_OPEN_READ_ONLY, 1, NULL), 0);
	check_eq(peer_digest(p, 0, 0, SIZE, 65536, blocks), 0);
	hang_up();

	check(bf_receiver_reopen(&config, "b", &err) < 0);
	check_eq(err.code, BF_E_NOT_FOUND);
	check_eq(bf_receiver_reopen(&config, "a", &err), 0);
	p = introduced("web");
	check_eq(p->welcome.state, WIRE_JOB_SYNCING);
	check_eq(p->welcome.last_epoch, 9);
	check_eq(peer_open(p, "a", SIZE, 0, 1, &opened), 0);
	check_eq(opened.flags, 0);
	check_eq(opened.source_uuid[0], 0);
	check_eq(peer_claim(p, 10, 0, NULL), 0);
	full_copy(p, 2);
	done();
}

/* Cut over while a session that opened before waits to claim. */
static void a_claim_after_the_cutover_is_refused(void)
{
	struct peer *p, *late;

	fresh();
	p = writer("web", 1, WIRE_CLAIM_RESTART);
	full_copy(p, 1);
	late = introduced("web");
	check_eq(peer_open(late, "a", SIZE, 0, 1, NULL), 0);
	check_eq(peer_cutover(p, 1), 0);
	check(peer_claim(late, 2, 0, NULL) < 0);
	ended_with(late, BF_E_CUT_OVER, "epoch 1");
	done();
}

int main(void)
{
	if (fixture_start())
		return 1;
	tap_run("two disks from copy to cutover",
		two_disks_from_copy_to_cutover);
	tap_run("passes overwrite passes", passes_overwrite_passes);
	tap_run("many small extents", many_small_extents);
	tap_run("the tail of an odd size", the_tail_of_an_odd_size);
	tap_run("without a record", without_a_record);
	tap_run("digests tell which block", digests_tell_which_block);
	tap_run("progress is remembered", progress_is_remembered);
	tap_run("another tracker needs a resync",
		another_tracker_needs_a_resync);
	tap_run("a replaced target is not believed",
		a_replaced_target_is_not_believed);
	tap_run("a claimed target stays locked", a_claimed_target_stays_locked);
	tap_run("an abandoned target is free", an_abandoned_target_is_free);
	tap_run("a slow target stops nobody else",
		a_slow_target_stops_nobody_else);
	tap_run("progress waits for no other job",
		progress_waits_for_no_other_job);
	tap_run("two sessions open one target", two_sessions_open_one_target);
	tap_run("a grown source is not complete",
		a_grown_source_is_not_complete);
	tap_run("a damaged record is refused", a_damaged_record_is_refused);
	tap_run("no record, no claim", no_record_no_claim);
	tap_run("a stale claim disturbs nobody", a_stale_claim_disturbs_nobody);
	tap_run("a newer claim ends the older session",
		a_newer_claim_ends_the_older_session);
	tap_run("a stale session writes nothing late",
		a_stale_session_writes_nothing_late);
	tap_run("a session without claim writes nothing",
		a_session_without_claim_writes_nothing);
	tap_run("only a complete, flushed copy cuts over",
		only_a_complete_flushed_copy_cuts_over);
	tap_run("cut over is final until reopened",
		cut_over_is_final_until_reopened);
	tap_run("a claim after the cutover is refused",
		a_claim_after_the_cutover_is_refused);
	return fixture_end();
}
