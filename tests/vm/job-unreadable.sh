# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: a sector that the source's disk does not give is tried again and then
# named; by itself the job stops there. With zero-and-report the target has zeroes
# in its place and in no other, verify and report say so, also after a restart,
# and when the disk gives it again the target gets it. A copy does the same.
# VM: disks=virtio:32M+virtio:32M mem=776 in=full limit=400 kernels=6.1 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii+sd_mod+scsi_debug tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# scsi_debug answers reads of these ten sectors with a medium error, if told to.
first=4660 count=10 size_mib=24
job_interval=1h

fails() { echo "$1" >/sys/bus/pseudo/drivers/scsi_debug/opts; }

debug_disk() {
	local at
	for at in /sys/block/sd*/device/model; do
		[ -e "$at" ] || continue
		at=${at%/device/model}
		! grep -q '^scsi_debug' "$at/device/model" || echo "/dev/${at##*/}"
	done
}

has_disk() { [ -b "$(debug_disk)" ]; }

# A disk of random data with ten bad sectors, known byte by byte.
bad_disk() {
	begin_case
	modprobe sd_mod
	modprobe scsi_debug dev_size_mb=$size_mib
	cleanup_fn wait_until 20 rmmod scsi_debug
	cleanup_fn end_case
	wait_until 20 has_disk
	source_device=$(debug_disk)
	dd if=/dev/urandom of="$job_dir/content" bs=1M count=$size_mib 2>/dev/null
	dd if="$job_dir/content" of="$source_device" bs=1M oflag=direct 2>/dev/null
	cp "$job_dir/content" "$job_dir/zeroed"
	dd if=/dev/zero of="$job_dir/zeroed" bs=512 seek=$first count=$count conv=notrunc 2>/dev/null
	fails 2
	start_receiver
	write_job "$@"
}

target_is() { same_bytes "$job_dir/$1" "$d1" $((size_mib << 20)); }

unreadable() { figure '.disks[0].unreadable_bytes'; }

stops() {
	local status=0
	bad_disk
	start_job
	wait "$(job_pid)" || status=$?
	eq "$status" 1 "status of the job"
	grep -q "disk disk: $count sectors cannot be read, the first $count of them at sector $first, after 5 attempts" "$job_dir/move.log"
	grep -q 'on-read-error = zero-and-report' "$job_dir/move.log"
	# The disk has recovered: the job goes on.
	fails 0
	start_job
	wait_ready
	target_is content
}

verified() {
	blkferry verify move --json >"$job_dir/report"
	eq "$(reported '.disks[0].unreadable | tojson')" \
		"[{\"length_bytes\":$((count * 512)),\"offset_bytes\":$((first * 512))}]" ranges
	eq "$(reported '[.equal, .identical] | tojson')" '[true,false]' verdict
}

zeroes_and_reports() {
	bad_disk 'on-read-error = zero-and-report'
	whatever blkferry plan move --config "$job_dir/move.conf" >"$job_dir/plan"
	grep -q "reading failed at 1 of $size_mib places" "$job_dir/plan"
	start_job
	wait_ready
	target_is zeroed
	eq "$(unreadable)" $((count * 512)) "unreadable bytes"
	grep -q "disk disk: $count sectors from sector $first cannot be read" "$job_dir/move.log"
	verified
	blkferry verify move | grep -q "are equal except $count sectors that cannot be read"
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
	start_job
	wait_ready
	eq "$(figure .mode)" delta mode
	verified
	# It is tried again when asked, and found; nothing is left of it.
	fails 0
	blkferry sync move
	eq "$(unreadable)" 0 "unreadable bytes"
	target_is content
	blkferry verify move | grep -q 'are identical'
}

# A resync meets the sectors in the comparison; a cutover tells of them.
resync_and_cutover() {
	bad_disk 'on-read-error = zero-and-report'
	dd if="$job_dir/content" of="$d1" bs=1M oflag=direct 2>/dev/null
	blkferry run move --resync --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" 2>"$job_dir/move.log" &
	echo $! >"$job_dir/move.pid"
	wait_ready
	eq "$(figure .mode)" resync mode
	target_is zeroed
	cut_over --then thaw
	eq "$(reported .cutover.unreadable_bytes)" $((count * 512)) "in the report"
	wait "$(job_pid)"
	blkferry report move --records-dir "$job_dir/source" | grep -qE 'unreadable|5K'
	eq "$(blkferry report move --records-dir "$job_dir/source" --json |
		jq '.disks[0].unreadable_bytes')" $((count * 512)) "in the record"
}

# A copy made by hand ends with status 4, and the target is whole but for them.
copied_once() {
	bad_disk
	expect_status 1 blkferry copy "$source_device" "$job_dir/copy.img" --overwrite
	grep -q "disk .*: $count sectors cannot be read" "$test_tmp/out"
	expect_status 4 blkferry copy "$source_device" "$job_dir/copy.img" --overwrite \
		--on-read-error zero-and-report
	grep -q "disk .*: $count sectors from sector $first cannot be read" "$test_tmp/out"
	grep -q "zeroes stand for $count sectors that cannot be read" "$test_tmp/out"
	cmp "$job_dir/zeroed" "$job_dir/copy.img"
	fails 0
	expect_status 0 blkferry copy "$source_device" "$job_dir/copy.img" --overwrite \
		--on-read-error zero-and-report
	cmp "$job_dir/content" "$job_dir/copy.img"
}

run_case "the job stops and names the sectors" stops
run_case "zeroes in their place, reported and tried again" zeroes_and_reports
run_case "in a resync and a cutover" resync_and_cutover
run_case "a copy that is made by hand" copied_once
