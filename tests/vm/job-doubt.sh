# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULE 3): what the tracker may have missed makes the job copy all again
# by itself, and clears the reason only then; a disk that is gone ends the job
# with words; a job never cuts over with a reason standing.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=400 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii+scsi_debug+sd_mod tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+jq+losetup+mountpoint+e2fsck+unshare+cmp+sg_raw
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

resynced() { [ "$(figure '.last_pass.blocks')" != null ] && state_is ready && [ -z "$(reasons)" ]; }

resync_by_itself() {
	scsi_source
	started
	before=$(figure .raw_bytes)
	opaque_write
	wait_until 30 grep -q 'needs a resync' "$job_dir/move.log"
	wait_until 60 resynced
	[ "$(figure .raw_bytes)" -ge $((before + (64 << 20))) ]
	cmp -n $((64 << 20)) "$source_device" "$d1"
	cut_over --then thaw
}

# The pre-freeze hook raises it: the cutover makes the resync first.
doubt_before_the_freeze() {
	scsi_source
	started "pre-freeze = sg_raw $source_device c0 00 00 00 00 00; true"
	before=$(figure .raw_bytes)
	cut_over --then thaw
	[ "$(reported .raw_bytes)" -ge $((before + (64 << 20))) ]
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

run_case "an opaque command brings a resync" resync_by_itself
run_case "doubt just before the freeze" doubt_before_the_freeze
run_case "a disk that is gone ends the job" disk_gone
