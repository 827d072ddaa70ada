// SPDX-License-Identifier: Apache-2.0
/* key: this host's key file flows in or is made; its fingerprint flows out. */
#include <stdio.h>

#include "cli/cli.h"
#include "lib/identity.h"

static int generate_given;
static char *key_path_given;

static const struct poptOption options[] = {
	{ "generate", 'g', POPT_ARG_NONE, &generate_given, 0,
	  "make a key pair first; an existing one is never replaced", NULL },
	{ "key", 'k', POPT_ARG_STRING, &key_path_given, 0,
	  "the key file (default " BF_DEFAULT_KEY_PATH ")", "PATH" },
	POPT_TABLEEND
};

static int run(const struct cli *cli, struct bf_error *err)
{
	const char *path = key_path_given ? key_path_given : BF_DEFAULT_KEY_PATH;
	struct bf_identity *identity = NULL;
	int ret = generate_given ? bf_identity_generate(path, err) : 0;

	if (!ret)
		ret = bf_identity_load(path, &identity, err);
	if (ret)
		return ret;
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:s}", "fingerprint",
			bf_identity_fingerprint(identity), "path", path));
	else
		puts(bf_identity_fingerprint(identity));
	bf_identity_free(identity);
	return 0;
}

const struct cli_command cli_key = {
	.name = "key", .arguments = "",
	.summary = "print this host's fingerprint for its peers",
	.options = options, .run = run,
};
