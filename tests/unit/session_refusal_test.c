// SPDX-License-Identifier: Apache-2.0
/*
 * What the receiver refuses. Policy: a target that is not the job's is not
 * touched; damaged blocks are not written; whatever is out of order, lies, or
 * falls silent ends the session with words that name it.
 */
#include <endian.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "session_fixture.h"
#include "target/receiver.h"

/* --- targets that are refused ---------------------------------------------------------- */

static void open_refused(const char *target, uint64_t size, enum bf_code code,
			 const char *words)
{
	struct peer *p = introduced("web");

	check(peer_open(p, target, size, 0, 1, NULL) < 0);
	ended_with(p, code, words);
}

static void too_small_names_both_sizes(void)
{
	fresh();
	open_refused("small", SIZE, BF_E_TOO_SMALL, "8388096");
	check_says(peers[0]->err.text, "8388608");
	check_says(peers[0]->err.text, "truncate -s");
	open_refused("a", SIZE + 512, BF_E_TOO_SMALL, "8389120");
	done();
}

static void targets_that_are_not_there(void)
{
	fresh();
	open_refused("unlisted", SIZE, BF_E_NOT_LISTED, "[target unlisted]");
	unlink(targets[0].path);
	open_refused("a", SIZE, BF_E_NOT_FOUND, "does not exist");
	check_eq(mkdir(targets[0].path, 0700), 0);
	open_refused("a", SIZE, BF_E_CONFIG, "neither a block device");
	check_eq(rmdir(targets[0].path), 0);
	check_eq(mkfifo(targets[0].path, 0600), 0);
	open_refused("a", SIZE, BF_E_CONFIG, "neither a block device");
	done();
}

static void one_target_for_two_disks(void)
{
	struct peer *p;

	fresh();
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, 0, 1, NULL), 0);
	check(peer_open(p, "a", SIZE, 0, 2, NULL) < 0);
	ended_with(p, BF_E_IN_USE, "two disks");
	done();
}

static void foreign_content_is_refused(void)
{
	static const uint8_t partition[] = {
		[0] = 0x80, [4] = 0x83, [8] = 8, [12] = 0xff, [64] = 0x55, 0xaa,
	};

	fresh();
	shell("PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -F -L treasure %s",
	      targets[0].path);
	open_refused("a", SIZE, BF_E_SIGNATURE, "ext4 labelled treasure");
	write_target(1, 446, partition, sizeof(partition));
	open_refused("b", SIZE, BF_E_SIGNATURE, "dos partition table");
	read_target(0, SIZE);
	check_eq(content[1024 + 56], 0x53);	/* the superblock's magic */
	hang_up();
	targets[0].overwrite = true;
	check_eq(peer_open(introduced("web"), "a", SIZE, 0, 1, NULL), 0);
	done();
}

/* A copy of a filesystem is the job's own and no reason to refuse. */
static void the_jobs_own_content_is_no_reason(void)
{
	struct peer *p;

	fresh();
	shell("PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -F %s", targets[1].path);
	read_target(1, SIZE);
	p = writer("web", 1, WIRE_CLAIM_RESTART);
	check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
	check_eq(peer_extent(p, 0, 1, 0, MIB, content, 0), 0);
	check_eq(peer_finish(p, 0, 1, SIZE, false), 0);
	hang_up();
	writer("web", 2, 0);
	hang_up();
	p = introduced("other");
	check(peer_open(p, "a", SIZE, 0, 1, NULL) < 0);
	ended_with(p, BF_E_IN_USE, "belongs to job web");
	done();
}

static void targets_in_use_are_refused(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
			      .l_start = 100, .l_len = 1 };
	struct peer *p;
	int fd;

	fresh();
	fd = open(targets[0].path, O_RDWR);
	check_eq(flock(fd, LOCK_SH), 0);
	open_refused("a", SIZE, BF_E_IN_USE, "locked by another program");
	check_eq(flock(fd, LOCK_UN), 0);
	check_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	open_refused("a", SIZE, BF_E_IN_USE, "virtual machine");
	close(fd);
	check_eq(peer_open(introduced("web"), "a", SIZE, 0, 1, NULL), 0);
	p = introduced("other");
	check(peer_open(p, "a", SIZE, 0, 1, NULL) < 0);
	ended_with(p, BF_E_IN_USE, "written by job web");
	done();
}

static void the_source_itself_is_refused(void)
{
	struct bf_error err;
	int fd;

	fresh();
	fd = open(targets[0].path, O_RDONLY);
	check(bf_local_target_check(targets[0].path, fd, &err) < 0);
	check_eq(err.code, BF_E_IN_USE);
	check_eq(bf_local_target_check(targets[1].path, fd, &err), 0);
	close(fd);
	done();
}

/* --- damage and disorder ----------------------------------------------------------------- */

