// SPDX-License-Identifier: Apache-2.0
/*
 * A job's own records: any body with a right checksum in place of the source's
 * record or of its list of what the target lacks is refused with words, or taken
 * as far as it can be ours: no range beyond its disk, none across another, no pass
 * that is due on a disk without a record. What was taken is stored and read once
 * more, and is the same; then a row of the resume table holds for it.
 *
 * In: which record; what the target says; an extent that was sent; the body.
 */
#include <wire.h>

#include "fuzz.h"
#include "lib/record.h"
#include "lib/units.h"
#include "source/job_state.h"

#define NR_DISKS 2
#define DISK_BYTES (1ull << 30)

struct world {
	struct bf_job job;
	struct bf_job_disk disks[NR_DISKS];
};

static struct bf_job_options options;
static struct bf_job_config config;
static struct bf_disk_config disk_config[NR_DISKS];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	make_fuzz_folder();
	options.records_dir = fuzz_folder;
	strcpy(config.name, "web");
	strcpy(disk_config[0].name, "root");
	strcpy(disk_config[1].name, "data");
	return 0;
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* Trackers 00000000-… and 11111111-…, as the kernel has them. */
static void make_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->job.options = &options;
	w->job.config = &config;
	w->job.tracked = true;
	w->job.disks = w->disks;
	w->job.nr_disks = NR_DISKS;
	for (int i = 0; i < NR_DISKS; i++) {
		w->disks[i].config = &disk_config[i];
		w->disks[i].size_bytes = DISK_BYTES;
		memset(w->disks[i].tracker.uuid, i * 0x11, 16);
	}
}

static void free_world(struct world *w)
{
	for (int i = 0; i < NR_DISKS; i++) {
		bf_ranges_free(&w->disks[i].unsent);
		bf_ranges_free(&w->disks[i].unreadable);
	}
}

/* ---- what the target lacks ---- */

static void check_ranges(const struct bf_ranges *ranges)
{
	uint64_t end = 0;

	must(ranges->nr <= BF_RANGES_MAX);
	for (size_t i = 0; i < ranges->nr; i++) {
		const struct bf_extent *e = &ranges->range[i];

		must(e->length_bytes && e->offset_bytes >= end);
		must(!i || e->offset_bytes > end);	/* else they are one */
		must(e->offset_bytes <= DISK_BYTES &&
		     e->length_bytes <= DISK_BYTES - e->offset_bytes);
		must(!(e->offset_bytes % WIRE_BLOCK_BYTES) &&
		     !(e->length_bytes % WIRE_BLOCK_BYTES));
		end = e->offset_bytes + e->length_bytes;
	}
}

static bool same_ranges(const struct bf_ranges *a, const struct bf_ranges *b)
{
	return a->nr == b->nr && (!a->nr ||
		!memcmp(a->range, b->range, a->nr * sizeof(*a->range)));
}

/* What is sent is lacking no more, and nothing else comes or goes. */
static void send_some(struct bf_ranges *unsent, const struct bf_extent *sent)
{
	uint64_t before = bf_ranges_bytes(unsent);

	bf_ranges_subtract(unsent, sent, 1);
	check_ranges(unsent);
	must(bf_ranges_bytes(unsent) <= before &&
	     bf_ranges_bytes(unsent) + sent->length_bytes >= before);
}

/* Each list of a disk that is ours says all that it has to say. */
static bool list_is_whole(const json_t *list)
{
	const json_t *number;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) % 2)
		return false;
	json_array_foreach((json_t *)list, i, number)
		if (!json_is_integer(number))
			return false;
	return true;
}

static void check_taken(const json_t *body)
{
	const json_t *disks = json_object_get(body, "disks"), *entry;
	size_t i;

	must(json_is_array(disks));
	json_array_foreach((json_t *)disks, i, entry) {
		const char *name = json_string_value(json_object_get(entry, "name"));
		const char *uuid = json_string_value(json_object_get(entry, "tracker"));

		must(name && uuid);
		if (!strcmp(name, "root") &&
		    !strcmp(uuid, "00000000-0000-0000-0000-000000000000"))
			must(list_is_whole(json_object_get(entry, "ranges")) &&
			     (!json_object_get(entry, "unreadable") ||
			      list_is_whole(json_object_get(entry, "unreadable"))));
	}
}

