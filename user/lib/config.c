/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: sections and keys flow in from a file, a checked struct flows
 * out. Each key is a row of a table: name, field, parser. Keeps RULE 6: every
 * value is bounded, every name checked, nothing unknown passes.
 */
#include "lib/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/cleanup.h"
#include "lib/ini.h"
#include "lib/units.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND_NS 1000000000ull
#define TIMEOUT_MIN_NS (SECOND_NS / 10)
#define TIME_MAX_NS (30 * 86400 * SECOND_NS)
#define PEER_TARGETS_MAX 1024

/* Checks @value and stores it; @bytes is the room of a text field. */
typedef int (*field_parser)(const char *value, void *field, size_t bytes,
			    struct bf_error *err);

struct key {
	const char *name;
	field_parser parse;
	size_t offset, bytes;
	bool required;
};

struct section {
	const char *kind;
	bool named;
	const struct key *keys;		/* ends with an empty name */
	/* The struct that @name's keys go to; NULL with @err: refused. */
	void *(*open)(void *config, const char *name, struct bf_error *err);
};

#define KEY(type, key, field, parser) \
	{ key, parser, offsetof(type, field), \
	  sizeof(((type *)0)->field), false }
#define KEY_REQUIRED(type, key, field, parser) \
	{ key, parser, offsetof(type, field), \
	  sizeof(((type *)0)->field), true }

/* A file being read: where the keys of the open section go. */
struct binding {
	void *config;
	const struct section *sections;
	const struct section *section;
	void *fields;
	uint32_t seen;			/* bit i: keys[i] was given */
	bool unnamed_seen;		/* [job] or [receiver] */
};

static int fail(struct bf_error *err, const char *format, const char *what)
{
	return bf_fail(err, BF_E_CONFIG, EINVAL, format, what);
}

bool bf_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (!length || length >= BF_NAME_BYTES || *name == '.' || *name == '-')
		return false;
	for (; *name; name++) {
		if (!isascii((unsigned char)*name) ||
		    (!isalnum((unsigned char)*name) && !strchr("-_.", *name)))
			return false;
	}
	return true;
}

/* --- values --- */

static int parse_text(const char *value, void *field, size_t bytes,
		      struct bf_error *err)
{
	if (!*value)
		return bf_fail(err, BF_E_CONFIG, EINVAL, "the value is empty");
	if (strlen(value) >= bytes)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "the value is longer than %zu bytes", bytes - 1);
	memcpy(field, value, strlen(value) + 1);
	return 0;
}

static int parse_path(const char *value, void *field, size_t bytes,
		      struct bf_error *err)
{
	if (*value != '/')
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.80s\" is not a path: it must start with /",
			       value);
	return parse_text(value, field, bytes, err);
}

static int parse_fingerprint(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	if (!bf_fingerprint_valid(value))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.80s\" is not a fingerprint: take the line SHA256:... that `blkferry key` prints on the peer",
			       value);
	return parse_text(value, field, bytes, err);
}

static int parse_bool(const char *value, void *field, size_t bytes,
		      struct bf_error *err)
{
	static const char *const words[] = { "no", "yes", "false", "true",
					     "off", "on", "0", "1" };

	for (size_t i = 0; i < NR(words); i++) {
		if (!strcasecmp(value, words[i])) {
			*(bool *)field = i & 1;
			return 0;
		}
	}
	return bf_fail(err, BF_E_CONFIG, EINVAL,
		       "\"%.40s\" is neither yes nor no", value);
}

static int parse_interval(const char *value, void *field, size_t bytes,
			  struct bf_error *err)
{
	uint64_t ns;
	int ret = bf_parse_time(value, &ns, err);

	if (!ret && ns > TIME_MAX_NS)
		ret = bf_fail(err, BF_E_CONFIG, EINVAL,
			      "%.40s is more than 30 days", value);
	if (!ret)
		*(uint64_t *)field = ns;
	return ret;
}

static int parse_timeout(const char *value, void *field, size_t bytes,
			 struct bf_error *err)
{
	uint64_t ns;
	int ret = parse_interval(value, &ns, sizeof(ns), err);

	if (!ret && ns < TIMEOUT_MIN_NS)
		ret = bf_fail(err, BF_E_CONFIG, EINVAL,
			      "%.40s is less than 100ms", value);
	if (!ret)
		*(uint64_t *)field = ns;
	return ret;
}

static int parse_granularity(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	uint64_t size;
	int ret = bf_parse_size(value, &size, err);

	if (!ret && (size < 4096 || size > 64u << 20 || size & (size - 1)))
		ret = bf_fail(err, BF_E_CONFIG, EINVAL,
			      "%.40s is not a power of two from 4K to 64M",
			      value);
	if (!ret)
		*(uint32_t *)field = (uint32_t)size;
	return ret;
}

