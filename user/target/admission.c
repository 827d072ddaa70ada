// SPDX-License-Identifier: Apache-2.0
/*
 * Admission: a source's key flows in as its session begins; whether it may have
 * one more flows out. One key, stolen or faulty, then leaves room for all others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <wire.h>

#include "target/registry.h"

/* Those of a job that is being evicted, questions of verify and status. */
#define MORE_SESSIONS WIRE_CONNECTIONS_MAX

struct bf_guest {
	struct bf_guest *next;
	char key[BF_FINGERPRINT_BYTES];
	size_t nr_sessions;
};

static struct bf_guest *find(struct bf_registry *r, const char *key)
{
	struct bf_guest *guest = r->guests;

	while (guest && strcmp(guest->key, key))
		guest = guest->next;
	return guest;
}

static struct bf_guest *find_or_add(struct bf_registry *r, const char *key)
{
	struct bf_guest *guest = find(r, key);

	if (guest)
		return guest;
	guest = calloc(1, sizeof(*guest));
	if (!guest)
		return NULL;
	strncpy(guest->key, key, sizeof(guest->key) - 1);
	guest->next = r->guests;
	r->guests = guest;
	return guest;
}

int bf_registry_enter(struct bf_registry *registry, const char *key,
		      struct bf_error *err)
{
	size_t nr_targets = bf_registry_nr_targets(registry, key);
	size_t most = (nr_targets + 1) * WIRE_CONNECTIONS_MAX + MORE_SESSIONS;
	struct bf_guest *guest;
	int ret = 0;

	pthread_mutex_lock(&registry->lock);
	guest = find_or_add(registry, key);
	if (!guest)
		ret = bf_fail(err, BF_E_SYSTEM, ENOMEM, "no memory");
	else if (guest->nr_sessions >= most)
		ret = bf_fail(err, BF_E_BUSY, EBUSY,
			      "this source has %zu sessions at once, as many as its %zu targets can need: end those that hang; if it has other jobs, list their targets",
			      guest->nr_sessions, nr_targets);
	else
		guest->nr_sessions++;
	pthread_mutex_unlock(&registry->lock);
	return ret;
}

void bf_registry_leave(struct bf_registry *registry, const char *key)
{
	struct bf_guest **at = &registry->guests;

	pthread_mutex_lock(&registry->lock);
	while (strcmp((*at)->key, key))
		at = &(*at)->next;
	if (!--(*at)->nr_sessions) {
		struct bf_guest *gone = *at;

		*at = gone->next;
		free(gone);
	}
	pthread_mutex_unlock(&registry->lock);
}
