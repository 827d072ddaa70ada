// SPDX-License-Identifier: Apache-2.0
/*
 * Ledger: a job's progress flows in and is durable when the call returns;
 * files flow in and come out as checked structs. Keeps RULE 6: a number in a
 * file is believed only within the limits that the protocol has for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/record.h"
#include "lib/units.h"
#include "target/ledger.h"

#define SUFFIX ".json"

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static void cleanup_ledger(struct bf_ledger **ledger)
{
	bf_ledger_free(*ledger);
}

struct bf_ledger *bf_ledger_new(const char *peer, const char *job)
{
	struct bf_ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return NULL;
	snprintf(ledger->peer, sizeof(ledger->peer), "%s", peer);
	snprintf(ledger->job, sizeof(ledger->job), "%s", job);
	return ledger;
}

void bf_ledger_free(struct bf_ledger *ledger)
{
	if (!ledger)
		return;
	free(ledger->disks);
	free(ledger);
}

/* FOLDER/JOB.HASH<suffix>: a fingerprint's characters do not suit a file name. */
static void ledger_path(char path[PATH_MAX], const char *folder,
			const char *peer, const char *job, const char *suffix)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char hex[17];

	SHA256((const unsigned char *)peer, strlen(peer), hash);
	for (int i = 0; i < 8; i++)
		sprintf(hex + 2 * i, "%02x", hash[i]);
	snprintf(path, PATH_MAX, "%.*s/%s.%s%s", BF_PATH_BYTES, folder, job,
		 hex, suffix);
}

void bf_ledger_report_stem(char stem[PATH_MAX], const char *folder,
			   const char *peer, const char *job)
{
	char reports[BF_PATH_BYTES];

	snprintf(reports, sizeof(reports), "%.*s/reports", BF_PATH_BYTES - 9,
		 folder);
	ledger_path(stem, reports, peer, job, "");
}

static void make_folder(const char *folder)
{
	char at[PATH_MAX];

	snprintf(at, sizeof(at), "%s", folder);
	for (char *slash = strchr(at + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(at, 0700);
		*slash = '/';
	}
	mkdir(at, 0700);
}

/*
 * The lock file, and the folder if it is missing. mkdir of a folder that is
 * there would wait for a parent on a frozen filesystem.
 */
static int open_lock(const char *folder, const char *path, int *fd,
		     struct bf_error *err)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;

	*fd = open(path, flags, 0600);
	if (*fd < 0 && errno == ENOENT) {
		make_folder(folder);
		*fd = open(path, flags, 0600);
	}
	if (*fd < 0)
		return bf_fail(err, BF_E_RECORD, errno,
			       "cannot open %s: %s; is the records folder writable?",
			       path, strerror(errno));
	return 0;
}

static int lock_folder(const char *folder, int how, int *fd,
		       struct bf_error *err)
{
	char path[PATH_MAX];
	int ret;

	*fd = -1;
	if (!folder)
		return 0;
	snprintf(path, sizeof(path), "%s/.lock", folder);
	ret = open_lock(folder, path, fd, err);
	if (ret)
		return ret;
	while (flock(*fd, how) < 0) {
		if (errno == EINTR)
			continue;
		ret = bf_fail(err, BF_E_RECORD, errno, "cannot lock %s: %s", path,
			      strerror(errno));
		close(*fd);
		*fd = -1;
		return ret;
	}
	return 0;
}

int bf_ledger_lock(const char *folder, int *fd, struct bf_error *err)
{
	return lock_folder(folder, LOCK_EX, fd, err);
}

int bf_ledger_lock_shared(const char *folder, int *fd, struct bf_error *err)
{
	return lock_folder(folder, LOCK_SH, fd, err);
}

int bf_ledger_lock_job(const char *folder, const char *peer, const char *job,
		       int *fd, struct bf_error *err)
{
	char path[PATH_MAX];
	int ret;

	*fd = -1;
	if (!folder)
		return 0;
	ledger_path(path, folder, peer, job, ".lock");
	ret = open_lock(folder, path, fd, err);
	if (ret)
		return ret;
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	close(*fd);
	*fd = -1;
	return bf_fail(err, BF_E_IN_USE, EBUSY,
		       "another blkferry process on this host is writing for job %s; stop it first",
		       job);
}

/* --- struct to JSON ------------------------------------------------------- */

