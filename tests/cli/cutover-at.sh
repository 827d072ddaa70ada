#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a cutover at a moment to come asks at once whether the job is there,
# and takes no moment that has passed.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

bf=${BLKFERRY:-build/blkferry}
run=$test_tmp/run

no_moment() {
	expect_status 3 "$bf" cutover web --at someday --run-dir "$run"
	grep -q '"someday" is no moment: 02:00' "$test_tmp/out"
	expect_status 3 "$bf" cutover web --at '2020-01-01 00:00' --run-dir "$run"
	grep -q 'has passed' "$test_tmp/out"
}

no_job() {
	expect_status 1 "$bf" cutover web --at +1h --run-dir "$run"
	grep -q 'systemctl start blkferry@' "$test_tmp/out"
}

run_case "what is no moment to come is refused" no_moment
run_case "a job that does not run is told of at once" no_job