static void damaged_blocks_are_not_written(void)
{
	struct wire_extent e = { 0, MIB };
	struct peer_data d = { .generation = 1, .extents = &e, .nr_data = 1,
			       .blocks = blocks, .checksum_flip = 1 };
	struct peer *p;

	fresh();
	for (d.level = 0; d.level < 2; d.level++) {
		p = writer("web", 1 + (uint64_t)d.level, 0);
		check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
		check_eq(peer_data(p, 0, &d), 0);
		ended_with(p, BF_E_CORRUPT, "checksum");
		hang_up();
	}
	read_target(0, SIZE);
	check(bf_is_zero(content, SIZE));
	done();
}

static void a_damaged_extent_table_is_seen(void)
{
	struct wire_extent e = { 0, 4096 };
	struct peer_data d = { .generation = 1, .extents = &e, .nr_data = 1,
			       .blocks = blocks };
	uint64_t checksum;
	struct peer *p;
	size_t raw, n;

	fresh();
	p = writer("web", 1, 0);
	check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
	n = peer_build(p, &d, &checksum, &raw);
	p->payload[sizeof(struct wire_data) + 2] ^= 1;	/* offset + 64 KiB */
	check_eq(peer_send(p, WIRE_DATA, 0, p->payload, n), 0);
	ended_with(p, BF_E_CORRUPT, "checksum");
	done();
}

static void a_lie_about_the_decompressed_size(void)
{
	struct wire_extent e[2] = { { 0, MIB / 2 }, { MIB, 0 } };
	struct peer_data d = { .generation = 1, .extents = e, .nr_data = 1,
			       .blocks = blocks, .level = 1 };
	static const int32_t lies[] = { 4096, -4096 };
	struct wire_extent wire;
	uint64_t checksum;
	size_t raw, n;
	struct peer *p;

	fresh();
	for (uint64_t i = 0; i < 2; i++) {
		p = writer("web", 1 + i, 0);
		check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
		d.raw_bytes_lie = lies[i];
		n = peer_build(p, &d, &checksum, &raw);
		wire = (struct wire_extent){ 0, MIB / 2 + (uint64_t)(int64_t)lies[i] };
		bf_wire_swap_extent(&wire);
		memcpy(p->payload + sizeof(struct wire_data), &wire, sizeof(wire));
		check_eq(peer_send(p, WIRE_DATA, 0, p->payload, n), 0);
		ended_with(p, BF_E_CORRUPT, "target a");
		hang_up();
	}
	done();
}

static void garbage_instead_of_zstd(void)
{
	struct wire_extent e = { 0, MIB };
	struct peer_data d = { .generation = 1, .extents = &e, .nr_data = 1,
			       .blocks = model, .level = 1 };
	uint64_t checksum;
	struct peer *p;
	size_t raw, n;

	fresh();
	memset(model, 'm', MIB);
	p = writer("web", 1, 0);
	check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
	n = peer_build(p, &d, &checksum, &raw);
	memset(p->payload + n - 20, 0x5a, 20);
	check_eq(peer_send(p, WIRE_DATA, 0, p->payload, n), 0);
	ended_with(p, BF_E_CORRUPT, "target a");
	done();
}

static void frames_out_of_order(void)
{
	struct peer *p;

	fresh();
	p = connect_peer();
	check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
	ended_with(p, BF_E_PROTOCOL, "before HELLO");
	p = writer("web", 1, 0);
	check_eq(peer_extent(p, 0, 1, 0, 4096, blocks, 0), 0);
	ended_with(p, BF_E_PROTOCOL, "was not begun");
	p = writer("web", 2, 0);
	check_eq(peer_begin(p, 0, 2, WIRE_PASS_FULL), 0);
	check_eq(peer_extent(p, 0, 1, 0, 4096, blocks, 0), 0);
	ended_with(p, BF_E_PROTOCOL, "was not begun");
	p = writer("web", 3, 0);
	check_eq(peer_begin(p, 1, 1, WIRE_PASS_FULL), 0);
	ended_with(p, BF_E_PROTOCOL, "disk 1");
	done();
}

static void barriers_out_of_order(void)
{
	struct wire_progress wrong = { .generation = 1, .through_bytes = SIZE + 512 };
	struct peer *p;

	fresh();
	p = writer("web", 1, 0);
	check_eq(peer_barrier(p, NULL, 0), 0);
	check_eq(peer_barrier_send(p, 3, NULL, 0), 0);
	ended_with(p, BF_E_PROTOCOL, "BARRIER 3");
	p = writer("web", 2, 0);
	check_eq(peer_barrier_send(p, 1, &wrong, 1), 0);
	ended_with(p, BF_E_PROTOCOL, "impossible progress");
	done();
}

