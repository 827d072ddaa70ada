/* "driver core: class: remove struct class_interface * from callbacks", v6.4 */
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/device.h>

void bf_probe(struct class_interface *interface);

static void removed(struct device *dev)
{
}

void bf_probe(struct class_interface *interface)
{
	interface->remove_dev = removed;
}
