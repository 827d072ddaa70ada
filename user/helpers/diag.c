// SPDX-License-Identifier: Apache-2.0
/*
 * diag: what somebody who helps wants to see flows in: versions, configuration
 * without secrets, records, logs, kernel messages, statistics. One .tar.gz
 * flows out (libarchive). Keys are never read; what a hook runs is left out.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/collect.h"
#include "lib/cleanup.h"
#include "lib/config.h"

#define PART_BYTES_MAX (16u << 20)

static char *output_given;

static const struct poptOption options[] = {
	{ "output", 'o', POPT_ARG_STRING, &output_given, 0,
	  "the archive (default blkferry-diag-TIME.tar.gz)", "FILE" },
	POPT_TABLEEND
};

/* A file of the archive is what a command of the system says. */
static const struct part {
	const char *name, *command;
} parts[] = {
	{ "kernel.txt", "uname -a; cat /proc/cmdline /proc/sys/kernel/tainted" },
	{ "module.txt", "modinfo blkferry; cat /proc/modules | grep blkferry; dkms status" },
	{ "release.txt", "cat /etc/os-release; dpkg-query -W 'blkferry*' || rpm -q blkferry" },
	{ "dmesg.txt", "dmesg" },
	{ "journal.txt", "journalctl --no-pager -n 20000 -u 'blkferry*' -o short-iso-precise" },
	{ "units.txt", "systemctl --no-pager status 'blkferry*'" },
	{ "disks.txt", "lsblk -O --json; cat /proc/swaps /proc/diskstats; ls -l /dev/disk/by-id" },
	{ "stacking.txt", "dmsetup table; dmsetup status; cat /proc/mdstat" },
	{ "mounts.txt", "cat /proc/self/mountinfo" },
	{ "memory.txt", "cat /proc/meminfo; grep blkferry /proc/slabinfo" },
	{ "network.txt", "ip -s link; ip route; ss -tinp 'sport = :4712 or dport = :4712'" },
};

static int add_file(struct archive *archive, const char *name, const char *text,
		    size_t bytes, struct bf_error *err)
{
	struct archive_entry *entry = archive_entry_new();
	char path[512];
	int ret = 0;

	if (!entry)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	snprintf(path, sizeof(path), "blkferry-diag/%s", name);
	archive_entry_set_pathname(entry, path);
	archive_entry_set_size(entry, bytes);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_mtime(entry, time(NULL), 0);
	if (archive_write_header(archive, entry) != ARCHIVE_OK ||
	    archive_write_data(archive, text, bytes) != (la_ssize_t)bytes)
		ret = bf_fail(err, BF_E_SYSTEM, archive_errno(archive),
			      "cannot write the archive: %s",
			      archive_error_string(archive));
	archive_entry_free(entry);
	return ret;
}

/* All of a stream, up to a limit; malloc'ed, for the caller to free. */
static char *read_all(FILE *file, size_t *bytes)
{
	char *text = malloc(PART_BYTES_MAX);

	*bytes = text ? fread(text, 1, PART_BYTES_MAX, file) : 0;
	return text;
}

/* What a machine lacks says so in its part, and the others are still there. */
static int add_command(struct archive *archive, const struct part *part,
		       struct bf_error *err)
{
	char command[512];
	_cleanup_free_ char *text = NULL;
	size_t bytes = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "{ %s; } 2>&1 </dev/null",
		 part->command);
	pipe = popen(command, "re");
	if (!pipe)
		return bf_fail(err, BF_E_SYSTEM, errno, "cannot run \"%s\": %s",
			       part->command, strerror(errno));
	text = read_all(pipe, &bytes);
	pclose(pipe);
	return add_file(archive, part->name, text, text ? bytes : 0, err);
}

static int add_json(struct archive *archive, const char *name, json_t *value,
		    struct bf_error *err)
{
	_cleanup_free_ char *text = json_dumps(value, JSON_INDENT(1));
	int ret = add_file(archive, name, text ? text : "",
			   text ? strlen(text) : 0, err);

	json_decref(value);
	return ret;
}

/* ---- configuration and records ---- */

/* Wherever somebody has put a key, it stays there. */
#define KEY_MARK "PRIVATE KEY-----"
#define KEY_NOTE "(a private key, left out)\n"

/* Commands may hold passwords: the key stays, the value goes. */
static bool is_command(const char *line)
{
	static const char *const keys[] = { "pre-", "post-", "on-" };

	line += strspn(line, " \t#;");	/* what is commented out, too */
	for (size_t i = 0; i < CLI_NR(keys); i++)
		if (!strncmp(line, keys[i], strlen(keys[i])))
			return strchr(line, '=');
	return false;
}

static char *without_secrets(FILE *file, size_t *bytes)
{
	_cleanup_free_ char *line = NULL;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, bytes);

	while (out && getline(&line, &size, file) > 0) {
		if (is_command(line))
			fprintf(out, "%.*s= (left out)\n",
				(int)strcspn(line, "="), line);
		else
			fputs(line, out);
	}
	if (out)
		fclose(out);
	return text;
}

