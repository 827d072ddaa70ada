# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULE 5): whichever side dies at whichever moment of a cutover, before
# the target's record says "cut over" the source thaws and goes on with passes;
# after it the source stays as the operator chose, and one that comes back is
# refused. A replicator that is killed, or whose step fails, at any point between
# the first FIFREEZE and the proof is thawed by its guardian, or by itself, with
# nobody's help. A second cutover while one runs is refused and disturbs nothing.
# VM: disks=virtio:32M+virtio:32M mem=776 in=full limit=1000 kernels=6.1 modules=dm-mod+ext4+loop tools=lvm+dmsetup+mkfs.ext4+fio+wipefs+fsfreeze+losetup+mountpoint+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash
# shellcheck source=/dev/null
. /t/settings

# world [FAULT]: a job of a mounted filesystem; the receiver dies as told.
world() {
	begin_case
	mkfs.ext4 -q -F "$d0" 16M
	mount_at "$d0" data
	start_receiver "$@"
	write_job
	sed -i 's/^timeout = .*/timeout = 5s/' "$job_dir/move.conf"
	start_job
	wait_ready
}

receiver_died() {
	local status=0
	wait "$(cat "$job_dir/receiver.pid")" || status=$?
	eq "$status" 137 "status of the receiver"
}

cut_over_later() {
	wait_ready
	cut_over --then hold
	eq "$(reported .cutover.state)" cut-over state
	same_disks
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
}

kill_receiver_at_freeze() {
	until [[ $(<"$job_dir/move.log") = *": freezing "* ]]; do
		:
	done
	kill -KILL "$(cat "$job_dir/receiver.pid")"
}

dies_in_last_pass() {
	world
	kill_receiver_at_freeze &
	echo $! >"$job_dir/killer.pid"
	status=0
	cut_over --then hold --max-downtime 20s || status=$?
	[ "$status" -eq 5 ] || [ "$status" -eq 6 ] || fail "status $status of the cutover"
	receiver_died
	is_thawed "$job_dir/data.mnt"
	wait_until 20 no_guardian
	start_receiver
	cut_over_later
}

# Before its record says so: the message was not taken.
dies_before_the_record() {
	world target-cutover:1
	cut_over --then hold &
	echo $! >"$job_dir/cutover.pid"
	receiver_died
	is_frozen "$job_dir/data.mnt"
	start_receiver
	status=0
	wait "$(cat "$job_dir/cutover.pid")" || status=$?
	eq "$status" 5 "status of the cutover"
	is_thawed "$job_dir/data.mnt"
	cut_over_later
}

# dies_after_the_record POINT: the source finds out, and stays frozen.
dies_after_the_record() {
	world "$1:1"
	cut_over --then hold &
	echo $! >"$job_dir/cutover.pid"
	receiver_died
	is_frozen "$job_dir/data.mnt"
	start_receiver
	wait "$(cat "$job_dir/cutover.pid")"
	eq "$(reported .cutover.state)" cut-over state
	is_frozen "$job_dir/data.mnt"
	same_disks
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
}

# faulty_world FAULT: the replicator is the program that meets it.
faulty_world() {
	begin_case
	mkfs.ext4 -q -F "$d0" 16M
	mount_at "$d0" data
	start_receiver
	write_job
	BLKFERRY_FAULT=$1 blkferry-faulty run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" 2>"$job_dir/move.log" &
	echo $! >"$job_dir/move.pid"
	wait_ready
}

# killed_at POINT: the replicator, in a cutover.
killed_at() {
	faulty_world "$1:1"
	cut_over --then hold &
	echo $! >"$job_dir/cutover.pid"
	status=0
	wait "$(job_pid)" || status=$?
	eq "$status" 137 "status of the replicator"
	whatever wait "$(cat "$job_dir/cutover.pid")"
}

# The word was not given: the next one finds the target as it was.
killed_before_the_message() {
	killed_at source-cutover
	start_job
	wait_until 60 is_thawed "$job_dir/data.mnt"
	wait_until 20 no_guardian
	cut_over_later
}

# The target lives: what is held stays held, and nobody writes the target again.
killed_after_the_answer() {
	killed_at source-cut-over
	is_frozen "$job_dir/data.mnt"
	status=0
	start_job
	wait "$(job_pid)" || status=$?
	eq "$status" 7 "status of a source that comes back"
	grep -q 'reopen' "$job_dir/move.log"
	is_frozen "$job_dir/data.mnt"
	same_disks
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
}

# Nobody starts anything: users have their disk back.
killed_in_the_freeze() {
	killed_at "$1"
	wait_until 30 is_thawed "$job_dir/data.mnt"
	wait_until 20 no_guardian
	echo lives >"$job_dir/data.mnt/word"
	sync -f "$job_dir/data.mnt"
	start_job
	cut_over_later
}

# The same process goes on with passes, and cuts over when it is asked again.
fails_in_the_freeze() {
	faulty_world "$1:1:5"
	status=0
	cut_over --then hold || status=$?
	eq "$status" 1 "status of the cutover"
	grep -q "the fault that was asked for at $1" "$job_dir/report"
	is_thawed "$job_dir/data.mnt"
	wait_until 20 no_guardian
	kill -0 "$(job_pid)"
	eq "$(figure .cutover.state)" rolled-back state
	echo lives >"$job_dir/data.mnt/word"
	sync -f "$job_dir/data.mnt"
	blkferry sync move
	cut_over_later
}

second_refused() {
	world
	raw_offset=31M raw_writer
	cut_over --then thaw --max-downtime 6s &
	echo $! >"$job_dir/cutover.pid"
	wait_until 30 state_is cutover
	expect_status 7 blkferry cutover move --then thaw
	grep -q 'a cutover of job move is under way' "$test_tmp/out"
	status=0
	wait "$(cat "$job_dir/cutover.pid")" || status=$?
	eq "$status" 6 "status of the first one"
	is_thawed "$job_dir/data.mnt"
	stop_writer
	cut_over_later
}

run_case "the receiver dies in the last pass" dies_in_last_pass
run_case "the receiver dies before it records the cutover" dies_before_the_record
run_case "the receiver dies with the cutover recorded" dies_after_the_record target-cut-over
run_case "the receiver dies with the answer sent" dies_after_the_record target-answered
run_case "the replicator dies before the final message" killed_before_the_message
run_case "the replicator dies with the answer in hand" killed_after_the_answer
run_case "a second cutover is refused" second_refused

kills=0 failures=0
for point in $FAULT_POINTS; do
	[[ $point = cutover-* ]] || continue
	run_case "killed at $point" killed_in_the_freeze "$point"
	kills=$((kills + 1))
	run_case "an error at $point" fails_in_the_freeze "$point"
	failures=$((failures + 1))
done
counted cutover-fault-kills "$kills"
counted cutover-fault-errors "$failures"