static int parse_level_field(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	return bf_parse_level(value, field, err);
}

static int parse_then_field(const char *value, void *field, size_t bytes,
			    struct bf_error *err)
{
	struct bf_job_config *job = (struct bf_job_config *)
		((char *)field - offsetof(struct bf_job_config, then));
	int ret = bf_parse_then(value, &job->then, err);

	job->then_given = !ret;
	return ret;
}

static int parse_disk_target(const char *value, void *field, size_t bytes,
			     struct bf_error *err)
{
	struct bf_disk_config *disk = (struct bf_disk_config *)
		((char *)field - offsetof(struct bf_disk_config, target));

	disk->target_is_path = *value == '/';
	if (!disk->target_is_path && !bf_name_valid(value))
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "\"%.80s\" is neither a target's name at the receiver nor a path that starts with /",
			       value);
	return parse_text(value, field, bytes, err);
}

static int add_peer_target(struct bf_peer_config *peer, const char *name,
			   struct bf_error *err)
{
	void *grown;

	if (!bf_name_valid(name))
		return fail(err, "\"%.80s\" is not a target's name: letters, digits and -_. only", name);
	for (size_t i = 0; i < peer->nr_targets; i++) {
		if (!strcmp(peer->targets[i], name))
			return fail(err, "target %.80s is listed twice", name);
	}
	if (peer->nr_targets == PEER_TARGETS_MAX)
		return fail(err, "target %.80s is one too many: list at most 1024 for a peer", name);
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

/* --- words --- */

static const char *const then_names[] = {
	[BF_THEN_HOLD] = "hold",
	[BF_THEN_POWEROFF] = "poweroff",
	[BF_THEN_THAW] = "thaw",
};

const char *bf_then_name(enum bf_then then)
{
	return (size_t)then < NR(then_names) ? then_names[then] : "unknown";
}

int bf_parse_then(const char *text, enum bf_then *then, struct bf_error *err)
{
	for (size_t i = 0; i < NR(then_names); i++) {
		if (!strcmp(text, then_names[i])) {
			*then = i;
			return 0;
		}
	}
	return bf_fail(err, BF_E_USAGE, EINVAL,
		       "\"%.40s\" is not what can follow a cutover: hold, poweroff or thaw",
		       text);
}

int bf_parse_level(const char *text, int *level, struct bf_error *err)
{
	char *end;
	long number;

	if (!strcmp(text, "auto")) {
		*level = BF_LEVEL_AUTO;
		return 0;
	}
	if (!strcmp(text, "none")) {
		*level = 0;
		return 0;
	}
	number = strtol(text, &end, 10);
	if (end == text || *end || number < 0 || number > 19 ||
	    !isdigit((unsigned char)*text))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%.40s\" is not a compression: auto, none, or a level from 1 to 19",
			       text);
	*level = (int)number;
	return 0;
}

/* --- sections --- */

static const struct key *find_key(const struct section *section,
				  const char *name)
{
	for (const struct key *key = section->keys; key->name; key++) {
		if (!strcmp(key->name, name))
			return key;
	}
	return NULL;
}

static int on_section(void *context, const char *kind, const char *name,
		      struct bf_error *err)
{
	struct binding *binding = context;
	const struct section *section = binding->sections;

	while (section->kind && strcmp(section->kind, kind))
		section++;
	if (!section->kind)
		return fail(err, "there is no section [%.40s]; see the manual page for those there are", kind);
	if (!section->named && *name)
		return fail(err, "[%.40s] takes no name", kind);
	if (!section->named && binding->unnamed_seen)
		return fail(err, "[%.40s] is given twice", kind);
	if (section->named && !bf_name_valid(name))
		return fail(err, "\"%.80s\" is not a name: 1 to 63 letters, digits and -_., starting with none of -.", name);
	if (!section->named)
		binding->unnamed_seen = true;
	binding->section = section;
	binding->seen = 0;
	binding->fields = section->open(binding->config, name, err);
	return binding->fields ? 0 : -EINVAL;
}

static int on_key(void *context, const char *name, const char *value,
		  struct bf_error *err)
{
	struct binding *binding = context;
	const struct key *key = find_key(binding->section, name);
	uint32_t bit;
	int ret;

	if (!key)
		return bf_fail(err, BF_E_CONFIG, EINVAL,
			       "[%s] has no key \"%.40s\"; see the manual page for those it has",
			       binding->section->kind, name);
	bit = 1u << (key - binding->section->keys);
	if (binding->seen & bit)
		return fail(err, "%s is given twice in this section", name);
	binding->seen |= bit;
	ret = key->parse(value, (char *)binding->fields + key->offset,
			 key->bytes, err);
	return ret ? bf_fail_prefix(err, ret, "%s: ", name) : 0;
}

