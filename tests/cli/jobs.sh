#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a word to a job that does not run fails and says how to start it;
# sockets that dead jobs left are no jobs. One that has failed is shown, with its
# reason, in the metrics as well, until it is started again. Of one that runs each
# disk is shown with its part of the pass, as text, JSON and on the terminal.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

bf=${BLKFERRY:-build/blkferry}
run=$test_tmp/run

no_jobs() {
	eq "$("$bf" status --run-dir "$run")" "no job is running"
	eq "$("$bf" status --run-dir "$run" --json | jq -c .)" \
		'{"format_version":1,"ok":true,"jobs":[]}'
}

not_running() {
	local command
	for command in status sync pause resume cancel cutover thaw verify; do
		expect_status 1 "$bf" "$command" web --run-dir "$run"
		grep -q 'systemctl start blkferry@web or blkferry run web' "$test_tmp/out"
		eq "$("$bf" "$command" web --run-dir "$run" --json |
			jq -r .error.code)" not-running "$command"
	done
}

stale_sockets() {
	requires perl
	mkdir -p "$run"
	perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Type => SOCK_STREAM,
		Local => $ARGV[0], Listen => 1) or die' "$run/dead.sock"
	eq "$("$bf" status --run-dir "$run")" "no job is running"
	fails_saying 'does not run' "$bf" status dead --run-dir "$run"
}

# It ends before it asks for the module: its disk is not there.
failed_is_shown() {
	cat >"$test_tmp/web.conf" <<-END
		[job]
		description = the shop
		labels = owner=shop site=berlin
		[disk data]
		device = $test_tmp/none
		target = /dev/null
	END
	local records=(--run-dir "$run" --records-dir "$test_tmp/records")
	expect_status 1 "$bf" run web --config "$test_tmp/web.conf" "${records[@]}"
	"$bf" status "${records[@]}" | grep -q "^web: failed: disk data: cannot open $test_tmp/none"
	"$bf" status web "${records[@]}" | grep -q 'go on with *blkferry run web'
	eq "$("$bf" status --json "${records[@]}" |
		jq -r '.jobs[] | [.job, .state, .reason.code, .description] | @csv')" \
		'"web","failed","not-found","the shop"'
	"$bf" metrics --once "${records[@]}" >"$test_tmp/metrics"
	grep -q '^blkferry_job_info{job_name="web",state="failed",.*,description="the shop",label_owner="shop",label_site="berlin"} 1$' \
		"$test_tmp/metrics"
	"$bf" status web "${records[@]}" | grep -q '^ *labels *owner=shop site=berlin$'
	eq "$("$bf" status web --json "${records[@]}" | jq -c .labels)" '{"owner":"shop","site":"berlin"}'
	# Nothing more can come of it.
	timeout 20 "$bf" status web --watch "${records[@]}" | grep -q "cannot open $test_tmp/none"
	eq "$(timeout 20 "$bf" status web --watch --json "${records[@]}" | jq -r .state)" failed
	# It has no figures any more.
	eq "$(grep -c 'job_name="web"' "$test_tmp/metrics")" 1 "lines on it"
	# A name is one job's, whatever lies in the folder.
	expect_status 1 "$bf" status we "${records[@]}"
	fails_saying 'does not run' "$bf" sync web "${records[@]}"
}

# Its disk is gone for good: what it left goes with the operator's word, once.
failed_is_cancelled() {
	local records=(--run-dir "$run" --records-dir "$test_tmp/cancelled")
	cp -r "$test_tmp/records" "$test_tmp/cancelled"
	touch "$test_tmp/cancelled/web.json" "$test_tmp/cancelled/webb.json"
	"$bf" cancel web "${records[@]}" | grep -q '^web did not run; .* removed'
	eq "$("$bf" status "${records[@]}")" "no job is running"
	eq "$(find "$test_tmp/cancelled" -type f)" "$test_tmp/cancelled/webb.json" left
	fails_saying 'does not run' "$bf" cancel web "${records[@]}"
}

# screen ROWS [COLUMNS]: what `status --watch` draws on such a terminal. In the
# foreground: the terminal stops whom it does not belong to.
screen() {
	SHELL=/bin/sh TERM=xterm script -qfc "stty rows $1 cols ${2:-72}; \
		timeout --foreground -s INT 2 \
		$bf status --watch --run-dir $run --records-dir $test_tmp/records" \
		"$test_tmp/screen" </dev/null >"$test_tmp/script"
}

# Both of its lines and the legend, or as many as fit and how many do not.
screen_is_drawn() {
	[ -e "$test_tmp/records/failed/web.json" ]
	screen 24
	grep -q 'web: failed, to local: the shop' "$test_tmp/screen"
	grep -q "cannot open $test_tmp/none" "$test_tmp/screen"
	grep -q 'q: end   map' "$test_tmp/screen"
	screen 2
	grep -q 'web: failed, to local: the shop' "$test_tmp/screen"
	grep -q '[1-9] lines more than fit here' "$test_tmp/screen"
}

copying() { "$bf" status --run-dir "$run" --json | jq -e '.jobs[] | select(.job | startswith("copy-")).disks[0]'; }
disk_has_pass() { copying | jq -e '.pass.done_bytes > 0 and .raw_rate > 0' >/dev/null; }

# A copy that takes minutes if it is left alone.
disks_are_shown() {
	local copy
	head -c 40M /dev/urandom >"$test_tmp/source.img"
	"$bf" copy "$test_tmp/source.img" "$test_tmp/target.img" --whole-disk \
		--read-rate 512K --run-dir "$run" --records-dir "$test_tmp/records" \
		>"$test_tmp/copy" 2>&1 &
	copy=$!
	cleanup_fn whatever kill "$copy"
	wait_until 30 disk_has_pass
	eq "$(copying | jq -c '[.pass.number, .pass.kind, .pass.planned_bytes, .lag_ns]')" \
		"[1,\"full\",$((40 << 20)),null]" "the disk"
	"$bf" status --run-dir "$run" >"$test_tmp/text"
	grep -qE '^disk .* lag +pass +done +of +rate ' "$test_tmp/text"
	grep -qE ' - +1 +[0-9.]+[KM] +40M +[0-9.]+[KMB]+/s ' "$test_tmp/text"
	screen 24 160
	grep -qE ', [0-9]+% of 40M' "$test_tmp/screen"
	kill "$copy"
	expect_status 4 wait "$copy"
}

long_run_dir() {
	local deep
	deep=$test_tmp/$(printf '%0120d' 0)
	expect_status 3 "$bf" status web --run-dir "$deep"
	grep -q '107 bytes' "$test_tmp/out"
}

watch_stops() {
	"$bf" status --watch --json --run-dir "$run" >"$test_tmp/watch" &
	local pid=$!
	cleanup_fn whatever kill "$pid"
	wait_until 20 grep -q '"jobs":' "$test_tmp/watch"
	kill -TERM "$pid"
	wait "$pid"
}

run_case "no job runs" no_jobs
run_case "words to a job that does not run" not_running
run_case "sockets of dead jobs" stale_sockets
run_case "a job that has failed is shown as such" failed_is_shown
run_case "a job that has failed is cancelled" failed_is_cancelled
run_case "the whole terminal is drawn" screen_is_drawn
run_case "disks of a running job are shown" disks_are_shown
run_case "a run directory too long for a socket" long_run_dir
run_case "watching ends when it is told to" watch_stops
