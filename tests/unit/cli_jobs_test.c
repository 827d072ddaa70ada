// SPDX-License-Identifier: Apache-2.0
/* BUILD: user/cli/[!m]*.c */
/*
 * Policy: what a running job answers becomes the exit code and the words or
 * the JSON that the manual promises; thaw asks the guardian first; a proof
 * that the answer does not give is not assumed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/jobs.h"
#include "cli/watch.h"
#include "lib/control.h"
#include "tap.h"

static char dir[] = "/tmp/blkferry-cli-XXXXXX";
static char output_path[64];
static struct bf_error err;

/* A job that answers what the test wants and keeps what it was asked. */
static struct fake {
	struct bf_control_server *server;
	const char *answer;		/* JSON, or NULL: fail with @code */
	const char *const *later;	/* NULL, or what it answers next, ... */
	enum bf_code code;
	json_t *request;
} job, guardian;

static void handle(void *context, struct bf_control_client *client,
		   json_t *request)
{
	struct fake *fake = context;
	struct bf_error refusal;

	json_decref(fake->request);
	fake->request = json_incref(request);
	if (fake->answer) {
		bf_control_progress(client, json_pack("{s:s, s:{s:i, s:i, s:i}}",
			"state", "delta", "pass", "number", 2,
			"planned_bytes", 200, "done_bytes", 50));
		bf_control_answer(client, json_loads(fake->answer, 0, NULL));
		if (fake->later && *fake->later)
			fake->answer = *fake->later++;
		return;
	}
	bf_fail(&refusal, fake->code, 0, "no, and here is what to do");
	bf_control_fail(client, &refusal);
}

static void serve(struct fake *fake, const char *answer, enum bf_code code)
{
	char path[108];

	*fake = (struct fake){ .answer = answer, .code = code };
	if (fake == &job)
		bf_control_path(path, dir, "web");
	else
		bf_guardian_path(path, dir, "web");
	if (bf_control_serve(&fake->server, path, handle, fake, &err))
		tap_fail(__FILE__, __LINE__, "%s", err.text);
}

static void end(struct fake *fake)
{
	bf_control_stop(fake->server);
	json_decref(fake->request);
	fake->server = NULL;
	fake->request = NULL;
}