static int on_section_end(void *context, struct bf_error *err)
{
	struct binding *binding = context;
	const struct key *keys = binding->section->keys;

	for (size_t i = 0; keys[i].name; i++) {
		if (keys[i].required && !(binding->seen & 1u << i))
			return bf_fail(err, BF_E_CONFIG, EINVAL,
				       "[%s] needs the key %s",
				       binding->section->kind, keys[i].name);
	}
	return 0;
}

static const struct bf_ini_ops binding_ops = {
	.section = on_section,
	.key = on_key,
	.section_end = on_section_end,
};

/* Appends a zeroed element to an array and names it; names are unique. */
static void *add_named(void *array_field, size_t *nr, size_t element_bytes,
		       size_t max, const char *name, struct bf_error *err)
{
	char *array = *(void **)array_field, *element;

	for (size_t i = 0; i < *nr; i++) {
		if (!strcmp(array + i * element_bytes, name)) {
			fail(err, "\"%s\" is given twice", name);
			return NULL;
		}
	}
	if (*nr == max) {
		fail(err, "\"%s\" is one too many", name);
		return NULL;
	}
	array = reallocarray(array, *nr + 1, element_bytes);
	if (!array) {
		bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
		return NULL;
	}
	*(void **)array_field = array;
	element = array + (*nr)++ * element_bytes;
	memset(element, 0, element_bytes);
	strcpy(element, name);	/* each struct starts with its name */
	return element;
}

/* --- job --- */

/* [job] and [receiver]: the keys go to the configuration itself. */
static void *open_whole(void *config, const char *name, struct bf_error *err)
{
	return config;
}

_Static_assert(offsetof(struct bf_disk_config, name) == 0, "add_named");
_Static_assert(offsetof(struct bf_peer_config, name) == 0, "add_named");
_Static_assert(offsetof(struct bf_target_config, name) == 0, "add_named");

static void *open_disk(void *config, const char *name, struct bf_error *err)
{
	struct bf_job_config *job = config;

	return add_named(&job->disks, &job->nr_disks, sizeof(*job->disks),
			 WIRE_DISKS_MAX, name, err);
}

#define JOB(...) KEY(struct bf_job_config, __VA_ARGS__)
#define DISK(...) KEY(struct bf_disk_config, __VA_ARGS__)

static const struct key job_keys[] = {
	JOB("receiver", receiver, parse_text),
	JOB("peer", peer, parse_fingerprint),
	JOB("key", key_path, parse_path),
	JOB("interval", interval_ns, parse_interval),
	JOB("max-downtime", max_downtime_ns, parse_timeout),
	JOB("then", then, parse_then_field),
	JOB("hold-deadline", hold_deadline_ns, parse_timeout),
	JOB("compression", level, parse_level_field),
	JOB("whole-disk", whole_disk, parse_bool),
	JOB("timeout", timeout_ns, parse_timeout),
	JOB("pre-freeze", pre_freeze, parse_text),
	JOB("post-cutover", post_cutover, parse_text),
	JOB("hook-timeout", hook_timeout_ns, parse_timeout),
	{ 0 },
};

static const struct key disk_keys[] = {
	KEY_REQUIRED(struct bf_disk_config, "device", device, parse_path),
	KEY_REQUIRED(struct bf_disk_config, "target", target,
		     parse_disk_target),
	DISK("granularity", granularity_bytes, parse_granularity),
	{ 0 },
};

static const struct section job_sections[] = {
	{ "job", false, job_keys, open_whole },
	{ "disk", true, disk_keys, open_disk },
	{ 0 },
};

void bf_job_config_defaults(struct bf_job_config *job, const char *name)
{
	*job = (struct bf_job_config){
		.key_path = BF_DEFAULT_KEY_PATH,
		.interval_ns = 10 * SECOND_NS,
		.max_downtime_ns = 30 * SECOND_NS,
		.hold_deadline_ns = 600 * SECOND_NS,
		.timeout_ns = 30 * SECOND_NS,
		.hook_timeout_ns = 60 * SECOND_NS,
		.then = BF_THEN_HOLD,
		.level = BF_LEVEL_AUTO,
	};
	snprintf(job->name, sizeof(job->name), "%s", name);
}

static int check_disk_pair(const struct bf_disk_config *a,
			   const struct bf_disk_config *b, struct bf_error *err)
{
	if (!strcmp(a->device, b->device))
		return fail(err, "device %.200s belongs to two disks", a->device);
	if (!strcmp(a->target, b->target))
		return fail(err, "target %.200s belongs to two disks", a->target);
	if (a->target_is_path != b->target_is_path)
		return fail(err, "disk %s: the disks of a job cut over in one step, so they all go to the receiver or all to local paths",
			    b->name);
	return 0;
}

