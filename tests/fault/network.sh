#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a connection that breaks anywhere (reset, closed, silent), in either
# direction, from the first byte of the handshake to the last answer, costs time
# and nothing else: the copy goes on over a new one and is equal; or, where the
# last answer is lost, it says that the target was cut over, and is equal too.
# The same with several connections, of which any may break or lag behind.
# Where it breaks is drawn by seed; BLKFERRY_BREAKS says how often.
# RUN: limit=300
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

bf=${BLKFERRY:-build/blkferry}
proxy_program=build/fault/proxy
source=$test_tmp/source.img
far=$test_tmp/far.img
breaks=${BLKFERRY_BREAKS:-24}
RANDOM=${BLKFERRY_SEED:-4711}

head -c 2M /dev/urandom >"$source"
truncate -s 9M "$source"
head -c 1M /dev/urandom >>"$source"
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

for at in 0 1 200 700; do
	run_case "the handshake is reset after $at bytes up" broken "up $at reset"
	run_case "the handshake is closed after $at bytes down" broken "down $at close"
done
for ((i = 0; i < breaks; i++)); do
	action=reset
	[ $((RANDOM % 2)) -eq 0 ] || action=close
	if [ $((i % 4)) -eq 3 ]; then
		plan="down $((300 + RANDOM % 700)) $action"
	else
		plan="up $((1500 + RANDOM * 97 % 3145728)) $action"
	fi
	run_case "it breaks: $plan" broken "$plan" \
		"up $((1500 + RANDOM * 97 % 3145728)) reset"
done
run_case "it falls silent in the middle" broken "up 1000000 stall"

# Enough that each of them carries some of it.
head -c 24M /dev/urandom >"$source"
connections=3

# broken_connection NTH PLAN: the others pass.
broken_connection() {
	local again=0 pass
	mapfile -t pass < <(yes pass | head -n $(($1 - 1)))
	through "${pass[@]}" "$2"
	copy
	says proxy "$(awk '{ print $3 " after " $2 }' <<<"$2")"
	# One that breaks in its handshake is done without.
	says receiver 'one more connection' || says copy 'going on with 1 of 3'
	cmp "$source" "$far"
}

fewer() {
	local again=0
	through pass "up 0 stall"
	copy
	grep -q 'going on with 1 of 3 connections' "$test_tmp/copy.log"
	cmp "$source" "$far"
}

for ((i = 0; i < breaks / 2; i++)); do
	nth=$((1 + i % 3))
	action=reset
	[ $((RANDOM % 2)) -eq 0 ] || action=close
	plan="up $((1500 + RANDOM * 64 % 2097152)) $action"
	[ $((i % 4)) -ne 2 ] || plan="down $((200 + RANDOM % 300)) $action"
	run_case "connection $nth of 3 breaks: $plan" broken_connection "$nth" "$plan"
done
run_case "no second connection is to be had: one does" fewer
run_case "connection 2 of 3 falls silent" broken_connection 2 "up 1000000 stall"
run_case "connection 1 of 3 lags behind" broken_connection 1 "up 5000 slow"
run_case "connection 3 of 3 lags behind" broken_connection 3 "up 5000 slow"
counted network-breaks $((case_count - 1))	# but for the one that breaks nothing
