/* SPDX-License-Identifier: Apache-2.0 */
/* What identity.c and tls.c share: nobody else touches OpenSSL's types. */
#ifndef BF_LIB_IDENTITY_PRIVATE_H
#define BF_LIB_IDENTITY_PRIVATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/identity.h"

struct bf_identity {
	EVP_PKEY *key;
	X509 *certificate;		/* self-signed, lives in memory only */
	char fingerprint[BF_FINGERPRINT_BYTES];
};

/* Of the certificate's public key. */
int bf_fingerprint_of(X509 *certificate, char text[BF_FINGERPRINT_BYTES],
		      struct bf_error *err);
/* OpenSSL's oldest queued reason in words; empties the queue. */
const char *bf_openssl_reason(char text[256]);

#endif /* BF_LIB_IDENTITY_PRIVATE_H */
