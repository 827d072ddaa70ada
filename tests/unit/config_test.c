// SPDX-License-Identifier: Apache-2.0
/*
 * Policy: a configuration file is understood whole or refused with file, line,
 * what was expected; nothing unknown, nothing twice, nothing missing passes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/ini.h"
#include "lib/labels.h"
#include "tap.h"

#define PRINT "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define OTHER "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"

static struct bf_error err;
static char path[] = "/tmp/blkferry-config-XXXXXX";

static void put_bytes(const char *text, size_t bytes)
{
	FILE *file = fopen(path, "w");

	check(file && fwrite(text, 1, bytes, file) == bytes && !fclose(file));
	check(!chmod(path, 0600));
}

static int load_job(const char *text, struct bf_job_config *job)
{
	put_bytes(text, strlen(text));
	memset(&err, 0, sizeof(err));
	return bf_job_config_load(path, "web", job, &err);
}

/* @text is refused, and the words hold @where (after the path) and @what. */
static void job_refused(const char *text, const char *where, const char *what)
{
	struct bf_job_config job;
	char expected[128];

	check(load_job(text, &job) < 0);
	check_eq(err.code, BF_E_CONFIG);
	snprintf(expected, sizeof(expected), "%s%s", path, where);
	check_says(err.text, expected);
	check_says(err.text, what);
	check(!job.disks);
}

static void receiver_refused(const char *text, const char *where,
			     const char *what)
{
	struct bf_receiver_config receiver;
	char expected[128];

	put_bytes(text, strlen(text));
	memset(&err, 0, sizeof(err));
	check(bf_receiver_config_load(path, &receiver, &err) < 0);
	check_eq(err.code, BF_E_CONFIG);
	snprintf(expected, sizeof(expected), "%s%s", path, where);
	check_says(err.text, expected);
	check_says(err.text, what);
	check(!receiver.peers && !receiver.targets);
}

static void job_whole(void)
{
	struct bf_job_config job;

	check_eq(load_job("# a comment\n"
			  "; another\n"
			  "\n"
			  "[job]\n"
			  "receiver = 192.0.2.1:4712\n"
			  "peer = " PRINT "   # who must answer\n"
			  "key=/etc/k\n"
			  "  interval  =  90s\n"
			  "max-downtime = 250ms\n"
			  "then = poweroff\n"
			  "hold-deadline = 5m\n"
			  "compression = 3\n"
			  "whole-disk = yes\n"
			  "on-read-error = zero-and-report\n"
			  "timeout = 10s\n"
			  "pre-freeze = sync ; echo \"a # b\" = c # d\n"
			  "post-cutover = true\n"
			  "hook-timeout = 1m30s\n"
			  "[disk root]\n"
			  "device = /dev/vda\n"
			  "target = web-root\n"
			  "granularity = 64K\r\n"
			  "[disk data]\n"
			  "device = /dev/vdb\n"
			  "target = web-data", &job), 0);
	check(!strcmp(job.name, "web"));
	check(!strcmp(job.receiver, "192.0.2.1:4712"));
	check(!strcmp(job.peer, PRINT));
	check(!strcmp(job.key_path, "/etc/k"));
	check_eq(job.limits.interval_ns, 90000000000);
	check_eq(job.max_downtime_ns, 250000000);
	check(job.then == BF_THEN_POWEROFF && job.then_given);
	check_eq(job.hold_deadline_ns, 300000000000);
	check_eq(job.limits.level, 3);
	check(job.whole_disk);
	check(job.zero_unreadable);
	check(!strcmp(job.pre_freeze, "sync ; echo \"a # b\" = c # d"));
	check_eq(job.hook_timeout_ns, 90000000000);
	check_eq(job.nr_disks, 2);
	check(!strcmp(job.disks[0].name, "root"));
	check_eq(job.disks[0].granularity_bytes, 65536);
	check(!job.disks[1].target_is_path);
	check(!strcmp(job.disks[1].target, "web-data"));
	bf_job_config_free(&job);
}

