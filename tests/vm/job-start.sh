# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: before its first pass a job looks at its own plan, and a critical
# finding stops it until it is overridden by name; a rehearsal ends after the
# first pass and the next run goes on from there; whole copies wait for their
# turn and say so; hooks run in their order, know which one they are, and one
# that fails before the freeze means no cutover; the status says how old what the
# target holds is.
# VM: disks=virtio:32M+virtio:32M mem=784 limit=500 kernels=5.10+6.1 modules=dm-mod+ext4+loop tools=lvm+dmsetup+mkfs.ext4+wipefs+fsfreeze+losetup+mountpoint+cmp+flock
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# A job with one disk that holds a mounted filesystem, and its receiver.
set_up() {
	begin_case
	make_ext4 "$d0" data
	start_receiver
	write_job "$@"
}

run_job() {
	timeout 60 blkferry run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" "$@" 2>"$job_dir/move.log"
}

plan() { blkferry plan move --config "$job_dir/move.conf" "$@"; }

# In memory, and no part of the job.
mounted_outside() {
	local loop
	modprobe loop
	truncate -s 8M "$job_dir/other.img"
	loop=$(losetup -f --show "$job_dir/other.img")
	cleanup_fn losetup -d "$loop"
	make_ext4 "$loop" other
	cleanup_fn umount "$job_dir/other.mnt"
}

plan_says_what_it_costs() {
	set_up
	mounted_outside
	plan --json >"$job_dir/plan"
	eq "$(jq -r '.findings[] | select(.check == "outside").subject' "$job_dir/plan")" \
		"$job_dir/other.mnt" "what stays behind"
	jq -e '.figures.passes >= 1' "$job_dir/plan"
	jq -e '.go and .figures.copy_ns > 0 and .figures.resync_ns > 0
		and .figures.disks[0].read_rate > 0 and .figures.link_rate > 0
		and .figures.link_rtt_ns > 0 and .figures.downtime_ns > 0' "$job_dir/plan"
	jq -e '.findings[] | select(.check == "link" and .severity == "info")' "$job_dir/plan"
	jq -e '[.findings[] | select(.severity != "info" and .cure == null)] == []' "$job_dir/plan"
	jq -e '.findings[] | select(.check == "receiver" and .severity == "info")' "$job_dir/plan"
	jq -e ".findings[] | select(.check == \"mounted\" and .subject == \"$job_dir/data.mnt\")" "$job_dir/plan"
	# The same rows, as text.
	plan >"$job_dir/text"
	grep -q '^the job can start' "$job_dir/text"
	grep -q '[0-9] passes until a cutover is short' "$job_dir/text"
	eq "$(grep -cE '^(critical|warning|info) ' "$job_dir/text")" \
		"$(jq '.findings | length' "$job_dir/plan")" findings
}

target_too_small() {
	set_up
	truncate -s 8M "$job_dir/small"
	sed -i "s@^path = .*@path = $job_dir/small@" "$job_dir/receiver.conf"
	kill -HUP "$(cat "$job_dir/receiver.pid")"
	wait_until 20 grep -q 'was read again' "$job_dir/receiver.log"
	expect_status 7 plan
	grep -q 'target-too-small' "$test_tmp/out"
}

shown_state() {
	blkferry status move --records-dir "$job_dir/source" --json | jq -r .state
}

# A filesystem below another mount cannot be frozen.
critical_finding_stops() {
	set_up
	mount -t tmpfs none "$job_dir/data.mnt"
	cleanup_fn umount "$job_dir/data.mnt"
	expect_status 7 run_job
	grep -q 'override = covered-mount' "$job_dir/move.log"
	eq "$(shown_state)" failed "what is shown of it"
	expect_status 3 run_job --override no-such-check
	expect_status 0 run_job --override covered-mount --rehearse
	# Begun once more, it has not failed any longer.
	expect_status 1 blkferry status move --records-dir "$job_dir/source"
}

rehearsal_ends() {
	set_up
	run_job --rehearse
	eq "$(blkferry stats --json | jq '.trackers | length')" 1 trackers
	start_job
	wait_ready
	eq "$(figure .mode)" delta "how the next run goes on"
}

# The slot is this shell's alone: a replicator that inherited it would wait for
# itself.
waits_for_its_turn() {
	set_up 'full-copies = 1'
	mkdir -p /run/blkferry
	exec 8>/run/blkferry/full-copy.0
	flock 8
	start_job 8>&-
	wait_until 30 state_is queued
	eq "$(figure .passes)" 0
	exec 8>&-
	wait_ready
}

waits_for_its_start() {
	set_up 'start = +6s'
	start_job
	wait_until 30 state_is queued
	wait_ready
}

