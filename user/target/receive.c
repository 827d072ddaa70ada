// SPDX-License-Identifier: Apache-2.0
/*
 * Receive: HELLO, OPEN, BEGIN, DATA and DIGEST flow in; targets that this
 * source may have are opened, blocks flow on to apply, digests flow back.
 * Nothing here grants the right to write: see acknowledge.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "lib/cleanup.h"
#include "lib/fault.h"
#include "lib/log.h"
#include "target/session_private.h"

static void cleanup_ledger(struct bf_ledger **ledger)
{
	bf_ledger_free(*ledger);
}

/* As it stands now: reopen and other processes write it, too. */
static int load_ledger(const struct bf_target_session *s,
		       struct bf_ledger **ledger, struct bf_error *err)
{
	const char *folder = s->registry->records_dir;
	const char *peer = bf_transport_peer(s->transport);
	char old_peer[BF_FINGERPRINT_BYTES];
	_cleanup_close_ int lock = -1;
	int ret = bf_ledger_lock(folder, &lock, err);

	if (!ret && bf_registry_old_key(s->registry, peer, old_peer))
		ret = bf_ledger_adopt(folder, old_peer, peer, s->job, err);
	return ret ? ret : bf_ledger_load(folder, peer, s->job, ledger, err);
}

/* --- HELLO -------------------------------------------------------------------- */

static int choose_version(const struct wire_hello *hello, uint16_t *version,
			  struct bf_error *err)
{
	*version = hello->version_max < WIRE_VERSION ? hello->version_max :
						       WIRE_VERSION;
	if (*version >= WIRE_VERSION_MIN && *version >= hello->version_min)
		return 0;
	return bf_fail(err, BF_E_VERSION, EPROTONOSUPPORT,
		       "the source speaks protocol versions %u to %u, this receiver %u to %u; install releases that are at most one apart",
		       hello->version_min, hello->version_max, WIRE_VERSION_MIN,
		       WIRE_VERSION);
}

static int draw_secrets(struct bf_target_session *s, struct wire_welcome *welcome,
			struct bf_error *err)
{
	if (RAND_bytes((unsigned char *)&s->checksum_seed,
		       sizeof(s->checksum_seed)) != 1 ||
	    RAND_bytes(welcome->digest_key, sizeof(welcome->digest_key)) != 1)
		return bf_fail(err, BF_E_SYSTEM, EIO,
			       "OpenSSL gives no random numbers");
	welcome->checksum_seed = s->checksum_seed;
	return bf_codec_digest_key(s->codec, welcome->digest_key, err);
}

static int welcome(struct bf_target_session *s, const struct bf_ledger *ledger,
		   uint16_t version, struct bf_error *err)
{
	struct wire_welcome m = {
		.magic = WIRE_MAGIC,
		.version = version,
		.features = s->features,
		.last_epoch = ledger->last_epoch,
		.cutover_epoch = ledger->cutover_epoch,
		.state = ledger->state,
	};
	int ret = draw_secrets(s, &m, err);

	if (ret)
		return ret;
	bf_wire_swap_welcome(&m);
	return session_reply(s, WIRE_WELCOME, 0, &m, sizeof(m), err);
}

int session_hello(struct bf_target_session *s, const struct bf_frame *f,
		  struct bf_error *err)
{
	_cleanup_(cleanup_ledger) struct bf_ledger *ledger = NULL;
	struct wire_hello m;
	uint16_t version;
	int ret = bf_check_hello(f, &m, err);

	if (!ret)
		ret = choose_version(&m, &version, err);
	if (ret)
		return ret;
	strcpy(s->job, m.job);
	s->features = m.features & WIRE_FEATURES;
	if (!s->local)
		bf_audit("session of %s (%s) from %s: job %s", s->peer_name,
			 session_key(s), s->address, s->job);
	ret = bf_writer_get(s->registry, bf_transport_peer(s->transport), s->job,
			    &s->writer, err);
	if (!ret)
		ret = load_ledger(s, &ledger, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_HELLO, err);
	return ret ? ret : welcome(s, ledger, version, err);
}

/* --- OPEN ---------------------------------------------------------------------- */

static int open_writable(struct bf_target_session *s, struct session_disk *disk,
			 const struct bf_target_config *config,
			 const struct bf_ledger *ledger, struct bf_error *err)
{
	int ret;

	if (ledger->state == WIRE_JOB_CUT_OVER)
		return bf_fail(err, BF_E_CUT_OVER, EPERM,
			       "job %s was cut over in epoch %llu: target %s is no copy any more and is not overwritten; `blkferry receive --reopen %s` at the receiver allows it",
			       s->job, (unsigned long long)ledger->cutover_epoch,
			       config->name, config->name);
	ret = bf_ledger_check_owner(s->registry->records_dir, ledger,
				    session_target_name(s, config->name), NULL,
				    err);
	if (ret)
		return ret;
	ret = bf_hold_get(s->registry, s->writer, config, disk->open.size_bytes,
			  ledger, &disk->hold, err);
	if (!ret)
		disk->target = &disk->hold->target;
	return ret;
}

