// SPDX-License-Identifier: Apache-2.0
/* set: KEY=VALUE... flow to a running job, the limits that now hold flow back. */
#include <stdio.h>
#include <string.h>

#include "cli/jobs.h"
#include "cli/output.h"
#include "lib/limits.h"
#include "lib/units.h"

static const struct poptOption options[] = { POPT_TABLEEND };

static const struct cli_column rows[] = {
	{ "rate", "rate", CLI_TEXT },
	{ "rate_now", "rate now", CLI_TEXT },
	{ "rate_windows", "rate windows", CLI_TEXT },
	{ "read_rate", "read rate", CLI_TEXT },
	{ "level", "level", CLI_TEXT },
	{ "interval_ns", "interval", CLI_TIME },
	{ "cores", "cores", CLI_TEXT },
	{ 0 },
};

/* Checked here as well: a typing error needs no job that runs. */
static int add(json_t *request, const char *argument, struct bf_error *err)
{
	const char *equals = strchr(argument, '=');
	struct bf_limits limits = { 0 };
	char key[32];
	int ret;

	if (!equals || equals == argument ||
	    (size_t)(equals - argument) >= sizeof(key))
		return cli_usage(err, "\"%.80s\" is not KEY=VALUE", argument);
	memcpy(key, argument, equals - argument);
	key[equals - argument] = '\0';
	ret = bf_limits_set(&limits, key, equals + 1, err);
	if (!ret)
		json_object_set_new(request, key, json_string(equals + 1));
	return ret;
}

static const char *level_word(json_int_t level, char *text, size_t bytes)
{
	snprintf(text, bytes, "%lld", (long long)level);
	return level < 0 ? "auto" : level ? text : "none";
}

static const char *rate_word(const json_t *limits, const char *key, char *text)
{
	json_int_t rate = json_integer_value(json_object_get(limits, key));

	return rate ? bf_format_rate(rate, text) : "none";
}

static int print_limits(const json_t *limits, struct bf_error *err)
{
	char rate[BF_UNIT_TEXT_BYTES], now[BF_UNIT_TEXT_BYTES];
	char read_rate[BF_UNIT_TEXT_BYTES];
	char level[32], cores[32];
	json_auto_t *words = json_copy((json_t *)limits);
	json_int_t nr = json_integer_value(json_object_get(limits, "cores"));

	snprintf(cores, sizeof(cores), "%lld", (long long)nr);
	json_object_set_new(words, "rate",
		json_string(rate_word(limits, "rate_bytes", rate)));
	json_object_set_new(words, "rate_now",
		json_string(rate_word(limits, "rate_bytes_now", now)));
	json_object_set_new(words, "read_rate",
		json_string(rate_word(limits, "read_rate_bytes", read_rate)));
	json_object_set_new(words, "level", json_string(
		level_word(json_integer_value(json_object_get(limits, "level")),
			   level, sizeof(level))));
	json_object_set_new(words, "cores", json_string(nr ? cores : "all"));
	return cli_print_fields(stdout, rows, words, err);
}

static int run(const struct cli *cli, struct bf_error *err)
{
	json_t *request = json_pack("{ss}", "command", "set"), *answer = NULL;
	int ret = 0;

	for (size_t i = 1; i < cli->nr_arguments && !ret; i++)
		ret = add(request, cli->arguments[i], err);
	if (ret) {
		json_decref(request);
		return ret;
	}
	ret = cli_job_call(cli, cli->arguments[0], request, false, &answer, err);
	if (ret)
		return ret;
	if (cli->json)
		cli_print_json(json_incref(answer));
	else
		ret = print_limits(json_object_get(answer, "limits"), err);
	json_decref(answer);
	return ret;
}

const struct cli_command cli_set = {
	.name = "set", .arguments = "JOB KEY=VALUE...",
	.summary = "change rate, rate-windows, read-rate, level, interval or cores while it runs",
	.min_arguments = 2, .max_arguments = 7,
	.options = options, .run = run,
};
