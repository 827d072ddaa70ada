// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault points: see fault.h. What is asked for flows in by a module parameter;
 * at the place it names an error flows out, or a signal. In builds for tests
 * only.
 */
#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "fault.h"

#define NAME_BYTES	64

static const char *const names[BF_FAULT_NR] = {
#define BF_FAULT_NAME(constant, name) [constant] = (name),
	BF_FAULT_TABLE(BF_FAULT_NAME)
#undef BF_FAULT_NAME
};

static atomic_t reached[BF_FAULT_NR];

/* Written under the lock of the module's parameters. */
static struct {
	int point;		/* BF_FAULT_NR: none; published last */
	int errnum;		/* 0: kill */
	int nth, times;
	atomic_t left;		/* times to go by */
} asked = { .point = BF_FAULT_NR };

/* An interrupt and a worker have nobody to kill. */
static bool kill_current(void)
{
	if (!in_task() || current->flags & PF_KTHREAD)
		return false;
	send_sig(SIGKILL, current, 1);
	return true;
}

/**
 * bf_fault() - come to a fault point
 * @point: the point
 *
 * Context: Any.
 * Return: 0, or the negative errno that was asked for.
 */
int bf_fault(enum bf_fault point)
{
	int left;

	/* Pairs with set_fault(). */
	if (smp_load_acquire(&asked.point) != point)
		return 0;
	left = atomic_dec_return(&asked.left);
	if (left > 0 || left <= -asked.times)
		return 0;
	if (!asked.errnum && !kill_current())
		return 0;
	atomic_inc(&reached[point]);
	if (preemptible())	/* else perhaps under a lock that printing is not */
		pr_notice("blkferry: fault point %s is reached\n", names[point]);
	return -asked.errnum;
}

static int point_of(const char *name)
{
	int point = 0;

	while (point < BF_FAULT_NR && strcmp(names[point], name))
		point++;
	return point;
}

static int set_fault(const char *text, const struct kernel_param *param)
{
	char name[NAME_BYTES];
	int point, nth, errnum = 0, times = 1;

	WRITE_ONCE(asked.point, BF_FAULT_NR);
	if (!*text || *text == '\n')
		return 0;
	if (sscanf(text, "%63[^:]:%d:%d:%d", name, &nth, &errnum, &times) < 2 ||
	    nth < 1 || errnum < 0 || errnum > MAX_ERRNO || times < 1)
		return -EINVAL;
	point = point_of(name);
	if (point == BF_FAULT_NR)
		return -ENOENT;
	asked.errnum = errnum;
	asked.nth = nth;
	asked.times = times;
	atomic_set(&asked.left, nth);
	smp_store_release(&asked.point, point);	/* pairs with bf_fault() */
	return 0;
}

static int get_fault(char *page, const struct kernel_param *param)
{
	if (asked.point == BF_FAULT_NR)
		return scnprintf(page, PAGE_SIZE, "\n");
	return scnprintf(page, PAGE_SIZE, "%s:%d:%d:%d\n", names[asked.point],
			 asked.nth, asked.errnum, asked.times);
}

static const struct kernel_param_ops fault_ops = {
	.set = set_fault,
	.get = get_fault,
};

static int get_points(char *page, const struct kernel_param *param)
{
	int bytes = 0;
	int point;

	for (point = 0; point < BF_FAULT_NR; point++)
		bytes += scnprintf(page + bytes, PAGE_SIZE - bytes, "%s %d\n",
				   names[point], atomic_read(&reached[point]));
	return bytes;
}

static const struct kernel_param_ops points_ops = {
	.get = get_points,
};

module_param_cb(fault, &fault_ops, NULL, 0644);
module_param_cb(fault_points, &points_ops, NULL, 0444);
