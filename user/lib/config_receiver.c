// SPDX-License-Identifier: Apache-2.0
/*
 * Receiver configuration: the receiver's file flows in, a checked struct flows
 * out.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/config_table.h"

#define PEER_TARGETS_MAX 1024
#define SECOND_NS 1000000000ull

static int add_peer_target(struct bf_peer_config *peer, const char *name,
			   struct bf_error *err)
{
	void *grown;

	if (!bf_name_valid(name))
		return bf_config_fail(err, "\"%.80s\" is not a target's name: letters, digits and -_. only", name);
	for (size_t i = 0; i < peer->nr_targets; i++) {
		if (!strcmp(peer->targets[i], name))
			return bf_config_fail(err, "target %.80s is listed twice", name);
	}
	if (peer->nr_targets == PEER_TARGETS_MAX)
		return bf_config_fail(err, "target %.80s is one too many: list at most 1024 for a peer", name);
	grown = reallocarray(peer->targets, peer->nr_targets + 1,
			     sizeof(*peer->targets));
	if (!grown)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	peer->targets = grown;
	strcpy(peer->targets[peer->nr_targets++], name);
	return 0;
}

static int parse_peer_targets(const char *value, void *field, size_t bytes,
			      struct bf_error *err)
{
	struct bf_peer_config *peer = (struct bf_peer_config *)
		((char *)field - offsetof(struct bf_peer_config, targets));
	_cleanup_free_ char *copy = strdup(value);
	char *state = NULL;
	int ret = 0;

	if (!copy)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (char *name = strtok_r(copy, " \t", &state); name && !ret;
	     name = strtok_r(NULL, " \t", &state))
		ret = add_peer_target(peer, name, err);
	if (!ret && !peer->nr_targets)
		ret = bf_fail(err, BF_E_CONFIG, EINVAL, "the value is empty");
	return ret;
}

/* The keys of [receiver] go to the configuration itself. */
static void *open_receiver(void *config, const char *name, struct bf_error *err)
{
	return config;
}

_Static_assert(offsetof(struct bf_peer_config, name) == 0, "bf_config_add");
_Static_assert(offsetof(struct bf_target_config, name) == 0, "bf_config_add");

static void *open_peer(void *config, const char *name, struct bf_error *err)
{
	struct bf_receiver_config *receiver = config;

	return bf_config_add(&receiver->peers, &receiver->nr_peers,
			     sizeof(*receiver->peers), INT_MAX, name, err);
}

static void *open_target(void *config, const char *name, struct bf_error *err)
{
	struct bf_receiver_config *receiver = config;

	return bf_config_add(&receiver->targets, &receiver->nr_targets,
			     sizeof(*receiver->targets), INT_MAX, name, err);
}

#define RECEIVER(...) BF_CONFIG_KEY(struct bf_receiver_config, __VA_ARGS__)
#define PEER(...) BF_CONFIG_KEY_REQUIRED(struct bf_peer_config, __VA_ARGS__)
#define PEER_OPTIONAL(...) BF_CONFIG_KEY(struct bf_peer_config, __VA_ARGS__)
#define TARGET(...) BF_CONFIG_KEY(struct bf_target_config, __VA_ARGS__)
#define TARGET_REQUIRED(...) \
	BF_CONFIG_KEY_REQUIRED(struct bf_target_config, __VA_ARGS__)

static const struct bf_config_key receiver_keys[] = {
	RECEIVER("listen", listen, bf_field_text),
	RECEIVER("key", key_path, bf_field_path),
	RECEIVER("records", records_dir, bf_field_path),
	RECEIVER("timeout", timeout_ns, bf_field_timeout),
	RECEIVER("full-copies", full_copies, bf_field_full_copies),
	RECEIVER("more-connections", more_connections, bf_field_more_connections),
	{ 0 },
};

static const struct bf_config_key peer_keys[] = {
	PEER("key", key, bf_field_fingerprint),
	PEER_OPTIONAL("old-key", old_key, bf_field_fingerprint),
	PEER("targets", targets, parse_peer_targets),
	{ 0 },
};

static const struct bf_config_key target_keys[] = {
	TARGET_REQUIRED("path", path, bf_field_path),
	TARGET("overwrite", overwrite, bf_field_bool),
	{ 0 },
};

