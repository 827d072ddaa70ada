# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a tracked partition sees what touches its range, by whichever device
# it is written, clipped to the range, on a grid that starts at its first
# sector. A tracker on the disk and others on its partitions are independent.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 tools=sfdisk kernels=all+generic+rt+fault check=5.10+6.12+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

# p1 at sector 2048; p2 at 20003, off every grid of the disk's.
partition() {
	printf 'label: dos\n2048 8192 83\n20003 10001 83\n' |
		sed 's/^\([0-9]\+\) \([0-9]\+\) /start=\1, size=\2, type=/' |
		sfdisk --quiet --no-reread "$d0"
	blockdev --rereadpt "$d0"
	wait_until 10 test -b "$(part 2)"
}

part() { echo "$(realpath "$d0")$1"; }

write_through_partition() {
	track p "$(part 1)"
	eq "$(value start "$(consumer 'get p')")" 2048 start
	write_at "$(part 1)" 80 8
	dirty_is p "$(part 1)" "80+8"
}

write_through_disk() {
	track p "$(part 1)"
	write_at "$d0" $((2048 + 96)) 16
	dirty_is p "$(part 1)" "96+16"
}

outside_is_not_seen() {
	track p "$(part 1)"
	write_at "$d0" 2040 8
	write_at "$d0" $((2048 + 8192)) 8
	dirty_is p "$(part 1)" -
	eq "$(stat_of p writes)" 0 writes
}

clipped_at_both_ends() {
	track p "$(part 1)"
	write_at "$d0" 2040 16
	dirty_is p "$(part 1)" "0+8"
	write_at "$d0" $((2048 + 8192 - 8)) 16
	dirty_is p "$(part 1)" "8184+8"
	write_at "$d0" 1024 10240
	dirty_is p "$(part 1)" "0+8192"
}

# Its 10001 sectors end in a block of one sector.
own_grid() {
	track p "$(part 2)"
	write_at "$d0" 20003 1
	dirty_is p "$(part 2)" "0+8"
	write_at "$d0" $((20003 + 7)) 2
	dirty_is p "$(part 2)" "0+16"
	write_at "$d0" $((20003 + 10000)) 1
	dirty_is p "$(part 2)" "10000+1"
	write_at "$d0" $((20003 + 10001)) 1
	dirty_is p "$(part 2)" -
}

discards_are_clipped() {
	track p "$(part 1)"
	blkdiscard -o $((2000 * 512)) -l $((4096 * 512)) "$d0"
	dirty_is p "$(part 1)" "0+$((2000 + 4096 - 2048))"
}

independent() {
	track whole "$d0"
	track one "$(part 1)"
	track two "$(part 2)"
	track again "$(part 1)"
	write_at "$(part 1)" 0 8
	write_at "$(part 2)" 5 8
	dirty_is one "$(part 1)" "0+8"
	dirty_is two "$(part 2)" "0+16"
	dirty_is whole "$d0" "2048+8,20008+8"
	dirty_is again "$(part 1)" "0+8"
	dirty_is one "$(part 1)" -
}

one_goes_others_stay() {
	consumer "track a $(part 1)" "track b $d0"
	cleanup_fn consumer "untrack b"
	consumer "untrack a"
	write_at "$(part 1)" 0 8
	dirty_is b "$d0" "2048+8"
}

# The partition grows or moves: what the tracker saw is not what is there now.
moved() {
	track p "$(part 2)"
	partx --delete --nr 2 "$d0"
	partx --add --nr 2 "$d0"
	write_at "$(part 2)" 0 8
	dirty_is p "$(part 2)" "0+8"
	resizepart "$d0" 2 20000
	consumer "begin p $(part 2)" "finish p"
	eq "$(reason_of p resized)" "1 0" "reason resized"
}

# resizepart DISK NUMBER SECTORS, with the table in use.
resizepart() {
	partx --delete --nr "$2" "$1"
	printf ',%s\n' "$3" | sfdisk --quiet --no-reread --no-tell-kernel -N "$2" "$1"
	partx --add --nr "$2" "$1"
}

partition
run_case "a write through the partition" write_through_partition
run_case "a write through the disk" write_through_disk
run_case "a write beside the partition is not seen" outside_is_not_seen
run_case "writes over both ends are clipped" clipped_at_both_ends
run_case "the grid starts at the partition's first sector" own_grid
run_case "discards are clipped" discards_are_clipped
run_case "trackers on disk and partitions are independent" independent
run_case "one tracker goes, the others stay" one_goes_others_stay
run_case "a partition that changed its size needs a resync" moved
