// SPDX-License-Identifier: Apache-2.0
/*
 * copy: a source and a target flow in, a job without a file runs once. A disk
 * in use is tracked and finished under a freeze; one that is not is held
 * exclusively, so that nobody starts to use it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/copy.h"
#include "cli/service.h"
#include "lib/cleanup.h"
#include "lib/config_table.h"
#include "lib/log.h"
#include "lib/netlink.h"

static char *extents_given, *peer_given, *key_given, *compression_given, *rate_given;
static char *connections_given, *read_rate_given, *read_error_given, *timeout_given;
static int whole_disk_given, insecure_torn_given, overwrite_given;
static int resync_given;

static const struct poptOption options[] = {
	{ "extents", 'e', POPT_ARG_STRING, &extents_given, 0,
	  "only what this file lists: OFFSET LENGTH a line, in bytes", "FILE" },
	{ "whole-disk", 'w', POPT_ARG_NONE, &whole_disk_given, 0,
	  "copy free space and swap as well", NULL },
	{ "overwrite", '\0', POPT_ARG_NONE, &overwrite_given, 0,
	  "a local target may lose the content it has", NULL },
	{ "resync", '\0', POPT_ARG_NONE, &resync_given, 0,
	  "compare with what the target holds, and send only what differs",
	  NULL },
	{ "peer", 'p', POPT_ARG_STRING, &peer_given, 0,
	  "the receiver's fingerprint, for HOST:PORT/NAME", "SHA256:..." },
	{ "key", 'k', POPT_ARG_STRING, &key_given, 0,
	  "this host's key file (default " BF_DEFAULT_KEY_PATH ")", "PATH" },
	{ "compression", 'c', POPT_ARG_STRING, &compression_given, 0,
	  "auto, none or a level of zstd from 1 to 19", "LEVEL" },
	{ "rate", 'r', POPT_ARG_STRING, &rate_given, 0,
	  "of the network, 10M a second or 100Mbit; `blkferry set` changes it",
	  "RATE" },
	{ "read-rate", '\0', POPT_ARG_STRING, &read_rate_given, 0,
	  "of the disk, 50M a second; `blkferry set` changes it", "RATE" },
	{ "connections", '\0', POPT_ARG_STRING, &connections_given, 0,
	  "to the receiver, for the blocks: 1 to 8", "N" },
	{ "timeout", '\0', POPT_ARG_STRING, &timeout_given, 0,
	  "of a silent receiver (default 30s)", "TIME" },
	{ "on-read-error", '\0', POPT_ARG_STRING, &read_error_given, 0,
	  "stop, or zero-and-report: zeroes where a sector cannot be read",
	  "WHAT" },
	{ "insecure-torn", '\0', POPT_ARG_NONE, &insecure_torn_given, 0,
	  "copy a disk in use without tracking: the copy is of no one moment",
	  NULL },
	POPT_TABLEEND
};

static int refuse_untracked(const char *source, struct bf_error *err)
{
	return bf_fail(err, BF_E_MOUNTED, EBUSY,
		       "%s is in use and the module is not loaded, so the copy would be of no one moment: modprobe blkferry, or unmount it, or accept that with --insecure-torn",
		       source);
}

/*
 * Who can change the source meanwhile decides. *hold_fd, if open, keeps a disk
 * that nobody uses from being mounted or assembled while it is copied.
 */
