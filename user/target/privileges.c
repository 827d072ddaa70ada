// SPDX-License-Identifier: Apache-2.0
/*
 * Privileges: a process that may do everything flows in; one that may open the
 * files and devices of targets and lock memory for io_uring flows out, gains
 * nothing by starting programs, and leaves no core with its key. What the
 * network sends is parsed with no more than that.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target/privileges.h"

#define KEPT ((1u << CAP_DAC_OVERRIDE) | (1u << CAP_IPC_LOCK))

/* What is not there to begin with cannot be kept. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	data[0].effective &= KEPT;
	data[0].permitted &= KEPT;
	data[0].inheritable = 0;
	memset(&data[1], 0, sizeof(data[1]));
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int bf_drop_privileges(struct bf_error *err)
{
	int ret = drop_capabilities();

	if (!ret && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		     prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		ret = -errno;
	if (!ret)
		return 0;
	return bf_fail(err, BF_E_SYSTEM, -ret,
		       "cannot give up privileges that are not needed: %s",
		       strerror(-ret));
}
