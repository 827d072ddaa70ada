// SPDX-License-Identifier: Apache-2.0
/*
 * Records: JSON bodies flow in and become files that are whole or absent after
 * a crash; files flow in and come out as the body that was stored, or are
 * refused. Keeps RULE 6: a file's size, form and checksum are checked before
 * anything in it is believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/sha.h>

#include "lib/cleanup.h"
#include "lib/fault.h"
#include "lib/record.h"

#define RECORD_MAX_BYTES (16 << 20)
/* Indented for people, where that cannot blow up what a peer has sent. */
#define INDENTED_MAX_BYTES (8 << 10)
#define HEX_BYTES (2 * SHA256_DIGEST_LENGTH + 1)

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}

static int body_checksum(json_t *body, char hex[HEX_BYTES])
{
	_cleanup_free_ char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
	unsigned char hash[SHA256_DIGEST_LENGTH];

	if (!text)
		return -ENOMEM;
	SHA256((unsigned char *)text, strlen(text), hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		sprintf(hex + 2 * i, "%02x", hash[i]);
	return 0;
}

static int damaged(struct bf_error *err, const char *path, const char *what)
{
	return bf_fail(err, BF_E_RECORD, EBADMSG,
		       "record %s %s; move it away to start over with a full copy",
		       path, what);
}

static int check_form(const char *path, json_t *record, const char *kind,
		      struct bf_error *err)
{
	const json_t *version = json_object_get(record, "format_version");
	const char *is = json_string_value(json_object_get(record, "kind"));

	if (!json_is_integer(version))
		return damaged(err, path, "is damaged: it names no format version");
	if (json_integer_value(version) != BF_RECORD_VERSION)
		return bf_fail(err, BF_E_RECORD, EPROTONOSUPPORT,
			       "record %s has format version %lld, this blkferry reads version %d: use the release that wrote it",
			       path, (long long)json_integer_value(version),
			       BF_RECORD_VERSION);
	if (!is || strcmp(is, kind))
		return bf_fail(err, BF_E_RECORD, EINVAL,
			       "record %s is of kind \"%s\", not \"%s\": is it in the wrong folder?",
			       path, is ? is : "", kind);
	return 0;
}

static int check_body(const char *path, json_t *record, json_t **body,
		      struct bf_error *err)
{
	const char *stated = json_string_value(json_object_get(record, "checksum"));
	json_t *found = json_object_get(record, "body");
	char hex[HEX_BYTES];

	if (!stated || !json_is_object(found))
		return damaged(err, path, "is damaged: its body is missing");
	if (body_checksum(found, hex))
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	if (strcmp(stated, hex))
		return damaged(err, path, "is damaged: its checksum is wrong");
	*body = json_incref(found);
	return 0;
}

static int read_text(const char *path, char **text, size_t *bytes,
		     struct bf_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *buffer = NULL;
	struct stat st;
	ssize_t got;

	if (fd < 0 && errno == ENOENT)
		return bf_fail(err, BF_E_NOT_FOUND, ENOENT, "there is no record %s",
			       path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return bf_fail(err, BF_E_RECORD, errno, "cannot read record %s: %s",
			       path, strerror(errno));
	if (!S_ISREG(st.st_mode) || !st.st_size || st.st_size > RECORD_MAX_BYTES)
		return damaged(err, path, "is damaged: its size is impossible");
	buffer = malloc((size_t)st.st_size);
	if (!buffer)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	got = pread(fd, buffer, (size_t)st.st_size, 0);
	if (got < 0)
		return bf_fail(err, BF_E_RECORD, errno, "cannot read record %s: %s",
			       path, strerror(errno));
	*text = bf_take_pointer(buffer);
	*bytes = (size_t)got;
	return 0;
}

int bf_record_load(const char *path, const char *kind, json_t **body,
		   struct bf_error *err)
{
	_cleanup_(cleanup_json) json_t *record = NULL;
	_cleanup_free_ char *text = NULL;
	size_t bytes = 0;
	int ret = read_text(path, &text, &bytes, err);

	if (ret)
		return ret;
	record = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(record))
		return damaged(err, path, "is damaged: it is not a JSON object");
	ret = check_form(path, record, kind, err);
	if (ret)
		return ret;
	return check_body(path, record, body, err);
}

/*
 * mkdir -p of everything before the last slash, each for its owner only. Looked
 * at first: mkdir of a folder that is there waits for a parent that is frozen,
 * as / is when /run/... is not.
 */
static int make_folders(const char *path, char folder[PATH_MAX])
{
	size_t length = strlen(path);
	char *slash;

	if (length >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(folder, path, length + 1);
	slash = strrchr(folder, '/');
	if (!slash) {
		strcpy(folder, ".");
		return 0;
	}
	slash[slash == folder] = '\0';
	for (char *at = folder + 1; ; at++) {
		char was = *at;

		if (was && was != '/')
			continue;
		*at = '\0';
		if (access(folder, F_OK) && mkdir(folder, 0700) < 0 &&
		    errno != EEXIST)
			return -errno;
		*at = was;
		if (!was)
			return 0;
	}
}

static int sync_folder(const char *folder)
{
	_cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int write_durably(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC |
				      O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t bytes = strlen(text);
	ssize_t put;

	if (fd < 0)
		return -errno;
	while (bytes) {
		put = write(fd, text, bytes);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		text += put;
		bytes -= (size_t)put;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* By link(2), which replaces nothing; its other name goes. */
static int move_if_new(const char *temporary, const char *path)
{
	if (link(temporary, path) < 0)
		return -errno;
	return unlink(temporary) < 0 ? -errno : 0;
}

static int put_in_place(const char *path, const char *text, bool new)
{
	char folder[PATH_MAX], temporary[PATH_MAX];
	int ret = make_folders(path, folder);

	if (ret)
		return ret;
	/* What is to be replaced is one writer's; for a new name there may be
	 * several. */
	ret = new ? snprintf(temporary, sizeof(temporary), "%s.%d.new", path,
			     gettid()) :
		    snprintf(temporary, sizeof(temporary), "%s.new", path);
	if (ret >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	/* A crash after link(2) left a second name of a record: not to be
	 * written to. */
	if (new)
		unlink(temporary);
	ret = write_durably(temporary, text);
	if (!ret)
		ret = bf_fault(BF_FAULT_RECORD_WRITTEN, NULL);
	if (!ret && new)
		ret = move_if_new(temporary, path);
	else if (!ret && rename(temporary, path) < 0)
		ret = -errno;
	if (ret) {
		unlink(temporary);
		return ret;
	}
	ret = bf_fault(BF_FAULT_RECORD_RENAMED, NULL);
	return ret ? ret : sync_folder(folder);
}

static char *record_text(const json_t *record)
{
	char *text = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);

	if (!text || strlen(text) > INDENTED_MAX_BYTES)
		return text;
	free(text);
	return json_dumps(record, JSON_INDENT(2) | JSON_SORT_KEYS);
}

static int store(const char *path, const char *kind, json_t *body, bool new,
		 struct bf_error *err)
{
	_cleanup_(cleanup_json) json_t *record = NULL;
	_cleanup_free_ char *text = NULL;
	char hex[HEX_BYTES];
	int ret;

	if (!body_checksum(body, hex))
		record = json_pack("{s:i, s:s, s:s, s:O}", "format_version",
				   BF_RECORD_VERSION, "kind", kind, "checksum",
				   hex, "body", body);
	if (record)
		text = record_text(record);
	if (!text)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	if (strlen(text) > RECORD_MAX_BYTES)
		return bf_fail(err, BF_E_RECORD, EFBIG,
			       "record %s would get %zu bytes long, more than can be read again: it stays as it is",
			       path, strlen(text));
	ret = put_in_place(path, text, new);
	if (ret == -EEXIST)
		return bf_fail(err, BF_E_EXISTS, EEXIST,
			       "there is a record %s already", path);
	if (ret)
		return bf_fail(err, BF_E_RECORD, -ret,
			       "cannot write record %s: %s; is its filesystem full or read-only?",
			       path, strerror(-ret));
	return 0;
}

int bf_record_store(const char *path, const char *kind, json_t *body,
		    struct bf_error *err)
{
	return store(path, kind, body, false, err);
}

int bf_record_create(const char *path, const char *kind, json_t *body,
		     struct bf_error *err)
{
	return store(path, kind, body, true, err);
}

int bf_record_remove(const char *path, struct bf_error *err)
{
	char folder[PATH_MAX];
	int ret = make_folders(path, folder);

	if (!ret && unlink(path) < 0 && errno != ENOENT)
		ret = -errno;
	if (!ret)
		ret = sync_folder(folder);
	if (ret)
		return bf_fail(err, BF_E_RECORD, -ret,
			       "cannot remove record %s: %s", path,
			       strerror(-ret));
	return 0;
}
