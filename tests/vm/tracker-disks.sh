# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a disk that goes away takes nothing down: its trackers say so and can
# be drained to their end and deleted. A size that changes raises a reason.
# Failed writes are marked: they may have landed in part.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 tools=blkzone kernels=all+generic+rt+fault check=5.10+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

# Sets $disk to a new disk of scsi_debug.
scsi_debug_disk() {
	modprobe scsi_debug dev_size_mb=64 lbpu=1 lbpws=1 delay=0 no_uld=0 || return 1
	cleanup_fn rmmod scsi_debug
	wait_until 10 find_scsi_debug
}

find_scsi_debug() {
	local at
	for at in /sys/block/sd*; do
		if grep -q scsi_debug "$at/device/model"; then
			disk=/dev/${at##*/}
			[ -b "$disk" ] && return 0
		fi
	done
	return 1
}

remove() { echo 1 >"/sys/block/${1##*/}/device/delete"; }

gone() {
	scsi_debug_disk
	consumer "track a $disk"
	cleanup_fn whatever consumer "untrack a"
	start_consumer
	ask_ok event 0
	write_at "$disk" 0 8
	remove "$disk"
	ask_ok event 10000
	[[ $reply = "ok event="[12]" name=a "* ]]
	wait_until 10 is_gone a
	consumer "untrack a"
}

is_gone() { [ "$(reason_of "$1" gone)" = "1 0" ]; }

gone_while_draining() {
	scsi_debug_disk
	consumer "track a $disk" "mark a 0+8 800+8"
	start_consumer
	ask_ok begin a "$disk"
	ask_ok window a 0
	remove "$disk"
	wait_until 10 is_gone a
	ask_ok walk a
	eq "$(value extents "$reply")" "0+8,800+8" extents
	ask_ok commit a 8
	ask_ok close a
	ask_ok peek a
	eq "$(value extents "$reply")" "800+8" "after the return"
	consumer "untrack a"
}

gone_under_load() {
	scsi_debug_disk
	consumer "track a $disk"
	dd if=/dev/zero of="$disk" bs=4k oflag=direct status=none 2>/dev/null &
	writes_seen() { [ "$(stat_of a writes)" -gt 10 ]; }
	wait_until 10 writes_seen
	remove "$disk"
	whatever wait
	wait_until 10 is_gone a
	consumer "untrack a"
}

nobody_home() {
	scsi_debug_disk
	exec 7<"$disk"
	remove "$disk"
	fails_saying "^error (ENODEV|ENXIO) ..." consumer "track a /dev/fd/7"
	exec 7<&-
}

# Sets $disk to a loop disk on a file of MIB.
loop_disk() {
	modprobe loop
	truncate -s "$1M" /tmp/loop
	disk=$(losetup --show -f /tmp/loop)
	cleanup_fn rm -f /tmp/loop
	cleanup_fn losetup -d "$disk"
}

grows() {
	loop_disk 64
	track a "$disk"
	start_consumer
	ask_ok event 0
	truncate -s 80M /tmp/loop
	losetup -c "$disk"
	ask_ok begin a "$disk"
	ask_ok finish a
	eq "$(reason_of a resized)" "1 0" "reason resized"
	eq "$(stat_of a sectors)" $((64 << 11)) "the tracker keeps its size"
}

writes_behind_the_end() {
	loop_disk 64
	track a "$disk"
	truncate -s 80M /tmp/loop
	losetup -c "$disk"
	write_at "$disk" $((70 << 11)) 8
	local overflow
	overflow=$(reason_of a overflow)
	[ "${overflow% *}" -ge 1 ]
}

# The kernel counts media from 5.15 on; before it nobody is told.
counts_media() { [ -e "/sys/block/${disk##*/}/diskseq" ]; }

# A loop disk that gets another file is the same disk with another medium.
another_medium() {
	local raised="1 0" event="ok event=1 name=a reason=8" coverage=detected
	loop_disk 64
	cleanup_fn rm -f /tmp/other
	counts_media || raised="0 0" event="ok none" coverage="not seen"
	eq "$(blkferry stats "$disk" --coverage --json |
		jq -r '.coverage[] | select(.what == "another medium").seen')" \
		"$coverage" "what coverage says of it"
	track a "$disk"
	write_at "$disk" 800 8
	truncate -s 64M /tmp/other
	losetup -d "$disk"
	losetup "$disk" /tmp/other
	start_consumer
	ask_ok event 0
	ask_ok begin a "$disk"
	ask_ok event 3000
	eq "$reply" "$event" event
	ask_ok walk a
	eq "$(value extents "$reply")" 800+8 "what was marked before"
	ask_ok finish a
	eq "$(reason_of a media)" "$raised" "reason media"
	eq "$(reason_of a resized)" "0 0" "reason resized"
	write_at "$disk" 1600 8
	consumer "begin a $disk" "finish a - resynced"
	eq "$(reason_of a media)" "${raised/ 0/ ${raised%% *}}" "after a resync"
}

failed_writes() {
	null_disk "badblocks=+800-807"
	track a "$disk"
	whatever write_at "$disk" 800 8
	eq "$(stat_of a failed)" 1 failed
	dirty_is a "$disk" "800+8"
}

discards_on_null() {
	null_disk discard=1
	track a "$disk"
	blkdiscard -o 1M -l 1M "$disk"
	dirty_is a "$disk" "2048+2048"
}

zones() {
	null_disk zoned=1 zone_size=16 zone_nr_conv=1
	track a "$disk"
	write_at "$disk" 32768 16
	dirty_is a "$disk" "32768+16"
	blkzone reset -o 32768 -c 1 "$disk"
	dirty_is a "$disk" "32768+32768"
	[ "$(stat_of a zone_ops)" -ge 1 ]
	blkzone finish -o 65536 -c 1 "$disk"
	dirty_is a "$disk" "65536+32768"
	blkzone reset "$disk"
	dirty_is a "$disk" "0+262144"
}

run_case "a disk goes away" gone
run_case "a disk goes away during a drain" gone_while_draining
run_case "a disk goes away under load" gone_under_load
run_case "a disk that is gone cannot be tracked" nobody_home
run_case "a disk grows" grows
run_case "a write behind the old end" writes_behind_the_end
run_case "another medium, where the kernel counts them" another_medium
run_case "failed writes are marked and counted" failed_writes
run_case "discards on null_blk" discards_on_null
run_case "zones" zones
