// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notifiers: see notify.h. They run under locks of the kernel and take none of
 * the module's: trackers are found under RCU.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/suspend.h>

#include <linux/blkferry.h>

#include "alias.h"
#include "compat/compat.h"
#include "disk.h"
#include "fault.h"
#include "notify.h"

/* Tells of partitions too: those have other numbers than a tracked disk. */
static void device_removed(struct device *dev BF_CLASS_INTERFACE_ARG)
{
	bf_disk_gone(dev->devt);
}

/* Also called for every device that is there when this is registered. */
static int device_added(struct device *dev BF_CLASS_INTERFACE_ARG)
{
	bf_alias_device(dev);
	return 0;
}

static struct class_interface coming_and_going = {
	.add_dev = device_added,
	.remove_dev = device_removed,
};

/**
 * bf_notify_register() - hear of disks that come and go
 * @class: the block class, taken from a disk as it is not exported
 *
 * Context: Process, under bf_control_mutex.
 * Return: 0 or a negative errno.
 */
int bf_notify_register(const struct class *class)
{
	coming_and_going.class = (struct class *)class;
	return bf_fault(BF_FAULT_WATCH_CLASS) ?:
	       class_interface_register(&coming_and_going);
}

/**
 * bf_notify_unregister() - undo bf_notify_register()
 *
 * Context: Process, under bf_control_mutex.
 */
void bf_notify_unregister(void)
{
	class_interface_unregister(&coming_and_going);
}

/*
 * Before the image is made, so that the restored kernel knows whatever runs
 * first in it; and after it, as a resync that began in between read the disk
 * as it was before the image was written.
 */
static int power_event(struct notifier_block *block, unsigned long event,
		       void *data)
{
	switch (event) {
	case PM_HIBERNATION_PREPARE:
	case PM_POST_HIBERNATION:
	case PM_POST_RESTORE:
		bf_disk_raise_all(BLKFERRY_REASON_HIBERNATION);
	}
	return NOTIFY_DONE;
}

static struct notifier_block power = {
	.notifier_call = power_event,
};

/*
 * A tracepoint is silent on a processor that is not online any more, and one
 * that goes may yet end requests: an interrupt that another processor sent it
 * late finds them in its softirq. Called once it is dead. Suspend takes
 * processors away when no disk has anything in flight.
 */
static int cpu_dead(unsigned int cpu)
{
	if (!cpuhp_tasks_frozen)
		bf_disk_raise_all(BLKFERRY_REASON_CPU_OFFLINE);
	return 0;
}

static enum cpuhp_state cpu_state;

/**
 * bf_notify_init() - hear of hibernation and of processors that go
 *
 * Context: Process.
 * Return: 0 or a negative errno.
 */
int bf_notify_init(void)
{
	int ret = bf_fault(BF_FAULT_LOAD_POWER) ?:
		  register_pm_notifier(&power);

	if (ret)
		return ret;
	ret = bf_fault(BF_FAULT_LOAD_CPU) ?:
	      cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "blkferry:dead",
					NULL, cpu_dead);
	if (ret < 0) {
		unregister_pm_notifier(&power);
		return ret;
	}
	cpu_state = ret;
	return 0;
}

/**
 * bf_notify_exit() - undo bf_notify_init()
 *
 * Context: Process.
 */
void bf_notify_exit(void)
{
	cpuhp_remove_state_nocalls(cpu_state);
	unregister_pm_notifier(&power);
}
