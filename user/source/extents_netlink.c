// SPDX-License-Identifier: Apache-2.0
/*
 * The module's generations: begin, walk, commit and abort flow out as netlink
 * requests, extents in bytes flow in. All disks of one begin go in a single
 * request, which is all or none and has one grace period; a generation from
 * which another consumer took something is refused (RULE 2).
 */
#include <errno.h>

#include "lib/cleanup.h"
#include "source/extents.h"

struct module {
	struct bf_extents base;
	struct bf_netlink *nl;		/* the caller's */
	int dev_fd;			/* the caller's */
	uint64_t nr_sectors;
	struct bf_drain drain;		/* fd is -1 unless a generation is owned */
	/* What the tracker has forgotten; nobody else may make it forget. */
	uint64_t committed_generation, committed_sector;
	struct bf_walk_window *window;
};

static struct module *to_module(struct bf_extents *extents)
{
	return (struct module *)extents;
}

static void note_commit(struct module *m, uint64_t through_sector)
{
	m->committed_generation = m->drain.generation;
	m->committed_sector = through_sector;
}

/*
 * A tracker serves one consumer. What another one has committed meanwhile is
 * lost to us, so the target must be looked at anew. Asked while we own the
 * generation: nobody can commit between the answer and our own commit.
 */
static int check_only_consumer(struct module *m, struct bf_error *err)
{
	struct bf_tracker tracker;
	int ret = bf_tracker_get(m->nl, m->drain.tracker_id, &tracker, err);

	if (ret)
		return ret;
	if (tracker.committed_generation == m->committed_generation &&
	    tracker.committed_sector == m->committed_sector)
		return 0;
	return bf_fail(err, BF_E_TRACKER, ESTALE,
		       "another process has drained tracker %s (generation %llu) and committed what it took: end that process, then run this again, which copies all that was lost to it",
		       tracker.name,
		       (unsigned long long)tracker.committed_generation);
}

static int begin(struct bf_extents *const *extents, size_t nr,
		 struct bf_generation *generations, struct bf_error *err)
{
	_cleanup_free_ struct bf_drain *drains = calloc(nr, sizeof(*drains));
	_cleanup_free_ int *dev_fds = calloc(nr, sizeof(*dev_fds));
	size_t i;
	int ret;

	if (!drains || !dev_fds)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory to begin on %zu disks", nr);
	for (i = 0; i < nr; i++) {
		drains[i] = to_module(extents[i])->drain;
		dev_fds[i] = to_module(extents[i])->dev_fd;
	}
	ret = bf_drain_begin(to_module(extents[0])->nl, drains, dev_fds, nr, err);
	for (i = 0; i < nr && !ret; i++)
		ret = check_only_consumer(to_module(extents[i]), err);
	for (i = 0; i < nr && ret; i++)
		bf_drain_close(&drains[i]);
	if (ret)
		return ret;
	for (i = 0; i < nr; i++) {
		to_module(extents[i])->drain = drains[i];
		generations[i] = (struct bf_generation){
			.number = drains[i].generation,
			.nr_blocks = drains[i].nr_blocks,
			.carried_blocks = drains[i].carried_blocks,
			.writes = drains[i].writes,
			.reasons = drains[i].reasons,
		};
	}
	return 0;
}

static struct bf_extent to_bytes(const struct blkferry_extent *e)
{
	return (struct bf_extent){
		.offset_bytes = e->sector * BLKFERRY_SECTOR_BYTES,
		.length_bytes = e->nr_sectors * BLKFERRY_SECTOR_BYTES,
	};
}

/*
 * What does not fit into @out is asked for again, from its first block: so the
 * trailer always counts what is above the watermark now.
 */
static int walk(struct bf_extents *extents, uint64_t from_bytes,
		struct bf_extent *out, size_t max, size_t *nr,
		uint64_t *next_bytes, bool *end, uint64_t *total_blocks,
		struct bf_error *err)
{
	struct module *m = to_module(extents);
	struct bf_walk_window *w = m->window;
	int ret = bf_drain_walk(m->nl, &m->drain,
				from_bytes / BLKFERRY_SECTOR_BYTES, w, err);

