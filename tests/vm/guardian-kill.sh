# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULE 5): a replicator that is killed, killed with its control group, by
# hand or because the kernel has no memory for it, or stopped while filesystems are
# frozen leaves them thawed at once, long before their deadline; the next one goes on from where it was. That "at once" is within
# a second is shown on the build machine itself (unit/guardian_test.c): in here a
# second is what the emulator makes of it.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=800 kernels=5.10+6.1+7 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# Frozen for long: a raw writer keeps the confirm loop from its end.
freeze_for_long() {
	begin_case
	mkfs.ext4 -q -F "$d0" 32M
	mount_at "$d0" data
	start_receiver
	write_job
	start_job "$@"
	wait_ready
	raw_writer
	freeze
}

freeze() {
	cut_over --then thaw --max-downtime 10m &
	echo $! >"$job_dir/cutover.pid"
	wait_until 30 under_freeze
	is_frozen "$job_dir/data.mnt"
}

# thaws_at_once KILL: it ends the replicator; the deadline is in ten minutes.
thaws_at_once() {
	"$1"
	wait_until 15 is_thawed "$job_dir/data.mnt"
	wait_until 10 no_guardian
}

kill_job() { kill -KILL "$(job_pid)"; }

killed() {
	freeze_for_long
	thaws_at_once kill_job
}

next_one_goes_on() {
	wait "$(job_pid)" || :
	stop_writer
	start_job
	wait_ready
	eq "$(figure .mode)" delta "how the next one goes on"
	cut_over --then hold
	same_disks
	blkferry thaw move
}

goes_on_afterwards() {
	killed
	next_one_goes_on
}

in_group() {
	echo "$BASHPID" >"$group/cgroup.procs"
	exec "$@"
}

kill_group() {
	if [ -e "$group/cgroup.kill" ]; then
		echo 1 >"$group/cgroup.kill"
	else
		# shellcheck disable=SC2046  # a list
		kill -KILL $(cat "$group/cgroup.procs")
	fi
}

guardian_is_elsewhere() { ! grep -qx "$(guardian_pid)" "$group/cgroup.procs"; }

killed_with_group() {
	group=/sys/fs/cgroup/replicator
	mkdir -p "$group"
	freeze_for_long in_group
	grep -qx "$(job_pid)" "$group/cgroup.procs"
	guardian_is_elsewhere
	thaws_at_once kill_group
	wait_until 10 rmdir "$group"
}

in_roomy_group() {
	echo max >"$group/memory.max"
	in_group "$@"
}

# All of it is locked in memory, so that nothing can be reclaimed.
leave_no_memory() { echo 1M >"$group/memory.max"; }

# The kernel's words on it hold a stack trace; of other complaints there must be
# none. Then the log begins anew.
killed_for_memory() {
	grep -q '^oom_kill [1-9]' "$group/memory.events"
	dmesg >"$test_tmp/dmesg"
	grep -q 'blkferry.* invoked oom-killer\|bash.* invoked oom-killer' "$test_tmp/dmesg"
	grep -q 'are going to be killed due to memory.oom.group set' "$test_tmp/dmesg"
	grep -E 'BUG|WARNING|KASAN|Oops|refcount|hung task' "$test_tmp/dmesg" &&
		fail "more than that in the log"
	dmesg -c >"$test_tmp/dmesg"
	echo "blkferry-test: guardian-kill.sh" >/dev/kmsg
}

out_of_memory() {
	group=/sys/fs/cgroup/starved
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p "$group"
	echo 1 >"$group/memory.oom.group"
	freeze_for_long in_roomy_group
	grep -qx "$(job_pid)" "$group/cgroup.procs"
	guardian_is_elsewhere
	thaws_at_once leave_no_memory
	dd if=/dev/urandom of="$job_dir/data.mnt/after" bs=64k count=4 conv=fsync
	killed_for_memory
	next_one_goes_on
	wait_until 10 rmdir "$group"
}

stopped() {
	freeze_for_long
	kill -STOP "$(job_pid)"
	wait_until 10 is_thawed "$job_dir/data.mnt"
	status=0
	wait "$(job_pid)" || status=$?
	eq "$status" 137 "the stopped replicator was killed"
}

guardian_killed() {
	freeze_for_long
	kill -KILL "$(guardian_pid)"
	wait_until 10 is_thawed "$job_dir/data.mnt"
	status=0
	wait "$(cat "$job_dir/cutover.pid")" || status=$?
	eq "$status" 6 "status of the cutover"
	stop_writer
	wait_ready
}

cancelled() {
	freeze_for_long
	blkferry cancel move
	is_thawed "$job_dir/data.mnt"
	wait "$(job_pid)"
	[ -z "$(blkferry stats --json | jq -r '.trackers[]?.name')" ]
}

run_case "killed while frozen: thawed at once" killed
run_case "the next replicator goes on" goes_on_afterwards
run_case "killed with its control group: thawed at once" killed_with_group
run_case "out of memory with its control group: thawed at once" out_of_memory
run_case "stopped while frozen: thawed, and killed" stopped
run_case "without its guardian the replicator thaws" guardian_killed
run_case "cancel in the freeze thaws and forgets the job" cancelled
