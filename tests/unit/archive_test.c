// SPDX-License-Identifier: Apache-2.0
/*
 * Archive. Policy: what is added is never replaced, by whomever and however fast:
 * not by the same job in the same second, not by several at a time, not where
 * numbers are missing; when there are no more numbers it is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/archive.h"
#include "lib/record.h"
#include "source/job_state.h"
#include "tap.h"

#define ADDERS 4
#define EACH 50

static char folder[] = "/tmp/blkferry-archive-XXXXXX";
static char stem[PATH_MAX];

/* Each case has its own. */
static void begin(const char *name)
{
	snprintf(stem, sizeof(stem), "%s/new/%s", folder, name);
}

static int add(int value, struct bf_error *err)
{
	json_t *body = json_pack("{si}", "value", value);
	int ret = bf_archive_add(stem, "test", body, err);

	json_decref(body);
	return ret;
}

static int value_at(unsigned int number)
{
	char path[PATH_MAX];
	struct bf_error err;
	json_t *body;
	int value;

	bf_archive_path(stem, number, path);
	if (bf_record_load(path, "test", &body, &err))
		return -1;
	value = json_integer_value(json_object_get(body, "value"));
	json_decref(body);
	return value;
}

static unsigned int newest(void)
{
	struct bf_error err;
	unsigned int number = 77;

	check_eq(bf_archive_newest(stem, &number, &err), 0);
	return number;
}

static void one_more_each_time(void)
{
	struct bf_error err;

	begin("web");
	check_eq(newest(), 0);
	check_eq(add(10, &err), 0);
	check_eq(add(20, &err), 0);
	check_eq(newest(), 2);
	check_eq(value_at(1), 10);
	check_eq(value_at(2), 20);
}

/* One name is the beginning of another; what looks like a number is none. */
static void names_are_told_apart(void)
{
	static const char *const others[] = {
		"we@0042.json", "webb@0042.json", "web@42.json", "web@0042.json.new",
		"web@004x.json", "web.0042.json",
	};
	char path[PATH_MAX + 64];
	struct bf_error err;

	begin("web");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		snprintf(path, sizeof(path), "%s/new/%s", folder, others[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	check_eq(newest(), 2);
	check_eq(add(30, &err), 0);
	check_eq(value_at(3), 30);
}

static void *add_many(void *first)
{
	struct bf_error err;

	for (int i = 0; i < EACH; i++)
		if (add(*(int *)first + i, &err))
			return first;
	return NULL;
}

/* All of them for the same names: each value is there, once. */
static void several_at_a_time(void)
{
	int values[ADDERS];
	pthread_t threads[ADDERS];
	bool seen[ADDERS * EACH] = { false };
	void *failed[ADDERS];

	begin("many");
	for (int i = 0; i < ADDERS; i++) {
		values[i] = i * EACH;
		check_eq(pthread_create(&threads[i], NULL, add_many, &values[i]), 0);
	}
	for (int i = 0; i < ADDERS; i++)
		pthread_join(threads[i], &failed[i]);
	for (int i = 0; i < ADDERS; i++)
		check(!failed[i]);
	check_eq(newest(), ADDERS * EACH);
	for (int i = 1; i <= ADDERS * EACH; i++) {
		int value = value_at(i);

		check(value >= 0 && !seen[value]);
		seen[value] = true;
	}
}

/* A file that is none, with the last number, leaves no more of them. */
static void full_is_said(void)
{
	char path[PATH_MAX];
	struct bf_error err;

	begin("full");
	check_eq(add(1, &err), 0);
	bf_archive_path(stem, BF_ARCHIVE_MAX, path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	check_eq(add(2, &err), -ENOSPC);
	check_eq(err.code, BF_E_RECORD);
	check_says(err.text, "full@9999.json");
	check_says(err.text, "move older ones away");
	check_eq(value_at(1), 1);
}

/* ---- reports of jobs ---- */

static struct bf_job_config config;

static void end_job(enum bf_job_state state, uint64_t passes)
{
	struct bf_job_options options = {
		.config = &config, .records_dir = folder,
	};
	struct bf_job job = {
		.options = &options, .config = &config, .state = state,
	};
	json_t *status = json_pack("{ss, sI}", "job", config.name, "passes",
				   (json_int_t)passes);

	bf_job_report(&job, status);
	json_decref(status);
}

static int passes_at(unsigned int number)
{
	char path[PATH_MAX];
	struct bf_error err;
	json_t *body;
	int passes;

	bf_archive_path(stem, number, path);
	if (bf_record_load(path, BF_JOB_REPORT_KIND, &body, &err))
		return -1;
	passes = json_integer_value(json_object_get(body, "passes"));
	json_decref(body);
	return passes;
}

/* One that goes on has come to no end. */
static void job_ends_twice_in_a_second(void)
{
	bf_job_config_defaults(&config, "shop");
	bf_job_report_stem(folder, "shop", stem);
	end_job(BF_JOB_READY, 1);
	check_eq(newest(), 0);
	end_job(BF_JOB_CANCELLED, 3);
	end_job(BF_JOB_DONE, 5);
	check_eq(newest(), 2);
	check_eq(passes_at(1), 3);
	check_eq(passes_at(2), 5);
}

int main(void)
{
	char command[128];

	if (!mkdtemp(folder))
		return 1;
	tap_run("one more each time", one_more_each_time);
	tap_run("other names are no records of it", names_are_told_apart);
	tap_run("several at a time", several_at_a_time);
	tap_run("no number is left", full_is_said);
	tap_run("a job that ends twice in a second leaves two reports",
		job_ends_twice_in_a_second);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command) ? 1 : tap_done();
}
