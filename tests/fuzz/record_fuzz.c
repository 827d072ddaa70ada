// SPDX-License-Identifier: Apache-2.0
/*
 * Records: any file in place of a record is refused or understood; any body
 * with a right checksum is, too, by the ledger that reads it.
 */
#include "fuzz.h"
#include "lib/record.h"
#include "target/ledger.h"

#define PEER "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static char ledger_path[192];

/* Where a ledger lies is the ledger's business: it is asked once. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct bf_ledger *ledger;
	char command[192];
	FILE *pipe;

	make_fuzz_folder();
	ledger = bf_ledger_new(PEER, "job");
	if (!ledger || bf_ledger_store(fuzz_folder, ledger, NULL))
		abort();
	bf_ledger_free(ledger);
	snprintf(command, sizeof(command), "ls %s/*.json", fuzz_folder);
	pipe = popen(command, "r");
	if (!pipe || fscanf(pipe, "%191s", ledger_path) != 1 || pclose(pipe))
		abort();
	return 0;
}

static void load_any(const struct input *in)
{
	struct bf_error err = { 0 };
	json_t *body = NULL;
	char path[128];

	write_fuzz_file(path, "any", in->at, in->left);
	if (!bf_record_load(path, "source-job", &body, &err))
		json_decref(body);
	else if (!err.text[0])
		abort();		/* refused, and no words */
}

static void load_body(const struct input *in)
{
	json_t *body = json_loadb((const char *)in->at, in->left,
				  JSON_REJECT_DUPLICATES, NULL);
	struct bf_ledger *ledger = NULL;
	struct bf_error err = { 0 };

	if (json_is_object(body) &&
	    !bf_record_store(ledger_path, BF_LEDGER_KIND, body, NULL)) {
		if (bf_ledger_load(fuzz_folder, PEER, "job", &ledger, &err) &&
		    !err.text[0])
			abort();
		bf_ledger_free(ledger);
	}
	json_decref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input in = { data, bytes };

	if (take(&in, 1) & 1)
		load_body(&in);
	else
		load_any(&in);
	return 0;
}
