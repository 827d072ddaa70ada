/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control socket: /run/blkferry/JOB.sock, root only (0600, SO_PEERCRED), one
 * JSON object a line in each direction.
 *
 *	request  {"command": "status" | "sync" | "pause" | "resume" | "cancel" |
 *		  "cutover" | "thaw" | "verify", ...arguments}
 *	answer   {"format_version": 1, "ok": true, ...} or
 *		 {"format_version": 1, "ok": false,
 *		  "error": {"code": "busy", "text": "..."}}
 *
 * A command that takes time (sync, cutover, verify) may be answered by lines
 * {"event": "progress", ...} before its answer. The server reads requests of
 * at most BF_CONTROL_LINE_BYTES. The guardian serves "thaw" and "status" on
 * /run/blkferry/JOB.guardian.sock in the same form.
 */
#ifndef BF_LIB_CONTROL_H
#define BF_LIB_CONTROL_H

#include <jansson.h>
#include <stdbool.h>

#include "error.h"

#define BF_CONTROL_LINE_BYTES 65536
#define BF_FORMAT_VERSION 1

struct bf_control_server;
struct bf_control_client;	/* one request, on the server's side */

/*
 * Called in the server's thread for each request; must not block. It answers
 * now, or keeps @client and answers later from any thread. bf_control_answer
 * and bf_control_fail end the client: call one of them exactly once.
 */
typedef void (*bf_control_handler)(void *context, struct bf_control_client *client,
				   json_t *request);

/* Starts a thread. An old socket that nobody serves is replaced. */
int bf_control_serve(struct bf_control_server **server, const char *path,
		     bf_control_handler handler, void *context,
		     struct bf_error *err);
void bf_control_stop(struct bf_control_server *server);
/* @answer's reference is taken; "format_version" and "ok" are added. */
void bf_control_answer(struct bf_control_client *client, json_t *answer);
void bf_control_fail(struct bf_control_client *client, const struct bf_error *err);
void bf_control_progress(struct bf_control_client *client, json_t *progress);
bool bf_control_gone(struct bf_control_client *client);	/* hung up */
/* The asking process as a pidfd, for poll(2) on its end; -1 if there is none. */
int bf_control_peer(struct bf_control_client *client);
/* Words that need not be UTF-8 (a mountpoint, a text cut short) as a string. */
json_t *bf_control_string(const char *text);
/* {"format_version", "ok": false, "error"}: a new reference. */
json_t *bf_control_error(const struct bf_error *err);

/* The command's side: send, call @progress for each event, wait for the answer
 * (0 and *answer, or the server's error in @err). @timeout_ns 0: for ever. */
int bf_control_call(const char *path, json_t *request, uint64_t timeout_ns,
		    void (*progress)(void *context, json_t *event), void *context,
		    json_t **answer, struct bf_error *err);

/* Path of a job's socket in @dir (BF_RUN_DIR by default). */
void bf_control_path(char path[108], const char *dir, const char *job);
void bf_guardian_path(char path[108], const char *dir, const char *job);

#endif /* BF_LIB_CONTROL_H */
