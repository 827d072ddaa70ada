# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: trackers are independent, however many there are. 256 of them on two
# disks each see every write, and are drained and committed by themselves. The
# memory limit counts for all together: beyond it marks get coarse in each, none
# is lost. A disk that shrinks raises a reason. Who does not read what he is told
# harms nobody else, and begins nothing.
# VM: disks=virtio:256M+scsi:1T+nvme:320M limit=1200 kernels=all+fault check=5.10+6.1+7
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

# The numbers of trackers, 16 a group: on $d0 the even ones, on $d2 the odd ones.
disk_of() { if [ $(($1 % 2)) -eq 0 ]; then echo "$d0"; else echo "$d2"; fi; }

steps_for_all() {
	local n
	steps=()
	for n in $(seq 0 255); do
		steps+=("$1 t$n ${2:+$(disk_of "$n")}")
	done
}

untrack_all() {
	steps_for_all untrack
	consumer "${steps[@]}" >/dev/null
}

track_all() {
	steps_for_all track disk
	consumer "${steps[@]}" | tail -n 1
	cleanup_fn whatever untrack_all
}

# group_drains FIRST: 16 trackers at one swap; each has exactly the one block.
group_drains() {
	local n steps=("begin")
	for n in $(seq "$1" $(($1 + 15))); do
		steps[0]+=" t$n $(disk_of "$n")"
	done
	for n in $(seq "$1" $(($1 + 15))); do
		steps+=("walk t$n" "finish t$n")
	done
	consumer "${steps[@]}" >"$test_tmp/out"
	eq "$(grep -c "extents=$2 blocks=1" "$test_tmp/out")" 16 "trackers with $2 and nothing else"
}

all_of_256() {
	local first
	track_all
	write_at "$d0" 800 8
	write_at "$d2" 800 8
	for first in $(seq 0 16 255); do
		group_drains "$first" 800+8
	done
	consumer "mark t7 0+8"
	write_at "$d2" 80 8
	dirty_is t7 "$d2" "0+8,80+8"
	dirty_is t9 "$d2" "80+8"
	dirty_is t8 "$d0" -
}

limit=/sys/module/blkferry/parameters/leaves_max_bytes

# Two trackers, and room for fewer leaves than either of them wants.
one_limit_for_all() {
	local n steps=() extents=""
	cleanup_fn sh -c "echo $(cat $limit) >$limit"
	echo $((600 * 4096)) >$limit
	track a "$d1"
	track b "$d1"
	for n in $(seq 0 799); do
		[ $((n % 40)) -ne 0 ] || steps+=("mark a" "mark b")
		steps[-2]+=" $((n * 262144))+8"
		steps[-1]+=" $((n * 262144))+8"
		extents+=" $((n * 262144))"
	done
	consumer "${steps[@]}" >/dev/null
	[ $(($(stat_of a coarse_marks) + $(stat_of b coarse_marks))) -ge 900 ]
	holds_all a "$d1" "$extents"
	holds_all b "$d1" "$extents"
}

shrinks() {
	modprobe loop
	truncate -s 64M /tmp/loop
	disk=$(losetup --show -f /tmp/loop)
	cleanup_fn rm -f /tmp/loop
	cleanup_fn losetup -d "$disk"
	track a "$disk"
	write_at "$disk" 800 8
	write_at "$disk" $((60 << 11)) 8
	truncate -s 32M /tmp/loop
	losetup -c "$disk"
	start_consumer
	ask_ok begin a "$disk"
	ask_ok walk a
	eq "$(value extents "$reply")" "800+8,$((60 << 11))+8" dirty
	ask_ok finish a
	eq "$(reason_of a resized)" "1 0" "reason resized"
}

full_buffers() {
	track a "$d0"
	write_at "$d0" 800 8
	unread "$d0" a
}

run_case "256 trackers, each for itself" all_of_256
run_case "one memory limit for all trackers" one_limit_for_all
run_case "a disk shrinks" shrinks
run_case "buffers that nobody reads" full_buffers