static int add_path(struct archive *archive, const char *path, bool redact,
		    struct bf_error *err)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t bytes = 0;

	if (!file)
		return 0;
	text = redact ? without_secrets(file, &bytes) : read_all(file, &bytes);
	if (text && memmem(text, bytes, KEY_MARK, strlen(KEY_MARK)))
		return add_file(archive, path + 1, KEY_NOTE, strlen(KEY_NOTE),
				err);
	return add_file(archive, path + 1, text, text ? bytes : 0, err);
}

/* The regular files of a folder and of the folders in it. */
static int add_folder(struct archive *archive, const char *folder, bool redact,
		      unsigned int depth, struct bf_error *err)
{
	struct dirent *entry;
	DIR *dir = opendir(folder);
	int ret = 0;

	while (dir && !ret && (entry = readdir(dir))) {
		char path[BF_PATH_BYTES];
		struct stat status;

		if (*entry->d_name == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", folder,
			     entry->d_name) >= (int)sizeof(path) ||
		    lstat(path, &status))
			continue;
		if (S_ISREG(status.st_mode))
			ret = add_path(archive, path, redact, err);
		else if (S_ISDIR(status.st_mode) && depth)
			ret = add_folder(archive, path, redact, depth - 1, err);
	}
	if (dir)
		closedir(dir);
	return ret;
}

/* ---- all ---- */

static int add_state(const struct cli *cli, struct archive *archive,
		     struct bf_error *err)
{
	json_t *jobs = json_array(), *trackers = json_array();
	struct bf_error trouble;
	int ret;

	/* That they do not answer is what a helper wants to know. */
	if (cli_collect_jobs(cli, jobs, &trouble))
		json_array_append_new(jobs, json_string(trouble.text));
	if (cli_collect_trackers(trackers, &trouble))
		json_array_append_new(trackers, json_string(trouble.text));
	ret = add_json(archive, "status.json", jobs, err);
	if (!ret)
		ret = add_json(archive, "stats.json", json_incref(trackers),
			       err);
	json_decref(trackers);
	return ret;
}

static int fill(const struct cli *cli, struct archive *archive,
		struct bf_error *err)
{
	int ret = add_file(archive, "version.txt", CLI_VERSION "\n",
			   sizeof(CLI_VERSION), err);

	if (!ret)
		ret = add_state(cli, archive, err);
	if (!ret)
		ret = add_folder(archive, BF_JOBS_DIR, true, 0, err);
	if (!ret)
		ret = add_path(archive, BF_RECEIVER_CONF, true, err);
	if (!ret)
		ret = add_folder(archive, cli->records_dir ? cli->records_dir :
				 "/var/lib/blkferry", false, 3, err);
	for (size_t i = 0; i < CLI_NR(parts) && !ret; i++)
		ret = add_command(archive, &parts[i], err);
	return ret;
}

static int write_archive(const struct cli *cli, const char *path,
			 struct bf_error *err)
{
	/* Nobody else's business, and nothing is replaced. */
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL |
				      O_CLOEXEC, 0600);
	struct archive *archive;
	int ret;

	if (fd < 0)
		return bf_fail(err, errno == EEXIST ? BF_E_EXISTS : BF_E_SYSTEM,
			       errno, "cannot make %s: %s: name another with --output",
			       path, strerror(errno));
	archive = archive_write_new();
	if (!archive)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	archive_write_add_filter_gzip(archive);
	archive_write_set_format_pax_restricted(archive);
	ret = archive_write_open_fd(archive, fd) == ARCHIVE_OK ? 0 :
	      bf_fail(err, BF_E_SYSTEM, archive_errno(archive),
		      "cannot write %s: %s", path,
		      archive_error_string(archive));
	if (!ret)
		ret = fill(cli, archive, err);
	if (!ret && archive_write_close(archive) != ARCHIVE_OK)
		ret = bf_fail(err, BF_E_SYSTEM, archive_errno(archive),
			      "cannot finish %s: %s", path,
			      archive_error_string(archive));
	archive_write_free(archive);
	if (ret)
		unlink(path);
	return ret;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	char path[64];
	time_t now = time(NULL);
	struct tm local;
	const char *output = output_given ? output_given : path;
	int ret;

	localtime_r(&now, &local);
	strftime(path, sizeof(path), "blkferry-diag-%Y%m%d-%H%M%S.tar.gz",
		 &local);
	ret = write_archive(cli, output, err);
	if (ret)
		return ret;
	if (cli->json)
		cli_print_json(json_pack("{s:s}", "archive", output));
	else
		printf("%s: look through it before you hand it on\n", output);
	return 0;
}

int main(int argc, char **argv)
{
	struct cli_command command = cli_diag;

	command.options = options;
	command.run = run;
	return cli_main(&command, argc, argv);
}