static json_t *disk_to_json(const struct bf_ledger_disk *d)
{
	char cookie[37], uuid[37];

	bf_format_uuid(d->cookie, cookie);
	bf_format_uuid(d->source_uuid, uuid);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:I, s:b}",
			 "target", d->target, "path", d->path,
			 "identity", d->identity,
			 "target_bytes", (json_int_t)d->target_bytes,
			 "source_bytes", (json_int_t)d->source_bytes,
			 "cookie", cookie, "source_uuid", uuid,
			 "generation", (json_int_t)d->generation,
			 "through_bytes", (json_int_t)d->through_bytes,
			 "complete", d->complete);
}

static const char *state_name(enum wire_job_state state)
{
	return state == WIRE_JOB_CUT_OVER ? "cut over" : "syncing";
}

static json_t *ledger_to_json(const struct bf_ledger *l)
{
	json_t *disks = json_array();

	for (uint32_t i = 0; i < l->nr_disks; i++)
		json_array_append_new(disks, disk_to_json(&l->disks[i]));
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "peer", l->peer,
			 "job", l->job, "state", state_name(l->state),
			 "last_epoch", (json_int_t)l->last_epoch,
			 "cutover_epoch", (json_int_t)l->cutover_epoch,
			 "disks", disks);
}

int bf_ledger_store(const char *folder, const struct bf_ledger *ledger,
		    struct bf_error *err)
{
	_cleanup_(cleanup_json) json_t *body = NULL;
	char path[PATH_MAX];

	if (!folder)
		return 0;
	body = ledger_to_json(ledger);
	if (!body || json_array_size(json_object_get(body, "disks")) !=
		     ledger->nr_disks)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	ledger_path(path, folder, ledger->peer, ledger->job, SUFFIX);
	return bf_record_store(path, BF_LEDGER_KIND, body, err);
}

/* --- JSON to struct ------------------------------------------------------- */

static bool get_text(const json_t *object, const char *key, char *to, size_t room)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && (size_t)snprintf(to, room, "%s", text) < room;
}

static bool get_number(const json_t *object, const char *key, uint64_t limit,
		       uint64_t *to)
{
	const json_t *number = json_object_get(object, key);

	if (!json_is_integer(number) || json_integer_value(number) < 0)
		return false;
	*to = (uint64_t)json_integer_value(number);
	return *to <= limit;
}

static bool get_uuid(const json_t *object, const char *key, uint8_t to[16])
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && !bf_parse_uuid(text, to);
}

static bool disk_from_json(const json_t *from, struct bf_ledger_disk *d)
{
	const json_t *complete = json_object_get(from, "complete");

	d->complete = json_is_true(complete);
	return json_is_boolean(complete) &&
	       get_text(from, "target", d->target, sizeof(d->target)) &&
	       get_text(from, "path", d->path, sizeof(d->path)) &&
	       get_text(from, "identity", d->identity, sizeof(d->identity)) &&
	       get_number(from, "target_bytes", WIRE_DEVICE_BYTES_MAX,
			  &d->target_bytes) &&
	       get_number(from, "source_bytes", WIRE_DEVICE_BYTES_MAX,
			  &d->source_bytes) &&
	       get_uuid(from, "cookie", d->cookie) &&
	       get_uuid(from, "source_uuid", d->source_uuid) &&
	       get_number(from, "generation", WIRE_EPOCH_MAX, &d->generation) &&
	       get_number(from, "through_bytes", WIRE_DEVICE_BYTES_MAX,
			  &d->through_bytes);
}

static bool get_state(const json_t *from, enum wire_job_state *state)
{
	char text[16];

	if (!get_text(from, "state", text, sizeof(text)))
		return false;
	*state = strcmp(text, "cut over") ? WIRE_JOB_SYNCING : WIRE_JOB_CUT_OVER;
	return !strcmp(text, state_name(*state));
}

static bool ledger_from_json(const json_t *from, struct bf_ledger *l)
{
	const json_t *disks = json_object_get(from, "disks");
	size_t nr = json_array_size(disks);

	if (!get_text(from, "peer", l->peer, sizeof(l->peer)) ||
	    !get_text(from, "job", l->job, sizeof(l->job)) ||
	    !bf_name_valid(l->job) || !get_state(from, &l->state) ||
	    !get_number(from, "last_epoch", WIRE_EPOCH_MAX, &l->last_epoch) ||
	    !get_number(from, "cutover_epoch", l->last_epoch,
			&l->cutover_epoch) ||
	    !json_is_array(disks) || nr > WIRE_DISKS_MAX)
		return false;
	l->disks = calloc(nr + 1, sizeof(*l->disks));
	if (!l->disks)
		return false;
	l->nr_disks = (uint32_t)nr;
	for (size_t i = 0; i < nr; i++)
		if (!disk_from_json(json_array_get(disks, i), &l->disks[i]))
			return false;
	return true;
}