static int check_job(const struct bf_job_config *job, struct bf_error *err)
{
	bool remote = job->nr_disks && !job->disks[0].target_is_path;

	if (!job->nr_disks)
		return fail(err, "the job has no disk: add a section [disk %s]", "NAME");
	for (size_t i = 0; i < job->nr_disks; i++) {
		for (size_t j = i + 1; j < job->nr_disks; j++) {
			if (check_disk_pair(&job->disks[i], &job->disks[j], err))
				return -EINVAL;
		}
	}
	if (remote && !*job->receiver)
		return fail(err, "target %.80s is at a receiver, but [job] names none: receiver = HOST[:PORT]",
			    job->disks[0].target);
	if (remote && !*job->peer)
		return fail(err, "[job] names the receiver %.200s without its fingerprint: peer = SHA256:..., as `blkferry key` prints there",
			    job->receiver);
	if (!remote && *job->receiver)
		return fail(err, "every target is a local path, but [job] names the receiver %.200s: leave one of them out",
			    job->receiver);
	return 0;
}

int bf_job_config_load(const char *path, const char *name,
		       struct bf_job_config *job, struct bf_error *err)
{
	struct binding binding = { .config = job, .sections = job_sections };
	int ret;

	if (!bf_name_valid(name))
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "\"%.80s\" is not a job's name: letters, digits and -_. only",
			       name);
	bf_job_config_defaults(job, name);
	ret = bf_ini_parse(path, &binding_ops, &binding, err);
	if (!ret) {
		ret = check_job(job, err);
		if (ret)
			bf_fail_prefix(err, ret, "%s: ", path);
	}
	if (ret)
		bf_job_config_free(job);
	return ret;
}

void bf_job_config_free(struct bf_job_config *job)
{
	free(job->disks);
	job->disks = NULL;
	job->nr_disks = 0;
}

/* --- receiver --- */

static void *open_peer(void *config, const char *name, struct bf_error *err)
{
	struct bf_receiver_config *receiver = config;

	return add_named(&receiver->peers, &receiver->nr_peers,
			 sizeof(*receiver->peers), INT_MAX, name, err);
}

static void *open_target(void *config, const char *name, struct bf_error *err)
{
	struct bf_receiver_config *receiver = config;

	return add_named(&receiver->targets, &receiver->nr_targets,
			 sizeof(*receiver->targets), INT_MAX, name, err);
}

#define RECEIVER(...) KEY(struct bf_receiver_config, __VA_ARGS__)

static const struct key receiver_keys[] = {
	RECEIVER("listen", listen, parse_text),
	RECEIVER("key", key_path, parse_path),
	RECEIVER("records", records_dir, parse_path),
	RECEIVER("timeout", timeout_ns, parse_timeout),
	{ 0 },
};

static const struct key peer_keys[] = {
	KEY_REQUIRED(struct bf_peer_config, "key", key, parse_fingerprint),
	KEY_REQUIRED(struct bf_peer_config, "targets", targets,
		     parse_peer_targets),
	{ 0 },
};

static const struct key target_keys[] = {
	KEY_REQUIRED(struct bf_target_config, "path", path, parse_path),
	KEY(struct bf_target_config, "overwrite", overwrite, parse_bool),
	{ 0 },
};

static const struct section receiver_sections[] = {
	{ "receiver", false, receiver_keys, open_whole },
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

static int check_target_paths(const struct bf_receiver_config *receiver,
			      struct bf_error *err)
{
	for (size_t i = 0; i < receiver->nr_targets; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(receiver->targets[i].path,
				    receiver->targets[j].path))
				return fail(err, "path %.200s belongs to two targets",
					    receiver->targets[i].path);
		}
	}
	return 0;
}

static int check_receiver(const struct bf_receiver_config *receiver,
			  struct bf_error *err)
{
	if (!receiver->nr_targets)
		return fail(err, "nothing may be written: add a section [target %s]", "NAME");
	if (!receiver->nr_peers)
		return fail(err, "nobody may write: add a section [peer %s] with the source's key", "NAME");
	for (size_t i = 0; i < receiver->nr_peers; i++) {
		if (check_peer(receiver, i, err))
			return -EINVAL;
	}
	return check_target_paths(receiver, err);
}

int bf_receiver_config_load(const char *path, struct bf_receiver_config *receiver,
			    struct bf_error *err)
{
	struct binding binding = { .config = receiver,
				   .sections = receiver_sections };
	int ret;

	bf_receiver_config_defaults(receiver);
	ret = bf_ini_parse(path, &binding_ops, &binding, err);
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
