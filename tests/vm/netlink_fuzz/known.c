/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzzer's threads know of trackers and drains: see netlink_fuzz.h.
 * Picks are copies; what they name may be gone when they are used, which is part
 * of the matter. Only who takes a drain away closes its descriptor.
 */
#include <pthread.h>
#include <unistd.h>

#include "../netlink_fuzz.h"

#define KNOWN_MAX 64

struct known {
	int disks[DISKS_MAX];
	size_t nr_disks;
	uint64_t sectors_max;
	pthread_mutex_t lock;		/* guards what follows */
	struct known_tracker trackers[KNOWN_MAX];
	unsigned int nr_trackers;
	struct known_drain drains[KNOWN_MAX];
	unsigned int nr_drains;
};

/* xorshift64*, never 0. */
uint64_t draw64(struct draws *d)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return d->state * 2685821657736338717ULL;
}

uint32_t draw(struct draws *d, uint32_t below)
{
	return (draw64(d) >> 33) % below;
}

struct known *known_new(const int *disks, size_t nr_disks, uint64_t sectors_max)
{
	struct known *known = calloc(1, sizeof(*known));

	if (!known)
		return NULL;
	memcpy(known->disks, disks, nr_disks * sizeof(*disks));
	known->nr_disks = nr_disks;
	known->sectors_max = sectors_max;
	pthread_mutex_init(&known->lock, NULL);
	return known;
}

uint32_t known_disk(const struct known *known, struct draws *d)
{
	return known->disks[draw(d, known->nr_disks)];
}

uint64_t known_sectors_max(const struct known *known)
{
	return known->sectors_max;
}

void known_tracker_add(struct known *known, const struct known_tracker *tracker)
{
	pthread_mutex_lock(&known->lock);
	if (known->nr_trackers < KNOWN_MAX)
		known->trackers[known->nr_trackers++] = *tracker;
	pthread_mutex_unlock(&known->lock);
}

/* Under the lock. */
static struct known_tracker *tracker_of(struct known *known, uint32_t id)
{
	for (unsigned int i = 0; i < known->nr_trackers; i++)
		if (known->trackers[i].id == id)
			return &known->trackers[i];
	return NULL;
}

void known_tracker_gone(struct known *known, uint32_t id)
{
	struct known_tracker *gone;

	pthread_mutex_lock(&known->lock);
	gone = tracker_of(known, id);
	if (gone)
		*gone = known->trackers[--known->nr_trackers];
	pthread_mutex_unlock(&known->lock);
}

bool known_tracker_pick(struct known *known, struct draws *d,
			struct known_tracker *tracker)
{
	bool any;

	pthread_mutex_lock(&known->lock);
	any = known->nr_trackers > 0;
	if (any)
		*tracker = known->trackers[draw(d, known->nr_trackers)];
	pthread_mutex_unlock(&known->lock);
	return any;
}

bool known_tracker_find(struct known *known, uint32_t id,
			struct known_tracker *tracker)
{
	struct known_tracker *found;

	pthread_mutex_lock(&known->lock);
	found = tracker_of(known, id);
	if (found)
		*tracker = *found;
	pthread_mutex_unlock(&known->lock);
	return found;
}

unsigned int known_trackers(struct known *known)
{
	unsigned int nr;

	pthread_mutex_lock(&known->lock);
	nr = known->nr_trackers;
	pthread_mutex_unlock(&known->lock);
	return nr;
}

void known_drain_add(struct known *known, const struct known_drain *drain)
{
	bool room;

	pthread_mutex_lock(&known->lock);
	room = known->nr_drains < KNOWN_MAX;
	if (room)
		known->drains[known->nr_drains++] = *drain;
	pthread_mutex_unlock(&known->lock);
	if (!room)
		close(drain->fd);
}

void known_drain_ended(struct known *known, int fd, uint64_t generation)
{
	pthread_mutex_lock(&known->lock);
	for (unsigned int i = 0; i < known->nr_drains; i++)
		if (known->drains[i].fd == fd &&
		    known->drains[i].generation == generation)
			known->drains[i].ended = true;
	pthread_mutex_unlock(&known->lock);
}

bool known_drain_pick(struct known *known, struct draws *d,
		      struct known_drain *drain)
{
	bool any;

	pthread_mutex_lock(&known->lock);
	any = known->nr_drains > 0;
	if (any)
		*drain = known->drains[draw(d, known->nr_drains)];
	pthread_mutex_unlock(&known->lock);
	return any;
}

bool known_drain_take(struct known *known, struct draws *d,
		      struct known_drain *drain)
{
	unsigned int at;
	bool any;

	pthread_mutex_lock(&known->lock);
	any = known->nr_drains > 0;
	if (any) {
		at = draw(d, known->nr_drains);
		for (unsigned int i = 0; i < known->nr_drains; i++)
			if (known->drains[i].ended)
				at = i;
		*drain = known->drains[at];
		known->drains[at] = known->drains[--known->nr_drains];
	}
	pthread_mutex_unlock(&known->lock);
	return any;
}

unsigned int known_drains(struct known *known)
{
	unsigned int nr;

	pthread_mutex_lock(&known->lock);
	nr = known->nr_drains;
	pthread_mutex_unlock(&known->lock);
	return nr;
}