static void load_skipped(const json_t *body, const struct bf_extent *sent)
{
	struct bf_error err = { 0 };
	struct world w, again;

	make_world(&w);
	make_world(&again);
	if (bf_job_skip_load(&w.job, &err)) {
		must(err.text[0]);
	} else if (body) {
		check_taken(body);
		for (int i = 0; i < NR_DISKS; i++) {
			check_ranges(&w.disks[i].unsent);
			check_ranges(&w.disks[i].unreadable);
			send_some(&w.disks[i].unsent, sent);
		}
		must(!bf_job_skip_store(&w.job, &err));
		must(!bf_job_skip_load(&again.job, &err));
		must(w.job.skip_asking == again.job.skip_asking);
		for (int i = 0; i < NR_DISKS; i++)
			must(same_ranges(&w.disks[i].unsent,
					 &again.disks[i].unsent) &&
			     same_ranges(&w.disks[i].unreadable,
					 &again.disks[i].unreadable));
	}
	free_world(&w);
	free_world(&again);
}

/* ---- whose content the target held ---- */

static void same_record(const struct bf_job_disk *a, const struct bf_job_disk *b)
{
	must(a->recorded == b->recorded && a->whole == b->whole &&
	     a->in_doubt == b->in_doubt);
	must(!memcmp(a->record_uuid, b->record_uuid, 16) &&
	     !memcmp(a->record_cookie, b->record_cookie, 16));
	must(a->whole_generation == b->whole_generation &&
	     a->whole_sector == b->whole_sector);
	must(!memcmp(&a->seen, &b->seen, sizeof(a->seen)));
}

static void find_row(const struct bf_job_disk *disk,
		     const struct wire_opened *opened)
{
	struct wire_welcome welcome = { .state = WIRE_JOB_SYNCING };
	struct bf_resume_facts facts = bf_job_facts(disk, opened, &welcome);

	must(bf_resume_find(&facts));
	must(!facts.resyncing || facts.recorded);
}

static void load_record(const struct wire_opened *opened)
{
	struct bf_error err = { 0 };
	struct world w, again;

	make_world(&w);
	make_world(&again);
	if (bf_job_record_load(&w.job, &err)) {
		must(err.text[0]);
		return;
	}
	must(strlen(w.job.resync_reason) < sizeof(w.job.resync_reason));
	for (int i = 0; i < NR_DISKS; i++) {
		must(w.disks[i].recorded || (!w.disks[i].whole &&
					     !w.disks[i].in_doubt));
		find_row(&w.disks[i], opened);
	}
	/* A reason in another encoding cannot be written. */
	if (bf_job_record_store(&w.job, &err))
		must(err.text[0]);
	must(!bf_job_record_load(&again.job, &err));
	for (int i = 0; i < NR_DISKS; i++)
		if (w.disks[i].recorded)
			same_record(&w.disks[i], &again.disks[i]);
}

/* ---- */

/* Return: the body, or NULL: there is no record. */
static json_t *store_body(const struct input *in, const char *kind,
			  void (*path_of)(const char *, const char *, char *))
{
	json_t *body = json_loadb((const char *)in->at, in->left,
				  JSON_REJECT_DUPLICATES, NULL);
	char path[BF_PATH_BYTES];

	path_of(fuzz_folder, config.name, path);
	unlink(path);
	if (json_is_object(body)) {
		must(!bf_record_store(path, kind, body, NULL));
		return body;
	}
	json_decref(body);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input in = { data, bytes };
	uint64_t kind = take(&in, 1), at = take(&in, 2), length = take(&in, 2);
	struct bf_extent sent = { at * WIRE_BLOCK_BYTES,
				  (length + 1) * WIRE_BLOCK_BYTES };
	struct wire_opened opened = {
		.generation = at, .through_bytes = length * WIRE_BLOCK_BYTES,
		.flags = kind & 2 ? WIRE_OPENED_COMPLETE : 0,
	};

	json_t *body;

	if (kind & 1) {
		body = store_body(&in, "source-skipped", bf_job_skip_path);
		load_skipped(body, &sent);
	} else {
		memset(opened.cookie, 0x22, 16);
		body = store_body(&in, "source-job", bf_job_record_path);
		load_record(&opened);
	}
	json_decref(body);
	return 0;
}