static void opens_and_claims_out_of_order(void)
{
	struct peer *p;

	fresh();
	p = introduced("web");
	p->nr_disks = 1;
	check(peer_open(p, "a", SIZE, 0, 1, NULL) < 0);
	ended_with(p, BF_E_PROTOCOL, "disk 1");
	p = introduced("web");
	check(peer_claim(p, 1, 0, NULL) < 0);
	ended_with(p, BF_E_PROTOCOL, "CLAIM");
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, WIRE_OPEN_READ_ONLY, 1, NULL), 0);
	check(peer_claim(p, 1, 0, NULL) < 0);
	ended_with(p, BF_E_PROTOCOL, "reading only");
	done();
}

static void versions_that_do_not_meet(void)
{
	struct wire_hello m = { .magic = WIRE_MAGIC, .job = "web",
				.version_min = WIRE_VERSION + 1,
				.version_max = WIRE_VERSION + 2 };
	struct bf_frame *frame;
	struct peer *p;

	fresh();
	p = connect_peer();
	bf_wire_swap_hello(&m);
	check_eq(peer_send(p, WIRE_HELLO, 0, &m, sizeof(m)), 0);
	ended_with(p, BF_E_VERSION, "one apart");
	p = connect_peer();
	m.version_min = htole16(WIRE_VERSION);	/* a newer one that knows ours */
	check_eq(peer_send(p, WIRE_HELLO, 0, &m, sizeof(m)), 0);
	check_eq(peer_expect(p, WIRE_WELCOME, &frame), 0);
	check_eq(bf_check_welcome(frame, &p->welcome, &p->err), 0);
	check_eq(p->welcome.version, WIRE_VERSION);
	done();
}

static void what_was_not_agreed_upon(void)
{
	struct wire_hello m = { .magic = htole32(WIRE_MAGIC), .job = "web",
				.version_min = htole16(1), .version_max = htole16(1) };
	struct bf_frame *frame;
	struct peer *p;

	fresh();
	memset(model, 0x77, MIB);
	for (int i = 0; i < 2; i++) {
		p = connect_peer();
		check_eq(peer_send(p, WIRE_HELLO, 0, &m, sizeof(m)), 0);
		check_eq(peer_expect(p, WIRE_WELCOME, &frame), 0);
		check_eq(bf_check_welcome(frame, &p->welcome, &p->err), 0);
		check_eq(p->welcome.features, 0);
		check_eq(peer_open(p, "a", SIZE, 0, 1, NULL), 0);
		if (i) {
			check_eq(peer_claim(p, 1, 0, NULL), 0);
			check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
			check_eq(peer_extent(p, 0, 1, 0, MIB, model, 1), 0);
			ended_with(p, BF_E_PROTOCOL, "compression was not agreed");
		} else {
			check(peer_digest(p, 0, 0, 4096, 4096, model) < 0);
			ended_with(p, BF_E_PROTOCOL, "digests were not agreed");
		}
	}
	done();
}

/* --- the target fails ----------------------------------------------------------------------- */

/* A sealed memory file refuses every write, as a dead device does. */
static void a_failed_write_ends_the_session(void)
{
	struct peer *p;
	int fd;

	fresh();
	fd = memfd_create("dead", MFD_ALLOW_SEALING);
	check_eq(ftruncate(fd, SIZE), 0);
	snprintf(targets[0].path, sizeof(targets[0].path), "/proc/%d/fd/%d",
		 getpid(), fd);
	p = writer("web", 1, WIRE_CLAIM_RESTART);
	check_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
	check_eq(peer_begin(p, 0, 1, WIRE_PASS_FULL), 0);
	check_eq(peer_extent(p, 0, 1, MIB, 4096, blocks, 0), 0);
	check_eq(peer_barrier_send(p, 1, NULL, 0), 0);
	ended_with(p, BF_E_TARGET_IO, "1048576");
	close(fd);
	done();
}

static void a_failed_read_ends_the_digest(void)
{
	struct peer *p;

	fresh();
	p = introduced("web");
	check_eq(peer_open(p, "a", SIZE, WIRE_OPEN_READ_ONLY, 0, NULL), 0);
	check_eq(truncate(targets[0].path, MIB), 0);
	check(peer_digest(p, 0, 0, SIZE, 65536, blocks) < 0);
	ended_with(p, BF_E_TARGET_IO, "reading");
	done();
}

/* --- time ------------------------------------------------------------------------------------- */

static void a_silent_but_living_source_stays(void)
{
	struct peer *p;
	struct bf_frame *frame;

	fresh();
	registry.timeout_ns = BF_NSEC_PER_SEC;
	p = introduced("web");
	while (p->pings < 5) {			/* longer than the time-out */
		check_eq(bf_wait_fd(p->transport->fd, POLLIN,
				    bf_now_ns() + PEER_PATIENCE_NS), 0);
		check_eq(bf_frame_read(&p->reader, p->transport, &frame, &p->err), 1);
		check_eq(frame->type, WIRE_PING);
		check_eq(peer_send(p, WIRE_PONG, 0, frame->payload, 8), 0);
		p->pings++;
	}
	check_eq(peer_open(p, "a", SIZE, 0, 1, NULL), 0);
	done();
}

