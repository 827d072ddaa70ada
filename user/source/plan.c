// SPDX-License-Identifier: Apache-2.0
/*
 * Plan: see plan.h. Here: the list of findings, the order of looking, and what
 * the operator overrides.
 */
#include "source/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"

static const char *const severities[] = {
	[BF_SEVERITY_INFO] = "info",
	[BF_SEVERITY_WARNING] = "warning",
	[BF_SEVERITY_REFUSE] = "critical",
};

/* Every check that can be critical, so that an override can be told from a
 * slip of the pen. */
static const char *const critical_checks[] = {
	"module-missing", "module-unsigned", "module-key",
	"target-too-small", "target-inside", "cluster-filesystem", "spans-outside",
	"external-journal", "covered-mount", "untrackable",
};

void bf_plan_add(struct bf_plan *plan, enum bf_severity severity,
		 const char *check, const char *subject, const char *cure,
		 const char *format, ...)
{
	char text[2 * BF_ERROR_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(plan->rows,
		json_pack("{ss, ss, ss, ss, ss?, sb}", "severity",
			  severities[severity], "check", check, "subject",
			  subject, "text", text, "cure", cure, "overridden",
			  0));
}

/* ---- what holders found ---- */

/* Their words are "cause: cure". */
static void add_holder_finding(struct bf_plan *plan,
			       const struct bf_finding *finding)
{
	char cause[BF_ERROR_TEXT_BYTES];
	const char *cure;

	snprintf(cause, sizeof(cause), "%s", finding->text);
	cure = strstr(finding->text, ": ");
	if (cure) {
		cause[cure - finding->text] = '\0';
		cure += 2;
	} else {
		cure = "swapoff -a before the cutover, swapon -a after it";
	}
	bf_plan_add(plan, finding->severity, finding->name, "job", cure, "%s",
		    cause);
}

static int add_holders(struct bf_plan *plan, struct bf_error *err)
{
	_cleanup_free_ dev_t *devs = calloc(plan->nr_disks + 1, sizeof(*devs));
	size_t nr = 0;
	int ret;

	if (!devs)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < plan->nr_disks; i++)
		if (plan->disks[i].dev)
			devs[nr++] = plan->disks[i].dev;
	ret = bf_holders_find(&plan->holders, devs, nr, err);
	for (size_t i = 0; !ret && i < plan->holders.nr_findings; i++)
		add_holder_finding(plan, &plan->holders.findings[i]);
	return ret;
}

/* ---- the disks ---- */

static int open_disk(struct bf_plan_disk *disk,
		     const struct bf_disk_config *config, struct bf_error *err)
{
	struct stat status;

	*disk = (struct bf_plan_disk){
		.name = config->name,
		.device = config->device,
		.granularity_bytes = config->granularity_bytes,
	};
	disk->fd = open(config->device, O_RDONLY | O_CLOEXEC);
	if (disk->fd < 0 || fstat(disk->fd, &status))
		return bf_fail(err, errno == ENOENT ? BF_E_NOT_FOUND :
			       errno == EACCES ? BF_E_PERMISSION : BF_E_SYSTEM,
			       errno, "disk %s: cannot open %s: %s",
			       config->name, config->device, strerror(errno));
	if (!S_ISBLK(status.st_mode))
		return bf_fail(err, BF_E_CONFIG, ENOTBLK,
			       "disk %s: %s is no block device; `blkferry copy` copies a file",
			       config->name, config->device);
	disk->dev = status.st_rdev;
	if (ioctl(disk->fd, BLKGETSIZE64, &disk->size_bytes))
		return bf_fail(err, BF_E_SYSTEM, errno,
			       "disk %s: cannot ask %s for its size: %s",
			       config->name, config->device, strerror(errno));
	return 0;
}

static int open_disks(struct bf_plan *plan, struct bf_error *err)
{
	int ret = 0;

	plan->disks = calloc(plan->config->nr_disks + 1, sizeof(*plan->disks));
	if (!plan->disks)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (size_t i = 0; i < plan->config->nr_disks && !ret; i++) {
		plan->nr_disks++;
		ret = open_disk(&plan->disks[i], &plan->config->disks[i], err);
	}
	return ret;
}

