# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: one case for each row of the table in user/source/resume.c that a
# failure can lead to. Whatever is lost or restored, source and target are equal
# afterwards, the mode and its reason are said, and of what was in doubt only
# the blocks that differ travel. Records that cannot be believed are refused.
# VM: disks=virtio:32M+virtio:32M mem=784 in=full limit=600 kernels=5.10+6.1 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

job_interval=1h

put() { dd if=/dev/urandom of="$d0" bs=4k count=1 seek="$1" oflag=direct conv=notrunc 2>/dev/null; }
spoil() { dd if=/dev/urandom of="$d1" bs=4k count="$2" seek="$1" oflag=direct conv=notrunc 2>/dev/null; }

stop_job() {
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
}

kill_job() {
	kill -KILL "$(job_pid)"
	wait "$(job_pid)" || :
}

stop_receiver() {
	kill -TERM "$(cat "$job_dir/receiver.pid")"
	wait "$(cat "$job_dir/receiver.pid")"
}

# went_on MODE REASON: the mode and its reason, in status, log and record.
went_on() {
	wait_ready
	eq "$(figure .mode)" "$1" mode
	figure .mode_reason | grep -q "$2"
	grep -q "job move: $1, because .*$2" "$job_dir/move.log"
	eq "$(jq -r .body.mode "$job_dir/source/move.json")" "$1" "recorded mode"
	same_disks
}

# sent BLOCKS: no more than these travelled since the job was started.
sent() { eq "$(figure .raw_bytes)" $(($1 * 4096)) "bytes sent"; }

source_record_lost() {
	begin_case
	started
	stop_job
	rm -r "$job_dir/source"
	put 500
	spoil 900 2
	start_job
	went_on resync 'no record'
	sent 3
}

other_content() {
	begin_case
	started
	stop_job
	cp -a "$job_dir/source" "$job_dir/before"
	rm -r "$job_dir/source"
	start_job
	went_on resync 'no record'
	stop_job
	rm -r "$job_dir/source"
	mv "$job_dir/before" "$job_dir/source"
	put 501
	start_job
	went_on resync 'another content'
	sent 1
}

tracker_anew() {
	begin_case
	started
	stop_job
	blkferry untrack move:disk
	put 502
	start_job
	went_on resync 'created anew'
	sent 1
}

target_restored() {
	begin_case
	started
	stop_job
	cp -a "$job_dir/records" "$job_dir/before"
	start_job
	wait_ready
	put 504
	blkferry sync move
	same_disks
	stop_job
	stop_receiver
	rm -r "$job_dir/records"
	mv "$job_dir/before" "$job_dir/records"
	spoil 504 1
	start_receiver
	start_job
	went_on resync 'gone back'
	sent 1
}

# The program with fault points makes a step of each MiB.
# The target's record holds a step of a pass that has not ended.
stepped() {
	jq -e '.body.disks[0] | .through_bytes > 0 and (.complete | not)' \
		"$job_dir"/records/*.json >/dev/null
}

full_copy_interrupted() {
	begin_case
	dd if=/dev/urandom of="$d0" bs=1M count=20 oflag=direct 2>/dev/null
	start_receiver
	write_job 'rate = 2M'
	replicator=blkferry-faulty start_job
	wait_until 60 stepped
	kill_job
	start_job
	went_on resume 'how far the full copy came'
	[ "$(figure .raw_bytes)" -lt $((32 << 20)) ]
}

resync_interrupted() {
	begin_case
	started
	stop_job
	blkferry untrack move:disk
	spoil 0 5120
	dd if=/dev/urandom of="$d0" bs=1M count=20 oflag=direct conv=notrunc 2>/dev/null
	sed -i '/^\[disk/i rate = 2M' "$job_dir/move.conf"
	replicator=blkferry-faulty start_job
	wait_until 60 stepped
	kill_job
	put 0
	start_job
	went_on resync 'was interrupted, which began because disk: the tracker was created anew'
	sed -n 's/.*(resync): \([0-9.]*\)M compared.*/\1/p' "$job_dir/move.log" >"$job_dir/compared"
	[ "$(cut -d. -f1 "$job_dir/compared")" -lt 32 ]
}

asked_for() {
	begin_case
	start_receiver
	write_job
	dd if="$d0" of="$d1" bs=1M oflag=direct 2>/dev/null
	spoil 77 1
	blkferry run move --resync --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" 2>"$job_dir/move.log" &
	echo $! >"$job_dir/move.pid"
	went_on resync 'operator asked'
	sent 1
}

# refuses WORDS: the job ends at once and says so; nothing was sent.
refuses() {
	status=0
	start_job
	wait "$(job_pid)" || status=$?
	eq "$status" 1 "status of the job"
	grep -q "$1" "$job_dir/move.log"
}

record_damaged() {
	begin_case
	started
	stop_job
	sed -i 's/"tracker"/"trakker"/' "$job_dir/source/move.json"
	refuses 'is damaged: its checksum is wrong; move it away'
	sed -i 's/"format_version": 1/"format_version": 2/' "$job_dir/source/move.json"
	refuses 'has format version 2, this blkferry reads version 1'
	truncate -s 0 "$job_dir/source/move.json"
	refuses 'is damaged: its size is impossible'
}

target_record_damaged() {
	begin_case
	started
	stop_job
	for record in "$job_dir"/records/*.json; do
		truncate -s 40 "$record"
	done
	refuses 'is damaged'
}

run_case "this host's record is lost" source_record_lost
run_case "the record speaks of another content" other_content
run_case "a new tracker, as after a restart of the host" tracker_anew
run_case "a target that was restored" target_restored
run_case "a full copy that was killed goes on" full_copy_interrupted
run_case "a resync that was killed goes on" resync_interrupted
run_case "a resync that the operator asked for" asked_for
run_case "a damaged or later record is refused" record_damaged
run_case "a damaged record of the target is refused" target_record_damaged
