# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # test_tmp: tests/lib.sh
# What the tests of a broken network share: a copy of $source to a receiver behind
# the proxy (proxy.c), which is told how each of its connections breaks.
# shellcheck source=tests/fault/pair.bash
. "$(dirname "$0")/pair.bash"

proxy_program=build/fault/proxy
connections=1
write_receiver "timeout = 5s"

says() { grep -q "$2" "$test_tmp/$1.log"; }

# through PLAN...: a receiver behind a network of which these are the first
# connections. Sets address.
through() {
	local plan
	rm -rf "$test_tmp/records" "$test_tmp/near" "$test_tmp/run"
	rm -f "$far"
	truncate -s "$(stat -c %s "$source")" "$far"
	: >"$test_tmp/proxy.log"
	# shellcheck disable=SC2119
	start_receiver
	for plan; do echo "$plan"; done >"$test_tmp/plan"
	"$proxy_program" "$address" <"$test_tmp/plan" >"$test_tmp/proxy.log" &
	cleanup_fn whatever kill "$!"
	wait_until 20 says proxy 'listening on '
	address=$(sed -n 's/^listening on //p' "$test_tmp/proxy.log")
}

# Its status is 0, or 7 where the target was cut over and nobody heard of it. A
# connection that broke before the first claim is told at once (5).
copy() {
	local status=0
	"$bf" copy "$source" "$address/far" --peer "$peer" --key "$test_tmp/near.key" \
		--run-dir "$test_tmp/run" --records-dir "$test_tmp/near" \
		--connections "$connections" \
		>"$test_tmp/copy.log" 2>&1 || status=$?
	case $status in
	0) ;;
	5) again=$((again + 1)) && [ "$again" -lt 5 ] && copy ;;
	7) grep -q 'cut over' "$test_tmp/copy.log" ;;
	*) cat "$test_tmp/copy.log" && fail "status $status" ;;
	esac
}

# copied PLAN...: whether the network broke or not.
copied() {
	local again=0
	through "$@"
	copy
	cmp "$source" "$far"
}

# has_broken PLAN: as it was planned.
has_broken() { says proxy "$(awk '{ print $3 " after " $2 }' <<<"$1")"; }

broken() {
	copied "$@"
	has_broken "$1"
}
