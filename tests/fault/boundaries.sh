#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a connection that is reset at the end of any record of TLS (a frame
# begins with one), or some bytes into the next, in either direction, costs time
# and nothing else, as in network.sh. None is left out, from the first of the
# handshake to the last of the session.
# RUN: limit=300
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/network.bash
. "$(dirname "$0")/network.bash"

# Data, zeroes, data: few records.
head -c 32K /dev/urandom >"$source"
truncate -s 1M "$source"
head -c 16K /dev/urandom >>"$source"

undisturbed() {
	copied "$1 1000000r+0 reset"
	wait_until 10 says proxy 'ended after'
	sed -n 's/^ended after \([0-9]*\) records.*/\1/p' "$test_tmp/proxy.log" >"$test_tmp/records.$1"
}

# How many records a session takes depends on how its acknowledgements meet: one
# that ended before the break is made again.
broken_in_time() {
	local try
	for try in 1 2 3 4 5 6; do
		copied "$1"
		! has_broken "$1" || return 0
		echo "try $try: $(cat "$test_tmp/proxy.log")"
	done
	fail "it always ends before"
}

breaks=0
for way in up down; do
	run_case "records are counted: $way" undisturbed "$way"
	for ((i = 0; i < $(cat "$test_tmp/records.$way"); i++)); do
		run_case "reset after record $i $way" broken_in_time "$way ${i}r+0 reset"
		run_case "reset within record $((i + 1)) $way" broken_in_time "$way ${i}r+9 reset"
		breaks=$((breaks + 2))
	done
done
counted record-breaks "$breaks"
