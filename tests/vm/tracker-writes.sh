# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: every way to change a block marks exactly the blocks it touches, on
# virtio, SCSI and NVMe disks; what changes none marks none. Reads and flushes
# mark nothing.
# VM: mem=1024 disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 modules=xfs tools=mkfs.xfs kernels=all+generic+rt+fault check=5.10+6.12+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

# Sector and count: aligned, within a block, over block borders, large, the end.
spots() {
	local sectors
	sectors=$(blockdev --getsz "$1")
	printf '%s %s\n' 0 8 8 1 15 2 23 17 1000 9 4096 2048 65528 16 \
		262128 16 $((sectors - 8)) 8 $((sectors - 1)) 1
	[ "$sectors" -le 262144 ] || echo 262136 16
}

direct_writes() {
	local disk=$1 flags=$2 at count
	track w "$disk"
	while read -r at count; do
		write_at "$disk" "$at" "$count" "$flags"
		dirty_is w "$disk" "$(blocks "$at" "$count")"
	done < <(spots "$disk")
}

buffered_writes() {
	track w "$1"
	dd if=/dev/urandom of="$1" bs=1000 seek=7 count=50 conv=notrunc,fsync status=none
	dirty_is w "$1" "$(blocks 13 99)"
	dd if=/dev/urandom of="$1" bs=1M seek=5 count=3 conv=notrunc,fsync status=none
	dirty_is w "$1" "10240+6144"
}

nothing_written() {
	track w "$1"
	dd if="$1" of=/dev/null bs=1M count=16 iflag=direct status=none
	sync -d "$1"
	blockdev --flushbufs "$1"
	eq "$(stat_of w writes)" 0 writes
	dirty_is w "$1" -
}

discards() {
	local before
	track w "$1"
	blkdiscard -o $((64 * 4096)) -l $((16 * 4096)) "$1"
	dirty_is w "$1" "512+128"
	blkdiscard "$1"
	dirty_is w "$1" "0+$(blockdev --getsz "$1")"
	before=$(stat_of w discards)
	[ "$before" -ge 2 ]
}

zeroes() {
	track w "$1"
	blkdiscard -z -o $((100 * 4096)) -l $((300 * 4096)) "$1"
	dirty_is w "$1" "800+2400"
	fallocate -z -o 4096 -l 8192 "$1"
	dirty_is w "$1" "8+16"
	[ "$(stat_of w zeroes)" -ge 2 ]
}

punched_holes() {
	track w "$1"
	fallocate -p -o 1M -l 2M "$1"
	dirty_is w "$1" "2048+4096"
}

# A checkpoint of XFS frees many extents in one plug: they merge into requests
# of several ranges, the only way they come about. The trace shows that they did:
# fewer requests complete than bios were queued.
multi_range_discards() {
	local n trace=/sys/kernel/tracing
	blkdiscard "$1"
	modprobe xfs
	mkfs.xfs -f -q "$1"
	mount -o discard "$1" /mnt
	cleanup_fn umount /mnt
	for n in $(seq 64); do
		dd if=/dev/urandom of="/mnt/$n" bs=64k count=1 status=none
	done
	sync -f /mnt
	track w "$1"
	remember "$1"
	echo 1 | tee $trace/events/block/block_{bio_queue,rq_complete}/enable
	cleanup_fn eval "echo 0 | tee $trace/events/block/enable"
	for n in $(seq 1 2 64); do
		rm "/mnt/$n"
	done
	sync -f /mnt
	fsfreeze -f /mnt
	cleanup_fn fsfreeze -u /mnt
	wait_until 20 discards_are_done
	[ "$discards_queued" -gt "$discards_completed" ]
	covers_all_changes w "$1"
}

# The bios of a merged request all end with it: none is left when as many bytes
# completed as were queued.
discards_are_done() {
	local sums
	sums=$(awk '/ D[A-Z]* / {
			for (i = 1; i <= NF && $i != "+"; i++) ;
			if (/bio_queue/) { queued++; q += $(i + 1) }
			else { completed++; c += $(i + 1) }
		} END { print queued + 0, completed + 0, q + 0, c + 0 }' \
		/sys/kernel/tracing/trace)
	echo "discards queued, completed, their sectors: $sums"
	# shellcheck disable=SC2086  # words
	set -- $sums
	discards_queued=$1 discards_completed=$2
	[ "$1" -gt 0 ] && [ "$3" -eq "$4" ]
}

random_load() {
	local n
	blkdiscard "$1"
	track w "$1"
	remember "$1"
	for n in $(seq 60); do
		write_at "$1" $((RANDOM * 7 % 260000)) $((RANDOM % 60 + 1)) &
		[ $((n % 4)) -ne 0 ] || wait
	done
	wait
	covers_all_changes w "$1"
}

granularities() {
	track coarse "$1" 65536
	track fine "$1" 4096
	write_at "$1" 1000 9
	write_at "$1" 130 2
	dirty_is coarse "$1" "128+128,896+128"
	dirty_is fine "$1" "128+8,1000+16"
}

counters() {
	track w "$1"
	write_at "$1" 0 64
	write_at "$1" 32 64
	eq "$(stat_of w writes)" 2 writes
	eq "$(stat_of w write_bytes)" 65536 write_bytes
	eq "$(stat_of w new_blocks)" 12 new_blocks
	eq "$(stat_of w dirty_bytes)" 49152 dirty_bytes
}

for disk in virtio:$d0 scsi:$d1 nvme:$d2; do
	kind=${disk%%:*} disk=${disk#*:}
	run_case "$kind: direct writes" direct_writes "$disk" direct
	run_case "$kind: direct synchronous writes" direct_writes "$disk" sync
	run_case "$kind: buffered writes" buffered_writes "$disk"
	run_case "$kind: reads and flushes mark nothing" nothing_written "$disk"
	run_case "$kind: discards" discards "$disk"
	run_case "$kind: write-zeroes" zeroes "$disk"
	run_case "$kind: punched holes" punched_holes "$disk"
	run_case "$kind: parallel writes, no change missed" random_load "$disk"
	run_case "$kind: two granularities at once" granularities "$disk"
	run_case "$kind: statistics" counters "$disk"
done
run_case "nvme: discards of several ranges, no change missed" multi_range_discards "$d2"
