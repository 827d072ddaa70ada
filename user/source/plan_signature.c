// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, signature: the module's file, packed or not, and the keys that a machine
 * signs with flow in; whether a kernel that takes signed modules only would take
 * this one flows out. Who signed is libkmod's to say, whom the firmware knows is
 * mokutil's.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "source/plan.h"

#define PATH_BYTES 512
/* In hexadecimal: RFC 5280, 4.1.2.2, allows 20 bytes; a key identifier has as
 * many, and either may have colons. */
#define KEY_BYTES 128

struct signature {
	bool readable, present;
	char key[KEY_BYTES];		/* serial number of the signer's certificate */
	char signer[128];
};

enum enrolment { ENROLMENT_UNKNOWN, ENROLLED, NOT_ENROLLED, ENROLMENT_ASKED };

/* ---- does the kernel ask? ---- */

static bool file_has(const char *root, const char *path, const char *word)
{
	char full[PATH_BYTES], text[256] = "";
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(full, sizeof(full), "%s%s", root, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, word);
}

static bool signatures_enforced(const char *root)
{
	return file_has(root, "/sys/module/module/parameters/sig_enforce", "Y") ||
	       file_has(root, "/sys/kernel/security/lockdown", "[integrity]") ||
	       file_has(root, "/sys/kernel/security/lockdown", "[confidentiality]");
}

/* ---- who signed? ---- */

static void note_entry(struct signature *signature, const char *key,
		       const char *value)
{
	if (!strcmp(key, "sig_id"))
		signature->present = true;
	else if (!strcmp(key, "sig_key"))
		snprintf(signature->key, sizeof(signature->key), "%s", value);
	else if (!strcmp(key, "signer"))
		snprintf(signature->signer, sizeof(signature->signer), "%s",
			 value);
}

static void read_signature(struct signature *signature, const char *path)
{
	struct kmod_ctx *context = kmod_new(NULL, NULL);
	struct kmod_list *entries = NULL, *entry;
	struct kmod_module *module = NULL;

	*signature = (struct signature){ .readable = false };
	if (!context)
		return;
	kmod_set_log_priority(context, 0);	/* what failed is said here */
	if (!kmod_module_new_from_path(context, path, &module) &&
	    kmod_module_get_info(module, &entries) >= 0) {
		signature->readable = true;
		kmod_list_foreach(entry, entries)
			note_entry(signature, kmod_module_info_get_key(entry),
				   kmod_module_info_get_value(entry));
		kmod_module_info_free_list(entries);
	}
	kmod_module_unref(module);
	kmod_unref(context);
}

/* ---- is it a key of this machine? ---- */

/* Where DKMS 3 and shim-signed keep the certificates that they sign with. */
static const char *const certificates[] = {
	"/var/lib/dkms/mok.pub",
	"/var/lib/shim-signed/mok/MOK.der",
};

static const char *next_digit(const char *text)
{
	while (*text && !isxdigit((unsigned char)*text))
		text++;
	return text;
}

static const char *skip_zeroes(const char *text)
{
	text = next_digit(text);
	while (*text == '0')
		text = next_digit(text + 1);
	return text;
}

/* As numbers: neither colons, nor case, nor zeroes before the first digit count. */
static bool same_number(const char *a, const char *b)
{
	a = skip_zeroes(a);
	b = skip_zeroes(b);
	if (!*a)
		return false;
	while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b)) {
		a = next_digit(a + 1);
		b = next_digit(b + 1);
	}
	return !*a && !*b;
}

static bool has_serial(const char *path, const char *key)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	X509 *certificate = file ? d2i_X509_fp(file, NULL) : NULL;
	BIGNUM *number = certificate ?
		ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL) :
		NULL;
	char *serial = number ? BN_bn2hex(number) : NULL;
	bool same = serial && same_number(serial, key);

	OPENSSL_free(serial);
	BN_free(number);
	X509_free(certificate);
	return same;
}

