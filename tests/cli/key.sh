#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a private key is for root only, is never replaced, and its
# fingerprint stays the same.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

bf=${BLKFERRY:-build/blkferry}
key=$test_tmp/key

generate() {
	umask 022
	"$bf" key --generate --key "$key" >"$test_tmp/print"
	grep -qE '^SHA256:[A-Za-z0-9+/]{43}$' "$test_tmp/print"
	eq "$(wc -l <"$test_tmp/print")" 1 "lines"
	eq "$(stat -c %a "$key")" 600 "mode"
}

same_again() {
	eq "$("$bf" key -k "$key")" "$(cat "$test_tmp/print")"
	eq "$("$bf" key -k "$key" --json | jq -c '[.ok, .fingerprint]')" \
		"[true,\"$(cat "$test_tmp/print")\"]"
}

never_replaced() {
	cp "$key" "$test_tmp/before"
	expect_status 1 "$bf" key -g -k "$key"
	eq "$("$bf" key -g -k "$key" --json | jq -r .error.code)" exists
	cmp "$key" "$test_tmp/before"
}

others_differ() {
	"$bf" key -g -k "$test_tmp/key2" >"$test_tmp/print2"
	grep -q '^SHA256:' "$test_tmp/print2"
	! cmp -s "$test_tmp/print" "$test_tmp/print2"
}

readable_for_others() {
	chmod 644 "$key"
	cleanup_fn chmod 600 "$key"
	fails_saying chmod "$bf" key -k "$key"
}

missing() {
	fails_saying 'key --generate' "$bf" key -k "$test_tmp/none"
	[ ! -e "$test_tmp/none" ]
}

damaged() {
	head -c 40 "$key" >"$test_tmp/cut" && chmod 600 "$test_tmp/cut"
	expect_status 1 "$bf" key -k "$test_tmp/cut"
	eq "$("$bf" key -k "$test_tmp/cut" --json | jq -r .error.code)" key
}

run_case "a new key is private and prints its fingerprint" generate
run_case "the fingerprint stays" same_again
run_case "an existing key is never replaced" never_replaced
run_case "two keys differ" others_differ
run_case "a key that others can read is refused" readable_for_others
run_case "a key that is not there" missing
run_case "a key file cut short" damaged
