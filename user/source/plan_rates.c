// SPDX-License-Identifier: Apache-2.0
/*
 * Plan, rates: samples of the disks, the kernel's counters and a handshake with
 * the receiver flow in; how long a full copy, a resync and a cutover would take
 * flows out. Nothing is written, here or there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/identity.h"
#include "lib/transport.h"
#include "lib/units.h"
#include "source/converge.h"
#include "source/holders_steps.h"
#include "source/pass.h"
#include "source/plan.h"
#include "source/plan_sample.h"

#define CHANGE_MS 3000
#define LINK_NS BF_NSEC_PER_SEC		/* for so long it is measured */
/* Per second, when nothing was measured: a link of one gigabit. */
#define ASSUMED_LINK_RATE 110e6
/* Of a cutover, before a pass has measured them: to freeze, and to make a barrier
 * durable. */
#define ASSUMED_DURABLE_NS (50 * BF_NSEC_PER_MSEC)

/* What a forecast is made of; below 0: not known. */
struct rates {
	double disk, change, link;	/* bytes a second */
	double round_ns;
	struct bf_plan_sample sample;
};

static void put(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, value < 0 ? json_null() :
			    json_integer((json_int_t)value));
}

/* ---- the disks ---- */

/* Past the page cache. Return: bytes a second or -1. */
static double read_rate(struct bf_plan_sample *sample,
			const struct bf_plan_disk *disk)
{
	_cleanup_close_ int fd = open(disk->device,
				      O_RDONLY | O_DIRECT | O_CLOEXEC);

	sample->nr_read = sample->nr_unreadable = 0;
	return fd < 0 ? -1 : bf_plan_sample_read(sample, fd, disk->size_bytes);
}

static void note_unreadable(struct bf_plan *plan,
			    const struct bf_plan_sample *sample,
			    const char *disk)
{
	if (sample->nr_unreadable)
		bf_plan_add(plan, BF_SEVERITY_WARNING, "unreadable", disk,
			    "look after its health first (smartctl -a); what a copy does there is on-read-error's to say, blkferry.conf(5)",
			    "reading failed at %u of %u places that were looked at",
			    sample->nr_unreadable,
			    sample->nr_unreadable + sample->nr_read);
}

static double total_bytes(const struct bf_plan *plan)
{
	double bytes = 0;

	for (uint32_t i = 0; i < plan->nr_disks; i++)
		bytes += plan->disks[i].size_bytes;
	return bytes;
}

/* What a full copy reads: free space of filesystems is left out. */
static double used_bytes(const struct bf_plan *plan)
{
	double used, total = total_bytes(plan), free_bytes = 0;

	for (size_t i = 0; i < plan->holders.nr_filesystems; i++) {
		struct statvfs status;

		if (!fstatvfs(plan->holders.filesystems[i].fd, &status))
			free_bytes += (double)status.f_bfree * status.f_frsize;
	}
	used = total - free_bytes;
	return plan->config->whole_disk || used < 0 ? total : used;
}

static double measure_disks(struct bf_plan *plan, struct bf_plan_sample *sample)
{
	json_t *disks = json_array();
	double slowest = -1;

	for (uint32_t i = 0; i < plan->nr_disks; i++) {
		const struct bf_plan_disk *disk = &plan->disks[i];
		double rate = read_rate(sample, disk);
		json_t *row = json_pack("{ss}", "name", disk->name);

		note_unreadable(plan, sample, disk->name);
		put(row, "size_bytes", disk->size_bytes);
		put(row, "read_rate", rate);
		json_array_append_new(disks, row);
		if (rate >= 0 && (slowest < 0 || rate < slowest))
			slowest = rate;
	}
	json_object_set_new(plan->figures, "disks", disks);
	return slowest;
}

/* Sectors written to a disk since it came, by the kernel's count. */
static double written_bytes(const struct bf_plan *plan, const char *root)
{
	double bytes = 0;

	for (uint32_t i = 0; i < plan->nr_disks; i++) {
		_cleanup_fclose_ FILE *file = NULL;
		unsigned long long sectors;
		char path[256];

		snprintf(path, sizeof(path), "%s/sys/dev/block/%u:%u/stat", root,
			 major(plan->disks[i].dev), minor(plan->disks[i].dev));
		file = fopen(path, "re");
		if (file && fscanf(file, "%*u %*u %*u %*u %*u %*u %llu",
				   &sectors) == 1)
			bytes += sectors * 512.0;
	}
	return bytes;
}

