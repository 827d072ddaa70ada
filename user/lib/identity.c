// SPDX-License-Identifier: Apache-2.0
/*
 * Identity: a key file flows in, a key pair with the certificate that TLS
 * needs and the fingerprint by which peers know it flow out. Keeps the promise
 * that a private key is never readable for others and never overwritten.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "lib/cleanup.h"
#include "lib/identity_private.h"

#define PREFIX "SHA256:"
#define BASE64_CHARS 43			/* of 32 bytes, unpadded */

static void cleanup_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void cleanup_identity(struct bf_identity **identity)
{
	bf_identity_free(*identity);
}

const char *bf_openssl_reason(char text[256])
{
	unsigned long code = ERR_get_error();

	if (code)
		ERR_error_string_n(code, text, 256);
	else
		strcpy(text, "no reason given");
	ERR_clear_error();
	return text;
}

static int openssl_failed(struct bf_error *err, const char *what)
{
	char reason[256];

	return bf_fail(err, BF_E_KEY, EIO, "%s failed in OpenSSL: %s", what,
		       bf_openssl_reason(reason));
}

static EVP_PKEY *new_key(void)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
	EVP_PKEY *key = NULL;

	if (context && EVP_PKEY_keygen_init(context) == 1)
		EVP_PKEY_keygen(context, &key);
	EVP_PKEY_CTX_free(context);
	return key;
}

/* The folder of a key is made if only its last part is missing. */
static int make_parent(const char *path, int *folder_fd, struct bf_error *err)
{
	_cleanup_free_ char *folder = strdup(path);
	char *slash;

	if (!folder)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	if (slash && mkdir(folder, 0755) < 0 && errno != EEXIST)
		return bf_fail(err, BF_E_KEY, errno,
			       "cannot create folder %s: %s", folder,
			       strerror(errno));
	*folder_fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*folder_fd < 0)
		return bf_fail(err, BF_E_KEY, errno, "cannot open folder %s: %s",
			       folder, strerror(errno));
	return 0;
}

static int write_key(int fd, EVP_PKEY *key)
{
	_cleanup_fclose_ FILE *file = NULL;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	file = fdopen(copy, "w");
	if (!file) {
		close(copy);
		return -ENOMEM;
	}
	if (!PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL))
		return -EIO;
	if (fflush(file) || fsync(fd) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

int bf_identity_generate(const char *path, struct bf_error *err)
{
	_cleanup_(cleanup_key) EVP_PKEY *key = new_key();
	_cleanup_close_ int folder = -1, fd = -1;
	int ret;

	if (!key)
		return openssl_failed(err, "making an Ed25519 key");
	ret = make_parent(path, &folder, err);
	if (ret)
		return ret;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST)
		return bf_fail(err, BF_E_EXISTS, EEXIST,
			       "%s exists and is not replaced: peers know this host by it; move it away if a new key is wanted",
			       path);
	if (fd < 0)
		return bf_fail(err, BF_E_KEY, errno, "cannot create %s: %s", path,
			       strerror(errno));
	ret = write_key(fd, key);
	if (!ret && fsync(folder) < 0)
		ret = -errno;
	if (!ret)
		return 0;
	unlink(path);
	return bf_fail(err, BF_E_KEY, -ret, "cannot write %s: %s", path,
		       strerror(-ret));
}

/* Others who read the key are this host to its peers. */
static int check_file(int fd, const char *path, struct bf_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bf_fail(err, BF_E_KEY, errno, "cannot stat %s: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode))
		return bf_fail(err, BF_E_KEY, EINVAL,
			       "%s is not a regular file: name the key file",
			       path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return bf_fail(err, BF_E_KEY, EPERM,
			       "%s belongs to another user: chown it to the user that runs blkferry",
			       path);
	if (st.st_mode & 077)
		return bf_fail(err, BF_E_KEY, EPERM,
			       "%s can be read by others (mode %03o): chmod 600 %s",
			       path, st.st_mode & 0777, path);
	return 0;
}

static int refuse_passphrase(char *buffer, int size, int rwflag, void *context)
{
	return -1;
}

static int read_key(const char *path, EVP_PKEY **key, struct bf_error *err)
{
	_cleanup_fclose_ FILE *file = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return bf_fail(err, BF_E_KEY, errno,
			       "cannot open key %s: %s%s", path, strerror(errno),
			       errno == ENOENT ? "; `blkferry key --generate` makes one" : "");
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	}
	ret = check_file(fd, path, err);
	if (ret)
		return ret;
	*key = PEM_read_PrivateKey(file, NULL, refuse_passphrase, NULL);
	ERR_clear_error();
	if (!*key || EVP_PKEY_id(*key) != EVP_PKEY_ED25519)
		return bf_fail(err, BF_E_KEY, EINVAL,
			       "%s holds no Ed25519 private key in PEM without a passphrase; `blkferry key --generate` makes one",
			       path);
	return 0;
}

/* Names and dates mean nothing to us; peers look at the public key only. */
static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_NAME *name;

	if (!certificate)
		return NULL;
	name = X509_get_subject_name(certificate);
	if (X509_set_version(certificate, 2) &&
	    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) &&
	    ASN1_TIME_set_string(X509_getm_notBefore(certificate),
				 "20000101000000Z") &&
	    ASN1_TIME_set_string(X509_getm_notAfter(certificate),
				 "99991231235959Z") &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				       (const unsigned char *)"blkferry", -1, -1, 0) &&
	    X509_set_issuer_name(certificate, name) &&
	    X509_set_pubkey(certificate, key) &&
	    X509_sign(certificate, key, NULL))
		return certificate;
	X509_free(certificate);
	return NULL;
}

int bf_fingerprint_of(X509 *certificate, char text[BF_FINGERPRINT_BYTES],
		      struct bf_error *err)
{
	unsigned char hash[SHA256_DIGEST_LENGTH], *der = NULL;
	unsigned char base64[4 * ((sizeof(hash) + 2) / 3) + 1];
	int bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

	if (bytes <= 0)
		return openssl_failed(err, "encoding a public key");
	SHA256(der, (size_t)bytes, hash);
	OPENSSL_free(der);
	EVP_EncodeBlock(base64, hash, sizeof(hash));
	snprintf(text, BF_FINGERPRINT_BYTES, PREFIX "%.*s", BASE64_CHARS,
		 (const char *)base64);
	return 0;
}

int bf_identity_load(const char *path, struct bf_identity **identity,
		     struct bf_error *err)
{
	_cleanup_(cleanup_identity) struct bf_identity *new =
		calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	ret = read_key(path, &new->key, err);
	if (ret)
		return ret;
	new->certificate = make_certificate(new->key);
	if (!new->certificate)
		return openssl_failed(err, "making a certificate");
	ret = bf_fingerprint_of(new->certificate, new->fingerprint, err);
	if (ret)
		return ret;
	*identity = bf_take_pointer(new);
	return 0;
}

void bf_identity_free(struct bf_identity *identity)
{
	if (!identity)
		return;
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key);
	free(identity);
}

const char *bf_identity_fingerprint(const struct bf_identity *identity)
{
	return identity->fingerprint;
}

static bool base64_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '+' || c == '/';
}

bool bf_fingerprint_valid(const char *text)
{
	if (strncmp(text, PREFIX, strlen(PREFIX)))
		return false;
	text += strlen(PREFIX);
	for (int i = 0; i < BASE64_CHARS; i++)
		if (!base64_char(text[i]))
			return false;
	return !text[BASE64_CHARS];
}
