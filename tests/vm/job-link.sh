# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: a job that has nothing to send notices within its time-out that its
# receiver hangs or is gone, and goes on when it is back; the wall clock may jump
# either way without anything being late, lost or ended; where the system refuses
# io_uring the job works all the same and says so.
# VM: disks=virtio:32M+virtio:32M mem=784 in=full limit=600 kernels=6.1+7 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

put() { dd if=/dev/urandom of="$d0" bs=4k count=1 seek="$1" oflag=direct conv=notrunc 2>/dev/null; }

receiver_pid() { cat "$job_dir/receiver.pid"; }

# idle: nothing is to be done for an hour.
idle() {
	begin_case
	job_interval=1h
	start_receiver
	write_job
	sed -i 's/^timeout = .*/timeout = 6s/' "$job_dir/move.conf"
	start_job
	wait_ready
	eq "$(figure .passes)" 1 passes
}

receiver_hangs() {
	idle
	kill -STOP "$(receiver_pid)"
	wait_until 60 state_is connecting
	grep -q 'has been silent for 6s' "$job_dir/move.log"
	kill -CONT "$(receiver_pid)"
	wait_ready
	eq "$(figure .mode)" delta mode
}

receiver_dies() {
	idle
	kill -KILL "$(receiver_pid)"
	wait "$(receiver_pid)" || :
	wait_until 60 state_is connecting
	put 40
	start_receiver
	wait_ready
	eq "$(figure .mode)" delta mode
	same_disks
}

# jump DAYS: the wall clock, while passes run and in a cutover. The shell's
# SECONDS jump with it: no wait may span one.
jump() { date -s "@$(($(date +%s) + $1 * 86400))" >/dev/null; }

clock_jumps() {
	begin_case
	cleanup_fn set_clock "$(date +%s)"
	make_ext4 "$d0" data
	started
	jump 3
	put_file before
	wait_until 30 passes_are $(($(figure .passes) + 2))
	jump -9
	put_file after
	wait_until 30 passes_are $(($(figure .passes) + 2))
	state_is ready
	cut_over --then thaw --max-downtime 20s &
	echo $! >"$job_dir/cutover.pid"
	jump 400
	wait "$(cat "$job_dir/cutover.pid")"
	[ "$(reported .cutover.downtime_ns)" -lt 20000000000 ]
}

set_clock() { date -s "@$1"; }

put_file() { dd if=/dev/urandom of="$job_dir/data.mnt/$1" bs=64k count=4 conv=fsync 2>/dev/null; }

knob=/proc/sys/kernel/io_uring_disabled

without_io_uring() {
	begin_case
	cleanup_fn sh -c "echo 0 >$knob"
	echo 2 >$knob
	started
	grep -q 'io_uring is not permitted here; set kernel.io_uring_disabled' "$job_dir/move.log"
	grep -q 'io_uring is not permitted here; set kernel.io_uring_disabled' "$job_dir/receiver.log"
	put 77
	blkferry sync move
	same_disks
}

run_case "an idle job notices a receiver that hangs" receiver_hangs
run_case "an idle job notices a receiver that dies" receiver_dies
run_case "the wall clock jumps" clock_jumps
# Kernels before 6.6 cannot be told to.
[ "$(printf '%s\n' 6.6 "$(uname -r)" | sort -V | head -n 1)" != 6.6 ] ||
	run_case "the kernel refuses io_uring" without_io_uring
