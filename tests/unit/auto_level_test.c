// SPDX-License-Identifier: Apache-2.0
/*
 * Auto level. Policy, on a model of link, processors and content: within some
 * seconds the raw rate is within 10 % of the best fixed level's, at any link
 * rate; it follows a link and a load that change; where TLS is the limit, it is
 * relieved if processors are idle, and only then; a link that is never full is
 * not compressed for, nor is content that gains nothing.
 */
#include "source/auto_level.h"
#include "tap.h"

#define TICK_NS 200000000ull
#define FRAME_BYTES 1e6

static const int levels[BF_AUTO_RUNGS] = { 0, 1, 2, 3, 5, 7, 9, 12, 15, 19 };

/* Nanoseconds a byte and ratio of a content, by rung. */
struct content {
	double ns[BF_AUTO_RUNGS], ratio[BF_AUTO_RUNGS];
};

static const struct content programs = {
	{ 0.01, 2, 2.8, 4, 8, 14, 20, 60, 150, 400 },
	{ 1, 2.21, 2.30, 2.41, 2.45, 2.55, 2.57, 2.60, 2.66, 2.75 },
};
static const struct content text = {
	{ 0.01, 1, 1.4, 2, 5, 9, 12, 30, 70, 250 },
	{ 1, 3.4, 3.5, 3.7, 4.0, 4.3, 4.4, 4.5, 4.9, 5.5 },
};
static const struct content noise = {
	{ 0.01, 0.4, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3 },
	{ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 },
};

static struct bf_auto automatic;

static unsigned int rung_of(int level)
{
	unsigned int i = 0;

	while (levels[i] != level)
		i++;
	return i;
}

static double rate_of(const struct content *c, unsigned int i, double link,
		      double cores)
{
	double cpu = cores * 1e9 / c->ns[i];

	return link * c->ratio[i] < cpu ? link * c->ratio[i] : cpu;
}

/* A time of frames as the levels come. Return: raw bytes. */
static double tick(const struct content *c, double link, double cores)
{
	struct bf_auto_sample sample = {
		.time_ns = TICK_NS, .cores = cores, .workers = cores,
	};
	double raw = 0, wire = 0, busy_ns = 0;

	/* Until either the link's time or the processors' is used up. */
	while (wire < link * TICK_NS / 1e9 && busy_ns < cores * TICK_NS) {
		int level = bf_auto_next(&automatic);
		unsigned int i = rung_of(level);
		double encoded = FRAME_BYTES / c->ratio[i];
		double ns = FRAME_BYTES * c->ns[i];

		bf_auto_frame(&automatic, level, FRAME_BYTES, encoded, ns);
		raw += FRAME_BYTES;
		wire += encoded;
		busy_ns += ns;
	}
	sample.wire_bytes = wire;
	sample.full_ns = wire >= link * TICK_NS / 1e9 ?
		TICK_NS * (1 - 0.5 * busy_ns / (cores * TICK_NS)) : 0;
	bf_auto_choose(&automatic, &sample);
	return raw;
}

/* Settles in 8 s, then 10 s against the best fixed level. */
static void near_the_best(const struct content *c, double link, double cores)
{
	double best = 0, raw = 0;

	for (int i = 0; i < 40; i++)
		tick(c, link, cores);
	for (int i = 0; i < 50; i++)
		raw += tick(c, link, cores);
	for (unsigned int i = 0; i < BF_AUTO_RUNGS; i++)
		if (rate_of(c, i, link, cores) > best)
			best = rate_of(c, i, link, cores);
	if (raw / 10 < 0.9 * best)
		tap_fail(__FILE__, __LINE__,
			 "link %.0f, %.1f cores: %.0f of %.0f bytes/s at level %d",
			 link, cores, raw / 10, best, levels[automatic.at]);
}

static void any_link(void)
{
	static const double links[] = { 1.25e6, 12.5e6, 40e6, 125e6, 300e6, 1.25e9 };
	static const double cores[] = { 0.5, 1, 2, 4 };

	for (size_t l = 0; l < 6; l++) {
		for (size_t c = 0; c < 4; c++) {
			automatic = (struct bf_auto){ 0 };
			near_the_best(&programs, links[l], cores[c]);
			automatic = (struct bf_auto){ 0 };
			near_the_best(&text, links[l], cores[c]);
		}
	}
}

static void changes_are_followed(void)
{
	automatic = (struct bf_auto){ 0 };
	near_the_best(&programs, 12.5e6, 2);
	near_the_best(&programs, 125e6, 2);	/* a faster link */
	near_the_best(&programs, 12.5e6, 2);
	near_the_best(&programs, 12.5e6, 0.3);	/* the machine has work */
	near_the_best(&text, 12.5e6, 2);	/* other content */
}

static void noise_is_left_alone(void)
{
	automatic = (struct bf_auto){ 0 };
	near_the_best(&noise, 12.5e6, 2);
	check_eq(automatic.at, 0);
	near_the_best(&programs, 12.5e6, 2);
	check(automatic.at > 0);
	near_the_best(&noise, 12.5e6, 2);
	check_eq(automatic.at, 0);
}

/*
 * A time of one thread that sends at @send_ns for a byte into a link without
 * end, and of the processors' rest for compression. Return: raw bytes.
 */
