#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: where the system refuses io_uring, source and receiver say so with the
# cure, and do the same work by threads: a copy, a resync and a verification are
# what they are elsewhere.
# RUN: limit=120
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# shellcheck source=tests/fault/pair.bash
. "$(dirname "$0")/pair.bash"

without=${BLKFERRY_WITHOUT_URING:-build/fault/without_uring}
eperm=1 enosys=38

head -c 9M /dev/urandom >"$source"
truncate -s 24M "$source"
head -c 1M /dev/urandom >>"$source"
truncate -s $((25 << 20)) "$source"

# shellcheck disable=SC2119
write_receiver

# copy ERRNO OPTION...
copy() {
	"$without" "$1" "$bf" copy "$source" "$address/far" "${@:2}" --peer "$peer" \
		--key "$test_tmp/near.key" --run-dir "$test_tmp/run" \
		--records-dir "$test_tmp/near" --json >"$test_tmp/json" 2>"$test_tmp/log"
}

# One side at a time gets each of the two answers that systems give.
copied() {
	start_receiver "$without" "$2"
	rm -rf "$far" "$test_tmp/records"
	truncate -s 25M "$far"
	copy "$1"
	cmp "$source" "$far"
	grep -q "$3" "$test_tmp/log"
	grep -q 'threads read and write blocks' "$test_tmp/log"
	grep -q "$4" "$test_tmp/receiver.log"
	grep -q 'threads read and write blocks' "$test_tmp/receiver.log"
}

resynced() {
	start_receiver "$without" $eperm
	rm -rf "$test_tmp/records"
	cp "$source" "$far"
	dd if=/dev/urandom of="$far" bs=4k count=3 seek=77 conv=notrunc status=none
	copy $eperm --resync
	cmp "$source" "$far"
	eq "$(jq .raw_bytes "$test_tmp/json")" $((3 * 4096)) "bytes sent"
}

local_copy() {
	"$without" $eperm "$bf" copy "$source" "$test_tmp/local.img" \
		--run-dir "$test_tmp/run" --records-dir "$test_tmp/near" 2>"$test_tmp/log"
	cmp "$source" "$test_tmp/local.img"
}

run_case "forbidden on the source, missing on the receiver" copied $eperm $enosys \
	'kernel.io_uring_disabled' 'has no io_uring'
run_case "missing on the source, forbidden on the receiver" copied $enosys $eperm \
	'has no io_uring' 'kernel.io_uring_disabled'
run_case "digests are read by threads as well" resynced
run_case "a local copy" local_copy
