/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel shim. */
#include <linux/slab.h>