/* Runs the subcommand; its standard output goes to @text. */
static int run(const struct cli_command *command, const char *name, bool json,
	       char text[4096])
{
	const char *arguments[] = { name, NULL };
	struct cli cli = {
		.arguments = arguments, .nr_arguments = name ? 1 : 0,
		.json = json, .run_dir = dir,
	};
	int saved = dup(STDOUT_FILENO), ret;
	int out = open(output_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ssize_t bytes;

	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	memset(&err, 0, sizeof(err));
	ret = command->run(&cli, &err);
	if (ret < 0)
		ret = cli_print_error(cli.json, command, &err);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	bytes = pread(out, text, 4095, 0);
	text[bytes > 0 ? bytes : 0] = '\0';
	close(out);
	close(saved);
	return ret;
}

static const char *asked(const struct fake *fake)
{
	const char *command = json_string_value(
		json_object_get(fake->request, "command"));

	return command ? command : "nothing";
}

static void short_words(void)
{
	static const struct cli_command *const commands[] = {
		&cli_sync, &cli_pause, &cli_resume, &cli_cancel,
	};
	char text[4096];

	serve(&job, "{\"state\": \"ready\"}", 0);
	for (size_t i = 0; i < 4; i++) {
		check_eq(run(commands[i], "web", false, text), 0);
		check(!strncmp(text, "web ", 4));
		check(!strcmp(asked(&job), commands[i]->name));
		check_eq(run(commands[i], "web", true, text), 0);
		check_says(text, "{\"format_version\":1,\"ok\":true,\"state\":\"ready\"}\n");
	}
	end(&job);
}

static void refusals(void)
{
	static const struct { enum bf_code code; int status; } rows[] = {
		{ BF_E_STATE, 7 }, { BF_E_CONNECTION, 5 }, { BF_E_DOWNTIME, 6 },
		{ BF_E_NOT_CONVERGING, 6 }, { BF_E_TARGET_IO, 1 },
		{ BF_E_DIFFERS, 2 }, { BF_E_CANCELLED, 4 },
	};
	char text[4096];

	for (size_t i = 0; i < CLI_NR(rows); i++) {
		serve(&job, NULL, rows[i].code);
		check_eq(run(&cli_cutover, "web", false, text), rows[i].status);
		check_eq(run(&cli_cutover, "web", true, text), rows[i].status);
		check_says(text, bf_code_name(rows[i].code));
		check_says(text, "\"ok\":false");
		check_says(text, "no, and here is what to do");
		end(&job);
	}
}

static void cutover_done(void)
{
	char text[4096];

	serve(&job, "{\"state\": \"done\", \"cutover\": {\"then\": \"hold\", "
	      "\"downtime_ns\": 1500000000, \"dirty_bytes_at_freeze\": 8192}}", 0);
	check_eq(run(&cli_cutover, "web", false, text), 0);
	check_says(text, "web is cut over");
	check_says(text, "1.5s");
	check_says(text, "8K");
	check(!json_object_get(job.request, "then"));
	check(!json_object_get(job.request, "max_downtime_ns"));
	check_eq(run(&cli_cutover, "web", true, text), 0);
	check_says(text, "\"downtime_ns\":1500000000");
	end(&job);
}

static void verify_proofs(void)
{
	static const struct { const char *answer; int status; } rows[] = {
		{ "{\"equal\": true}", 0 },
		{ "{\"equal\": true, \"disks\": [{\"name\": \"data\", "
		  "\"skipped_ranges\": 3}]}", 0 },
		{ "{\"equal\": false, \"disks\": [{\"name\": \"data\", "
		  "\"differing_blocks\": 3, \"identical\": false}]}", 2 },
		{ "{}", 2 },
		{ "{\"equal\": \"yes\"}", 2 },
	};
	char text[4096];

	for (size_t i = 0; i < CLI_NR(rows); i++) {
		serve(&job, rows[i].answer, 0);
		check_eq(run(&cli_verify, "web", false, text), rows[i].status);
		check_says(text, rows[i].status ? "differ" :
			   i ? "are equal except 3 skipped ranges" :
			   "are identical");
		check_eq(run(&cli_verify, "web", true, text), rows[i].status);
		end(&job);
	}
}

static void thaw_asks_the_guardian_first(void)
{
	char text[4096];

	serve(&job, "{}", 0);
	serve(&guardian, "{}", 0);
	check_eq(run(&cli_thaw, "web", false, text), 0);
	check(!strcmp(asked(&guardian), "thaw"));
	check(!strcmp(asked(&job), "nothing"));
	end(&guardian);
	check_eq(run(&cli_thaw, "web", false, text), 0);
	check(!strcmp(asked(&job), "thaw"));
	end(&job);
}

/* A guardian that says no has said it: the job is not asked behind its back. */
static void guardian_refuses(void)
{
	char text[4096];

	serve(&job, "{}", 0);
	serve(&guardian, NULL, BF_E_STATE);
	check_eq(run(&cli_thaw, "web", false, text), 7);
	check(!strcmp(asked(&job), "nothing"));
	end(&guardian);
	end(&job);
}

static const char a_status[] =
	"{\"job\": \"web\", \"state\": \"delta\", \"mode\": \"full\", "
	"\"passes\": 4, \"pass\": {\"number\": 5, \"kind\": \"delta\", "
	"\"planned_bytes\": 4096, \"done_bytes\": 1024}, "
	"\"raw_bytes\": 1048576, \"raw_rate\": 1024, \"wire_rate\": 512, "
	"\"eta_ns\": 3000000000, \"projected_downtime_ns\": null, "
	"\"converging\": null, \"disks\": [{\"name\": \"data\", "
	"\"device\": \"/dev/vdb\", \"target\": \"t\", \"size_bytes\": 1073741824, "
	"\"dirty_bytes\": 4096, \"generation\": 5, \"reasons\": [\"resized\"], "
	"\"raw_rate\": 2048, \"lag_ns\": 7000000000, \"pass\": {\"number\": 5, "
	"\"kind\": \"delta\", \"planned_bytes\": 3072, \"done_bytes\": 512}}]}";

static void status_of_one(void)
{
	char text[4096];

	serve(&job, a_status, 0);
	check_eq(run(&cli_status, "web", false, text), 0);
	check_says(text, "web: delta, pass 5 (delta): 1K of 4K (25%), raw 1K/s, wire 512B/s, ETA 3s\n");
	check_says(text, "resized");
	check_says(text, "  7s    5 512B 3K 2K/s ");
	check(!strstr(text, "projected"));
	check_eq(run(&cli_status, "web", true, text), 0);
	check_says(text, "\"projected_downtime_ns\":null");
	check_says(text, "\"format_version\":1");
	end(&job);
}

static void status_of_all(void)
{
	json_t *all;
	char text[4096];

	serve(&job, a_status, 0);
	serve(&guardian, "{\"job\": \"web\", \"state\": \"armed\"}", 0);
	check_eq(run(&cli_status, NULL, true, text), 0);
	all = json_loads(text, 0, NULL);
	check_eq(json_array_size(json_object_get(all, "jobs")), 1);
	json_decref(all);
	check(!strcmp(asked(&guardian), "nothing"));
	end(&job);
	check_eq(run(&cli_status, NULL, false, text), 0);
	check_says(text, "its guardian answers");
	end(&guardian);
	check_eq(run(&cli_status, NULL, false, text), 0);
	check_says(text, "no job is running");
}

/* ---- status --watch, a line an event ---- */

#define WATCHED "{\"job\": \"web\", \"state\": \"ready\", \"passes\": 4, \"disks\": [" \
	"{\"name\": \"root\", \"unreadable_bytes\": %s, \"reasons\": []}, " \
	"{\"name\": \"data\", \"unreadable_bytes\": 0, \"reasons\": [%s]}]%s}"

static int watch_until_over(const struct cli *cli, struct bf_error *error)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	int ret = cli_watch_events(cli, fd, error);

	close(fd);
	return ret;
}

