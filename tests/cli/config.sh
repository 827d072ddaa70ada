#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a configuration that is wrong ends run and receive with status 3
# before anything is opened, naming file and line.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

bf=${BLKFERRY:-build/blkferry}
conf=$test_tmp/web.conf

run_job() {
	"$bf" run web --config "$conf" --run-dir "$test_tmp/run" \
		--records-dir "$test_tmp/records"
}

unknown_key() {
	printf '[job]\nrecevier = h\n' >"$conf"
	expect_status 3 run_job
	grep -q "web.conf:2: \[job\] has no key \"recevier\"" "$test_tmp/out"
}

json_says_config() {
	printf '[job]\ntimeout = soon\n' >"$conf"
	expect_status 3 "$bf" run web --config "$conf" --json
	eq "$(jq -r .error.code "$test_tmp/out")" config
	jq -r .error.text "$test_tmp/out" | grep -q 'web.conf:2: timeout: "soon" is not a time'
}

missing_file() {
	rm -f "$conf"
	expect_status 1 run_job
	grep -q "cannot open .*web.conf.*examples has one to begin with" "$test_tmp/out"
	[ ! -e "$test_tmp/run" ]
}

writable_for_all() {
	printf '[disk d]\ndevice = /dev/vdb\ntarget = /t\n' >"$conf"
	chmod 666 "$conf"
	expect_status 3 run_job
	grep -q 'chmod o-w' "$test_tmp/out"
}

receiver_bad() {
	printf '[target t]\npath = /t\n[peer p]\nkey = x\n' >"$test_tmp/r.conf"
	expect_status 3 "$bf" receive --config "$test_tmp/r.conf"
	grep -q 'r.conf:4: key: "x" is not a fingerprint' "$test_tmp/out"
}

reopen_unknown() {
	cp user/examples/receiver.conf "$test_tmp/r.conf"
	chmod 600 "$test_tmp/r.conf"
	fails_saying 'nothere' "$bf" receive --config "$test_tmp/r.conf" \
		--records-dir "$test_tmp/records" --reopen nothere
}

example_job_loads() {
	sed "s@^#key = .*@key = $test_tmp/nokey@" user/examples/job.conf >"$conf"
	chmod 600 "$conf"
	run_job >"$test_tmp/out" 2>&1 && fail "runs without its disks"
	grep -qE '/dev/vda|nokey' "$test_tmp/out"
}

example_receiver_loads() {
	sed "s@^#key = .*@key = $test_tmp/nokey@" user/examples/receiver.conf >"$test_tmp/r.conf"
	chmod 600 "$test_tmp/r.conf"
	fails_saying nokey "$bf" receive --config "$test_tmp/r.conf" \
		--records-dir "$test_tmp/records"
}

run_case "an unknown key is named with its line" unknown_key
run_case "a bad value in JSON" json_says_config
run_case "a file that is not there, and nothing is left behind" missing_file
run_case "a file that everybody may write" writable_for_all
run_case "a receiver's bad key" receiver_bad
run_case "a target that the receiver does not have" reopen_unknown
run_case "the example of a job is understood" example_job_loads
run_case "the example of a receiver is understood" example_receiver_loads
