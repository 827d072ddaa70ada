// SPDX-License-Identifier: Apache-2.0
/*
 * Identity. Policy: a key is made once, readable by its owner only; anything
 * else than such a key is refused with the command that mends it; the same key
 * has the same fingerprint for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/identity.h"
#include "tap.h"

/* Fixed, so that the fingerprint below can be checked: not secret at all. */
static const char known_key[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
	"-----END PRIVATE KEY-----\n";
static const char known_fingerprint[] =
	"SHA256:oFCDfYUHBYLM9zlLCYiEfMMSy4glm4lImfbyOc8XkaU";

static char folder[] = "/tmp/blkferry-identity-XXXXXX";
static char path[128];
static struct bf_identity *identity;
static struct bf_error err;

static void put(const char *text, mode_t mode)
{
	FILE *file;

	unlink(path);
	file = fopen(path, "w");
	check(file && fputs(text, file) >= 0 && !fclose(file));
	check(!chmod(path, mode));
}

static void generated_once(void)
{
	char first[BF_FINGERPRINT_BYTES];
	struct stat st;

	unlink(path);
	check_eq(bf_identity_generate(path, &err), 0);
	check_eq(stat(path, &st), 0);
	check_eq(st.st_mode & 07777, 0600);
	check_eq(bf_identity_load(path, &identity, &err), 0);
	strcpy(first, bf_identity_fingerprint(identity));
	bf_identity_free(identity);
	check(bf_fingerprint_valid(first));
	check_eq(bf_identity_generate(path, &err), -EEXIST);
	check_eq(err.code, BF_E_EXISTS);
	check_eq(bf_identity_load(path, &identity, &err), 0);
	check(!strcmp(first, bf_identity_fingerprint(identity)));
	bf_identity_free(identity);
}

static void the_folder_is_made(void)
{
	char deep[160];

	snprintf(deep, sizeof(deep), "%s/new/key", folder);
	check_eq(bf_identity_generate(deep, &err), 0);
	check_eq(bf_identity_load(deep, &identity, &err), 0);
	bf_identity_free(identity);
}

static void the_fingerprint_is_of_the_public_key(void)
{
	put(known_key, 0600);
	check_eq(bf_identity_load(path, &identity, &err), 0);
	check(!strcmp(bf_identity_fingerprint(identity), known_fingerprint));
	bf_identity_free(identity);
}

static void keys_that_others_read_are_refused(void)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0666, 0601 };

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		put(known_key, modes[i]);
		check(bf_identity_load(path, &identity, &err) < 0);
		check_eq(err.code, BF_E_KEY);
		check_says(err.text, "chmod 600");
	}
	put(known_key, 0400);
	check_eq(bf_identity_load(path, &identity, &err), 0);
	bf_identity_free(identity);
}

static void other_files_are_refused(void)
{
	static const char *const texts[] = {
		"", "nonsense\n",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\n"
		"MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n"
		"-----END PUBLIC KEY-----\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put(texts[i], 0600);
		check(bf_identity_load(path, &identity, &err) < 0);
		check_eq(err.code, BF_E_KEY);
		check_says(err.text, path);
	}
	check(bf_identity_load(folder, &identity, &err) < 0);
	unlink(path);
	check_eq(bf_identity_load(path, &identity, &err), -ENOENT);
	check_says(err.text, "blkferry key");
}

static void fingerprints_have_one_form(void)
{
	check(bf_fingerprint_valid(known_fingerprint));
	check(!bf_fingerprint_valid(""));
	check(!bf_fingerprint_valid("SHA256:"));
	check(!bf_fingerprint_valid(known_fingerprint + 1));
	check(!bf_fingerprint_valid(
		"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
	check(!bf_fingerprint_valid(
		"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
	check(!bf_fingerprint_valid(
		"SHA256:AAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAA"));
	check(!bf_fingerprint_valid(
		"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
}

int main(void)
{
	char command[160];

	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/key", folder);
	tap_run("a key is made once", generated_once);
	tap_run("the folder is made", the_folder_is_made);
	tap_run("the fingerprint is of the public key",
		the_fingerprint_is_of_the_public_key);
	tap_run("keys that others read are refused",
		keys_that_others_read_are_refused);
	tap_run("other files are refused", other_files_are_refused);
	tap_run("fingerprints have one form", fingerprints_have_one_form);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) ? 1 : tap_done();
}
