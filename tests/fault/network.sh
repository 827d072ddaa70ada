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
# shellcheck source=tests/fault/network.bash
. "$(dirname "$0")/network.bash"

breaks=${BLKFERRY_BREAKS:-24}
RANDOM=${BLKFERRY_SEED:-4711}

head -c 2M /dev/urandom >"$source"
truncate -s 9M "$source"
head -c 1M /dev/urandom >>"$source"

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