static void a_dead_source_is_noticed(void)
{
	struct peer *p;

	fresh();
	registry.timeout_ns = BF_NSEC_PER_SEC / 5;
	p = introduced("web");
	p->deaf = true;
	ended_with(p, BF_E_TIMEOUT, "said nothing");
	p = connect_peer();			/* before HELLO there is no PING */
	ended_with(p, BF_E_TIMEOUT, "said nothing");
	done();
}

static void a_source_that_stops_within_a_frame(void)
{
	struct wire_header header;
	struct peer *p;

	fresh();
	/* Enough for a busy machine to get to the frame. */
	registry.timeout_ns = BF_NSEC_PER_SEC;
	p = introduced("web");
	p->deaf = true;
	bf_frame_header(&header, WIRE_OPEN, 0, sizeof(struct wire_open));
	check_eq(peer_send_raw(p, &header, sizeof(header)), 0);
	check_eq(peer_send_raw(p, blocks, 50), 0);
	ended_with(p, BF_E_TIMEOUT, "in the middle of a frame");
	done();
}

static void a_source_that_hangs_up_within_a_frame(void)
{
	struct wire_header header;
	struct peer *p;

	fresh();
	p = introduced("web");
	bf_frame_header(&header, WIRE_OPEN, 0, sizeof(struct wire_open));
	check_eq(peer_send_raw(p, &header, sizeof(header)), 0);
	shutdown(p->transport->fd, SHUT_WR);
	pthread_join(served[0].thread, NULL);
	check_eq(served[0].err.code, BF_E_CONNECTION);
	check_says(served[0].err.text, "in the middle of a frame");
	peer_free(p);
	bf_target_session_free(served[0].session);
	nr_served = 0;
	done();
}

static void pings_are_answered(void)
{
	struct wire_ping ping = { .cookie = 0x1122334455667788 };
	struct bf_frame *frame;
	struct peer *p;

	fresh();
	p = introduced("web");
	bf_wire_swap_ping(&ping);
	check_eq(peer_send(p, WIRE_PING, 0, &ping, sizeof(ping)), 0);
	check_eq(peer_expect(p, WIRE_PONG, &frame), 0);
	check(!memcmp(frame->payload, &ping, sizeof(ping)));
	done();
}

static void stopping_ends_sessions_with_words(void)
{
	struct peer *p;

	fresh();
	p = writer("web", 1, 0);
	bf_target_session_cancel(served[0].session, BF_CANCEL_STOPPING);
	ended_with(p, BF_E_CONNECTION, "receiver is stopping");
	done();
}

int main(void)
{
	if (fixture_start())
		return 1;
	tap_run("too small names both sizes", too_small_names_both_sizes);
	tap_run("targets that are not there", targets_that_are_not_there);
	tap_run("one target for two disks", one_target_for_two_disks);
	tap_run("foreign content is refused", foreign_content_is_refused);
	tap_run("the job's own content is no reason",
		the_jobs_own_content_is_no_reason);
	tap_run("targets in use are refused", targets_in_use_are_refused);
	tap_run("the source itself is refused", the_source_itself_is_refused);
	tap_run("damaged blocks are not written",
		damaged_blocks_are_not_written);
	tap_run("a damaged extent table is seen",
		a_damaged_extent_table_is_seen);
	tap_run("a lie about the decompressed size",
		a_lie_about_the_decompressed_size);
	tap_run("garbage instead of zstd", garbage_instead_of_zstd);
	tap_run("frames out of order", frames_out_of_order);
	tap_run("barriers out of order", barriers_out_of_order);
	tap_run("opens and claims out of order", opens_and_claims_out_of_order);
	tap_run("versions that do not meet", versions_that_do_not_meet);
	tap_run("what was not agreed upon", what_was_not_agreed_upon);
	tap_run("a failed write ends the session",
		a_failed_write_ends_the_session);
	tap_run("a failed read ends the digest", a_failed_read_ends_the_digest);
	tap_run("a silent but living source stays",
		a_silent_but_living_source_stays);
	tap_run("a dead source is noticed", a_dead_source_is_noticed);
	tap_run("a source that stops within a frame",
		a_source_that_stops_within_a_frame);
	tap_run("a source that hangs up within a frame",
		a_source_that_hangs_up_within_a_frame);
	tap_run("pings are answered", pings_are_answered);
	tap_run("stopping ends sessions with words",
		stopping_ends_sessions_with_words);
	return fixture_end();
}