static int load_path(const char *path, struct bf_ledger **ledger,
		     struct bf_error *err)
{
	_cleanup_(cleanup_ledger) struct bf_ledger *new = bf_ledger_new("", "");
	_cleanup_(cleanup_json) json_t *body = NULL;
	int ret;

	if (!new)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	ret = bf_record_load(path, BF_LEDGER_KIND, &body, err);
	if (ret)
		return ret;
	if (!ledger_from_json(body, new))
		return bf_fail(err, BF_E_RECORD, EBADMSG,
			       "record %s holds impossible values; move it away to start over with a full copy",
			       path);
	*ledger = bf_take_pointer(new);
	return 0;
}

int bf_ledger_load(const char *folder, const char *peer, const char *job,
		   struct bf_ledger **ledger, struct bf_error *err)
{
	_cleanup_(cleanup_ledger) struct bf_ledger *found = NULL;
	char path[PATH_MAX];
	int ret = -ENOENT;

	if (folder) {
		ledger_path(path, folder, peer, job, SUFFIX);
		ret = load_path(path, &found, err);
	}
	if (ret == -ENOENT) {
		*ledger = bf_ledger_new(peer, job);
		return *ledger ? 0 :
		       bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	}
	if (ret)
		return ret;
	if (strcmp(found->peer, peer) || strcmp(found->job, job))
		return bf_fail(err, BF_E_RECORD, EBADMSG,
			       "record %s is of another job; move it away", path);
	*ledger = bf_take_pointer(found);
	return 0;
}

int bf_ledger_remove(const char *folder, const struct bf_ledger *ledger,
		     struct bf_error *err)
{
	char path[PATH_MAX];

	ledger_path(path, folder, ledger->peer, ledger->job, SUFFIX);
	return bf_record_remove(path, err);
}

/* --- who owns a target ----------------------------------------------------- */

struct bf_ledger_disk *bf_ledger_find(const struct bf_ledger *ledger,
				      const struct bf_target *target)
{
	for (uint32_t i = 0; i < ledger->nr_disks; i++) {
		struct bf_ledger_disk *d = &ledger->disks[i];

		if (!strcmp(d->target, target->name) &&
		    !strcmp(d->path, target->path) &&
		    !strcmp(d->identity, target->identity))
			return d;
	}
	return NULL;
}

static bool is_ledger(const char *name)
{
	size_t length = strlen(name), suffix = strlen(SUFFIX);

	return name[0] != '.' && length > suffix &&
	       !strcmp(name + length - suffix, SUFFIX);
}

/*
 * The next ledger of @folder. Return: 1 with *ledger and its *path, 0 at the
 * end. A damaged one is an error: what it says may be what is asked for.
 */
static int next_ledger(const char *folder, DIR *dir, char path[PATH_MAX],
		       struct bf_ledger **ledger, struct bf_error *err)
{
	struct dirent *entry;
	int ret;

	while ((entry = readdir(dir))) {
		if (!is_ledger(entry->d_name))
			continue;
		snprintf(path, PATH_MAX, "%.*s/%s", BF_PATH_BYTES, folder,
			 entry->d_name);
		ret = load_path(path, ledger, err);
		if (ret == -ENOENT)
			continue;
		return ret ? ret : 1;
	}
	return 0;
}

static bool names_target(const struct bf_ledger *ledger, const char *name)
{
	for (uint32_t i = 0; i < ledger->nr_disks; i++)
		if (!strcmp(ledger->disks[i].target, name))
			return true;
	return false;
}

static bool holds_target(const struct bf_ledger *ledger,
			 const struct bf_target *target)
{
	for (uint32_t i = 0; i < ledger->nr_disks; i++)
		if (bf_inspect_is_target(target, ledger->disks[i].path,
					 ledger->disks[i].identity))
			return true;
	return false;
}

/* Left by a death between the two steps? What was reopened has no cookie. */
static bool is_same_content(const struct bf_ledger *a, const struct bf_ledger *b)
{
	static const uint8_t none[sizeof(a->disks[0].cookie)];

	if (!a->nr_disks || a->nr_disks != b->nr_disks)
		return false;
	for (uint32_t i = 0; i < a->nr_disks; i++)
		if (!memcmp(a->disks[i].cookie, none, sizeof(none)) ||
		    memcmp(a->disks[i].cookie, b->disks[i].cookie, sizeof(none)) ||
		    strcmp(a->disks[i].target, b->disks[i].target))
			return false;
	return true;
}