static const struct bf_config_section receiver_sections[] = {
	{ "receiver", false, receiver_keys, open_receiver },
	{ "peer", true, peer_keys, open_peer },
	{ "target", true, target_keys, open_target },
	{ 0 },
};

void bf_receiver_config_defaults(struct bf_receiver_config *receiver)
{
	*receiver = (struct bf_receiver_config){
		.key_path = BF_DEFAULT_KEY_PATH,
		.records_dir = BF_TARGET_RECORDS_DIR,
		.timeout_ns = 30 * SECOND_NS,
		.full_copies = 4,
		.more_connections = 16,
	};
	snprintf(receiver->listen, sizeof(receiver->listen), ":%d",
		 WIRE_DEFAULT_PORT);
}

static bool has_target(const struct bf_receiver_config *receiver,
		       const char *name)
{
	for (size_t i = 0; i < receiver->nr_targets; i++) {
		if (!strcmp(receiver->targets[i].name, name))
			return true;
	}
	return false;
}

static int check_peer(const struct bf_receiver_config *receiver, size_t index,
		      struct bf_error *err)
{
	const struct bf_peer_config *peer = &receiver->peers[index];

	for (size_t i = 0; i < peer->nr_targets; i++) {
		if (!has_target(receiver, peer->targets[i]))
			return bf_fail(err, BF_E_CONFIG, EINVAL,
				       "[peer %s] may write to target %s, which has no section [target %s]",
				       peer->name, peer->targets[i],
				       peer->targets[i]);
	}
	for (size_t i = 0; i < index; i++) {
		if (!strcmp(receiver->peers[i].key, peer->key))
			return bf_fail(err, BF_E_CONFIG, EINVAL,
				       "[peer %s] and [peer %s] have the same key: make them one",
				       receiver->peers[i].name, peer->name);
	}
	return 0;
}

/* Records belong to one key; who has it may not be taken for another. */
static int check_old_key(const struct bf_receiver_config *receiver,
			 const struct bf_peer_config *peer, struct bf_error *err)
{
	for (size_t i = 0; *peer->old_key && i < receiver->nr_peers; i++) {
		const struct bf_peer_config *other = &receiver->peers[i];

		if (!strcmp(other->key, peer->old_key) ||
		    (other != peer && !strcmp(other->old_key, peer->old_key)))
			return bf_fail(err, BF_E_CONFIG, EINVAL,
				       "[peer %s]: old-key belongs to [peer %s]; what one key wrote can be one peer's only",
				       peer->name, other->name);
	}
	return 0;
}

static int check_target_paths(const struct bf_receiver_config *receiver,
			      struct bf_error *err)
{
	for (size_t i = 0; i < receiver->nr_targets; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(receiver->targets[i].path,
					      receiver->targets[j].path))
				return bf_config_fail(err, "path %.200s belongs to two targets",
					    receiver->targets[i].path);
		}
	}
	return 0;
}

static int check_receiver(const struct bf_receiver_config *receiver,
			  struct bf_error *err)
{
	if (!receiver->nr_targets)
		return bf_config_fail(err, "nothing may be written: add a section [target %s]", "NAME");
	if (!receiver->nr_peers)
		return bf_config_fail(err, "nobody may write: add a section [peer %s] with the source's key", "NAME");
	for (size_t i = 0; i < receiver->nr_peers; i++) {
		if (check_peer(receiver, i, err) ||
		    check_old_key(receiver, &receiver->peers[i], err))
			return -EINVAL;
	}
	return check_target_paths(receiver, err);
}

int bf_receiver_config_load(const char *path, struct bf_receiver_config *receiver,
			    struct bf_error *err)
{
	int ret;

	bf_receiver_config_defaults(receiver);
	ret = bf_config_read(path, receiver_sections, receiver, err);
	if (!ret) {
		ret = check_receiver(receiver, err);
		if (ret)
			bf_fail_prefix(err, ret, "%s: ", path);
	}
	if (ret)
		bf_receiver_config_free(receiver);
	return ret;
}

void bf_receiver_config_free(struct bf_receiver_config *receiver)
{
	for (size_t i = 0; i < receiver->nr_peers; i++)
		free(receiver->peers[i].targets);
	free(receiver->peers);
	free(receiver->targets);
	receiver->peers = NULL;
	receiver->targets = NULL;
	receiver->nr_peers = 0;
	receiver->nr_targets = 0;
}
