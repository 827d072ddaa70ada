# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULE 5): when the answer to the final commit message is lost, the
# source stays frozen until it knows: a target that has cut over is a success,
# one that has not ends in a thaw, and never do both sides live on.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=700 kernels=6.1 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# start_link HOW [end]: the proxy.
start_link() {
	cut_link 4713 $port "$@" >"$job_dir/cut_link.out" &
	echo $! >"$job_dir/cut_link.pid"
}

# started_behind HOW [TIMEOUT [end]]: the job goes through a proxy that cuts the
# link at the final commit message.
started_behind() {
	begin_case
	make_ext4 "$d0" data
	start_receiver
	start_link "$1" ${3:+"$3"}
	write_job 'connections = 1'	# cut_link forwards one at a time
	sed -i "s/^receiver = .*/receiver = 127.0.0.1:4713/; s/^timeout = .*/timeout = ${2:-20s}/" "$job_dir/move.conf"
	start_job
	wait_ready
}

answer_lost() {
	started_behind answer
	cut_over --then hold
	grep -q 'the answer is lost' "$job_dir/cut_link.out"
	eq "$(reported .cutover.state)" cut-over state
	is_frozen "$job_dir/data.mnt"
	same_disks
	blkferry thaw move
}

message_lost() {
	started_behind message
	expect_status 5 cut_over --then hold
	grep -q 'the message is lost' "$job_dir/cut_link.out"
	eq "$(reported .error.code)" connection-lost code
	reported .error.text | grep -q 'the target has not taken'
	is_thawed "$job_dir/data.mnt"
	wait_ready
	cut_over --then hold
	same_disks
	blkferry thaw move
}

# With thaw the source lives on in either case: it does not wait frozen.
answer_lost_thaw() {
	started_behind answer
	cut_over --then thaw
	eq "$(reported .cutover.state)" cut-over state
	is_thawed "$job_dir/data.mnt"
	wait "$(job_pid)"
}

# The answer does not come at all: the freeze ends, the replicator lives on.
no_answer_thaw() {
	started_behind silence 8s
	cut_over --then thaw --max-downtime 3s &
	echo $! >"$job_dir/cutover.pid"
	wait_until 30 grep -q 'the message is lost' "$job_dir/cut_link.out"
	wait_until 3 is_thawed "$job_dir/data.mnt"
	status=0
	wait "$(cat "$job_dir/cutover.pid")" || status=$?
	eq "$status" 5 "status of the cutover"
	kill -0 "$(job_pid)"
	wait_ready
}

# While nobody can say what the target did, the source stays as it is.
# target_away [paused]: a pause meanwhile does not keep it from asking.
target_away() {
	started_behind answer 20s end
	cut_over --then hold &
	echo $! >"$job_dir/cutover.pid"
	wait "$(cat "$job_dir/cut_link.pid")"
	grep -q 'the answer is lost' "$job_dir/cut_link.out"
	kill -KILL "$(cat "$job_dir/receiver.pid")"
	is_frozen "$job_dir/data.mnt"
	eq "$(figure .state)" cutover "state of the job"
	[ $# -eq 0 ] || expect_status 5 blkferry pause move
	start_receiver
	start_link none
	wait "$(cat "$job_dir/cutover.pid")"
	eq "$(reported .cutover.state)" cut-over state
	is_frozen "$job_dir/data.mnt"
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
}

# Stopped while nobody knows: no end that could be taken for a good one.
stopped_while_asking() {
	started_behind answer 20s end
	cut_over --then hold &
	echo $! >"$job_dir/cutover.pid"
	wait "$(cat "$job_dir/cut_link.pid")"
	kill -KILL "$(cat "$job_dir/receiver.pid")"
	kill -TERM "$(job_pid)"
	status=0
	wait "$(job_pid)" || status=$?
	eq "$status" 5 "status of the job"
	grep -q 'is not known, so this source stays frozen' "$job_dir/move.log"
	is_frozen "$job_dir/data.mnt"
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
}

# The replicator dies while it does not know: the next one finds out, and ends
# the hold that nobody else would end.
killed_while_asking() {
	started_behind message 20s end
	cut_over --then hold &
	echo $! >"$job_dir/cutover.pid"
	wait "$(cat "$job_dir/cut_link.pid")"
	kill -KILL "$(job_pid)"
	wait "$(job_pid)" || :
	is_frozen "$job_dir/data.mnt"
	eq "$(figure .state)" holding "state of the guardian"
	start_link none
	start_job
	wait_until 60 is_thawed "$job_dir/data.mnt"
	wait_until 20 no_guardian
	grep -q 'what it held frozen is thawed' "$job_dir/move.log"
	wait_ready
	cut_over --then hold
	same_disks
	blkferry thaw move
}

run_case "the answer is lost: cut over" answer_lost
run_case "the message is lost: rolled back" message_lost
run_case "the answer is lost before a thaw" answer_lost_thaw
run_case "killed while it asks: the next one ends the hold" killed_while_asking
run_case "no answer before a thaw" no_answer_thaw
run_case "stopped while it asks: no success" stopped_while_asking
run_case "the target is away: frozen until it is known" target_away
run_case "the target is away, and a pause is asked for" target_away paused
