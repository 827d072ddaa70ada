/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The barest pipeline that does what a copy over TLS must: "bare SOURCE TARGET"
 * reads a file, leaves zeroes out, seals the rest with AES-128-GCM in records of
 * TLS's size, sends them over TCP on loopback, opens and writes them. No frames,
 * checksums, acknowledgements, flushes or errors that are told. Shares no code
 * with what it is compared with. Prints seconds by the clock and of processors,
 * both ends.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#define BLOCK_BYTES (256u << 10)
#define RECORD_BYTES 16384u
#define TAG_BYTES 16u
#define SEALED_BYTES (BLOCK_BYTES / RECORD_BYTES * (RECORD_BYTES + TAG_BYTES))
#define PAIRS 2				/* of a sender and a receiver */

/* Offset and sealed blocks: what goes over the wire at once. */
struct parcel {
	uint64_t offset;
	uint8_t sealed[SEALED_BYTES];
};

static const uint8_t key[16], nonce[12];
static uint8_t blocks[BLOCK_BYTES];
static struct parcel parcel;

static void need(int good)
{
	if (!good)
		exit(1);
}

static void seal(EVP_CIPHER_CTX *cipher)
{
	uint8_t *to = parcel.sealed;
	int bytes;

	for (uint32_t at = 0; at < BLOCK_BYTES; at += RECORD_BYTES) {
		need(EVP_EncryptInit_ex(cipher, NULL, NULL, NULL, nonce));
		need(EVP_EncryptUpdate(cipher, to, &bytes, blocks + at,
				       RECORD_BYTES));
		need(EVP_EncryptFinal_ex(cipher, to + RECORD_BYTES, &bytes));
		need(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_BYTES,
					 to + RECORD_BYTES));
		to += RECORD_BYTES + TAG_BYTES;
	}
}

static void unseal(EVP_CIPHER_CTX *cipher)
{
	uint8_t *from = parcel.sealed;
	int bytes;

	for (uint32_t at = 0; at < BLOCK_BYTES; at += RECORD_BYTES) {
		need(EVP_DecryptInit_ex(cipher, NULL, NULL, NULL, nonce));
		need(EVP_DecryptUpdate(cipher, blocks + at, &bytes, from,
				       RECORD_BYTES));
		need(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_BYTES,
					 from + RECORD_BYTES));
		need(EVP_DecryptFinal_ex(cipher, blocks + at, &bytes));
		from += RECORD_BYTES + TAG_BYTES;
	}
}

static EVP_CIPHER_CTX *new_cipher(int encrypt)
{
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();

	need(cipher && EVP_CipherInit_ex(cipher, EVP_aes_128_gcm(), NULL, key,
					 nonce, encrypt));
	return cipher;
}

static void send_share(const char *path, int socket_fd, unsigned int share)
{
	EVP_CIPHER_CTX *cipher = new_cipher(1);
	int fd = open(path, O_RDONLY);
	struct stat st;

	need(fd >= 0 && !fstat(fd, &st) && st.st_size % BLOCK_BYTES == 0);
	for (off_t at = share * BLOCK_BYTES; at < st.st_size;
	     at += PAIRS * BLOCK_BYTES) {
		need(pread(fd, blocks, BLOCK_BYTES, at) == BLOCK_BYTES);
		if (!blocks[0] && !memcmp(blocks, blocks + 1, BLOCK_BYTES - 1))
			continue;
		parcel.offset = at;
		seal(cipher);
		need(send(socket_fd, &parcel, sizeof(parcel), 0) == sizeof(parcel));
	}
	exit(0);
}

static void receive_share(const char *path, int socket_fd)
{
	EVP_CIPHER_CTX *cipher = new_cipher(0);
	int fd = open(path, O_WRONLY);
	ssize_t got;

	need(fd >= 0);
	while ((got = recv(socket_fd, &parcel, sizeof(parcel), MSG_WAITALL)) > 0) {
		need(got == sizeof(parcel));
		unseal(cipher);
		need(pwrite(fd, blocks, BLOCK_BYTES, parcel.offset) == BLOCK_BYTES);
	}
	exit(got ? 1 : 0);
}

static void start_pair(const char *source, const char *target, int listener,
		       const struct sockaddr_in *address, unsigned int share)
{
	int near = socket(AF_INET, SOCK_STREAM, 0), far;

	need(!connect(near, (const struct sockaddr *)address, sizeof(*address)));
	far = accept(listener, NULL, NULL);
	need(far >= 0);
	if (!fork()) {
		close(far);
		send_share(source, near, share);
	}
	if (!fork()) {
		close(near);
		receive_share(target, far);
	}
	close(near);
	close(far);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static double of(struct timeval time)
{
	return time.tv_sec + time.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t bytes = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), status;
	double start = seconds();
	struct rusage usage;

	need(argc == 3 && !listen(listener, PAIRS) &&
	     !getsockname(listener, (struct sockaddr *)&address, &bytes));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned int i = 0; i < PAIRS; i++)
		start_pair(argv[1], argv[2], listener, &address, i);
	while (wait(&status) > 0)
		need(!status);
	getrusage(RUSAGE_CHILDREN, &usage);
	printf("%.3f %.3f\n", seconds() - start,
	       of(usage.ru_utime) + of(usage.ru_stime));
	return 0;
}
