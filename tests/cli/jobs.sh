#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a word to a job that does not run fails and says how to start it;
# sockets that dead jobs left are no jobs.
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
		grep -q 'systemctl start blkferry@' "$test_tmp/out"
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
run_case "a run directory too long for a socket" long_run_dir
run_case "watching ends when it is told to" watch_stops
