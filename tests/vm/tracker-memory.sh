# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a dry reserve and the memory limit cost precision, never a mark: what
# has no leaf is marked in units of 4 MiB and counted. Memory follows what was
# touched, and all of it comes back.
# VM: disks=virtio:256M+scsi:1T+nvme:320M limit=300 kernels=all+generic+rt+fault check=5.10+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

limit=/sys/module/blkferry/parameters/leaves_max_bytes

no_more_memory() {
	cleanup_fn sh -c "echo $(cat $limit) >$limit"
	echo 0 >$limit
}

coarse_marks() {
	no_more_memory
	track a "$d0"
	write_at "$d0" 8 8
	eq "$(stat_of a coarse_marks)" 1 coarse_marks
	write_at "$d0" 16 8
	write_at "$d0" 8184 16
	write_at "$d0" $((262144 + 8192 * 3 + 9)) 1
	dirty_is a "$d0" "0+16384,$((262144 + 8192 * 3))+8192"
}

coarse_is_returned() {
	no_more_memory
	track a "$d0"
	write_at "$d0" 8200 8
	whatever consumer "begin a $d0" "walk a" "die"
	dirty_is a "$d0" "8192+8192"
}

# Leaves come back with the limit: marks get exact again.
exact_again() {
	local was
	was=$(cat $limit)
	no_more_memory
	track a "$d0"
	write_at "$d0" 8 8
	dirty_is a "$d0" "0+8192"
	echo "$was" >$limit
	drained a "$d0"
	reserve_is_filled() { [ "$(stat_of a reserve_leaves)" -gt 0 ]; }
	wait_until 20 reserve_is_filled
	write_at "$d0" 8 8
	dirty_is a "$d0" "8+8"
}

mixed_exact_and_coarse() {
	track a "$d0"
	write_at "$d0" 64 8
	no_more_memory
	write_at "$d0" 128 8
	dirty_is a "$d0" "64+8,128+8"
}

born_dirty() {
	track a "$d1" 0 dirty
	dirty_is a "$d1" "0+$(blockdev --getsz "$d1")"
	dirty_is a "$d1" -
}

born_dirty_takes_no_leaf() {
	track a "$d1" 0 dirty
	track b "$d1"
	[ "$(stat_of a memory_bytes)" -le "$(stat_of b memory_bytes)" ]
	eq "$(stat_of a dirty_bytes)" "$(blockdev --getsize64 "$d1")" dirty_bytes
}

follows_what_was_touched() {
	local before n
	track a "$d1"
	before=$(stat_of a memory_bytes)
	[ "$before" -le $((4 << 20)) ]
	for n in $(seq 0 40 8000); do
		consumer "mark a $((n * 262144))+8" >/dev/null
	done
	[ "$(stat_of a memory_bytes)" -le $((before + 210 * 4096 + (1 << 20))) ]
	eq "$(stat_of a new_blocks)" 201 new_blocks
}

# More extents in a leaf than a bitmap takes: the answer changes its shape.
full_of_holes() {
	local n steps=() wanted=""
	track a "$d0"
	for n in $(seq 0 999); do
		wanted+=,$((n * 16))+8
		if [ $((n % 50)) -eq 0 ]; then
			steps+=("mark a")
		fi
		steps[-1]+=" $((n * 16))+8"
	done
	consumer "${steps[@]}" >/dev/null
	start_consumer
	ask_ok begin a "$d0"
	eq "$(value blocks "$reply")" 1000 blocks
	ask_ok walk a
	eq "$(value extents "$reply")" "${wanted#,}" extents
	ask_ok finish a
}

over_leaf_borders() {
	track a "$d0"
	consumer "mark a 262136+16 0+8"
	dirty_is a "$d0" "0+8,262136+16"
	consumer "mark a 0+524288"
	dirty_is a "$d0" "0+524288"
}

all_comes_back() {
	local n before after
	leaves() {
		# KASAN keeps what was freed for a while; this makes it let go.
		echo 1 >/sys/kernel/slab/blkferry_leaf/shrink
		awk '$1 == "blkferry_leaf" { n = $2 } END { print n + 0 }' /proc/slabinfo
	}
	before=$(leaves)
	for n in 1 2 3; do
		consumer "track a $d1 0 dirty" "mark a 0+8 4000000+8" "untrack a"
	done
	after=$(leaves)
	echo "$before leaves before, $after after"
	[ "$after" -le $((before + 16)) ]
}

run_case "without leaves marks are coarse and counted" coarse_marks
run_case "coarse marks survive a consumer's death" coarse_is_returned
run_case "marks are exact again when there is memory" exact_again
run_case "a leaf that is there stays exact" mixed_exact_and_coarse
run_case "a tracker born all dirty" born_dirty
run_case "all dirty takes no leaf" born_dirty_takes_no_leaf
run_case "memory follows what was touched" follows_what_was_touched
run_case "a leaf full of holes" full_of_holes
run_case "marks over the border of leaves" over_leaf_borders
run_case "memory comes back with untrack" all_comes_back