static int adopt(const char *folder, struct bf_ledger *old, const char *peer,
		 struct bf_error *err)
{
	_cleanup_(cleanup_ledger) struct bf_ledger *own = NULL;
	char path[PATH_MAX];
	int ret = bf_ledger_load(folder, peer, old->job, &own, err);

	ledger_path(path, folder, old->peer, old->job, SUFFIX);
	if (ret)
		return ret;
	/* A job of the new key's own: who asks for its targets is told whose. */
	if (own->state != WIRE_JOB_NEW && !is_same_content(own, old))
		return 0;
	if (own->state == WIRE_JOB_NEW) {
		bf_audit("job %s: what %s wrote is that of %s from now on",
			 old->job, old->peer, peer);
		snprintf(old->peer, sizeof(old->peer), "%s", peer);
		ret = bf_ledger_store(folder, old, err);
	}
	return ret ? ret : bf_record_remove(path, err);
}

int bf_ledger_adopt(const char *folder, const char *old_peer, const char *peer,
		    const char *job, struct bf_error *err)
{
	_cleanup_(cleanup_ledger) struct bf_ledger *old = NULL;
	_cleanup_close_ int lock = -1;
	int ret;

	if (!folder)
		return 0;
	ret = bf_ledger_load(folder, old_peer, job, &old, err);
	if (ret || old->state == WIRE_JOB_NEW)
		return ret;
	ret = bf_ledger_lock_job(folder, old_peer, job, &lock, err);
	return ret ? ret : adopt(folder, old, peer, err);
}

static int owned(const struct bf_ledger *other, const char *path,
		 const char *target, struct bf_error *err)
{
	bool cut_over = other->state == WIRE_JOB_CUT_OVER;

	if (!strcmp(other->peer, "local"))
		return bf_fail(err, BF_E_IN_USE, EBUSY,
			       "target %s belongs to job %s, which %s; if that job is over, remove %s",
			       target, other->job, cut_over ?
			       "has cut over to it" : "is syncing to it", path);
	return bf_fail(err, BF_E_IN_USE, EBUSY,
		       "target %s belongs to job %s of %s, which %s; if that job is over, `blkferry receive --%s %s` at the receiver gives it up; if this source has a new key, name that one there as its old-key",
		       target, other->job, other->peer,
		       cut_over ? "has cut over to it" : "is syncing to it",
		       cut_over ? "reopen TARGET` and then `--forget" : "forget",
		       other->disks[0].target);
}

int bf_ledger_check_owner(const char *folder, const struct bf_ledger *own,
			  const char *name, const struct bf_target *target,
			  struct bf_error *err)
{
	_cleanup_(cleanup_dir) DIR *dir = folder ? opendir(folder) : NULL;
	char path[PATH_MAX];
	int ret;

	if (!dir)
		return !folder || errno == ENOENT ? 0 :
		       bf_fail(err, BF_E_RECORD, errno, "cannot read %s: %s",
			       folder, strerror(errno));
	for (;;) {
		_cleanup_(cleanup_ledger) struct bf_ledger *other = NULL;

		ret = next_ledger(folder, dir, path, &other, err);
		if (ret <= 0)
			return ret;
		if (!strcmp(other->peer, own->peer) &&
		    !strcmp(other->job, own->job))
			continue;
		if (name && names_target(other, name))
			return owned(other, path, name, err);
		if (target && holds_target(other, target))
			return owned(other, path, target->name, err);
	}
}

int bf_ledger_of_target(const char *folder, const char *target,
			struct bf_ledger **ledger, struct bf_error *err)
{
	_cleanup_(cleanup_dir) DIR *dir = opendir(folder);
	char path[PATH_MAX];
	int ret;

	while (dir) {
		_cleanup_(cleanup_ledger) struct bf_ledger *found = NULL;

		ret = next_ledger(folder, dir, path, &found, err);
		if (ret < 0)
			return ret;
		if (!ret)
			break;
		if (names_target(found, target)) {
			*ledger = bf_take_pointer(found);
			return 0;
		}
	}
	return bf_fail(err, BF_E_NOT_FOUND, ENOENT,
		       "no job has a record of target %s in %s", target, folder);
}
