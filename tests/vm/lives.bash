# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash source=tests/vm/cutover.bash
# What tests share that let replicators and receivers die while a disk is being
# written: the world they live in, their deaths, and what must come of it.
# Sourced after cutover.bash; BLKFERRY_SEED says what is drawn.

# shellcheck disable=SC2034,SC2154  # d0 and job_dir from there, points for others
# and from the settings
seed=${BLKFERRY_SEED:-1}
job_interval=300ms
data_mib=12

# What only some ways come by: source-compared and target-digest a resync, which the
# tests name; target-attached a job of several connections; the rest a cutover
# (cutover-death.sh).
is_elsewhere() {
	case $1 in
	source-compared | target-digest | target-attached | *-cutover | *-cut-over | cutover-* | \
		target-answered) ;;
	*) return 1 ;;
	esac
}

# The table of user/lib/fault.h, as tests/run put it into the settings.
source_points=() target_points=()
for point in $FAULT_POINTS; do
	is_elsewhere "$point" && continue
	case $point in
	target-*) target_points+=("$point") ;;
	*) source_points+=("$point") ;;
	esac
done
[ ${#source_points[@]} -ge 12 ] && [ ${#target_points[@]} -ge 12 ] || exit 1

# More than a step of the program with fault points, which is 1 MiB.
put_some() {
	dd if=/dev/urandom of="$d0" bs=256k count=12 seek=$((RANDOM % 30)) oflag=direct conv=notrunc 2>/dev/null
}

# Blocks change all over the disk, some times a second, until it is stopped.
load() {
	fio --name=load --filename="$d0" --size=${data_mib}M --rw=randwrite --bs=16k \
		--rate_iops=30 --direct=1 --ioengine=psync --thread --time_based \
		--runtime=3000 --randseed="$seed" >"$job_dir/fio.log" 2>&1 &
	echo $! >"$job_dir/writer.pid"
}

world() {
	begin_case
	dd if=/dev/zero of="$d0" bs=1M count=32 oflag=direct conv=notrunc 2>/dev/null
	dd if=/dev/urandom of="$d0" bs=1M count=$data_mib oflag=direct conv=notrunc 2>/dev/null
	start_receiver
	write_job
	load
}

stop_receiver() {
	kill -TERM "$(cat "$job_dir/receiver.pid")"
	wait "$(cat "$job_dir/receiver.pid")"
}

# What the next start meets: full, delta or resync.
prepare() {
	case $1 in
	full)
		stop_receiver
		rm -rf "$job_dir/records"
		start_receiver
		;;
	delta) put_some ;;
	resync)
		rm -rf "$job_dir/source"
		dd if=/dev/urandom of="$d1" bs=1M count=3 seek=2 oflag=direct conv=notrunc 2>/dev/null
		;;
	esac
}

# dies_at POINT NTH: a replicator that comes to this end.
dies_at() {
	local status=0
	BLKFERRY_FAULT=$1:$2 blkferry-faulty run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" >"$job_dir/move.out" 2>"$job_dir/faulty.log" &
	echo $! >"$job_dir/faulty.pid"
	wait "$(cat "$job_dir/faulty.pid")" || status=$?
	[ "$status" -eq 137 ] || cat "$job_dir/faulty.log"
	eq "$status" 137 "status of the replicator that was to die at $1:$2"
	grep -q "fault point $1 is reached" "$job_dir/faulty.log"
}

# goes_on: to a target that is whole, with the load still on.
goes_on() {
	start_job
	wait_ready
	blkferry sync move
}

# The load has stopped: what is left travels, and both are equal.
ends_equal() {
	stop_writer
	blkferry sync move
	same_disks
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
}