int bf_plan_make(struct bf_plan *plan, const struct bf_job_config *config,
		 enum bf_plan_depth depth, struct bf_error *err)
{
	int ret;

	*plan = (struct bf_plan){
		.rows = json_array(),
		.figures = json_object(),
		.config = config,
	};
	ret = open_disks(plan, err);
	if (!ret)
		ret = add_holders(plan, err);
	if (ret)
		return ret;
	bf_plan_machine(plan, "");
	/* Before the disks: they are compared with the targets that it found. */
	if (depth == BF_PLAN_MEASURE)
		bf_plan_rates(plan, "");
	bf_plan_local(plan);
	bf_plan_disks(plan, "", depth == BF_PLAN_MEASURE);
	bf_plan_outside(plan, "");
	if (bf_holders_have_root(&plan->holders)) {
		bf_plan_boot(plan, "");
		if (depth >= BF_PLAN_FIRST)
			bf_plan_initramfs(plan, "");
	}
	return bf_plan_override(plan, config->override, err);
}

void bf_plan_free(struct bf_plan *plan)
{
	for (uint32_t i = 0; i < plan->nr_disks; i++)
		if (plan->disks[i].fd >= 0)
			close(plan->disks[i].fd);
	free(plan->disks);
	bf_holders_free(&plan->holders);
	json_decref(plan->rows);
	json_decref(plan->figures);
	*plan = (struct bf_plan){ 0 };
}

/* ---- what stands ---- */

static const char *text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

static bool is_check(const char *name)
{
	for (size_t i = 0; i < sizeof(critical_checks) /
				sizeof(critical_checks[0]); i++)
		if (!strcmp(name, critical_checks[i]))
			return true;
	return false;
}

static void override_one(struct bf_plan *plan, const char *name)
{
	json_t *row;
	size_t index;

	json_array_foreach(plan->rows, index, row)
		if (!strcmp(text_of(row, "check"), name))
			json_object_set_new(row, "overridden", json_true());
}

int bf_plan_override(struct bf_plan *plan, const char *names,
		     struct bf_error *err)
{
	_cleanup_free_ char *list = strdup(names);
	char *state = NULL;

	if (!list)
		return bf_fail(err, BF_E_SYSTEM, ENOMEM, "out of memory");
	for (char *name = strtok_r(list, ", \t", &state); name;
	     name = strtok_r(NULL, ", \t", &state)) {
		if (!is_check(name))
			return bf_fail(err, BF_E_USAGE, EINVAL,
				       "override: no critical check is called \"%.60s\"; `blkferry plan` shows their names",
				       name);
		override_one(plan, name);
	}
	return 0;
}

/* The code that the same thing has where it is met later. */
static enum bf_code code_of(const char *check)
{
	static const struct {
		const char *check;
		enum bf_code code;
	} codes[] = {
		{ "module-missing", BF_E_NO_MODULE },
		{ "module-unsigned", BF_E_NO_MODULE },
		{ "module-key", BF_E_NO_MODULE },
		{ "spans-outside", BF_E_UNTRACKABLE },
		{ "external-journal", BF_E_UNTRACKABLE },
		{ "covered-mount", BF_E_UNTRACKABLE },
		{ "untrackable", BF_E_UNTRACKABLE },
		{ "target-too-small", BF_E_TOO_SMALL },
		{ "target-inside", BF_E_IN_USE },
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (!strcmp(check, codes[i].check))
			return codes[i].code;
	return BF_E_PLAN;
}

int bf_plan_refuse(const struct bf_plan *plan, struct bf_error *err)
{
	json_t *row;
	size_t index;

	json_array_foreach(plan->rows, index, row) {
		if (strcmp(text_of(row, "severity"), "critical") ||
		    json_is_true(json_object_get(row, "overridden")))
			continue;
		return bf_fail(err, code_of(text_of(row, "check")), EPERM,
			       "%s: %s (%s; or accept it with override = %s in the job)",
			       text_of(row, "subject"), text_of(row, "text"),
			       text_of(row, "cure"), text_of(row, "check"));
	}
	return 0;
}
