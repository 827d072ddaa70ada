# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULE 2): a replicator that is killed at any of its fault points, in a
# full copy, a delta or a resync, is started again and goes on; while it is away
# and afterwards the disk is written; in the end source and target are equal.
# BLKFERRY_POINTS=all runs every point in each phase, else a sample by seed.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=900 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+jq+losetup+mountpoint+e2fsck+unshare+cmp+blockdev
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

seed=${BLKFERRY_SEED:-20261121}
job_interval=300ms
source_points=(source-opened source-claimed source-marked record-written
	record-renamed source-begun source-read source-queued source-durable
	source-committed source-ended source-finished)

# A disk of 12 MiB at the start of d0: many lives fit into a test.
small_source() {
	begin_case
	losetup -f --show --sizelimit $((12 << 20)) "$d0" >"$job_dir/loop"
	source_device=$(cat "$job_dir/loop")
	cleanup_fn whatever losetup -d "$source_device"
	cleanup_fn end_case
	dd if=/dev/urandom of="$source_device" bs=1M count=12 oflag=direct 2>/dev/null
}

put() { dd if=/dev/urandom of="$source_device" bs=64k count=4 seek="$1" oflag=direct conv=notrunc 2>/dev/null; }

faulty() {
	BLKFERRY_FAULT=$1 blkferry-faulty run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" >>"$job_dir/move.out" 2>"$job_dir/faulty.log" &
	echo $! >"$job_dir/faulty.pid"
}

# dies_at POINT:NTH: a replicator that comes to this end, while blocks change.
dies_at() {
	local status=0 pid
	faulty "$1"
	pid=$(cat "$job_dir/faulty.pid")
	put $((RANDOM % 180))
	wait "$pid" || status=$?
	eq "$status" 137 "status of the replicator at $1"
	grep -q "fault point ${1%:*} is reached" "$job_dir/faulty.log"
	put $((RANDOM % 180))
}

goes_on() {
	start_job
	wait_ready
	put $((RANDOM % 180))
	blkferry sync move
	cmp -n $((12 << 20)) "$source_device" "$d1"
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
}

# In a first full copy, then, from what that left, in deltas, then in a resync.
point() {
	local name=$1
	small_source
	start_receiver
	write_job
	dies_at "$name:1"
	goes_on
	case $name in
	source-committed | source-queued) ;;	# a delta here is one step
	*)
		put 7
		dies_at "$name:1"
		goes_on
		;;
	esac
	rm -r "$job_dir/source"
	dd if=/dev/urandom of="$d1" bs=1M count=3 seek=2 oflag=direct conv=notrunc 2>/dev/null
	[ "$name" = source-committed ] || dies_at "$name:1"
	goes_on
}

compared() {
	small_source
	start_receiver
	write_job
	goes_on
	rm -r "$job_dir/source"
	dd if=/dev/urandom of="$d1" bs=1M count=3 seek=2 oflag=direct conv=notrunc 2>/dev/null
	dies_at "source-compared:$1"
	goes_on
}

RANDOM=$seed
sample=("${source_points[@]}")
if [ "${BLKFERRY_POINTS:-}" != all ]; then
	sample=(source-marked source-finished)
	for _ in 1 2; do
		sample+=("${source_points[RANDOM % ${#source_points[@]}]}")
	done
fi
echo "# seed $seed: ${sample[*]}"
for name in "${sample[@]}"; do
	run_case "killed at $name" point "$name"
done
run_case "killed while it compares" compared $((1 + RANDOM % 12))