static void job_labels(void)
{
	struct bf_job_config job;
	json_t *labels;
	char *text;

	check_eq(load_job("[job]\nlabels = site=berlin \t owner=a=b  n2_=\"x\"\n"
			  "[disk d]\ndevice = /dev/vdb\ntarget = /dev/vdc\n",
			  &job), 0);
	labels = bf_labels_object(job.labels);
	text = json_dumps(labels, JSON_COMPACT);
	check(!strcmp(text, "{\"site\":\"berlin\",\"owner\":\"a=b\",\"n2_\":\"\\\"x\\\"\"}"));
	free(text);
	json_decref(labels);
	bf_job_config_free(&job);
	labels = bf_labels_object("");
	check_eq(json_object_size(labels), 0);
	json_decref(labels);
}

static void job_labels_refused(void)
{
	job_refused("[job]\nlabels = berlin\n", ":2: labels: ",
		    "\"berlin\" is no label: KEY=VALUE");
	job_refused("[job]\nlabels = a=1 site=\n", ":2: labels: ",
		    "\"site\" is no label");
	job_refused("[job]\nlabels = owner=the shop\n", ":2: labels: ",
		    "\"shop\" is no label: KEY=VALUE, with no blank in it");
	job_refused("[job]\nlabels = =x\n", ":2: labels: ", "\"\" is no key");
	job_refused("[job]\nlabels = data-center=x\n", ":2: labels: ",
		    "\"data-center\" is no key of a label: a letter, then");
	job_refused("[job]\nlabels = 2nd=x\n", ":2: labels: ", "is no key");
	job_refused("[job]\nlabels = _x=x\n", ":2: labels: ", "is no key");
	job_refused("[job]\nlabels = a=1 b=2 a=1\n", ":2: labels: ",
		    "label a is given twice");
}

static void job_defaults(void)
{
	struct bf_job_config job;

	check_eq(load_job("[disk d]\ndevice = /dev/vdb\ntarget = /dev/vdc\n",
			  &job), 0);
	check(job.disks[0].target_is_path && !job.disks[0].overwrite);
	check(!*job.receiver && !job.then_given && job.then == BF_THEN_HOLD);
	check_eq(job.limits.interval_ns, 10000000000);
	check_eq(job.max_downtime_ns, 30000000000);
	check_eq(job.hold_deadline_ns, 600000000000);
	check_eq(job.limits.level, BF_LEVEL_AUTO);
	check(!strcmp(job.key_path, BF_DEFAULT_KEY_PATH));
	bf_job_config_free(&job);
}

#define DISK "[disk d]\ndevice = /dev/vdb\ntarget = /t\n"

static void job_bad_lines(void)
{
	job_refused("key = /k\n", ": ", "before the first");
	job_refused("key = /k\n" DISK, ": ", "before the first");
	job_refused("[default]\n" DISK, ": ", "no such section");
	job_refused("[job]\nnonsense\n", ":2: ", "Equal sign is missing");
	job_refused("[job]\nin-flight = 1M\n" DISK, ":2: in-flight: ", "2M to 256M");
	job_refused("[job]\nin-flight = 257M\n" DISK, ":2: in-flight: ", "2M to 256M");
	job_refused("[job]\nnonsense\n", ":2: ", "key = value");
	job_refused("[job]\n= 3\n", ":2: ", "name is missing");
	job_refused("[job\n", ":1: ", "No closing bracket");
	job_refused("[job] x\n", ":1: ", "No closing bracket");
	job_refused("[job] # x\n", ":1: ", "No closing bracket");
	job_refused("[]\n", ":1: ", "name is missing");
	job_refused("[jobs]\n", ": [jobs]: ", "no section of the kind \"jobs\"");
	job_refused("[Job]\n", ": [Job]: ", "no section of the kind \"Job\"");
	job_refused("[job web]\n", ": [job web]: ", "takes no name");
	job_refused("[job]\n" DISK "[job]\n", ":5: ", "Duplicate section");
	job_refused(DISK DISK, ":4: ", "Duplicate section");
	job_refused(DISK "[disk  d]\n", ": [disk  d]: ", "\"d\" is given twice");
	job_refused("[disk]\n", ": [disk]: ", "not a name");
	job_refused("[disk a b]\n", ": [disk a b]: ", "not a name");
	job_refused("[disk ../x]\n", ": [disk ../x]: ", "not a name");
	job_refused("[job]\nreceivers = x\n", ":2: ", "no key \"receivers\"");
	job_refused("[job]\nTimeout = 1s\n", ":2: ", "no key \"Timeout\"");
	job_refused("[job]\nx! = 1\n", ": ", "or a \"!\"");
	job_refused("[job]\ntimeout = 1s\n\ntimeout = 2s\n", ":4: ",
		    "Duplicate key");
}