/* Writes, of which changes are a part: what is written twice counts twice. */
static double change_rate(const struct bf_plan *plan, const char *root)
{
	double before = written_bytes(plan, root);

	poll(NULL, 0, CHANGE_MS);
	return (written_bytes(plan, root) - before) * 1000 / CHANGE_MS;
}

/* ---- the receiver ---- */

static int open_session(struct bf_plan *plan, struct bf_session_disk *disks,
			struct bf_session_settings *settings,
			struct bf_session **session, struct bf_tls **tls,
			struct bf_error *err)
{
	struct bf_session_options options = {
		.job = plan->config->name,
		.address = plan->config->receiver,
		.from = plan->config->source_address,
		.peer = plan->config->peer,
		.timeout_ns = plan->config->timeout_ns,
		.settings = settings,
		.disks = disks,
		.nr_disks = plan->nr_disks,
		.read_only = true,
	};
	struct bf_identity *identity;
	int ret = bf_identity_load(plan->config->key_path, &identity, err);

	if (ret)
		return ret;
	ret = bf_tls_new(tls, BF_ROLE_SOURCE, identity, err);
	bf_identity_free(identity);
	options.tls = *tls;
	return ret ? ret : bf_session_open(session, &options, err);
}

static void note_receiver(struct bf_plan *plan, struct bf_session_disk *disks,
			  uint64_t took_ns, int ret, const struct bf_error *err)
{
	char text[BF_UNIT_TEXT_BYTES];

	if (ret && err->code == BF_E_TOO_SMALL) {
		bf_plan_add(plan, BF_SEVERITY_REFUSE, "target-too-small",
			    plan->config->receiver,
			    "give it a target at least as large", "%s",
			    err->text);
	} else if (ret) {
		bf_plan_add(plan, BF_SEVERITY_WARNING, "receiver",
			    plan->config->receiver,
			    "blkferry-migration(7), TROUBLESHOOTING, has the cure by the code in parentheses",
			    "%s (%s)", err->text, bf_code_name(err->code));
	} else {
		for (uint32_t i = 0; i < plan->nr_disks; i++)
			plan->disks[i].target_bytes = disks[i].opened.size_bytes;
		put(plan->figures, "handshake_ns", took_ns);
		bf_plan_add(plan, BF_SEVERITY_INFO, "receiver",
			    plan->config->receiver, NULL,
			    "it knows this machine, and its targets are large enough; to connect took %s",
			    bf_format_time(took_ns, text));
	}
}

/* At no more than the rate that the job may have. */
static void measure_link(struct bf_plan *plan, struct bf_session *session,
			 struct rates *rates)
{
	char rate_text[BF_UNIT_TEXT_BYTES], round_text[BF_UNIT_TEXT_BYTES];
	struct bf_error err;
	uint64_t round_ns;

	if (bf_session_measure(session, LINK_NS, &rates->link, &round_ns,
			       &err)) {
		bf_plan_add(plan, BF_SEVERITY_WARNING, "link",
			    plan->config->receiver,
			    "look at the network between the two, and plan again",
			    "its rate could not be measured: %s", err.text);
		return;
	}
	rates->round_ns = (double)round_ns;
	bf_plan_add(plan, BF_SEVERITY_INFO, "link", plan->config->receiver,
		    NULL, "it takes %s%s; a question and its answer take %s",
		    bf_format_rate((uint64_t)rates->link, rate_text),
		    plan->config->limits.rate_bytes ?
		    ", no more being allowed by the job's rate" : "",
		    bf_format_time(round_ns, round_text));
}

static void fill_disks(const struct bf_plan *plan, struct bf_session_disk *disks)
{
	for (uint32_t i = 0; i < plan->nr_disks; i++)
		disks[i] = (struct bf_session_disk){
			.name = plan->disks[i].name,
			.fd = plan->disks[i].fd,
			.size_bytes = plan->disks[i].size_bytes,
			.target = plan->config->disks[i].target,
		};
}

static void ask_receiver(struct bf_plan *plan, struct rates *rates)
{
	_cleanup_free_ struct bf_session_disk *disks =
		calloc(plan->nr_disks + 1, sizeof(*disks));
	struct bf_session_settings settings = {
		.level = 0,
		.rate_bytes = plan->config->limits.rate_bytes,
	};
	struct bf_session *session = NULL;
	uint64_t start_ns = bf_now_ns();
	struct bf_tls *tls = NULL;
	struct bf_error err;
	int ret;

	if (!disks || !*plan->config->receiver)
		return;
	fill_disks(plan, disks);
	ret = open_session(plan, disks, &settings, &session, &tls, &err);
	note_receiver(plan, disks, bf_now_ns() - start_ns, ret, &err);
	if (!ret)
		measure_link(plan, session, rates);
	bf_session_close(session);
	bf_tls_free(tls);
}

