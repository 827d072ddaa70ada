# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # test_tmp: tests/lib.sh
# What the tests of a broken network share: a copy of $source to a receiver behind
# the proxy (proxy.c), which is told how each of its connections breaks.

bf=${BLKFERRY:-build/blkferry}
proxy_program=build/fault/proxy
source=$test_tmp/source.img
far=$test_tmp/far.img
connections=1

"$bf" key -g -k "$test_tmp/near.key" >"$test_tmp/near.id"
peer=$("$bf" key -g -k "$test_tmp/far.key")
cat >"$test_tmp/receiver.conf" <<END
[receiver]
listen = 127.0.0.1:0
key = $test_tmp/far.key
records = $test_tmp/records
timeout = 5s
[peer near]
key = $(cat "$test_tmp/near.id")
targets = far
[target far]
path = $far
overwrite = yes
END

says() { grep -q "$2" "$test_tmp/$1.log"; }

# through PLAN...: a receiver behind a network of which these are the first
# connections. Sets address.
through() {
	local plan
	rm -rf "$test_tmp/records" "$test_tmp/near" "$test_tmp/run"
	rm -f "$far"
	truncate -s "$(stat -c %s "$source")" "$far"
	: >"$test_tmp/receiver.log"
	: >"$test_tmp/proxy.log"
	"$bf" receive --config "$test_tmp/receiver.conf" 2>"$test_tmp/receiver.log" &
	cleanup_fn whatever kill "$!"
	wait_until 20 says receiver 'listening on '
	for plan; do echo "$plan"; done >"$test_tmp/plan"
	"$proxy_program" "$(sed -n 's/^listening on //p' "$test_tmp/receiver.log")" \
		<"$test_tmp/plan" >"$test_tmp/proxy.log" &
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

broken() {
	local again=0
	through "$@"
	copy
	says proxy "$(awk '{ print $3 " after " $2 }' <<<"$1")"
	cmp "$source" "$far"
}