/* The file of the key that signed, as this machine knows it; NULL if it does not. */
static const char *find_certificate(const char *root, const char *key)
{
	for (size_t i = 0; i < sizeof(certificates) / sizeof(certificates[0]);
	     i++) {
		char path[PATH_BYTES];

		snprintf(path, sizeof(path), "%s%s", root, certificates[i]);
		if (has_serial(path, key))
			return certificates[i];
	}
	return NULL;
}

/* By its words: its exit status is not documented. */
static enum enrolment ask_firmware(const char *root, const char *certificate)
{
	enum enrolment answer = ENROLMENT_UNKNOWN;
	_cleanup_free_ char *line = NULL;
	char command[2 * PATH_BYTES];
	size_t size = 0;
	FILE *file;

	snprintf(command, sizeof(command),
		 "LC_ALL=C mokutil --test-key '%s%s' 2>&1 </dev/null", root,
		 certificate);
	file = popen(command, "re");
	while (file && getline(&line, &size, file) > 0) {
		if (strstr(line, "is not enrolled"))
			answer = NOT_ENROLLED;
		else if (strstr(line, "enrollment request"))
			answer = ENROLMENT_ASKED;
		else if (strstr(line, "is already ") ||
			 strstr(line, "Already in kernel trusted keyring"))
			answer = ENROLLED;
	}
	if (file)
		pclose(file);
	return answer;
}

/* ---- what follows ---- */

static void judge_key(struct bf_plan *plan, const char *root,
		      const struct signature *signature)
{
	const char *certificate = find_certificate(root, signature->key);
	char cure[2 * PATH_BYTES];

	switch (certificate ? ask_firmware(root, certificate) :
			      ENROLMENT_UNKNOWN) {
	case ENROLLED:
		bf_plan_add(plan, BF_SEVERITY_INFO, "module-key", "machine",
			    NULL, "the module is signed by \"%s\", a key that the firmware knows",
			    signature->signer);
		return;
	case NOT_ENROLLED:
		snprintf(cure, sizeof(cure),
			 "mokutil --import %s, then reboot and confirm it at the firmware's prompt: blkferry-migration(7), SECURE BOOT",
			 certificate);
		bf_plan_add(plan, BF_SEVERITY_REFUSE, "module-key", "machine",
			    cure, "this kernel loads signed modules only, and the firmware does not know \"%s\", which signed this one",
			    signature->signer);
		return;
	case ENROLMENT_ASKED:
		bf_plan_add(plan, BF_SEVERITY_REFUSE, "module-key", "machine",
			    "reboot, and confirm the key at the firmware's prompt, which waits 10 seconds",
			    "this kernel loads signed modules only, and the key \"%s\" waits to be confirmed at a reboot",
			    signature->signer);
		return;
	case ENROLMENT_UNKNOWN:
		bf_plan_add(plan, BF_SEVERITY_WARNING, "module-key", "machine",
			    "mokutil --test-key FILE says so; blkferry-migration(7), SECURE BOOT",
			    "this kernel loads signed modules only, and whether the firmware knows \"%s\", which signed this one, could not be asked",
			    signature->signer);
	}
}

void bf_plan_signature(struct bf_plan *plan, const char *root, const char *path)
{
	struct signature signature;

	if (!signatures_enforced(root))
		return;
	read_signature(&signature, path);
	if (!signature.readable)
		bf_plan_add(plan, BF_SEVERITY_WARNING, "module-key", "machine",
			    "modinfo of it by hand; if it is damaged: dkms install blkferry --force",
			    "this kernel loads signed modules only, and who signed %s cannot be read",
			    path);
	else if (!signature.present)
		bf_plan_add(plan, BF_SEVERITY_REFUSE, "module-unsigned",
			    "machine", "sign it with a key that the firmware knows: blkferry-migration(7), SECURE BOOT",
			    "this kernel loads signed modules only, and %s is not signed",
			    path);
	else
		judge_key(plan, root, &signature);
}