static int open_read_only(struct session_disk *disk,
			  const struct bf_target_config *config,
			  struct bf_error *err)
{
	int ret = bf_target_open(&disk->own, config, false, err);

	if (ret)
		return ret;
	disk->target = &disk->own;
	return bf_target_check_size(disk->target, disk->open.size_bytes, err);
}

static int check_order(const struct bf_target_session *s,
		       const struct bf_frame *f, const struct wire_open *open,
		       struct bf_error *err)
{
	if (f->disk != s->nr_disks)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "OPEN of disk %u where %u is next", f->disk,
			       s->nr_disks);
	for (uint32_t i = 0; i < s->nr_disks; i++)
		if (!strcmp(s->disks[i]->open.target, open->target))
			return bf_fail(err, BF_E_IN_USE, EBUSY,
				       "target %s is given to two disks of job %s; each needs its own",
				       open->target, s->job);
	return 0;
}

static int opened(struct bf_target_session *s, const struct bf_frame *f,
		  const struct session_disk *disk,
		  const struct bf_ledger *ledger, struct bf_error *err)
{
	const struct bf_ledger_disk *known = bf_ledger_find(ledger, disk->target);
	struct wire_opened m = { .size_bytes = disk->target->size_bytes };

	if (known) {
		memcpy(m.cookie, known->cookie, sizeof(m.cookie));
		memcpy(m.source_uuid, known->source_uuid, sizeof(m.source_uuid));
		m.generation = known->generation;
		m.through_bytes = known->through_bytes;
		if (known->complete &&
		    known->source_bytes == disk->open.size_bytes)
			m.flags = WIRE_OPENED_COMPLETE;
	}
	bf_wire_swap_opened(&m);
	return session_reply(s, WIRE_OPENED, f->disk, &m, sizeof(m), err);
}

static int open_disk(struct bf_target_session *s, struct session_disk *disk,
		     const struct bf_ledger *ledger, struct bf_error *err)
{
	struct bf_target_config config;
	int ret = bf_registry_target(s->registry, session_key(s),
				     disk->open.target, &config, err);

	if (ret)
		return ret;
	if (disk->open.flags & WIRE_OPEN_READ_ONLY)
		return open_read_only(disk, &config, err);
	return open_writable(s, disk, &config, ledger, err);
}

int session_open(struct bf_target_session *s, const struct bf_frame *f,
		 struct bf_error *err)
{
	_cleanup_(cleanup_ledger) struct bf_ledger *ledger = NULL;
	struct session_disk *disk = calloc(1, sizeof(*disk));
	int ret;

	if (!disk)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	bf_target_init(&disk->own);
	ret = bf_check_open(f, &disk->open, err);
	if (!ret)
		ret = check_order(s, f, &disk->open, err);
	if (!ret)
		ret = load_ledger(s, &ledger, err);
	if (!ret)
		ret = open_disk(s, disk, ledger, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_OPENED, err);
	if (ret) {
		session_disk_free(s, disk);
		return ret;
	}
	s->disks[s->nr_disks++] = disk;
	return opened(s, f, disk, ledger, err);
}

/* --- BEGIN and DATA -------------------------------------------------------------- */

int session_begin(struct bf_target_session *s, const struct bf_frame *f,
		  struct bf_error *err)
{
	struct session_disk *disk;
	struct wire_begin m;
	int ret = bf_check_begin(f, &m, err);

	if (!ret)
		ret = session_disk(s, f, &disk, err);
	if (ret)
		return ret;
	if (disk->begun && m.generation < disk->generation)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "BEGIN of generation %llu after %llu of target %s: the peer's blkferry is faulty",
			       (unsigned long long)m.generation,
			       (unsigned long long)disk->generation,
			       disk->target->name);
	ret = bf_apply_settle(s->apply, f->disk, err);
	if (!ret)
		ret = session_gather(s, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_BEGIN, err);
	if (ret)
		return ret;
	disk->begun = true;
	disk->generation = m.generation;
	bf_connections_pass(s->connections);
	return 0;
}

