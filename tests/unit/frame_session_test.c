// SPDX-License-Identifier: Apache-2.0
/*
 * Frames that make a session, from HELLO to BEGIN. Policy: as in frame_test.c,
 * each validator takes its limits' last good value and refuses the first bad one.
 */
#include "frame_messages.h"

static void hello(void)
{
	struct wire_hello good = {
		.magic = WIRE_MAGIC, .version_min = 1, .version_max = 3,
		.features = UINT64_MAX, .job = "web-1",
	};

	check_eq(CHECK_MESSAGE(hello, WIRE_HELLO, good), 0);
	REFUSED(hello, WIRE_HELLO, good, magic, WIRE_MAGIC + 1);
	REFUSED(hello, WIRE_HELLO, good, version_min, 0);
	REFUSED(hello, WIRE_HELLO, good, version_max, 0);
	REFUSED(hello, WIRE_HELLO, good, reserved, 1);
	REFUSED(hello, WIRE_HELLO, good, job[0], 0);
	REFUSED(hello, WIRE_HELLO, good, job[0], '/');
	REFUSED(hello, WIRE_HELLO, good, job[0], '.');
	REFUSED(hello, WIRE_HELLO, good, job[20], 'x');	/* behind the NUL */
	memset(good.job, 'j', WIRE_NAME_BYTES);		/* no NUL at all */
	check_eq(CHECK_MESSAGE(hello, WIRE_HELLO, good), -EPROTO);
	ACCEPTED(hello, WIRE_HELLO, good, job[WIRE_NAME_BYTES - 1], 0);
}

static void welcome(void)
{
	struct wire_welcome good = {
		.magic = WIRE_MAGIC, .version = WIRE_VERSION,
		.last_epoch = 7, .cutover_epoch = 7,
		.state = WIRE_JOB_CUT_OVER,
	};

	check_eq(CHECK_MESSAGE(welcome, WIRE_WELCOME, good), 0);
	REFUSED(welcome, WIRE_WELCOME, good, magic, 0);
	REFUSED(welcome, WIRE_WELCOME, good, version, 0);
	REFUSED(welcome, WIRE_WELCOME, good, version, WIRE_VERSION + 1);
	REFUSED(welcome, WIRE_WELCOME, good, cutover_epoch, 8);
	REFUSED(welcome, WIRE_WELCOME, good, last_epoch, WIRE_EPOCH_MAX + 1);
	REFUSED(welcome, WIRE_WELCOME, good, state, WIRE_JOB_CUT_OVER + 1);
	REFUSED(welcome, WIRE_WELCOME, good, reserved, 1);
	REFUSED(welcome, WIRE_WELCOME, good, reserved2, 1);
}

static void open_(void)
{
	struct wire_open good = {
		.size_bytes = DEVICE_BYTES, .granularity_bytes = 4096,
		.target = "vda",
	};

	check_eq(CHECK_MESSAGE(open, WIRE_OPEN, good), 0);
	ACCEPTED(open, WIRE_OPEN, good, flags, WIRE_OPEN_READ_ONLY);
	ACCEPTED(open, WIRE_OPEN, good, size_bytes, WIRE_DEVICE_BYTES_MAX);
	ACCEPTED(open, WIRE_OPEN, good, granularity_bytes, 512);
	ACCEPTED(open, WIRE_OPEN, good, granularity_bytes, 64 << 20);
	REFUSED(open, WIRE_OPEN, good, size_bytes, 0);
	REFUSED(open, WIRE_OPEN, good, size_bytes, DEVICE_BYTES + 511);
	REFUSED(open, WIRE_OPEN, good, size_bytes, WIRE_DEVICE_BYTES_MAX + 512);
	REFUSED(open, WIRE_OPEN, good, granularity_bytes, 0);
	REFUSED(open, WIRE_OPEN, good, granularity_bytes, 256);
	REFUSED(open, WIRE_OPEN, good, granularity_bytes, 4097);
	REFUSED(open, WIRE_OPEN, good, granularity_bytes, 128 << 20);
	REFUSED(open, WIRE_OPEN, good, flags, 2);
	REFUSED(open, WIRE_OPEN, good, reserved, 1);
	REFUSED(open, WIRE_OPEN, good, target[0], 0);
	REFUSED(open, WIRE_OPEN, good, target[1], '/');
	REFUSED(open, WIRE_OPEN, good, target[63], 1);
}

static void opened(void)
{
	struct wire_opened good = {
		.size_bytes = DEVICE_BYTES, .generation = 9,
		.through_bytes = DEVICE_BYTES, .flags = WIRE_OPENED_COMPLETE,
	};

	check_eq(CHECK_MESSAGE(opened, WIRE_OPENED, good), 0);
	ACCEPTED(opened, WIRE_OPENED, good, size_bytes, DEVICE_BYTES + 1);
	REFUSED(opened, WIRE_OPENED, good, size_bytes, 0);
	REFUSED(opened, WIRE_OPENED, good, size_bytes, WIRE_DEVICE_BYTES_MAX + 1);
	REFUSED(opened, WIRE_OPENED, good, through_bytes, DEVICE_BYTES + 1);
	REFUSED(opened, WIRE_OPENED, good, generation, WIRE_EPOCH_MAX + 1);
	REFUSED(opened, WIRE_OPENED, good, flags, 2);
	REFUSED(opened, WIRE_OPENED, good, reserved, 1);
	REFUSED(opened, WIRE_OPENED, good, reserved2, 1);
}

