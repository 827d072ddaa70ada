#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a whole machine moves while its database works: both disks are equal
# byte for byte, the copy boots by itself, its filesystem is clean, and every
# transaction that a client outside saw committed is in it.
# RUN: limit=1500 in=full
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

moves() {
	tools/demo-system --short >"$test_tmp/story" 2>"$test_tmp/err" || {
		tail -n 40 "$test_tmp/story" "$test_tmp/err"
		return 1
	}
	# One JSON object, with nothing below it.
	tail -n 1 "$test_tmp/story" >"$test_tmp/verdict"
	jq -e 'type == "object"' "$test_tmp/verdict"
	cat "$test_tmp/verdict"
}

verdict() { jq -e "$1" "$test_tmp/verdict"; }

run_case "the machine moves" moves
run_case "both disks are identical" verdict .identical
run_case "fsck finds a clean filesystem" verdict .fsck_clean
run_case "the copy boots into systemd" verdict .boot_ok
run_case "every commit is there" verdict \
	'.transactions_committed >= 20 and .transactions_found == .transactions_committed'
run_case "the cutover stayed within its bound" verdict '.downtime_ms > 0 and .downtime_ms < 60000'
