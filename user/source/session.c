// SPDX-License-Identifier: Apache-2.0
/*
 * Session: disks and an address flow in, a link to a target with all disks
 * opened and claimed flows out. All memory of the pipeline is allocated here,
 * so that a pass under a freeze asks for none. Keeps RULE 6 through the
 * validators, and the words of the target in every error it causes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/fault.h"
#include "source/compare.h"
#include "source/session.h"

/* When the kernel took no reads, for want of memory. */
#define RETRY_MS 100

void bf_session_wake(struct bf_session *session)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then a wake is pending. */
	if (write(session->wake_fd, &one, sizeof(one)) < 0)
		return;
}

int bf_session_event_fd(const struct bf_session *session)
{
	return session->wake_fd;
}

static void clear_event(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

void bf_session_listen(struct bf_session *session)
{
	clear_event(session->wake_fd);
	clear_event(bf_ring_event_fd(session->ring));
	if (session->compare)
		clear_event(bf_compare_event_fd(session->compare));
}

/* For ever, but for a limit of reads, and for reads that nothing else would retry. */
static int wait_ms(const struct bf_session *session)
{
	if (session->read_wait_ns)
		return (int)(session->read_wait_ns / BF_NSEC_PER_MSEC) + 1;
	return bf_ring_has_queued(session->ring) ? RETRY_MS : -1;
}

void bf_session_wait(struct bf_session *session)
{
	struct pollfd fds[] = {
		{ .fd = session->wake_fd, .events = POLLIN },
		{ .fd = bf_ring_event_fd(session->ring), .events = POLLIN },
		{ .fd = session->compare ?
			bf_compare_event_fd(session->compare) : -1,
		  .events = POLLIN },
	};

	poll(fds, 3, wait_ms(session));
	session->read_wait_ns = 0;
}

int bf_session_check(struct bf_session *session, struct bf_error *err)
{
	int ret = bf_link_check(session->link, err);

	if (!ret && !session->data_links_done)
		ret = bf_links_check(session, err);
	if (ret)
		return ret;
	if (atomic_load(&session->interrupted))
		return bf_fail(err, BF_E_CANCELLED, ECANCELED,
			       "interrupted; what was not acknowledged will be sent again");
	return 0;
}

bool bf_session_alive(struct bf_session *session)
{
	return !session->spent && !bf_link_check(session->link, NULL) &&
	       (session->data_links_done || !bf_links_check(session, NULL));
}

void bf_session_interrupt(struct bf_session *session)
{
	atomic_store(&session->interrupted, true);
	bf_session_wake(session);
}

struct bf_slot *bf_session_take_slot(struct bf_session *session)
{
	struct bf_slot *slot;

	pthread_mutex_lock(&session->lock);
	slot = session->free_slots;
	if (slot) {
		session->free_slots = slot->next;
		session->nr_free_slots--;
	}
	pthread_mutex_unlock(&session->lock);
	return slot;
}

void bf_session_give_slot(struct bf_session *session, struct bf_slot *slot)
{
	pthread_mutex_lock(&session->lock);
	slot->next = session->free_slots;
	session->free_slots = slot;
	session->nr_free_slots++;
	pthread_mutex_unlock(&session->lock);
}

/* --- what arrives: the link's thread ------------------------------------------ */

int bf_session_answer(struct bf_session *s, const struct bf_frame *frame,
		      struct bf_error *err)
{
	bool wanted;

	pthread_mutex_lock(&s->lock);
	wanted = frame->type == s->awaited && !s->answered &&
		 frame->length <= sizeof(s->answer_payload);
	if (wanted) {
		s->answer = *frame;
		s->answer.payload = s->answer_payload;
		memcpy(s->answer_payload, frame->payload, frame->length);
		s->answered = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (!wanted)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target answers with %s, which was not asked for",
			       bf_frame_name(frame->type));
	bf_session_wake(s);
	return 0;
}

static int take_digests(struct bf_session *s, const struct bf_frame *frame,
			struct bf_error *err)
{
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = bf_compare_frame(s->compare, frame, err);
	pthread_mutex_unlock(&s->lock);
	bf_session_wake(s);
	return ret;
}

static int on_frame(void *context, const struct bf_frame *frame,
		    struct bf_error *err)
{
	struct bf_session *s = context;

	switch (frame->type) {
	case WIRE_DURABLE:
		return bf_commit_frame(s, frame, err);
	case WIRE_DIGESTS:
		return take_digests(s, frame, err);
	default:
		return bf_session_answer(s, frame, err);
	}
}

static void on_failed(void *context)
{
	bf_session_wake(context);
}

/* --- calls: one question, one answer ------------------------------------------ */

static bool answered(struct bf_session *s)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = s->answered;
	pthread_mutex_unlock(&s->lock);
	return yes;
}

