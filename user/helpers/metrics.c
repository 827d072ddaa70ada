// SPDX-License-Identifier: Apache-2.0
/*
 * metrics: the status of jobs and the module's trackers flow in whenever a
 * scraper asks, the text format of Prometheus flows out over HTTP, on the
 * loopback address alone. --once prints it instead.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "cli/collect.h"
#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/labels.h"
#include "lib/log.h"

#define DEFAULT_PORT 9712
#define FORMAT_TYPE "text/plain; version=0.0.4; charset=utf-8"

static int port_given = DEFAULT_PORT, once_given;

static const struct poptOption options[] = {
	{ "port", 'p', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &port_given, 0,
	  "on 127.0.0.1", "PORT" },
	{ "once", '1', POPT_ARG_NONE, &once_given, 0,
	  "print them and end", NULL },
	POPT_TABLEEND
};

/* Names end in their unit, times are seconds: that is how the scraper's people
 * know them. */
static const struct metric {
	const char *key, *name, *type, *help;
	double divisor;		/* from its own unit to the metric's */
} job_metrics[] = {
	{ "passes", "blkferry_passes_total", "counter",
	  "Completed passes.", 1 },
	{ "raw_bytes", "blkferry_raw_bytes_total", "counter",
	  "Bytes of blocks sent.", 1 },
	{ "wire_bytes", "blkferry_wire_bytes_total", "counter",
	  "Bytes on the wire.", 1 },
	{ "dirty_bytes", "blkferry_dirty_bytes", "gauge",
	  "Changed and not yet at the target.", 1 },
	{ "lag_ns", "blkferry_lag_seconds", "gauge",
	  "How old what the target holds is, 0 while nothing is dirty.", 1e9 },
	{ "dirty_rate", "blkferry_dirty_bytes_per_second", "gauge",
	  "Newly dirty.", 1 },
	{ "link_rate", "blkferry_link_bytes_per_second", "gauge",
	  "What passes have carried.", 1 },
	{ "eta_ns", "blkferry_pass_remaining_seconds", "gauge",
	  "Of the running pass.", 1e9 },
	{ "projected_downtime_ns", "blkferry_projected_downtime_seconds",
	  "gauge", "Of a cutover now.", 1e9 },
	{ "max_downtime_ns", "blkferry_max_downtime_seconds", "gauge",
	  "Bound of a cutover.", 1e9 },
	{ "converging", "blkferry_converging", "gauge",
	  "1 if passes get shorter.", 1 },
	{ "unreadable_bytes", "blkferry_unreadable_bytes", "gauge",
	  "Not to be read from the source, zeroes at the target.", 1 },
};

static const struct metric disk_metrics[] = {
	{ "size_bytes", "blkferry_disk_size_bytes", "gauge",
	  "Size of a job's disk.", 1 },
	{ "dirty_bytes", "blkferry_disk_dirty_bytes", "gauge",
	  "Changed and not yet at the target, of a disk.", 1 },
	{ "lag_ns", "blkferry_disk_lag_seconds", "gauge",
	  "How old what the target holds of a disk is.", 1e9 },
	{ "raw_rate", "blkferry_disk_raw_bytes_per_second", "gauge",
	  "Blocks of a disk sent.", 1 },
	{ "planned_bytes", "blkferry_disk_pass_planned_bytes", "gauge",
	  "Of a disk, to be sent in the running pass.", 1 },
	{ "done_bytes", "blkferry_disk_pass_done_bytes", "gauge",
	  "Of a disk, sent in the running pass.", 1 },
};

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* Within a label: backslash, quote and newline are escaped. */
static void put_label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '"' || *value == '\\')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
	fputc('"', out);
}

static bool value_of(const json_t *object, const char *key, double *value)
{
	const json_t *number = json_object_get(object, key);

	*value = json_is_true(number) ? 1 : json_number_value(number);
	return json_is_number(number) || json_is_boolean(number);
}

