// SPDX-License-Identifier: Apache-2.0
/*
 * receive: the receiver's configuration flows in, again at each SIGHUP; it
 * serves in the foreground until it is stopped. --reopen is the operator's word
 * that a target which was cut over may be written again, --forget that a job which
 * wrote a target is over.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "cli/cli.h"
#include "lib/cleanup.h"
#include "lib/config.h"
#include "lib/log.h"
#include "target/receiver.h"

static char *config_given, *reopen_given, *forget_given;

static const struct poptOption options[] = {
	{ "config", 'c', POPT_ARG_STRING, &config_given, 0,
	  "the receiver's file (default " BF_RECEIVER_CONF ")", "FILE" },
	{ "reopen", '\0', POPT_ARG_STRING, &reopen_given, 0,
	  "let a target that was cut over be written again, and end", "TARGET" },
	{ "forget", '\0', POPT_ARG_STRING, &forget_given, 0,
	  "give up a target whose job is over, for others to write, and end",
	  "TARGET" },
	POPT_TABLEEND
};

static void on_ready(void *context, const char *address)
{
	bf_info("listening on %s", address);
	sd_notifyf(0, "READY=1\nSTATUS=listening on %s", address);
}

struct service {
	const struct cli *cli;
	int reload_fd;
};

static int load(const struct cli *cli, struct bf_receiver_config *config,
		struct bf_error *err)
{
	int ret = bf_receiver_config_load(config_given ? config_given :
					  BF_RECEIVER_CONF, config, err);

	if (!ret && cli->records_dir)
		snprintf(config->records_dir, sizeof(config->records_dir), "%s",
			 cli->records_dir);
	return ret;
}

/* Several signals that wait are one. */
static int on_reload(void *context, struct bf_receiver_config *config,
		     struct bf_error *err)
{
	const struct service *service = context;
	struct signalfd_siginfo info;
	int ret;

	while (read(service->reload_fd, &info, sizeof(info)) > 0)
		;
	sd_notify(0, "RELOADING=1");
	ret = load(service->cli, config, err);
	sd_notify(0, "READY=1");
	return ret;
}

/* Of a unit without WatchdogSec= it is no more than ignored. */
static void on_alive(void *context)
{
	sd_notify(0, "WATCHDOG=1");
}

static int say(const struct cli *cli, const char *target, const char *words)
{
	if (cli->json)
		cli_print_json(json_pack("{s:s}", "target", target));
	else
		printf("%s %s\n", target, words);
	return 0;
}

static int give_word(const struct cli *cli,
		     const struct bf_receiver_config *config,
		     struct bf_error *err)
{
	int ret;

	if (reopen_given && forget_given)
		return bf_fail(err, BF_E_USAGE, EINVAL,
			       "--reopen and --forget are two decisions: give one at a time");
	if (reopen_given) {
		ret = bf_receiver_reopen(config, reopen_given, err);
		return ret ? ret : say(cli, reopen_given,
				       "may be written again");
	}
	ret = bf_receiver_forget(config, forget_given, err);
	return ret ? ret : say(cli, forget_given, "belongs to no job any more");
}

static int serve(const struct cli *cli, const struct bf_receiver_config *config,
		 struct bf_error *err)
{
	_cleanup_close_ int stop_fd = -1, reload_fd = -1;
	struct service service = { .cli = cli };
	struct bf_receiver_options receiver = {
		.reload = on_reload, .ready = on_ready,
		.alive = on_alive, .context = &service,
	};
	int ret = cli_stop_fd(&stop_fd, err);

	if (!ret)
		ret = cli_reload_fd(&reload_fd, err);
	if (ret)
		return ret;
	receiver.stop_fd = stop_fd;
	receiver.reload_fd = service.reload_fd = reload_fd;
	ret = bf_receiver_run(config, &receiver, err);
	sd_notify(0, "STOPPING=1");
	return ret;
}

static int run(const struct cli *cli, struct bf_error *err)
{
	struct bf_receiver_config config;
	int ret = load(cli, &config, err);

	if (ret)
		return ret;
	ret = reopen_given || forget_given ? give_word(cli, &config, err) :
					     serve(cli, &config, err);
	bf_receiver_config_free(&config);
	return ret;
}

const struct cli_command cli_receive = {
	.name = "receive", .arguments = "",
	.summary = "the receiver, in the foreground",
	.options = options, .run = run,
};