static void await(struct bf_session *s, uint16_t type)
{
	pthread_mutex_lock(&s->lock);
	s->awaited = type;
	s->answered = false;
	pthread_mutex_unlock(&s->lock);
}

int bf_session_ask(struct bf_session *s, struct bf_link *link, const void *frame,
		   size_t bytes, uint16_t answer, struct bf_error *err)
{
	s->call_item = (struct bf_link_item){
		.frame = frame,
		.bytes = bytes,
		.answered = true,
		.ready = true,
	};
	await(s, answer);
	bf_link_queue(link, &s->call_item);
	for (;;) {
		int ret;

		bf_session_listen(s);
		if (answered(s)) {
			await(s, 0);
			return 0;
		}
		/* Once it is asked, only an answer says whether a cutover was. */
		ret = answer == WIRE_CUTOVER_DONE ? bf_link_check(s->link, err) :
						    bf_session_check(s, err);
		if (ret)
			return ret;
		bf_session_wait(s);
	}
}

int bf_session_call(struct bf_session *s, struct bf_link *link, uint16_t type,
		    uint16_t disk, const void *payload, uint32_t bytes,
		    uint16_t answer, struct bf_error *err)
{
	bf_frame_header(&s->call.header, type, disk, bytes);
	memcpy(s->call.payload, payload, bytes);
	return bf_session_ask(s, link, &s->call,
			      sizeof(struct wire_header) + bytes, answer, err);
}

static int call_control(struct bf_session *s, uint16_t type, uint16_t disk,
			const void *payload, uint32_t bytes, uint16_t answer,
			struct bf_error *err)
{
	return bf_session_call(s, s->link, type, disk, payload, bytes, answer,
			       err);
}

/* --- opening -------------------------------------------------------------------- */

/*
 * Reads are whole blocks of the disk. A regular file whose filesystem wants
 * more for O_DIRECT than it has is read through the page cache, which for
 * files, unlike for disks, is always the truth.
 */
static int check_alignment(const struct bf_session_disk *disk, struct bf_error *err)
{
	int flags = fcntl(disk->fd, F_GETFL), block_bytes = 0;
	struct stat st;
	void *probe;
	ssize_t got;

	if (flags < 0 || fstat(disk->fd, &st) < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "disk %s: %s",
			       disk->name, strerror(errno));
	if (S_ISBLK(st.st_mode)) {
		if (!ioctl(disk->fd, BLKSSZGET, &block_bytes) && disk->extents &&
		    disk->extents->granularity_bytes < (uint32_t)block_bytes)
			return bf_fail(err, BF_E_UNTRACKABLE, EINVAL,
				       "disk %s has blocks of %d bytes; track it with that granularity at least",
				       disk->name, block_bytes);
		return 0;
	}
	if (!(flags & O_DIRECT))
		return 0;
	if (posix_memalign(&probe, 4096, 4096))
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	got = pread(disk->fd, probe, 4096, 0);
	free(probe);
	if ((got < 0 || disk->size_bytes % 4096) &&
	    fcntl(disk->fd, F_SETFL, flags & ~O_DIRECT) < 0)
		return bf_fail(err, BF_E_SYSTEM, errno, "disk %s: %s",
			       disk->name, strerror(errno));
	return 0;
}

