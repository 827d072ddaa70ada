# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: a job that is done runs again once its target was reopened by name,
# and not before, when it leaves no tracker; a disk that is added to a job later
# makes all of its disks be compared, once, after which they cut over together; one
# that is taken out is not tracked any more.
# VM: disks=virtio:48M+virtio:48M+virtio:32M+virtio:32M mem=640 in=full limit=600 kernels=6.1 modules=ext4+loop tools=mkfs.ext4+wipefs+fsfreeze+mountpoint+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

d2=/dev/vm/d2 d3=/dev/vm/d3

reopen() { blkferry receive --config "$job_dir/receiver.conf" --reopen disk; }

# Cut over, with its end. Compared before the thaw: what lives on is written.
moved() {
	cut_over --then hold
	wait "$(job_pid)"
	same_disks
	[ $# -eq 0 ] || "$@"
	blkferry thaw move
	wait_until 10 no_guardian
}

runs_again() {
	begin_case
	make_ext4 "$d0" data
	started
	moved
	start_job
	status=0
	wait "$(job_pid)" || status=$?
	eq "$status" 7 "status of a run before the target is reopened"
	grep -q 'receive --reopen disk' "$job_dir/move.log"
	[ -z "$(blkferry stats --json | jq -r '.trackers[]?.name')" ]
	echo "the second time" >"$job_dir/data.mnt/word"
	reopen
	start_job
	wait_ready
	grep -qE 'job move: (full|resync), because' "$job_dir/move.log"
	moved
	[ -z "$(blkferry stats --json | jq -r '.trackers[]?.name')" ]
}

second_is_equal() { same_bytes "$d2" "$d3"; }

disk_added_later() {
	begin_case
	wipefs -qa "$d2" "$d3"
	make_ext4 "$d0" data
	make_ext4 "$d2" more
	started
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
	echo "meanwhile" >"$job_dir/data.mnt/word"
	add_disk "$d2" "$d3"
	start_job
	wait_ready
	eq "$(figure .mode)" resync "how the job goes on"
	eq "$(figure '.disks | length')" 2 disks
	moved second_is_equal
	eq "$(reported '.cutover.filesystems | length')" 2 "frozen filesystems"
}

disk_taken_out() {
	begin_case
	wipefs -qa "$d2" "$d3"
	start_receiver
	write_job
	add_disk "$d2" "$d3"
	start_job
	wait_ready
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
	sed -i '/^\[disk more\]/,$d' "$job_dir/move.conf"
	start_job
	wait_ready
	eq "$(blkferry stats --json | jq -r '.trackers[].name')" move:disk trackers
	moved
}

run_case "a job that is done runs again once its target is reopened" runs_again
run_case "a disk is added to a job later" disk_added_later
run_case "a disk is taken out of a job" disk_taken_out