static void claim(void)
{
	struct wire_claim good = { .epoch = 1, .nr_disks = 1, .connections = 1 };

	check_eq(CHECK_MESSAGE(claim, WIRE_CLAIM, good), 0);
	ACCEPTED(claim, WIRE_CLAIM, good, flags, WIRE_CLAIM_RESTART);
	ACCEPTED(claim, WIRE_CLAIM, good, epoch, WIRE_EPOCH_MAX);
	ACCEPTED(claim, WIRE_CLAIM, good, nr_disks, WIRE_DISKS_MAX);
	REFUSED(claim, WIRE_CLAIM, good, epoch, 0);
	REFUSED(claim, WIRE_CLAIM, good, epoch, WIRE_EPOCH_MAX + 1);
	REFUSED(claim, WIRE_CLAIM, good, nr_disks, 0);
	REFUSED(claim, WIRE_CLAIM, good, nr_disks, WIRE_DISKS_MAX + 1);
	REFUSED(claim, WIRE_CLAIM, good, flags, 2);
	REFUSED(claim, WIRE_CLAIM, good, connections, 0);
	REFUSED(claim, WIRE_CLAIM, good, connections, WIRE_CONNECTIONS_MAX + 1);
}

static int check_claimed(struct wire_claimed m, uint32_t nr_disks, size_t cookies)
{
	struct bf_frame f;
	struct wire_claimed out;
	const uint8_t (*at)[16];

	bf_wire_swap_claimed(&m);
	f = frame_of(WIRE_CLAIMED, &m, sizeof(m));
	f.length += (uint32_t)(16 * cookies);
	return bf_check_claimed(&f, &out, nr_disks, &at, &err);
}

static void claimed(void)
{
	struct wire_claimed m = { .epoch = 4, .nr_disks = 3, .connections = 1 };

	check_eq(check_claimed(m, 3, 3), 0);
	check_eq(check_claimed(m, 3, 2), -EPROTO);
	check_eq(check_claimed(m, 3, 4), -EPROTO);
	check_eq(check_claimed(m, 2, 3), -EPROTO);
	m.nr_disks = UINT32_MAX;
	check_eq(check_claimed(m, 3, 3), -EPROTO);
	m = (struct wire_claimed){ .nr_disks = 1, .connections = 1 };
	check_eq(check_claimed(m, 1, 1), -EPROTO);
	m = (struct wire_claimed){ .epoch = 4, .nr_disks = 1 };
	check_eq(check_claimed(m, 1, 1), -EPROTO);
	m.connections = WIRE_CONNECTIONS_MAX + 1;
	check_eq(check_claimed(m, 1, 1), -EPROTO);
	m.connections = WIRE_CONNECTIONS_MAX;
	check_eq(check_claimed(m, 1, 1), 0);
}

static void attach(void)
{
	struct wire_attach good = {
		.magic = WIRE_MAGIC, .version = WIRE_VERSION, .epoch = 1,
		.job = "web1",
	};

	check_eq(CHECK_MESSAGE(attach, WIRE_ATTACH, good), 0);
	REFUSED(attach, WIRE_ATTACH, good, magic, 0);
	REFUSED(attach, WIRE_ATTACH, good, version, 0);
	REFUSED(attach, WIRE_ATTACH, good, reserved, 1);
	REFUSED(attach, WIRE_ATTACH, good, epoch, 0);
	REFUSED(attach, WIRE_ATTACH, good, epoch, WIRE_EPOCH_MAX + 1);
	REFUSED(attach, WIRE_ATTACH, good, job[0], 0);
}

static void attached_and_sync(void)
{
	struct wire_attached attached = { .epoch = 1 };
	struct wire_sync sync = { .number = 1 };

	check_eq(CHECK_MESSAGE(attached, WIRE_ATTACHED, attached), 0);
	REFUSED(attached, WIRE_ATTACHED, attached, epoch, 0);
	REFUSED(attached, WIRE_ATTACHED, attached, epoch, WIRE_EPOCH_MAX + 1);
	check_eq(CHECK_MESSAGE(sync, WIRE_SYNC, sync), 0);
	REFUSED(sync, WIRE_SYNC, sync, number, 0);
}

static void begin(void)
{
	struct wire_begin good = { .generation = 1, .nr_blocks = 0,
				   .kind = WIRE_PASS_LAST };

	check_eq(CHECK_MESSAGE(begin, WIRE_BEGIN, good), 0);
	REFUSED(begin, WIRE_BEGIN, good, kind, 0);
	REFUSED(begin, WIRE_BEGIN, good, kind, WIRE_PASS_RESYNC + 1);
	REFUSED(begin, WIRE_BEGIN, good, reserved, 1);
	REFUSED(begin, WIRE_BEGIN, good, generation, WIRE_EPOCH_MAX + 1);
	REFUSED(begin, WIRE_BEGIN, good, nr_blocks, UINT64_MAX);
}

int main(void)
{
	tap_run("HELLO", hello);
	tap_run("WELCOME", welcome);
	tap_run("OPEN", open_);
	tap_run("OPENED", opened);
	tap_run("CLAIM", claim);
	tap_run("CLAIMED", claimed);
	tap_run("ATTACH", attach);
	tap_run("ATTACHED and SYNC", attached_and_sync);
	tap_run("BEGIN", begin);
	return tap_done();
}