static int check_disk(const struct bf_session_disk *disk, struct bf_error *err)
{
	if (!disk->size_bytes || disk->size_bytes % WIRE_BLOCK_BYTES ||
	    disk->size_bytes > WIRE_DEVICE_BYTES_MAX)
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "disk %s has %llu bytes; a size that is a multiple of %u is needed",
			       disk->name, (unsigned long long)disk->size_bytes,
			       WIRE_BLOCK_BYTES);
	if (disk->extents && disk->extents->device_bytes != disk->size_bytes)
		return bf_fail(err, BF_E_TRACKER, EINVAL,
			       "disk %s has %llu bytes, but its tracker watches %llu; track it anew",
			       disk->name, (unsigned long long)disk->size_bytes,
			       (unsigned long long)disk->extents->device_bytes);
	if (strlen(disk->target) >= WIRE_NAME_BYTES)
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "disk %s: the target's name is too long", disk->name);
	return check_alignment(disk, err);
}

static int check_options(const struct bf_session_options *o, struct bf_error *err)
{
	uint32_t i;
	int ret = 0;

	if (!o->nr_disks || o->nr_disks > WIRE_DISKS_MAX)
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "a job has 1 to %u disks, not %u", WIRE_DISKS_MAX,
			       o->nr_disks);
	if (strlen(o->job) >= WIRE_NAME_BYTES)
		return bf_fail(err, BF_E_USAGE, EINVAL, "the job's name is too long");
	if (o->address && (!o->tls || !o->peer))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "the fingerprint of the receiver at %s is not known; ask for it there with `blkferry key`",
			       o->address);
	for (i = 0; i < o->nr_disks && !ret; i++)
		ret = check_disk(&o->disks[i], err);
	return ret;
}

int bf_session_connect(const struct bf_session_options *o,
		       struct bf_transport **transport, struct bf_error *err)
{
	uint64_t deadline_ns = o->timeout_ns ? bf_now_ns() + o->timeout_ns :
						UINT64_MAX;
	struct bf_transport *t;
	int fd, ret;

	ret = bf_tcp_connect_from(o->address, o->from, deadline_ns, &fd, err);
	if (!ret)
		ret = bf_transport_tls(&t, o->tls, fd, err);
	if (ret)
		return ret;
	ret = bf_transport_handshake(t, deadline_ns, err);
	if (!ret && strcmp(bf_transport_peer(t), o->peer))
		ret = bf_fail(err, BF_E_UNKNOWN_PEER, EACCES,
			      "%s answers with the key %s, expected is %s; compare with `blkferry key` there before you change the configuration",
			      o->address, bf_transport_peer(t), o->peer);
	if (ret)
		bf_transport_close(t);
	else
		*transport = t;
	return ret;
}

static int hello(struct bf_session *s, const char *job, struct bf_error *err)
{
	struct wire_hello hello = {
		.magic = WIRE_MAGIC,
		.version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION,
		.features = WIRE_FEATURES,
	};
	int ret;

	memcpy(hello.job, job, strlen(job));
	bf_wire_swap_hello(&hello);
	ret = call_control(s, WIRE_HELLO, 0, &hello, sizeof(hello), WIRE_WELCOME, err);
	if (ret)
		return ret;
	ret = bf_check_welcome(&s->answer, &s->welcome, err);
	s->welcome.features &= WIRE_FEATURES;
	return ret;
}

static int open_disk(struct bf_session *s, uint16_t index, struct bf_error *err)
{
	struct bf_session_disk *disk = &s->disks[index];
	struct wire_open open = {
		.size_bytes = disk->size_bytes,
		.granularity_bytes = disk->extents ?
			disk->extents->granularity_bytes : 4096,
		.flags = s->options.read_only ? WIRE_OPEN_READ_ONLY : 0,
	};
	int ret;

	memcpy(open.source_uuid, disk->source_uuid, sizeof(open.source_uuid));
	memcpy(open.target, disk->target, strlen(disk->target));
	bf_wire_swap_open(&open);
	ret = call_control(s, WIRE_OPEN, index, &open, sizeof(open), WIRE_OPENED, err);
	if (!ret)
		ret = bf_check_opened(&s->answer, &disk->opened, err);
	if (ret)
		return ret;
	if (s->answer.disk != index)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target opened disk %u instead of %u",
			       s->answer.disk, index);
	if (disk->opened.size_bytes < disk->size_bytes)
		return bf_fail(err, BF_E_TOO_SMALL, ENOSPC,
			       "target %s has %llu bytes, disk %s has %llu; choose a larger target",
			       disk->target,
			       (unsigned long long)disk->opened.size_bytes,
			       disk->name, (unsigned long long)disk->size_bytes);
	return 0;
}