/* ---- what follows from them ---- */

static const char *rate_text(double rate, char text[BF_UNIT_TEXT_BYTES])
{
	return rate < 0 ? "unknown" : bf_format_rate((uint64_t)rate, text);
}

/* Passes until what is left fits a freeze: each leaves what came meanwhile. */
static unsigned int passes_until_settled(double bytes, double rate,
					 double change)
{
	unsigned int passes = 1;

	while (passes < 100 && bytes / rate * change > rate / 10) {
		bytes = bytes / rate * change;
		passes++;
		if (change >= rate)
			break;
	}
	return passes + 1;
}

/* The slower of disks and link; without a receiver, of disks and a usual link. */
static double sending_rate(const struct bf_plan *plan, const struct rates *rates)
{
	double rate = rates->link > 0 ? rates->link : ASSUMED_LINK_RATE;

	if (!*plan->config->receiver && rates->disk > 0)
		return rates->disk;
	return rates->disk > 0 && rates->disk < rate ? rates->disk : rate;
}

/* By the model that the running job uses, with assumptions for its figures. */
static uint64_t downtime_ns(const struct bf_plan *plan, const struct rates *rates,
			    double rate)
{
	double fixed_ns = ASSUMED_DURABLE_NS +
			  (rates->round_ns > 0 ? rates->round_ns : 0);
	struct bf_converge converge;

	bf_converge_init(&converge);
	converge.dirty_rate = rates->change;
	converge.link_rate = rate;
	converge.fixed_ns = converge.barrier_ns = fixed_ns;
	if (plan->holders.nr_filesystems)
		bf_converge_freeze(&converge, BF_CONVERGE_FREEZE_NS);
	return bf_converge_forecast(&converge, (uint64_t)(rates->change *
		plan->config->limits.interval_ns / BF_NSEC_PER_SEC)).settled_ns;
}

static void predict_downtime(struct bf_plan *plan, const struct rates *rates,
			     double rate)
{
	char text[BF_UNIT_TEXT_BYTES], bound[BF_UNIT_TEXT_BYTES];
	uint64_t ns = downtime_ns(plan, rates, rate);

	put(plan->figures, "downtime_ns", (double)ns);
	bf_format_time(ns, text);
	if (rates->change > rate * 0.8)
		bf_plan_add(plan, BF_SEVERITY_WARNING, "change-rate", "job",
			    "a faster link or target, a quieter hour for the cutover, or a longer max-downtime",
			    "%s are written, nearly as much as can be sent: the passes may not get shorter",
			    rate_text(rates->change, bound));
	else if (ns > plan->config->max_downtime_ns)
		bf_plan_add(plan, BF_SEVERITY_WARNING, "downtime", "job",
			    "a quieter hour for the cutover, a faster link, or a longer max-downtime",
			    "a cutover would take about %s, more than the %s that max-downtime allows",
			    text, bf_format_time(plan->config->max_downtime_ns,
						 bound));
	else
		bf_plan_add(plan, BF_SEVERITY_INFO, "downtime", "job", NULL,
			    "a cutover would take about %s at the present rate of change",
			    text);
}

/* Processors that compress: as many as the pipeline would take. */
static unsigned int cores_of(const struct bf_plan *plan)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int allowed = plan->config->limits.cores;

	if (allowed && cpus > (long)allowed)
		cpus = allowed;
	return cpus < 1 ? 1 : cpus > BF_WORKERS_MAX ? BF_WORKERS_MAX : cpus;
}

/* What a full copy reads, sends, and is bound by. */
struct copy {
	double read_bytes, data_bytes, ns, ratio;
	const char *bound;
};

/*
 * Free space is left out of what is read. Zeroes are left out of what is sent, but
 * counted only where no filesystem says what is free: much of what they call
 * free is zeroes, and what they hold may not be on the disk yet.
 */