# nice_threads: how many threads of the replicator have that niceness.
nice_threads() {
	cut -d')' -f2 /proc/"$(job_pid)"/task/*/stat | awk -v nice="$1" '$17 == nice' | wc -l
}

# All of the loopback net is this machine's.
settings_are_in_force() {
	set_up 'source-address = 127.0.0.9' 'nice = 7' 'compression = 1' 'in-flight = 2M' \
		'rate = 64K' 'rate-windows = daily 00:00-24:00 7M'
	start_job
	wait_ready
	grep -q 'from 127\.0\.0\.9' "$job_dir/receiver.log"
	[ "$(nice_threads 7)" -ge 1 ]
	[ "$(nice_threads 0)" -ge 1 ]
	eq "$(figure .limits.rate_bytes_now)" $((7 << 20)) "the rate of the window"
	blkferry sync move
	umount "$job_dir/data.mnt"
	blkferry sync move
	blkferry verify move | grep -q 'are identical'
}

# hook NAME: a line of the job's file.
hook() { echo "$1 = echo \"\$BLKFERRY_JOB \$BLKFERRY_HOOK \$BLKFERRY_ERROR\" >>$job_dir/hooks"; }

hooks_run_in_order() {
	begin_case
	make_ext4 "$d0" data
	start_receiver
	write_job "$(hook pre-cutover)" "$(hook pre-freeze)" "$(hook post-thaw)" \
		"$(hook post-cutover)" "$(hook on-failure)"
	start_job
	wait_ready
	cut_over --then thaw
	eq "$(sed 's/ *$//' "$job_dir/hooks" | xargs)" \
		"move pre-cutover move pre-freeze move post-thaw move post-cutover"
}

targets_say() {
	eq "$(blkferry targets --config "$job_dir/receiver.conf" --json |
		jq -r '.targets[0] | .target + " " + .state + " " + (.job // "-")')" "$1"
}

ended_job_leaves_a_report() {
	set_up
	targets_say "disk free -"
	start_job
	wait_ready
	targets_say "disk syncing move"
	cut_over --then thaw
	wait "$(job_pid)"
	targets_say "disk cut-over move"
	[ ! -e "$job_dir/source/move.json" ]
	blkferry report move --records-dir "$job_dir/source" --json >"$job_dir/left"
	jq -e '.state == "done" and .cutover.downtime_ns > 0 and .passes >= 2
		and .disks[0].name == "disk" and .started <= .ended' "$job_dir/left"
	blkferry report move --records-dir "$job_dir/source" | grep -q '^ *frozen for '
	# The receiver has the same, but for the moment at which it was made.
	blkferry report move --config "$job_dir/receiver.conf" --json >"$job_dir/received"
	eq "$(jq -c .cutover "$job_dir/received")" "$(jq -c .cutover "$job_dir/left")"
	eq "$(jq -r .peer "$job_dir/received")" source
}

failing_hook_stops_it() {
	begin_case
	make_ext4 "$d0" data
	start_receiver
	write_job 'pre-cutover = exit 9' "$(hook on-failure)" "$(hook pre-freeze)"
	start_job
	wait_ready
	expect_status 6 blkferry cutover move --then thaw
	grep -q 'pre-cutover command ended with status 9' "$test_tmp/out"
	eq "$(cat "$job_dir/hooks")" "move on-failure hook"
	is_thawed "$job_dir/data.mnt"
	wait_ready
}

lag_is_none() { [ "$(figure '[.lag_ns, .disks[0].lag_ns] | tojson')" = '[0,0]' ]; }
lags_behind() { figure '.disks[0] | .dirty_bytes > 0 and .lag_ns > 0' | grep -qx true; }

# Nothing is dirty; something is, and nobody sends it; it is sent.
lag_is_shown() {
	set_up
	start_job
	wait_ready
	wait_until 30 lag_is_none
	blkferry pause move
	dd if=/dev/urandom of="$job_dir/data.mnt/late" bs=64k count=4 conv=fsync status=none
	wait_until 20 lags_behind
	blkferry resume move
	wait_until 30 lag_is_none
}

labels_are_shown() {
	set_up 'description = the shop' 'labels = site=berlin owner=shop'
	start_job
	wait_ready
	eq "$(figure '.description + "/" + .labels.site')" "the shop/berlin"
	blkferry metrics --once >"$job_dir/metrics"
	grep -q 'blkferry_job_info{job_name="move",state="ready".*description="the shop",label_site="berlin",label_owner="shop"} 1' "$job_dir/metrics"
	grep -qE '^blkferry_passes_total\{job_name="move"\} [1-9]' "$job_dir/metrics"
	grep -qE '^blkferry_tracker_writes\{tracker="move:disk"' "$job_dir/metrics"
}

run_case "a plan says what the job costs, in text and JSON alike" plan_says_what_it_costs
run_case "a target that is too small is critical" target_too_small
run_case "a critical finding stops the run until it is overridden" critical_finding_stops
run_case "a rehearsal ends after its first pass" rehearsal_ends
run_case "a whole copy waits for its turn" waits_for_its_turn
run_case "a job waits for its start" waits_for_its_start
run_case "address, niceness, rate and bound of a job are in force" settings_are_in_force
run_case "hooks run in their order" hooks_run_in_order
run_case "a hook that fails before the freeze means no cutover" failing_hook_stops_it
run_case "a job that has ended leaves a report, its target a state" ended_job_leaves_a_report
run_case "labels in status and metrics" labels_are_shown
run_case "the age of what the target holds" lag_is_shown