static void put_head(FILE *out, const char *name, const char *type,
		     const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_job_metric(FILE *out, const json_t *jobs,
			   const struct metric *metric)
{
	json_t *job;
	size_t index;
	double value;

	put_head(out, metric->name, metric->type, metric->help);
	json_array_foreach(jobs, index, job) {
		if (!value_of(job, metric->key, &value))
			continue;
		fprintf(out, "%s{", metric->name);
		put_label(out, "job_name", text_of(job, "job"));
		fprintf(out, "} %.17g\n", value / metric->divisor);
	}
}

static void put_disk_metric(FILE *out, const json_t *jobs,
			    const struct metric *metric)
{
	size_t index, at;
	json_t *job, *disk;
	double value;

	put_head(out, metric->name, metric->type, metric->help);
	json_array_foreach(jobs, index, job)
		json_array_foreach(json_object_get(job, "disks"), at, disk) {
			if (!value_of(disk, metric->key, &value) &&
			    !value_of(json_object_get(disk, "pass"),
				      metric->key, &value))
				continue;
			fprintf(out, "%s{", metric->name);
			put_label(out, "job_name", text_of(job, "job"));
			fputc(',', out);
			put_label(out, "disk", text_of(disk, "name"));
			fprintf(out, "} %.17g\n", value / metric->divisor);
		}
}

/* The operator's own, apart from ours by their prefix. */
static void put_job_labels(FILE *out, json_t *labels)
{
	char name[BF_TEXT_BYTES + 8];
	const char *key;
	json_t *value;

	json_object_foreach(labels, key, value) {
		if (!json_is_string(value) || !bf_label_key_valid(key))
			continue;
		snprintf(name, sizeof(name), "label_%s", key);
		fputc(',', out);
		put_label(out, name, json_string_value(value));
	}
}

/* One series a job: its words are labels, its value says nothing. */
static void put_info(FILE *out, const json_t *jobs)
{
	static const char *const keys[] = { "state", "mode", "receiver",
					    "description" };
	json_t *job;
	size_t index;

	put_head(out, "blkferry_job_info", "gauge", "State of a job in words.");
	json_array_foreach(jobs, index, job) {
		fputs("blkferry_job_info{", out);
		put_label(out, "job_name", text_of(job, "job"));
		for (size_t i = 0; i < CLI_NR(keys); i++) {
			fputc(',', out);
			put_label(out, keys[i], text_of(job, keys[i]));
		}
		put_job_labels(out, json_object_get(job, "labels"));
		fputs("} 1\n", out);
	}
}

/* ---- trackers ---- */

static void put_reasons(FILE *out, const json_t *trackers)
{
	json_t *tracker, *reason;
	size_t index, at;

	put_head(out, "blkferry_resync_needed", "gauge",
		 "1 while a reason stands: the tracker may have missed something.");
	json_array_foreach(trackers, index, tracker)
		json_array_foreach(json_object_get(tracker, "reasons"), at,
				   reason) {
			fputs("blkferry_resync_needed{", out);
			put_label(out, "tracker", text_of(tracker, "name"));
			fputc(',', out);
			put_label(out, "reason", text_of(reason, "name"));
			fprintf(out, "} %d\n",
				json_is_true(json_object_get(reason, "stands")));
		}
}

static void put_statistic(FILE *out, const json_t *trackers, const char *key)
{
	json_t *tracker;
	size_t index;
	double value;

	fprintf(out, "# TYPE blkferry_tracker_%s untyped\n", key);
	json_array_foreach(trackers, index, tracker) {
		if (!value_of(json_object_get(tracker, "stats"), key, &value))
			continue;
		fprintf(out, "blkferry_tracker_%s{", key);
		put_label(out, "tracker", text_of(tracker, "name"));
		fputc(',', out);
		put_label(out, "device", text_of(tracker, "disk"));
		fprintf(out, "} %.17g\n", value);
	}
}

static void put_trackers(FILE *out, const json_t *trackers)
{
	json_t *first = json_object_get(json_array_get(trackers, 0), "stats");
	const char *key;
	json_t *value;

	put_reasons(out, trackers);
	json_object_foreach(first, key, value)
		put_statistic(out, trackers, key);
}

/* Return: the text, malloc'ed, or NULL with @err. */
static char *collect_text(const struct cli *cli, struct bf_error *err)
{
	json_t *jobs = json_array(), *trackers = json_array();
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = NULL;
	int ret = cli_collect_jobs(cli, jobs, err);

	if (!ret)
		ret = cli_collect_trackers(trackers, err);
	if (!ret)
		out = open_memstream(&text, &bytes);
	if (out) {
		put_info(out, jobs);
		for (size_t i = 0; i < CLI_NR(job_metrics); i++)
			put_job_metric(out, jobs, &job_metrics[i]);
		for (size_t i = 0; i < CLI_NR(disk_metrics); i++)
			put_disk_metric(out, jobs, &disk_metrics[i]);
		put_trackers(out, trackers);
		fclose(out);
	}
	json_decref(jobs);
	json_decref(trackers);
	return text;
}

/* ---- HTTP ---- */

static enum MHD_Result answer_with(struct MHD_Connection *connection,
				   unsigned int status, char *text)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), text,
						MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				    FORMAT_TYPE) == MHD_YES)
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection,
			      const char *url, const char *method,
			      const char *version, const char *upload,
			      size_t *upload_bytes, void **state)
{
	_cleanup_free_ char *text = NULL;
	struct bf_error err;

	if (strcmp(method, MHD_HTTP_METHOD_GET))
		return answer_with(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
				   "GET only\n");
	if (strcmp(url, "/metrics"))
		return answer_with(connection, MHD_HTTP_NOT_FOUND,
				   "the metrics are at /metrics\n");
	text = collect_text(context, &err);
	if (text)
		return answer_with(connection, MHD_HTTP_OK, text);
	bf_log_error(&err);
	return answer_with(connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
			   err.text);
}

static int serve(const struct cli *cli, struct bf_error *err)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port_given),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	_cleanup_close_ int stop_fd = -1;
	struct MHD_Daemon *http;
	int ret = cli_stop_fd(&stop_fd, err);

	if (ret)
		return ret;
	http = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD,
				port_given, NULL, NULL, answer, (void *)cli,
				MHD_OPTION_SOCK_ADDR, &address,
				MHD_OPTION_CONNECTION_LIMIT, 16u,
				MHD_OPTION_CONNECTION_TIMEOUT, 30u,
				MHD_OPTION_END);
	if (!http)
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "cannot listen on 127.0.0.1:%d: %s: another --port may be free",
			       port_given, strerror(errno));
	bf_info("metrics on http://127.0.0.1:%d/metrics", port_given);
	sd_notify(0, "READY=1");
	while (!cli_stop_wait(stop_fd))
		sd_notify(0, "WATCHDOG=1");
	MHD_stop_daemon(http);
	return 0;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	_cleanup_free_ char *text = NULL;

	if (port_given < 1 || port_given > 65535)
		return cli_usage(err, "--port %d is out of range: 1 to 65535",
				 port_given);
	if (!once_given)
		return serve(cli, err);
	text = collect_text(cli, err);
	if (!text)
		return err->errnum ? -err->errnum : -EIO;
	fputs(text, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct cli_command command = cli_metrics;

	command.options = options;
	command.run = run;
	return cli_main(&command, argc, argv);
}