/* What other ini readers take for more of the value or for a comment. */
static void job_surprises(void)
{
	job_refused("[job]\npre-freeze = true\n  && false\n", ":3: ",
		    "Equal sign is missing");
	job_refused("[job]\npre-freeze = true\n  x = false\n", ":3: ",
		    "no key \"x\"");
	job_refused("[job]\npre-freeze = true \\\n; a = b\nc = d\n", ":4: ",
		    "no key \"c\"");
	job_refused("[job]\n  # indented\n", ":2: ", "Equal sign is missing");
	job_refused("[job]\n  #then = thaw\n", ":2: ", "no key \"#then\"");
	job_refused("[job]\n  [disk d] = 1\n", ":2: ", "no key \"[disk d]\"");
	job_refused("[job]\n/*\nthen = thaw\n*/\n", ":2: ",
		    "Equal sign is missing");
	job_refused("\xff\xfe[job]\n", ":1: ", "Equal sign is missing");
	job_refused("[job]\npre-freeze = caf\xe9\n", "", "UTF-8");
}

static void job_bad_values(void)
{
	job_refused("[job]\ntimeout =\n", ":2: timeout: ", "is not a time");
	job_refused("[job]\ntimeout = soon\n", ":2: timeout: ", "is not a time");
	job_refused("[job]\ntimeout = 5ms\n", ":2: timeout: ", "less than 100ms");
	job_refused("[job]\ninterval = 60d\n", ":2: interval: ", "30 days");
	job_refused("[job]\npeer = SHA256:x\n", ":2: peer: ", "`blkferry key`");
	job_refused("[job]\nkey = etc/k\n", ":2: key: ", "must start with /");
	job_refused("[job]\nthen = reboot\n", ":2: then: ", "hold, poweroff or thaw");
	job_refused("[job]\ncompression = 20\n", ":2: compression: ", "1 to 19");
	job_refused("[job]\ncompression = -1\n", ":2: compression: ", "1 to 19");
	job_refused("[job]\non-read-error = ignore\n", ":2: on-read-error: ",
		    "neither stop nor zero-and-report");
	job_refused("[job]\nwhole-disk = maybe\n", ":2: whole-disk: ", "yes nor no");
	job_refused("[job]\npre-freeze =\n", ":2: pre-freeze: ", "is empty");
	job_refused("[disk d]\ngranularity = 5K\n", ":2: granularity: ",
		    "power of two");
	job_refused("[disk d]\ntarget = a/b\n", ":2: target: ", "neither");
	job_refused("[disk d]\ndevice = vdb\n", ":2: device: ", "not a path");
	job_refused("[job]\nreceiver = # nobody\n", ":2: receiver: ", "is empty");
}

static void job_bad_wholes(void)
{
	job_refused("[job]\n", ": ", "has no disk");
	job_refused("\n[disk d]\ndevice = /dev/vdb\n[job]\n", ": [disk d]: ",
		    "needs the key target");
	job_refused("[disk d]\ndevice = /dev/vdb\ntarget = x\n", ": ",
		    "[job] names none");
	job_refused("[job]\nreceiver = h\n[disk d]\ndevice = /dev/vdb\n"
		    "target = x\n", ": ", "without its fingerprint");
	job_refused("[job]\nreceiver = h\n" DISK, ": ", "every target is a local path");
	job_refused(DISK "[disk e]\ndevice = /dev/vdb\ntarget = /u\n", ": ",
		    "belongs to two disks");
	job_refused(DISK "[disk e]\ndevice = /dev/vdc\ntarget = /t\n", ": ",
		    "belongs to two disks");
	job_refused(DISK "[disk e]\ndevice = /dev/vdc\ntarget = x\n", ": ",
		    "cut over in one step");
}

static void other_editors(void)
{
	struct bf_job_config job;

	check_eq(load_job("\xef\xbb\xbf[job]\r\n\r\n \t\r\n"
			  "\tpre-freeze = echo \xc3\xa9 \\\r\n" DISK "\r\n",
			  &job), 0);
	check(!strcmp(job.pre_freeze, "echo \xc3\xa9 \\"));
	check_eq(job.nr_disks, 1);
	bf_job_config_free(&job);
}

