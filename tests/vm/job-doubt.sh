# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULE 3): what the tracker may have missed makes the job compare all
# with the target by itself, send what differs, and clear the reason only then;
# a disk that is gone, or a tracker that another process drains, ends the job
# with words; a job never cuts over with a reason standing.
# VM: disks=virtio:96M+virtio:96M mem=784 limit=400 kernels=5.10+6.1+7 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii+scsi_debug+sd_mod tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp+sg_raw
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# The source is a SCSI disk of 64 MiB: sets $source_device.
scsi_source() {
	begin_case
	modprobe sd_mod
	modprobe scsi_debug dev_size_mb=64 delay=0
	cleanup_fn whatever rmmod scsi_debug
	cleanup_fn end_case
	wait_until 10 find_scsi
}

find_scsi() {
	local at
	for at in /sys/block/sd*; do
		grep -qs scsi_debug "$at/device/model" || continue
		source_device=/dev/${at##*/}
		[ -b "$source_device" ] && return 0
	done
	return 1
}

# A vendor's command: nobody knows what it wrote.
opaque_write() { whatever sg_raw "$source_device" c0 00 00 00 00 00; }

reasons() { figure '.disks[0].reasons | join(",")'; }

resynced() { [ "$(figure .mode)" = resync ] && state_is ready && [ -z "$(reasons)" ]; }

compared() { [ "$(grep -c 'resync): 64M compared' "$job_dir/move.log")" -ge "$1" ]; }

resync_by_itself() {
	scsi_source
	started
	before=$(figure .raw_bytes)
	# What the tracker missed, made here by the target's own change.
	dd if=/dev/urandom of="$d1" bs=4k count=3 seek=1000 oflag=direct conv=notrunc 2>/dev/null
	opaque_write
	wait_until 30 grep -q 'needs a resync' "$job_dir/move.log"
	wait_until 60 resynced
	wait_until 60 compared 1
	figure .mode_reason | grep -q 'disk: '
	eq $(($(figure .raw_bytes) - before)) $((3 * 4096)) "bytes sent"
	cmp -n $((64 << 20)) "$source_device" "$d1"
	cut_over --then thaw
}

# Nobody looks while it is raised: the next start finds it standing.
doubt_between_runs() {
	scsi_source
	started
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
	dd if=/dev/urandom of="$d1" bs=4k count=3 seek=2000 oflag=direct conv=notrunc 2>/dev/null
	opaque_write
	start_job
	wait_until 60 resynced
	wait_until 60 compared 1
	cmp -n $((64 << 20)) "$source_device" "$d1"
}

# The pre-freeze hook raises it: the cutover makes the resync first.
doubt_before_the_freeze() {
	scsi_source
	started "pre-freeze = sg_raw $source_device c0 00 00 00 00 00; true"
	dd if=/dev/urandom of="$d1" bs=4k count=3 seek=1000 oflag=direct conv=notrunc 2>/dev/null
	cut_over --then thaw
	compared 1
	cmp -n $((64 << 20)) "$source_device" "$d1"
}

disk_gone() {
	scsi_source
	started
	echo 1 >"/sys/block/${source_device#/dev/}/device/delete"
	status=0
	wait "$(job_pid)" || status=$?
	[ "$status" -ne 0 ]
	grep -q 'disk disk:' "$job_dir/move.log"
}

# Another consumer of the job's tracker commits what the job has not seen.
foreign_consumer() {
	begin_case
	job_interval=1h
	started
	dd if=/dev/urandom of="$d0" bs=4k count=1 seek=100 oflag=direct conv=notrunc
	consumer "begin move:disk $d0" "finish move:disk"
	fails_saying 'another process has drained tracker move:disk' blkferry sync move
	status=0
	wait "$(job_pid)" || status=$?
	eq "$status" 1 "status of the run"
	start_job
	wait_ready
	[ "$(figure .mode)" != delta ]
	same_disks
}

run_case "an opaque command brings a resync" resync_by_itself
run_case "doubt while no replicator runs" doubt_between_runs
run_case "doubt just before the freeze" doubt_before_the_freeze
run_case "a disk that is gone ends the job" disk_gone
run_case "changes that another consumer took are not missed" foreign_consumer
