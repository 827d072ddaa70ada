// SPDX-License-Identifier: Apache-2.0
/*
 * Records. Policy: what was stored comes back, or the record is refused with
 * words that name the file: cut short anywhere, one bit changed anywhere,
 * another kind, a later version. The old record stays until the new one is
 * whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/record.h"
#include "tap.h"

static char folder[] = "/tmp/blkferry-record-XXXXXX";
static char path[128];
static char text[65536];
static struct bf_error err;

static size_t slurp(void)
{
	FILE *file = fopen(path, "r");
	size_t n;

	check(file != NULL);
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	return n;
}

static void spill(const char *data, size_t n)
{
	FILE *file = fopen(path, "w");

	check(file && fwrite(data, 1, n, file) == n && !fclose(file));
}

static void store(int value)
{
	json_t *body = json_pack("{s:i, s:s}", "value", value, "name", "vda");

	check_eq(bf_record_store(path, "test", body, &err), 0);
	json_decref(body);
}

static int load(const char *kind, json_t **body)
{
	*body = NULL;
	memset(&err, 0, sizeof(err));
	return bf_record_load(path, kind, body, &err);
}

static void refused(const char *words)
{
	json_t *body;

	check(load("test", &body) < 0);
	check(body == NULL);
	check_eq(err.code, BF_E_RECORD);
	check_says(err.text, path);
	check_says(err.text, words);
}

static void what_was_stored_comes_back(void)
{
	json_t *body;

	store(42);
	check_eq(load("test", &body), 0);
	check_eq(json_integer_value(json_object_get(body, "value")), 42);
	json_decref(body);
	store(43);
	check_eq(load("test", &body), 0);
	check_eq(json_integer_value(json_object_get(body, "value")), 43);
	json_decref(body);
}

static void only_the_owner_may_read(void)
{
	struct stat st;

	store(1);
	check_eq(stat(path, &st), 0);
	check_eq(st.st_mode & 0777, 0600);
	*strrchr(path, '/') = '\0';
	check_eq(stat(path, &st), 0);
	path[strlen(path)] = '/';
	check_eq(st.st_mode & 0777, 0700);
}

static void none_is_told_apart(void)
{
	json_t *body;

	unlink(path);
	check_eq(load("test", &body), -ENOENT);
	check_eq(err.code, BF_E_NOT_FOUND);
}

static void every_truncation_is_refused(void)
{
	size_t n;

	store(42);
	n = slurp();
	for (size_t cut = 0; cut < n - 1; cut++) {
		spill(text, cut);
		refused("damaged");
	}
}

/* Any bit, save those that leave the JSON text saying the same. */
static void every_changed_bit_is_refused(void)
{
	size_t n, same = 0;
	json_t *body;

	store(42);
	n = slurp();
	for (size_t at = 0; at < n; at++) {
		for (int bit = 0; bit < 8; bit++) {
			int ret;

			text[at] ^= (char)(1 << bit);
			spill(text, n);
			ret = load("test", &body);
			text[at] ^= (char)(1 << bit);
			if (ret == 0) {		/* white space for white space */
				check(text[at] == ' ' || text[at] == '\n');
				same++;
			} else {
				check_eq(err.code, BF_E_RECORD);
			}
			json_decref(body);
		}
	}
	check(same < n);
}

static void a_later_version_is_not_guessed_at(void)
{
	char *at;

	store(42);
	slurp();
	at = strstr(text, "\"format_version\": 1");
	check(at != NULL);
	at[strlen("\"format_version\": ")] = '2';
	spill(text, strlen(text));
	refused("version 2");
	refused("release");
}

static void another_kind_is_refused(void)
{
	json_t *body;

	store(42);
	check(load("other", &body) < 0);
	check_eq(err.code, BF_E_RECORD);
	check_says(err.text, "\"test\"");
	check_says(err.text, "\"other\"");
}

static void nonsense_is_refused(void)
{
	spill("[]", 2);
	refused("not a JSON object");
	spill("{}", 2);
	refused("version");
	spill("", 0);
	refused("size");
}

static void a_failed_store_keeps_the_old_one(void)
{
	json_t *body = json_pack("{s:i}", "value", 44);
	char temporary[160];

	store(42);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	check_eq(mkdir(temporary, 0700), 0);	/* in the way */
	check(bf_record_store(path, "test", body, &err) < 0);
	check_eq(err.code, BF_E_RECORD);
	json_decref(body);
	check_eq(rmdir(temporary), 0);
	check_eq(load("test", &body), 0);
	check_eq(json_integer_value(json_object_get(body, "value")), 42);
	json_decref(body);
}

static void removed_is_gone(void)
{
	json_t *body;

	store(42);
	check_eq(bf_record_remove(path, &err), 0);
	check_eq(load("test", &body), -ENOENT);
	check_eq(bf_record_remove(path, &err), 0);	/* twice is no error */
}

int main(void)
{
	char command[160];

	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/a/b/record.json", folder);
	tap_run("what was stored comes back", what_was_stored_comes_back);
	tap_run("only the owner may read", only_the_owner_may_read);
	tap_run("none is told apart from a damaged one", none_is_told_apart);
	tap_run("every truncation is refused", every_truncation_is_refused);
	tap_run("every changed bit is refused", every_changed_bit_is_refused);
	tap_run("a later version is not guessed at",
		a_later_version_is_not_guessed_at);
	tap_run("another kind is refused", another_kind_is_refused);
	tap_run("nonsense is refused", nonsense_is_refused);
	tap_run("a failed store keeps the old one",
		a_failed_store_keeps_the_old_one);
	tap_run("removed is gone", removed_is_gone);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) ? 1 : tap_done();
}