static int introduce(struct bf_session *s, const char *job, struct bf_error *err)
{
	uint32_t i;
	int ret = hello(s, job, err);

	for (i = 0; i < s->nr_disks && !ret; i++)
		ret = open_disk(s, i, err);
	return ret;
}

static void make_slots(struct bf_session *s)
{
	uint32_t i;

	for (i = s->nr_slots; i-- > 0;) {
		struct bf_slot *slot = &s->slots[i];

		slot->session = s;
		slot->index = i;
		slot->raw = bf_ring_buffer(s->ring, i) + BF_SLOT_BLOCKS_AT;
		slot->room = s->rooms + i * (size_t)BF_SLOT_BYTES + BF_SLOT_BLOCKS_AT;
		bf_session_give_slot(s, slot);
	}
}

static uint32_t slots_of(uint64_t in_flight_bytes)
{
	if (!in_flight_bytes)
		return BF_SLOTS_DEFAULT;
	return in_flight_bytes < WIRE_RAW_MAX ? 1 :
	       (uint32_t)(in_flight_bytes / WIRE_RAW_MAX);
}

static int make_pipeline(struct bf_session *s, unsigned int workers,
			 struct bf_error *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int ret;

	if (!workers)
		workers = cpus < 1 ? 1 : cpus > BF_WORKERS_MAX ?
			  BF_WORKERS_MAX : cpus;
	s->slots = calloc(s->nr_slots, sizeof(*s->slots));
	s->pass_disks = calloc(s->nr_disks, sizeof(*s->pass_disks));
	s->group = calloc(1, sizeof(*s->group));
	s->window = calloc(BF_WALK_WINDOW_MAX, sizeof(*s->window));
	s->rooms = mmap(NULL, s->nr_slots * (size_t)BF_SLOT_BYTES,
			PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!s->slots || !s->pass_disks || !s->group || !s->window ||
	    s->rooms == MAP_FAILED)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory for the pipeline's buffers");
	ret = bf_ring_new(&s->ring, BF_RING_DEPTH, s->nr_slots, BF_SLOT_BYTES, err);
	if (ret)
		return ret;
	ret = bf_ring_event_fd(s->ring);
	if (ret < 0)
		return bf_fail(err, BF_E_SYSTEM, -ret,
			       "io_uring gives no event descriptor: %s",
			       strerror(-ret));
	make_slots(s);
	return bf_workers_new(&s->workers, workers, s, err);
}

int bf_session_link(struct bf_session *s, const struct bf_link_handler *handler,
		    struct bf_transport *transport, struct bf_link **link,
		    struct bf_error *err)
{
	const struct bf_link_options options = {
		.handler = *handler,
		.timeout_ns = s->options.timeout_ns,
		.bucket = &s->bucket,
		.wire_bytes = &s->progress.wire_bytes,
		.full_ns = &s->link_full_ns,
		.send_ns = &s->link_send_ns,
	};

	return bf_link_start(link, transport, &options, err);
}

static int start(struct bf_session *s, const struct bf_session_options *o,
		 struct bf_transport **transport, struct bf_error *err)
{
	const struct bf_link_handler handler = { on_frame, on_failed, s };
	int ret = check_options(o, err);

	if (!ret)
		ret = make_pipeline(s, o->workers, err);
	if (!ret && o->address)
		ret = bf_session_connect(o, transport, err);
	if (ret)
		return ret;
	ret = bf_session_link(s, &handler, bf_take_pointer(*transport), &s->link,
			      err);
	return ret ? ret : introduce(s, o->job, err);
}

int bf_session_open(struct bf_session **session,
		    const struct bf_session_options *options,
		    struct bf_error *err)
{
	struct bf_transport *transport = options->address ? NULL :
							    options->transport;
	struct bf_session *s = calloc(1, sizeof(*s));
	int ret;