static void long_lines(void)
{
	struct bf_job_config job;
	char text[8192];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "[job]\npre-freeze = ", 19);
	job_refused(text, ":2: pre-freeze: ", "longer than 1023 bytes");
	text[19 + 1024] = '\0';
	job_refused(text, ":2: pre-freeze: ", "longer than 1023 bytes");
	text[19 + 1023] = '\0';
	strcat(text, "\n" DISK);
	check_eq(load_job(text, &job), 0);
	check_eq(strlen(job.pre_freeze), 1023);
	bf_job_config_free(&job);
}

static void hidden_bytes(void)
{
	static const char text[] = "[job]\nthen = thaw\0 # hidden\n" DISK;
	static const char whole[] = DISK "\0 hidden";
	struct bf_job_config job;

	put_bytes(text, sizeof(text) - 1);
	check(bf_job_config_load(path, "web", &job, &err) < 0);
	check_says(err.text, ":2: ");
	check_says(err.text, "is not text");
	put_bytes(whole, sizeof(whole) - 1);
	check(bf_job_config_load(path, "web", &job, &err) < 0);
	check_says(err.text, ":4: ");
	job_refused("[job]\npre-freeze = x\x1b[2K\n", ":2: ", "0x1b");
}

/* A megabyte of something else. */
static void junk(void)
{
	enum { JUNK_BYTES = 1 << 20 };
	struct bf_job_config job;
	char *text = malloc(JUNK_BYTES);

	check(text);
	memset(text, '#', JUNK_BYTES);
	put_bytes(text, JUNK_BYTES);
	check_eq(bf_job_config_load(path, "web", &job, &err), -EFBIG);
	check_eq(err.code, BF_E_CONFIG);
	check_says(err.text, "longer than 256 KiB");
	put_bytes(text, BF_INI_FILE_BYTES);
	check(bf_job_config_load(path, "web", &job, &err) < 0);
	check_says(err.text, "has no disk");
	srandom(1);
	for (size_t i = 0; i < BF_INI_FILE_BYTES; i++)
		text[i] = "abc=[]#;! \n"[random() % 11];
	put_bytes(text, BF_INI_FILE_BYTES);
	check(bf_job_config_load(path, "web", &job, &err) < 0);
	check_eq(err.code, BF_E_CONFIG);
	free(text);
}

static void file_trouble(void)
{
	struct bf_job_config job;

	check_eq(bf_job_config_load("/nonexistent/x.conf", "web", &job, &err),
		 -ENOENT);
	check_eq(err.code, BF_E_NOT_FOUND);
	check_eq(bf_job_config_load("/tmp", "web", &job, &err), -EISDIR);
	check_eq(err.code, BF_E_CONFIG);
	check_eq(bf_job_config_load(path, "../web", &job, &err), -EINVAL);
	check_eq(err.code, BF_E_USAGE);
	put_bytes(DISK, strlen(DISK));
	check(!chmod(path, 0666));
	check(bf_job_config_load(path, "web", &job, &err) < 0);
	check_says(err.text, "chmod o-w");
}

#define TARGET "[target t]\npath = /dev/vdb\n"
#define PEER "[peer p]\nkey = " PRINT "\ntargets = t\n"

static void receiver_whole(void)
{
	struct bf_receiver_config receiver;
	const char *text = "[receiver]\nlisten = [::1]:5000\nkey = /k\n"
		"records = /r\ntimeout = 5s\nmore-connections = 0\n"
		"[peer a]\nkey = " PRINT "\ntargets = t u\n"
		"[peer b]\nkey = " OTHER "\ntargets =  u\t\n"
		"[target t]\npath = /dev/vdb\noverwrite = yes\n"
		"[target u]\npath = /srv/u.img\n";

	put_bytes(text, strlen(text));
	check_eq(bf_receiver_config_load(path, &receiver, &err), 0);
	check(!strcmp(receiver.listen, "[::1]:5000"));
	check(!strcmp(receiver.records_dir, "/r"));
	check_eq(receiver.more_connections, 0);
	check_eq(receiver.nr_peers, 2);
	check_eq(receiver.peers[0].nr_targets, 2);
	check(!strcmp(receiver.peers[0].targets[1], "u"));
	check_eq(receiver.peers[1].nr_targets, 1);
	check(receiver.targets[0].overwrite && !receiver.targets[1].overwrite);
	bf_receiver_config_free(&receiver);
}

