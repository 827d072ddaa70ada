/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity: a host's key pair and the names of its peers.
 *
 * The private key (Ed25519, PEM, mode 0600) is the only secret on disk. The
 * certificate that TLS needs is made from it in memory at each start and
 * carries no meaning of its own: a peer is known by the fingerprint of its
 * public key, "SHA256:" and the unpadded base64 of the SHA-256 of the DER
 * SubjectPublicKeyInfo.
 */
#ifndef BF_LIB_IDENTITY_H
#define BF_LIB_IDENTITY_H

#include <stdbool.h>

#include "error.h"

#define BF_FINGERPRINT_BYTES 64		/* with the NUL; 7 + 43 are used */
#define BF_DEFAULT_KEY_PATH "/etc/blkferry/key"

struct bf_identity;

/* Create the key file, never replacing one: -EEXIST with BF_E_EXISTS. */
int bf_identity_generate(const char *path, struct bf_error *err);
/* Refuses a file that others can read, naming the chmod that mends it. */
int bf_identity_load(const char *path, struct bf_identity **identity,
		     struct bf_error *err);
void bf_identity_free(struct bf_identity *identity);
const char *bf_identity_fingerprint(const struct bf_identity *identity);
bool bf_fingerprint_valid(const char *text);

#endif /* BF_LIB_IDENTITY_H */