static double send_tick(const struct content *c, double send_ns, double cores)
{
	struct bf_auto_sample sample = {
		.time_ns = TICK_NS, .senders = 1, .workers = 4, .cores = cores,
	};
	double raw = 0, busy_ns = 0, sent_ns = 0;

	while (sent_ns < TICK_NS && busy_ns + sent_ns < cores * TICK_NS &&
	       busy_ns < 4.0 * TICK_NS) {
		int level = bf_auto_next(&automatic);
		unsigned int i = rung_of(level);
		double encoded = FRAME_BYTES / c->ratio[i];
		double ns = FRAME_BYTES * c->ns[i];

		bf_auto_frame(&automatic, level, FRAME_BYTES, encoded, ns);
		raw += FRAME_BYTES;
		sample.wire_bytes += encoded;
		sent_ns += encoded * send_ns;
		busy_ns += ns;
	}
	sample.send_ns = sent_ns;
	bf_auto_choose(&automatic, &sample);
	return raw;
}

static void best_of_sending(const struct content *c, double send_ns, double cores)
{
	double best = 0, raw = 0;

	automatic = (struct bf_auto){ 0 };
	for (int i = 0; i < 40; i++)
		send_tick(c, send_ns, cores);
	for (int i = 0; i < 50; i++)
		raw += send_tick(c, send_ns, cores);
	for (unsigned int i = 0; i < BF_AUTO_RUNGS; i++) {
		double ns = c->ns[i], sent_ns = send_ns / c->ratio[i];
		double rate = 1 / sent_ns;

		if (rate > cores / (ns + sent_ns))
			rate = cores / (ns + sent_ns);
		if (rate > 4 / ns)
			rate = 4 / ns;
		if (rate * 1e9 > best)
			best = rate * 1e9;
	}
	if (raw / 10 < 0.9 * best)
		tap_fail(__FILE__, __LINE__,
			 "%.1f ns a byte sent, %.1f cores: %.0f of %.0f bytes/s at level %d",
			 send_ns, cores, raw / 10, best, levels[automatic.at]);
}

static void sending_is_the_limit(void)
{
	static const double costs[] = { 0.5, 1, 2, 4, 10 };
	static const double cores[] = { 1, 2, 4, 8 };

	for (size_t s = 0; s < 5; s++) {
		for (size_t c = 0; c < 4; c++) {
			best_of_sending(&programs, costs[s], cores[c]);
			best_of_sending(&text, costs[s], cores[c]);
			best_of_sending(&noise, costs[s], cores[c]);
		}
	}
}

static void idle_processors_relieve_tls(void)
{
	best_of_sending(&programs, 4, 8);
	check(automatic.at > 0);
	best_of_sending(&programs, 1, 1);	/* none is idle */
	check_eq(automatic.at, 0);
}

static void a_link_that_is_never_full(void)
{
	const struct bf_auto_sample sample = {
		.time_ns = TICK_NS, .wire_bytes = 100000000, .cores = 4,
		.workers = 4, .senders = 1, .send_ns = TICK_NS / 2,
	};

	automatic = (struct bf_auto){ 0 };
	for (int i = 0; i < 1000; i++) {
		check_eq(bf_auto_next(&automatic), 0);
		bf_auto_frame(&automatic, 0, FRAME_BYTES, FRAME_BYTES, 10000);
		bf_auto_choose(&automatic, &sample);
	}
	check_eq(automatic.at, 0);
}

/* Of a session's first moments on a machine that is busy: hardly anything is sent,
 * and nothing says what the link could take. */
static void little_is_sent(void)
{
	const struct bf_auto_sample sample = {
		.time_ns = 216000000, .wire_bytes = 2000, .send_ns = 824000000,
		.senders = 4, .cores = 1, .workers = 2,
	};

	automatic = (struct bf_auto){ 0 };
	bf_auto_choose(&automatic, &sample);
	check_eq(bf_auto_next(&automatic), 0);
}

static const struct content slow = {
	{ 0.1, 20, 28, 40, 80, 140, 200, 600, 1500, 4000 },
	{ 1, 3.4, 3.5, 3.7, 4.0, 4.3, 4.4, 4.5, 4.9, 5.5 },
};

static void slow_frame(double times)
{
	int level = bf_auto_next(&automatic);
	unsigned int i = rung_of(level);

	bf_auto_frame(&automatic, level, FRAME_BYTES,
		      FRAME_BYTES / slow.ratio[i],
		      FRAME_BYTES * slow.ns[i] * times);
}

static void frames_do_not_last(void)
{
	const struct bf_auto_sample sample = {
		.time_ns = TICK_NS, .wire_bytes = 2000, .full_ns = TICK_NS,
		.cores = 2, .workers = 2,
	};

	automatic = (struct bf_auto){ 0 };
	for (int i = 0; i < 60; i++) {
		slow_frame(1);
		bf_auto_choose(&automatic, &sample);
	}
	check(levels[automatic.at] >= 7 && levels[automatic.at] <= 12);
	/* The machine has got work: that does not take another choice. */
	for (int i = 0; i < 20; i++)
		slow_frame(200);
	check_eq(automatic.at, 0);
}

int main(void)
{
	tap_run("near the best at any link rate", any_link);
	tap_run("changes are followed", changes_are_followed);
	tap_run("noise is left alone", noise_is_left_alone);
	tap_run("sending is the limit", sending_is_the_limit);
	tap_run("idle processors relieve TLS", idle_processors_relieve_tls);
	tap_run("little is sent", little_is_sent);
	tap_run("no frame takes longer than a second", frames_do_not_last);
	tap_run("a link that is never full", a_link_that_is_never_full);
	return tap_done();
}