static void receiver_defaults(void)
{
	struct bf_receiver_config receiver;

	put_bytes(TARGET PEER, strlen(TARGET PEER));
	check_eq(bf_receiver_config_load(path, &receiver, &err), 0);
	check(!strcmp(receiver.listen, ":4712"));
	check(!strcmp(receiver.records_dir, BF_TARGET_RECORDS_DIR));
	check_eq(receiver.timeout_ns, 30000000000);
	check_eq(receiver.more_connections, 16);
	bf_receiver_config_free(&receiver);
}

static void receiver_bad(void)
{
	receiver_refused(PEER, ": ", "add a section [target NAME]");
	receiver_refused(TARGET, ": ", "add a section [peer NAME]");
	receiver_refused(TARGET "[peer p]\nkey = " PRINT "\n", ": [peer p]: ",
			 "needs the key targets");
	receiver_refused(TARGET "[peer p]\nkey = " PRINT "\ntargets = t t\n",
			 ":5: targets: ", "listed twice");
	receiver_refused(TARGET "[peer p]\nkey = " PRINT "\ntargets = ../t\n",
			 ":5: targets: ", "not a target's name");
	receiver_refused(TARGET "[peer p]\nkey = " PRINT "\ntargets =\n",
			 ":5: targets: ", "is empty");
	receiver_refused(TARGET "[peer p]\nkey = " PRINT "\ntargets = x\n",
			 ": ", "no section [target x]");
	receiver_refused(TARGET PEER "[peer q]\nkey = " PRINT "\ntargets = t\n",
			 ": ", "same key");
	receiver_refused(TARGET "[target u]\npath = /dev/vdb\n" PEER, ": ",
			 "belongs to two targets");
	receiver_refused("[receiver]\nmore-connections = 385\n" TARGET PEER,
			 ":2: more-connections: ", "from 0 to 256");
	receiver_refused(TARGET PEER TARGET, ":6: ", "Duplicate section");
}

static void names(void)
{
	char name[BF_NAME_BYTES + 1];

	check(bf_name_valid("web-1_a.b"));
	check(!bf_name_valid(""));
	check(!bf_name_valid(".hidden"));
	check(!bf_name_valid("-option"));
	check(!bf_name_valid("a/b"));
	check(!bf_name_valid("a b"));
	check(!bf_name_valid("caf\xc3\xa9"));
	memset(name, 'x', sizeof(name));
	name[BF_NAME_BYTES] = '\0';
	check(!bf_name_valid(name));
	name[BF_NAME_BYTES - 1] = '\0';
	check(bf_name_valid(name));
	check(bf_name_valid("web.skipped"));
	check(bf_job_name_valid("web"));
	check(bf_job_name_valid("web.skipped2"));
	check(!bf_job_name_valid("web.skipped"));
	check(!bf_job_name_valid("web.guardian"));
	check(!bf_job_name_valid(".skipped"));
}

/* What cuts a file anywhere leaves a refusal or a shorter file, no crash. */
static void cut_anywhere(void)
{
	static const char text[] = "[receiver]\nlisten = h:1\n" TARGET PEER;

	for (size_t bytes = 0; bytes < sizeof(text); bytes++) {
		struct bf_receiver_config receiver;

		put_bytes(text, bytes);
		if (!bf_receiver_config_load(path, &receiver, &err))
			bf_receiver_config_free(&receiver);
	}
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0 || close(fd))
		return 1;
	tap_run("a job with everything", job_whole);
	tap_run("a job's labels", job_labels);
	tap_run("what is no label is refused", job_labels_refused);
	tap_run("a job with the least", job_defaults);
	tap_run("a job's bad lines are named", job_bad_lines);
	tap_run("a job's bad values say what is expected", job_bad_values);
	tap_run("a job that makes no sense as a whole", job_bad_wholes);
	tap_run("neither continuation lines nor hidden comments", job_surprises);
	tap_run("a byte order mark, CRLF, blanks, UTF-8", other_editors);
	tap_run("long lines are neither cut nor believed", long_lines);
	tap_run("nothing hides behind a NUL", hidden_bytes);
	tap_run("a megabyte of junk", junk);
	tap_run("files that are missing, wrong or open to all", file_trouble);
	tap_run("a receiver with everything", receiver_whole);
	tap_run("a receiver with the least", receiver_defaults);
	tap_run("a receiver's mistakes are named", receiver_bad);
	tap_run("names", names);
	tap_run("a file cut anywhere", cut_anywhere);
	unlink(path);
	return tap_done();
}