static struct copy predict(const struct bf_plan *plan, const struct rates *rates,
			   double rate)
{
	double not_zero = total_bytes(plan) *
			  (1 - bf_plan_sample_zero_share(&rates->sample));
	struct copy copy = { .read_bytes = used_bytes(plan), .ratio = 1 };
	double link_rate = rates->link > 0 ? rates->link : ASSUMED_LINK_RATE;
	struct bf_sample_cost cost;

	copy.data_bytes = copy.read_bytes < total_bytes(plan) ?
			  copy.read_bytes : not_zero;
	copy.ns = copy.read_bytes / (rates->disk > 0 ? rates->disk : rate) *
		  BF_NSEC_PER_SEC;
	copy.bound = "the disks";
	if (!*plan->config->receiver)
		return copy;
	cost = bf_plan_sample_cost(&rates->sample, link_rate, cores_of(plan));
	copy.ratio = cost.ratio;
	if (copy.data_bytes * cost.ns_per_byte <= copy.ns)
		return copy;
	copy.ns = copy.data_bytes * cost.ns_per_byte;
	copy.bound = cost.by_processors ? "the processors that compress" :
		     rates->link > 0 ? "the link" : "a link of 1 Gbit/s (assumed)";
	return copy;
}

static void predict_resync(struct bf_plan *plan, const struct rates *rates)
{
	double ns = rates->disk > 0 ? total_bytes(plan) / rates->disk *
				      BF_NSEC_PER_SEC : -1;
	char text[BF_UNIT_TEXT_BYTES];

	put(plan->figures, "resync_ns", ns);
	if (ns >= 0)
		bf_plan_add(plan, BF_SEVERITY_INFO, "resync", "job", NULL,
			    "after a reboot of this machine both sides are read again to compare them: about %s",
			    bf_format_time(ns, text));
}

static void predict_copy(struct bf_plan *plan, const struct rates *rates,
			 double rate)
{
	char time_text[BF_UNIT_TEXT_BYTES], read_text[BF_UNIT_TEXT_BYTES];
	char data_text[BF_UNIT_TEXT_BYTES];
	struct copy copy = predict(plan, rates, rate);
	unsigned int passes = passes_until_settled(copy.read_bytes,
		copy.read_bytes / (copy.ns + 1) * BF_NSEC_PER_SEC,
		rates->change);

	put(plan->figures, "copy_bytes", copy.read_bytes);
	put(plan->figures, "copy_data_bytes", copy.data_bytes);
	json_object_set_new(plan->figures, "compression_ratio",
			    json_real(copy.ratio));
	put(plan->figures, "copy_ns", copy.ns);
	put(plan->figures, "passes", passes);
	bf_plan_add(plan, BF_SEVERITY_INFO, "forecast", "job", NULL,
		    "full copy about %s, bound by %s: %s to read, %s to send, which shrinks %.1f to 1 if a sample is right; %u passes until a cutover is short; a rehearsal measures it",
		    bf_format_time(copy.ns, time_text), copy.bound,
		    bf_format_size(copy.read_bytes, read_text),
		    bf_format_size(copy.data_bytes, data_text), copy.ratio,
		    passes);
	predict_resync(plan, rates);
}

static void predict_all(struct bf_plan *plan, const char *root,
			struct rates *rates)
{
	char read_text[BF_UNIT_TEXT_BYTES], change_text[BF_UNIT_TEXT_BYTES];
	double limit = plan->config->limits.read_rate_bytes, rate;

	rates->disk = measure_disks(plan, &rates->sample);
	rates->change = change_rate(plan, root);
	put(plan->figures, "change_rate", rates->change);
	bf_plan_add(plan, BF_SEVERITY_INFO, "rates", "job", NULL,
		    "disks read at %s at least, %s are written now",
		    rate_text(rates->disk, read_text),
		    rate_text(rates->change, change_text));
	if (limit && rates->disk > limit)
		rates->disk = limit;
	ask_receiver(plan, rates);
	put(plan->figures, "link_rate", rates->link);
	put(plan->figures, "link_rtt_ns", rates->round_ns);
	rate = sending_rate(plan, rates);
	predict_copy(plan, rates, rate);
	predict_downtime(plan, rates, rate);
}

void bf_plan_rates(struct bf_plan *plan, const char *root)
{
	struct rates rates = { .link = -1, .round_ns = -1 };
	struct bf_error err;

	if (bf_plan_sample_new(&rates.sample, *plan->config->receiver ?
			       plan->config->limits.level : 0, &err)) {
		bf_plan_add(plan, BF_SEVERITY_WARNING, "rates", "job",
			    "plan again when there is more memory",
			    "nothing could be measured: %s", err.text);
		return;
	}
	predict_all(plan, root, &rates);
	bf_plan_sample_free(&rates.sample);
}