	if (ret)
		return ret;
	for (*nr = 0; *nr < w->nr_extents && *nr < max; ++*nr)
		out[*nr] = to_bytes(&w->extents[*nr]);
	*end = w->end && *nr == w->nr_extents;
	*next_bytes = (*nr < w->nr_extents ? w->extents[*nr].sector :
					     w->next_sector) * BLKFERRY_SECTOR_BYTES;
	*total_blocks = w->total_blocks;
	return 0;
}

static int commit(struct bf_extents *extents, uint64_t through_bytes,
		  struct bf_error *err)
{
	struct module *m = to_module(extents);
	uint64_t through_sector = through_bytes / BLKFERRY_SECTOR_BYTES;
	int ret = bf_drain_commit(m->nl, &m->drain, through_sector, err);

	if (!ret)
		note_commit(m, through_sector);
	return ret;
}

static int finish(struct bf_extents *extents, uint64_t nr_blocks,
		  const struct bf_reasons *resynced, struct bf_error *err)
{
	struct module *m = to_module(extents);
	int ret = bf_drain_finish(m->nl, &m->drain, m->nr_sectors, nr_blocks,
				  resynced, err);

	if (ret)
		return ret;
	note_commit(m, m->nr_sectors);
	bf_drain_close(&m->drain);
	return 0;
}

/* If the request fails, the closed descriptor gives the generation back. */
static int give_back(struct bf_extents *extents, struct bf_error *err)
{
	struct module *m = to_module(extents);
	int ret;

	if (m->drain.fd < 0)
		return 0;
	ret = bf_drain_abort(m->nl, &m->drain, err);
	bf_drain_close(&m->drain);
	return ret;
}

static int mark(struct bf_extents *extents, const struct bf_extent *what,
		size_t nr, struct bf_error *err)
{
	_cleanup_free_ struct blkferry_extent *e = calloc(nr, sizeof(*e));
	struct module *m = to_module(extents);
	size_t i;

	if (!nr)
		return 0;
	if (!e)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory to mark %zu extents", nr);
	for (i = 0; i < nr; i++) {
		e[i].sector = what[i].offset_bytes / BLKFERRY_SECTOR_BYTES;
		e[i].nr_sectors = what[i].length_bytes / BLKFERRY_SECTOR_BYTES;
	}
	return bf_tracker_mark(m->nl, m->drain.tracker_id, e, nr, err);
}

static void close_module(struct bf_extents *extents)
{
	struct module *m = to_module(extents);

	bf_drain_close(&m->drain);
	free(m->window);
	free(m);
}

static const struct bf_extents_ops netlink_ops = {
	.name = "netlink",
	.begin = begin,
	.walk = walk,
	.commit = commit,
	.finish = finish,
	.abort = give_back,
	.mark = mark,
	.close = close_module,
};

int bf_extents_netlink(struct bf_extents **extents, struct bf_netlink *nl,
		       const struct bf_tracker *tracker, int dev_fd,
		       struct bf_error *err)
{
	struct module *m = calloc(1, sizeof(*m));

	if (m)
		m->window = calloc(1, sizeof(*m->window));
	if (!m || !m->window) {
		free(m);
		return bf_fail(err, BF_E_SYSTEM, ENOMEM,
			       "out of memory for tracker %s", tracker->name);
	}
	m->base.ops = &netlink_ops;
	m->base.device_bytes = tracker->nr_sectors * BLKFERRY_SECTOR_BYTES;
	m->base.granularity_bytes = tracker->granularity_bytes;
	m->nl = nl;
	m->dev_fd = dev_fd;
	m->nr_sectors = tracker->nr_sectors;
	m->drain.fd = -1;
	m->drain.tracker_id = tracker->id;
	m->committed_generation = tracker->committed_generation;
	m->committed_sector = tracker->committed_sector;
	*extents = &m->base;
	return 0;
}
