# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULE 2): a replicator or a receiver that dies at any of its fault points
# (user/lib/fault.h), in a full copy, a delta or a resync, while the disk is being
# written, is started again and goes on; in the end source and target are equal.
# BLKFERRY_POINTS=all meets every point in every phase, else a sample by
# BLKFERRY_SEED. (Those of the cutover: cutover-death.sh.)
# VM: disks=virtio:32M+virtio:32M mem=776 limit=500 kernels=5.10+6.1+7 limit_full=3000 modules=dm-mod+ext4+loop tools=lvm+dmsetup+mkfs.ext4+fio+wipefs+fsfreeze+losetup+mountpoint+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash
# shellcheck source=/dev/null
. /t/settings
# shellcheck source=tests/vm/lives.bash
. /t/tests/vm/lives.bash

# source_lives POINT PHASE... : it dies there in each of these, one after the other.
source_lives() {
	local point=$1 phase
	shift
	world
	for phase in "$@"; do
		if [ "$phase" != full ]; then
			start_job
			wait_ready
			kill -TERM "$(job_pid)"
			wait "$(job_pid)"
		fi
		prepare "$phase"
		dies_at "$point" 1
		put_some
	done
	goes_on
	ends_equal
}

# The receiver dies, the replicator lives and connects again.
receiver_dies_at() {
	local point=$1 phase=$2 status=0
	world
	stop_receiver
	start_receiver "$point:1"
	if [ "$phase" = resync ]; then
		dd if="$d0" of="$d1" bs=1M oflag=direct 2>/dev/null
		blkferry run move --resync --config "$job_dir/move.conf" \
			--records-dir "$job_dir/source" 2>"$job_dir/move.log" &
		echo $! >"$job_dir/move.pid"
	else
		start_job
	fi
	wait "$(cat "$job_dir/receiver.pid")" || status=$?
	eq "$status" 137 "status of the receiver that was to die at $point"
	put_some
	start_receiver
	wait_ready
	ends_equal
}

phases=(full delta resync)
if [ "${BLKFERRY_POINTS:-}" = all ]; then
	for point in "${source_points[@]}"; do
		run_case "killed at $point in a full copy, a delta, a resync" \
			source_lives "$point" full delta resync
	done
	run_case "killed while it compares" source_lives source-compared resync
	for point in "${target_points[@]}"; do
		run_case "the receiver dies at $point" receiver_dies_at "$point" full
	done
	run_case "the receiver dies at target-digest" receiver_dies_at target-digest resync
else
	RANDOM=$seed
	for _ in 1 2 3; do
		point=${source_points[RANDOM % ${#source_points[@]}]}
		phase=${phases[RANDOM % 3]}
		run_case "seed $seed: killed at $point, $phase" source_lives "$point" "$phase"
	done
	for _ in 1 2; do
		point=${target_points[RANDOM % ${#target_points[@]}]}
		run_case "seed $seed: the receiver dies at $point" receiver_dies_at "$point" full
	done
fi
