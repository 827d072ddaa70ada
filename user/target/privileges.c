// SPDX-License-Identifier: Apache-2.0
/*
 * Privileges: a process that may do everything flows in; one that may open the
 * files and devices of targets and lock memory for io_uring flows out, starts no
 * programs, mounts and loads nothing, and leaves no core with its key. What the
 * network sends is parsed with no more than that.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/log.h"
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

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0			/* unknown: nothing is forbidden */
#endif
#define OTHER_NUMBERS 0x40000000u	/* of the x32 interface, and beyond */

/*
 * What no receiver does and whoever takes one over would like to. A list of what
 * is allowed would have to follow each release of six libraries; the unit has a
 * broad one (SystemCallFilter=).
 */
static const unsigned int forbidden[] = {
	SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
	SYS_process_vm_writev, SYS_mount, SYS_umount2, SYS_pivot_root,
	SYS_chroot, SYS_unshare, SYS_setns, SYS_init_module, SYS_finit_module,
	SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_swapoff,
	SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_keyctl, SYS_add_key,
	SYS_request_key, SYS_open_by_handle_at, SYS_settimeofday,
	SYS_clock_settime, SYS_sethostname,
};

#define NR_FORBIDDEN (sizeof(forbidden) / sizeof(forbidden[0]))

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, what)

/* Refused with EPERM, in this thread and all that it starts. */
static int forbid_calls(void)
{
	struct sock_filter filter[NR_FORBIDDEN + 6] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0,
			 NR_FORBIDDEN + 3),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_NUMBERS,
			 NR_FORBIDDEN + 1, 0),
	};
	struct sock_fprog program = { NR_FORBIDDEN + 6, filter };
	size_t at = 4;

	if (!ARCHITECTURE)
		return 0;
	for (size_t i = 0; i < NR_FORBIDDEN; i++)
		filter[at++] = (struct sock_filter)
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, forbidden[i],
				 NR_FORBIDDEN - i, 0);
	filter[at++] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
	filter[at++] = (struct sock_filter)ANSWER(SECCOMP_RET_ERRNO | EPERM);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ?
		-errno : 0;
}

int bf_drop_privileges(struct bf_error *err)
{
	int ret = drop_capabilities(), forbid;

	if (!ret && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		     prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		ret = -errno;
	forbid = ret ? 0 : forbid_calls();
	if (forbid)	/* a kernel without it, or a sandbox around us */
		bf_warn("system calls that a receiver does not need cannot be forbidden here: %s",
			strerror(-forbid));
	if (!ret)
		return 0;
	return bf_fail(err, BF_E_SYSTEM, -ret,
		       "cannot give up privileges that are not needed: %s",
		       strerror(-ret));
}