static const struct cli_command watch = {
	.name = "status", .run = watch_until_over,
};

static unsigned int lines_with(const char *text, const char *words)
{
	unsigned int lines = 0;

	for (text = strstr(text, words); text; text = strstr(text + 1, words))
		lines++;
	return lines;
}

/* Of whichever disk, once each time, and that it is over. */
static void watch_tells_of_each_disk(void)
{
	static char answers[5][512];
	const char *const later[] = {
		answers[1], answers[2], answers[3], answers[4], NULL,
	};
	char text[4096];

	snprintf(answers[0], 512, WATCHED, "0", "", "");
	snprintf(answers[1], 512, WATCHED, "0", "\"resized\"", "");
	snprintf(answers[2], 512, WATCHED, "0", "\"resized\", \"gone\"", "");
	snprintf(answers[3], 512, WATCHED, "4096", "\"resized\", \"gone\"", "");
	snprintf(answers[4], 512, WATCHED, "4096", "", ", \"ended\": \"now\"");
	serve(&job, answers[0], 0);
	job.later = later;
	check_eq(run(&watch, "web", false, text), 0);
	end(&job);
	check_eq(lines_with(text, " web: ready"), 1);
	check_eq(lines_with(text, " web: disk data: needs a resync: resized\n"), 1);
	check_eq(lines_with(text, " web: disk data: needs a resync: resized, gone\n"), 1);
	check_eq(lines_with(text, " web: disk root: 4K cannot be read\n"), 1);
	check_eq(lines_with(text, " web: disk data: nothing is wrong any more\n"), 1);
	check_eq(lines_with(text, "\n"), 5);
}

static void progress_lines(void)
{
	char line[CLI_PROGRESS_BYTES];
	json_t *status = json_object();

	cli_progress_line(status, line);
	check(!strcmp(line, "working"));
	json_object_set_new(status, "text", json_string("freezing /srv"));
	cli_progress_line(status, line);
	check(!strcmp(line, "freezing /srv"));
	json_decref(status);
	status = json_pack("{s:s, s:I}", "state", "ready", "dirty_bytes",
			   (json_int_t)12 << 20);
	cli_progress_line(status, line);
	check(!strcmp(line, "ready, dirty 12M"));
	json_decref(status);
}

/* However long a name is, a line is cut, never overrun. */
static void progress_bounds(void)
{
	char line[CLI_PROGRESS_BYTES], text[2000];
	json_t *status;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	status = json_pack("{s:s, s:{s:s, s:i, s:i}, s:i}", "state", text,
			   "pass", "kind", text, "planned_bytes", 5,
			   "done_bytes", 5, "eta_ns", 7);
	cli_progress_line(status, line);
	check_eq(strlen(line), CLI_PROGRESS_BYTES - 1);
	json_decref(status);
}

static void clean_up(void)
{
	static const char *const names[] = {
		"out", "web.sock.lock", "web.guardian.sock.lock",
	};
	char path[128];

	for (size_t i = 0; i < CLI_NR(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(output_path, sizeof(output_path), "%s/out", dir);
	tap_run("sync, pause, resume, cancel", short_words);
	tap_run("a job's refusal becomes the exit code", refusals);
	tap_run("a cutover's report", cutover_done);
	tap_run("verify believes a proof only", verify_proofs);
	tap_run("thaw asks the guardian, then the job",
		thaw_asks_the_guardian_first);
	tap_run("a guardian's no is final", guardian_refuses);
	tap_run("status of one job", status_of_one);
	tap_run("status of all, with and without a replicator", status_of_all);
	tap_run("watched: each disk's troubles", watch_tells_of_each_disk);
	tap_run("progress in a line", progress_lines);
	tap_run("progress keeps its bounds", progress_bounds);
	clean_up();
	return tap_done();
}
