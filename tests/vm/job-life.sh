# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: a job goes on from where it was when record, tracker and target agree,
# and compares all, saying why, when they do not (job-resync.sh); pause, resume, sync,
# cancel and verify do what they say; a lost receiver is waited for.
# VM: disks=virtio:32M+virtio:32M mem=784 limit=600 kernels=5.10+6.1+7 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# put BLOCK: 4 KiB of random data on d0 there.
put() { dd if=/dev/urandom of="$d0" bs=4k count=1 seek="$1" oflag=direct conv=notrunc 2>/dev/null; }

stop_job() {
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
}

reason_says() { figure .reason.text | grep -qF -- "$1"; }

sync_now() {
	blkferry sync move --json >"$job_dir/sync"
}

sync_sends() {
	begin_case
	job_interval=1h
	started
	put 100
	sync_now
	same_disks
	eq "$(jq .pass.blocks "$job_dir/sync")" 1 "blocks of the pass"
}

pause_and_resume() {
	begin_case
	started
	blkferry pause move
	eq "$(figure .state)" paused state
	put 200
	fails_saying 'is paused' blkferry sync move
	blkferry resume move
	wait_ready
	eq "$(figure .mode)" delta mode
	sync_now
	same_disks
}

restart_goes_on() {
	begin_case
	started
	stop_job
	put 300
	start_job
	wait_ready
	eq "$(figure .mode)" delta mode
	sync_now
	same_disks
	[ "$(figure .raw_bytes)" -le 1000000 ]
}

killed_goes_on() {
	begin_case
	started
	kill -KILL "$(job_pid)"
	wait "$(job_pid)" || :
	put 400
	start_job
	wait_ready
	eq "$(figure .mode)" delta mode
	sync_now
	same_disks
}

target_exchanged() {
	begin_case
	started
	kill -TERM "$(cat "$job_dir/receiver.pid")"
	wait "$(cat "$job_dir/receiver.pid")"
	wait_until 30 state_is connecting
	wait_until 30 reason_says "127.0.0.1:$port"
	rm -r "$job_dir/records"
	dd if=/dev/zero of="$d1" bs=1M count=32 oflag=direct 2>/dev/null
	start_receiver
	wait_ready
	eq "$(figure .mode)" full mode
	figure .mode_reason | grep -q 'new to this job'
	sync_now
	same_disks
}

# Who asked has given up before the receiver was back: nothing is cut over.
withdrawn_cutover() {
	begin_case
	started
	kill -TERM "$(cat "$job_dir/receiver.pid")"
	wait "$(cat "$job_dir/receiver.pid")"
	wait_until 30 state_is connecting
	expect_status 124 timeout 5 blkferry cutover move --then thaw
	start_receiver
	wait_until 60 grep -q 'who asked has hung up' "$job_dir/move.log"
	wait_ready
	eq "$(figure .cutover)" null "report of a cutover"
	put 800
	sync_now
	same_disks
}

cancel_forgets() {
	begin_case
	started
	blkferry cancel move
	wait "$(job_pid)"
	[ -z "$(blkferry stats --json | jq -r '.trackers[]?.name')" ]
	[ ! -e "$job_dir/source/move.json" ]
}

# One that does not run, and has left its tracker and its records.
cancel_of_the_dead() {
	begin_case
	started
	kill -KILL "$(job_pid)"
	wait "$(job_pid)" || :
	[ -n "$(blkferry stats --json | jq -r '.trackers[].name')" ]
	blkferry track "$d1" --name move2
	cleanup_fn blkferry untrack move2
	blkferry cancel move --records-dir "$job_dir/source" |
		grep -q 'did not run; its trackers and records are removed'
	eq "$(blkferry stats --json | jq -r '.trackers[].name')" move2 "what is tracked"
	[ -z "$(find "$job_dir/source" -name 'move*' ! -name '*.lock')" ] ||
		fail "left: $(find "$job_dir/source" -name 'move*')"
	expect_status 1 blkferry cancel move --records-dir "$job_dir/source"
}

verify_tells() {
	begin_case
	started
	put 600
	blkferry verify move --json >"$job_dir/report"
	eq "$(reported .identical)" true "an equal target"
	dd if=/dev/urandom of="$d1" bs=4k count=1 seek=700 oflag=direct conv=notrunc 2>/dev/null
	expect_status 2 blkferry verify move --json
	eq "$(jq .disks[0].differing_blocks "$test_tmp/out")" 1 "blocks that differ"
	eq "$(jq .disks[0].first_offset_bytes "$test_tmp/out")" $((700 * 4096)) "where"
	put 700
	blkferry verify move >"$job_dir/report"
}

# Blocks that change all the time are not taken for a difference.
verify_under_load() {
	begin_case
	started
	while put $((RANDOM % 8000)); do
		:
	done &
	echo $! >"$job_dir/writer.pid"
	blkferry verify move --json >"$job_dir/report"
	eq "$(reported .identical)" true "an equal target under load"
	stop_writer
}

one_run_at_a_time() {
	begin_case
	started
	status=0
	blkferry run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" 2>"$job_dir/second.log" || status=$?
	[ "$status" -ne 0 ]
	wait_ready
}

copy_mounted() {
	begin_case
	make_ext4 "$d0" data
	writes_to "$job_dir/data.mnt"
	blkferry copy "$d0" "$d1" --whole-disk --json >"$job_dir/report"
	eq "$(reported .state)" "done" state
	eq "$(reported '.cutover.filesystems[].state')" frozen "the filesystem"
	stop_writer
	is_thawed "$job_dir/data.mnt"
	e2fsck -fn "$d1"
	[ -z "$(blkferry stats --json | jq -r '.trackers[]?.name')" ]
}

run_case "sync sends what is dirty now" sync_sends
run_case "pause holds, resume goes on" pause_and_resume
run_case "a stopped job goes on" restart_goes_on
run_case "a killed job goes on" killed_goes_on
run_case "a receiver is waited for; a new target gets all" target_exchanged
run_case "a cutover that nobody waits for is not made" withdrawn_cutover
run_case "cancel forgets the job" cancel_forgets
run_case "cancel takes away what a dead job has left" cancel_of_the_dead
run_case "verify tells what differs" verify_tells
run_case "verify is not fooled by writes" verify_under_load
run_case "a second run of a job is refused" one_run_at_a_time
run_case "a mounted disk is copied under a freeze" copy_mounted
