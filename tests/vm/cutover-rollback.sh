# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: whatever goes wrong before the final commit ends in a thaw, is said
# with its cause, exits 6, and leaves a job that goes on with passes and can be
# cut over later. A raw writer that a freeze does not stop is named by range.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=400 kernels=5.10+6.1+7 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# An ext4 on the first 32 MiB of d0; the raw writer is beyond it.
small_ext4() {
	mkfs.ext4 -q -F "$d0" 32M
	mount_at "$d0" data
}

goes_on() {
	local before
	before=$(figure .passes)
	wait_until 30 passes_are $((before + 2))
	is_thawed "$job_dir/data.mnt"
}

cut_over_now() {
	cut_over --then hold
	same_disks
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
}

# Every range named, whether one block or many that were joined, is the writer's.
named_in_last_mib() {
	local ranges
	[[ $1 =~ disk\ at\ bytes\ ([0-9+,\ ]+)\; ]]
	ranges=${BASH_REMATCH[1]}
	tr -d ' ' <<<"$ranges" | tr ',' '\n' | awk -F+ '
		$1 < 95 * 1048576 || $1 + $2 > 96 * 1048576 || $2 < 4096 { bad = 1 }
		END { exit bad || !NR }'
}

raw_writer_named() {
	begin_case
	small_ext4
	started
	raw_writer
	expect_status 6 cut_over --then thaw --max-downtime 8s
	eq "$(reported .error.code)" downtime-exceeded "code"
	reported .error.text
	named_in_last_mib "$(reported .error.text)"
	is_thawed "$job_dir/data.mnt"
	goes_on
	eq "$(figure .cutover.state)" rolled-back "state of the attempt"
	stop_writer
	cut_over_now
}

# The receiver stands still as soon as the freeze is announced: the last pass
# cannot end. Afterwards it goes on, and so does the job.
link_stops() {
	begin_case
	small_ext4
	started
	stop_receiver_at_freeze &
	echo $! >"$job_dir/stopper.pid"
	expect_status 6 cut_over --then thaw --max-downtime 3s
	eq "$(reported .error.code)" downtime-exceeded "code"
	is_thawed "$job_dir/data.mnt"
	kill -CONT "$(cat "$job_dir/receiver.pid")"
	goes_on
	cut_over_now
}

stop_receiver_at_freeze() {
	until [[ $(<"$job_dir/move.log") = *": freezing "* ]]; do
		:
	done
	kill -STOP "$(cat "$job_dir/receiver.pid")"
}

hook_hangs() {
	begin_case
	small_ext4
	started "pre-freeze = tail -f /dev/null" "hook-timeout = 1s" \
		"post-thaw = touch $job_dir/thawed"
	expect_status 6 cut_over --then thaw
	eq "$(reported .error.code)" hook "code"
	reported .error.text | grep -q 'pre-freeze.*did not end within 1'
	[ -e "$job_dir/thawed" ]	# it may have done half of its work
	goes_on
}

hook_fails() {
	begin_case
	small_ext4
	started "pre-freeze = exit 9" "post-thaw = touch $job_dir/thawed"
	expect_status 6 cut_over --then thaw
	reported .error.text | grep -q 'status 9'
	[ -e "$job_dir/thawed" ]
	goes_on
}

hooks_run() {
	begin_case
	small_ext4
	started "pre-freeze = echo \$BLKFERRY_JOB >>$job_dir/before" \
		"post-thaw = echo thawed >>$job_dir/before" \
		"post-cutover = fsfreeze --freeze $job_dir/data.mnt && fsfreeze --unfreeze $job_dir/data.mnt && touch $job_dir/after"
	cut_over --then thaw
	eq "$(cat "$job_dir/before")" "move
thawed" "the pre-freeze and the post-thaw command"
	eq "$(reported .cutover.post_cutover)" ok "the post-cutover command"
	[ -e "$job_dir/after" ]
}

# A bound that no freeze can keep is seen before anything is frozen.
bound_too_short() {
	begin_case
	small_ext4
	started
	expect_status 6 cut_over --then thaw --max-downtime 1ms
	eq "$(reported .error.code)" not-converging "code"
	goes_on
}

run_case "a raw writer is named, then a later cutover works" raw_writer_named
run_case "a link that stops in the freeze" link_stops
run_case "a hook that hangs" hook_hangs
run_case "a hook that fails" hook_fails
run_case "both hooks run, nothing frozen" hooks_run
run_case "a bound that cannot be kept" bound_too_short