static int choose_tracking(const char *source, struct bf_job_options *job,
			   int *hold_fd, struct bf_error *err)
{
	struct bf_netlink *nl;
	struct stat st;
	int ret;

	job->insecure_torn = insecure_torn_given;
	job->extents_path = extents_given;
	if (stat(source, &st))
		return bf_fail(err, errno == ENOENT ? BF_E_NOT_FOUND :
			       BF_E_SYSTEM, errno, "cannot stat %s: %s", source,
			       strerror(errno));
	job->no_tracker = !S_ISBLK(st.st_mode);
	if (job->no_tracker)
		return 0;
	*hold_fd = open(source, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (*hold_fd >= 0) {
		job->no_tracker = true;
		return 0;
	}
	if (errno != EBUSY)
		return bf_fail(err, errno == EACCES ? BF_E_PERMISSION :
			       BF_E_SYSTEM, errno, "cannot open %s: %s", source,
			       strerror(errno));
	if (insecure_torn_given || extents_given)
		return 0;
	ret = bf_netlink_open(&nl, err);
	if (ret)
		return err->code == BF_E_NO_MODULE ?
			refuse_untracked(source, err) : ret;
	bf_netlink_close(nl);
	return 0;
}

static int set_up(struct bf_job_config *config, const struct cli *cli,
		  struct bf_error *err)
{
	struct bf_disk_config *disk;
	int ret;

	if (resync_given && extents_given)
		return cli_usage(err, "--resync compares all of the source, --extents sends what is listed: give one of them");
	ret = cli_copy_job(config, cli->arguments[0], cli->arguments[1], err);
	if (ret)
		return ret;
	disk = &config->disks[0];
	disk->overwrite = overwrite_given;
	config->whole_disk = whole_disk_given;
	if (compression_given)
		ret = bf_limits_set(&config->limits, "compression",
				    compression_given, err);
	if (!ret && rate_given)
		ret = bf_limits_set(&config->limits, "rate", rate_given, err);
	if (!ret && read_rate_given)
		ret = bf_limits_set(&config->limits, "read-rate",
				    read_rate_given, err);
	if (!ret && connections_given)
		ret = bf_field_connections(connections_given,
					   &config->connections,
					   sizeof(config->connections), err);
	if (!ret && timeout_given)
		ret = bf_field_timeout(timeout_given, &config->timeout_ns,
				       sizeof(config->timeout_ns), err);
	if (!ret && read_error_given)
		ret = bf_field_read_error(read_error_given,
					  &config->zero_unreadable,
					  sizeof(config->zero_unreadable), err);
	if (ret)
		return ret;
	if (disk->target_is_path) {
		if (peer_given || key_given)
			return cli_usage(err, "--peer and --key are for a target HOST:PORT/NAME; %s is a path",
					 disk->target);
		return 0;
	}
	if (overwrite_given)
		return cli_usage(err, "--overwrite is for a local target; at a receiver its configuration says overwrite = yes");
	if (!peer_given || !bf_fingerprint_valid(peer_given))
		return cli_usage(err, "a receiver needs --peer SHA256:..., the line that `blkferry key` prints there");
	snprintf(config->peer, sizeof(config->peer), "%s", peer_given);
	if (key_given)
		snprintf(config->key_path, sizeof(config->key_path), "%s",
			 key_given);
	return 0;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	_cleanup_close_ int hold_fd = -1;
	struct bf_job_config config;
	struct bf_job_options job = {
		.config = &config,
		.run_dir = cli->run_dir,
		.records_dir = cli->records_dir ? cli->records_dir :
			BF_SOURCE_RECORDS_DIR,
		.one_shot = true,
		.resync = resync_given,
	};
	bool made = false;
	int ret = choose_tracking(cli->arguments[0], &job, &hold_fd, err);

	if (ret)
		return ret;
	/* Its progress and its outcome say what a person wants to know. */
	if (!cli->verbose)
		bf_log_set_level(BF_LOG_WARNING);
	ret = set_up(&config, cli, err);
	if (!ret && config.disks[0].target_is_path)
		ret = cli_copy_make_target(&config.disks[0], &made, err);
	if (!ret)
		ret = cli_run_job(cli, &job, err);
	if (ret < 0 && made)
		unlink(config.disks[0].target);	/* nobody takes it for a copy */
	bf_job_config_free(&config);
	return ret;
}

const struct cli_command cli_copy = {
	.name = "copy", .arguments = "SOURCE TARGET",
	.summary = "copy a disk or file once, to a path or HOST:PORT/NAME",
	.min_arguments = 2, .max_arguments = 2,
	.options = options, .run = run,
};