static int check_data(const struct bf_target_session *s,
		      const struct session_disk *disk,
		      const struct wire_data *head, struct bf_error *err)
{
	if (!disk->begun || head->generation != disk->generation)
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "DATA of generation %llu of target %s, which was not begun: the peer's blkferry is faulty",
			       (unsigned long long)head->generation,
			       disk->target->name);
	if (head->codec == WIRE_CODEC_ZSTD &&
	    !(s->features & WIRE_FEATURE_ZSTD))
		return bf_fail(err, BF_E_PROTOCOL, EPROTO,
			       "compressed DATA, though compression was not agreed upon: the peer's blkferry is faulty");
	return 0;
}

int session_data(struct bf_target_session *s, const struct bf_frame *f,
		 struct bf_error *err)
{
	struct session_disk *disk;
	int ret = session_disk(s, f, &disk, err);

	if (!ret)
		ret = bf_check_data(f, disk->open.size_bytes, &s->view, err);
	if (!ret)
		ret = check_data(s, disk, &s->view.head, err);
	if (!ret)
		ret = session_check_shareable(s, disk, &s->view, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_DATA, err);
	if (!ret)
		ret = bf_apply_data(s->apply, f->disk, &s->view, err);
	return ret ? ret : bf_fault(BF_FAULT_TARGET_APPLIED, err);
}

/* --- DIGEST ------------------------------------------------------------------------ */

/* Blocks on their way must be there before they are read. */
static int prepare_digest(struct bf_target_session *s, uint16_t disk,
			  struct bf_error *err)
{
	int ret = s->apply ? bf_apply_settle(s->apply, disk, err) : 0;

	if (ret || s->digester)
		return ret;
	return bf_digester_new(&s->digester, s->codec, session_tick, s, err);
}

static int answer_digest(struct bf_target_session *s, const struct bf_frame *f,
			 const struct bf_target *target,
			 const struct wire_digest *range, struct bf_error *err)
{
	uint32_t nr = (uint32_t)((range->length_bytes + range->block_bytes - 1) /
				 range->block_bytes);
	size_t bytes = sizeof(struct wire_digests) + (size_t)nr * WIRE_DIGEST_BYTES;
	_cleanup_free_ struct wire_digests *m = malloc(bytes);
	int ret;

	if (!m)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	ret = bf_digest_range(s->digester, target, range,
			      (uint8_t (*)[WIRE_DIGEST_BYTES])(m + 1), err);
	if (ret)
		return ret;
	*m = (struct wire_digests){
		.offset_bytes = range->offset_bytes,
		.nr_digests = nr,
		.block_bytes = range->block_bytes,
	};
	bf_wire_swap_digests(m);
	return session_reply(s, WIRE_DIGESTS, f->disk, m, (uint32_t)bytes, err);
}

int session_digest(struct bf_target_session *s, const struct bf_frame *f,
		   struct bf_error *err)
{
	struct session_disk *disk;
	struct wire_digest m;
	int ret = session_disk(s, f, &disk, err);

	if (!ret)
		ret = bf_check_digest(f, disk->open.size_bytes, &m, err);
	if (!ret && !(s->features & WIRE_FEATURE_GMAC))
		ret = bf_fail(err, BF_E_PROTOCOL, EPROTO,
			      "DIGEST, though digests were not agreed upon: the peer's blkferry is faulty");
	if (!ret)
		ret = prepare_digest(s, f->disk, err);
	if (!ret)
		ret = bf_fault(BF_FAULT_TARGET_DIGEST, err);
	return ret ? ret : answer_digest(s, f, disk->target, &m, err);
}

/* --- MEASURE ----------------------------------------------------------------------- */

static int answer_measure(struct bf_target_session *s, struct bf_error *err)
{
	struct wire_measured m = {
		.bytes = s->measured_bytes,
		.time_ns = bf_now_ns() - s->measure_since_ns,
	};

	s->measure_since_ns = s->measured_bytes = 0;
	bf_wire_swap_measured(&m);
	return session_reply(s, WIRE_MEASURED, 0, &m, sizeof(m), err);
}

int session_measure(struct bf_target_session *s, const struct bf_frame *f,
		    struct bf_error *err)
{
	struct wire_measure m;
	int ret = bf_check_measure(f, &m, err);

	if (!ret && !(s->features & WIRE_FEATURE_MEASURE))
		ret = bf_fail(err, BF_E_PROTOCOL, EPROTO,
			      "MEASURE, though it was not agreed upon: the peer's blkferry is faulty");
	if (ret)
		return ret;
	if (s->measure_since_ns)
		s->measured_bytes += f->length;
	else
		s->measure_since_ns = bf_now_ns();
	return m.flags & WIRE_MEASURE_ANSWER ? answer_measure(s, err) : 0;
}