	if (!s) {
		bf_transport_close(transport);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory for a session");
	}
	s->options = *options;
	s->options.transport = NULL;
	s->settings = options->settings;
	s->disks = options->disks;
	s->nr_disks = options->nr_disks;
	bf_bucket_init(&s->bucket, &s->settings->rate_bytes);
	bf_bucket_init(&s->read_bucket, &s->settings->read_rate_bytes);
	s->nr_slots = slots_of(options->in_flight_bytes);
	s->rooms = MAP_FAILED;
	pthread_mutex_init(&s->lock, NULL);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = s->wake_fd < 0 ?
		bf_fail(err, BF_E_SYSTEM, errno, "eventfd: %s", strerror(errno)) :
		start(s, options, &transport, err);
	bf_transport_close(transport);
	if (ret)
		bf_session_close(s);
	else
		*session = s;
	return ret;
}

/*
 * Each thread is joined before what it uses goes: the link's may call back for
 * slots, workers tell the link, and the kernel owns buffers until the ring is
 * gone.
 */
void bf_session_close(struct bf_session *session)
{
	if (!session)
		return;
	bf_workers_free(session->workers);
	bf_links_close(session);
	bf_link_stop(session->link);
	bf_ring_free(session->ring);
	if (session->rooms != MAP_FAILED)
		munmap(session->rooms,
		       session->nr_slots * (size_t)BF_SLOT_BYTES);
	bf_compare_free(session->compare);
	free(session->measure);
	free(session->report);
	free(session->window);
	free(session->group);
	free(session->pass_disks);
	free(session->slots);
	if (session->wake_fd >= 0)
		close(session->wake_fd);
	bf_bucket_destroy(&session->read_bucket);
	bf_bucket_destroy(&session->bucket);
	pthread_mutex_destroy(&session->lock);
	free(session);
}

const struct wire_welcome *bf_session_welcome(const struct bf_session *session)
{
	return &session->welcome;
}

struct bf_session_progress *bf_session_progress(struct bf_session *session)
{
	return &session->progress;
}

/* --- becoming the writer, and ceasing to be it ---------------------------------- */

int bf_session_claim(struct bf_session *session, uint64_t epoch, bool restart,
		     struct bf_error *err)
{
	struct wire_claim claim = {
		.epoch = epoch,
		.nr_disks = session->nr_disks,
		.flags = restart ? WIRE_CLAIM_RESTART : 0,
		.connections = bf_links_wanted(session),
	};
	const uint8_t (*cookies)[16];
	struct wire_claimed claimed;
	uint32_t i;
	int ret;

	bf_wire_swap_claim(&claim);
	ret = call_control(session, WIRE_CLAIM, 0, &claim, sizeof(claim), WIRE_CLAIMED,
		   err);
	if (!ret)
		ret = bf_check_claimed(&session->answer, &claimed,
				       session->nr_disks, &cookies, err);
	if (ret)
		return ret;
	if (claimed.epoch != epoch)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target granted epoch %llu instead of %llu",
			       (unsigned long long)claimed.epoch,
			       (unsigned long long)epoch);
	if (claimed.connections > bf_links_wanted(session))
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target granted more connections than were asked for");
	for (i = 0; i < session->nr_disks; i++)
		memcpy(session->disks[i].cookie, cookies[i], 16);
	session->claimed = true;
	return bf_links_open(session, &claimed, err);
}

int bf_session_cutover(struct bf_session *session, uint64_t epoch,
		       struct bf_error *err)
{
	struct wire_cutover cutover = { .epoch = epoch };
	struct wire_cutover_done done;
	int ret = bf_fault(BF_FAULT_SOURCE_CUTOVER, err);

	if (ret)
		return ret;
	session->data_links_done = true;
	bf_wire_swap_cutover(&cutover);
	ret = call_control(session, WIRE_CUTOVER, 0, &cutover, sizeof(cutover),
		   WIRE_CUTOVER_DONE, err);
	if (!ret)
		ret = bf_check_cutover_done(&session->answer, &done, err);
	if (ret && err && err->code == BF_E_TIMEOUT)
		err->code = BF_E_CONNECTION;
	if (ret)
		return ret;
	if (done.epoch != epoch)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "the target cut epoch %llu over instead of %llu",
			       (unsigned long long)done.epoch,
			       (unsigned long long)epoch);
	return bf_fault(BF_FAULT_SOURCE_CUT_OVER, err);
}
