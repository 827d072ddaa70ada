// SPDX-License-Identifier: Apache-2.0
/*
 * Configuration: any file in place of a job's or the receiver's is refused with
 * words or understood within its limits.
 */
#include "fuzz.h"
#include "lib/config.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return make_fuzz_folder();
}

static void load_job(const char *path)
{
	struct bf_job_config job;
	struct bf_error err = { 0 };

	if (bf_job_config_load(path, "job", &job, &err)) {
		if (!err.text[0])
			abort();
		return;
	}
	if (!job.nr_disks || job.nr_disks > WIRE_DISKS_MAX)
		abort();
	bf_job_config_free(&job);
}

static void load_receiver(const char *path)
{
	struct bf_receiver_config receiver;
	struct bf_error err = { 0 };

	if (!bf_receiver_config_load(path, &receiver, &err))
		bf_receiver_config_free(&receiver);
	else if (!err.text[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input in = { data, bytes };
	bool job = take(&in, 1) & 1;
	char path[128];

	write_fuzz_file(path, "conf", in.at, in.left);
	if (job)
		load_job(path);
	else
		load_receiver(path);
	return 0;
}
