#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: when the other end is gone without a word (no FIN, no RST, no carrier
# lost: a machine without power, a cut behind a switch), either side notices within
# the time-out that it was given. The source calls again and goes on when the way
# is back, whether the receiver has noticed by then or not; the receiver ends the
# session and lets the next one in. What it holds is equal in the end. The same
# holds where one connection of several is gone, as behind a router that has
# forgotten it: either side's time-out ends all of the session, and the next one
# needs no way back for the lost one.
# Two network namespaces, and a switch between them in a third.
# RUN: limit=300
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/pair.bash
. "$(dirname "$0")/pair.bash"

here=blkferry-near-$$ there=blkferry-far-$$ switch=blkferry-switch-$$
head -c 12M /dev/urandom >"$source"

# plug NAMESPACE NUMBER: a cable from its link0 to the switch.
plug() {
	ip -n "$switch" link add "port$2" type veth peer name link0 netns "$1"
	ip -n "$switch" link set "port$2" master bridge0 up
	ip -n "$1" link set link0 up
	ip -n "$1" address add "198.18.0.$2/30" dev link0
}

# introduce NAMESPACE OTHER NUMBER: as behind a router, which says nothing when
# the other one does not answer.
introduce() {
	ip -n "$1" neighbour replace "198.18.0.$3" dev link0 nud permanent \
		lladdr "$(ip -n "$2" -j link show link0 | jq -r '.[0].address')"
}

make_network() {
	local name
	cleanup_fn drop_network
	for name in "$here" "$there" "$switch"; do
		ip netns add "$name"
	done
	ip -n "$switch" link add bridge0 type bridge
	ip -n "$switch" link set bridge0 up
	plug "$here" 1
	plug "$there" 2
	introduce "$here" "$there" 2
	introduce "$there" "$here" 1
}

drop_network() {
	local name
	for name in "$here" "$there" "$switch"; do
		ip netns delete "$name"
	done
}

cut() { ip -n "$switch" link set port2 nomaster; }
mend() { ip -n "$switch" link set port2 master bridge0; }

# The source's ports, that of the control connection first: it was opened first.
ports() {
	ip netns exec "$here" ss -Htnp state established |
		sed -n 's/.*198\.18\.0\.1:\([0-9]*\) .*fd=\([0-9]*\).*/\2 \1/p' |
		sort -n | sed 's/.* //'
}

# forget PORT: nothing of this connection goes out any more, on either side.
forget() {
	ip -n "$here" rule add ipproto tcp sport "$1" blackhole
	ip -n "$there" rule add ipproto tcp dport "$1" blackhole
}

# started RECEIVER_TIMEOUT CONNECTIONS [TIMEOUT]: a copy has begun to send.
started() {
	make_network
	rm -rf "$far" "$test_tmp/records" "$test_tmp/near" "$test_tmp/run"
	truncate -s 12M "$far"
	write_receiver "timeout = $1"
	sed -i 's/^listen = .*/listen = 198.18.0.2:0/' "$test_tmp/receiver.conf"
	start_receiver ip netns exec "$there"
	ip netns exec "$here" "$bf" copy "$source" "$address/far" --peer "$peer" \
		--rate 400K --connections "$2" --timeout "${3:-2s}" --key "$test_tmp/near.key" \
		--run-dir "$test_tmp/run" --records-dir "$test_tmp/near" \
		>"$test_tmp/copy.log" 2>&1 &
	copier=$!
	cleanup_fn whatever kill "$copier"
	wait_until 20 has_sent
}

has_sent() {
	[ "$("$bf" status --json --run-dir "$test_tmp/run" | jq '.jobs[0].raw_bytes // 0')" -gt 400000 ]
}

copy_says() { grep -q "$1" "$test_tmp/copy.log"; }
receiver_says() { grep -q "$1" "$test_tmp/receiver.log"; }

# It was slow, so that a loaded machine came in time for its middle.
ends_equal() {
	local job
	job=$("$bf" status --json --run-dir "$test_tmp/run" | jq -r '.jobs[0].job')
	"$bf" set "$job" rate=none --run-dir "$test_tmp/run" >"$test_tmp/set.log"
	wait "$copier"
	cmp "$source" "$far"
}

# Both have noticed when the way is back.
gone_for_long() {
	started 3s "$1"
	cut
	wait_until 20 copy_says 'has been silent for 2s'
	wait_until 20 receiver_says 'session of near .* ended: .*the source said nothing for 3s'
	kill -0 "$copier"
	mend
	ends_equal
}

# The receiver waits for the old session still: the new one takes its place.
gone_for_a_moment() {
	started 60s "$1"
	cut
	wait_until 20 copy_says 'has been silent for 2s'
	mend
	ends_equal
	! receiver_says 'said nothing for 60s'
}

# Its host has lost its power, and nobody ever calls again.
source_never_returns() {
	started 2s "$1"
	cut
	kill -KILL "$copier"
	wait "$copier" 2>/dev/null || :
	wait_until 20 receiver_says 'session of near .* ended: .*the source said nothing for 2s'
	mend
	# Its target is free for the next one.
	ip netns exec "$here" "$bf" copy "$source" "$address/far" --peer "$peer" \
		--key "$test_tmp/near.key" --run-dir "$test_tmp/run" \
		--records-dir "$test_tmp/near"
	cmp "$source" "$far"
}

# one_is_gone NUMBER RECEIVER_TIMEOUT TIMEOUT: of three connections; whose time-out
# is the shorter one notices, and the other one is told by the end of the others.
one_is_gone() {
	local of_source
	started "$2" 3 "$3"
	mapfile -t of_source < <(ports)
	eq "${#of_source[@]}" 3 connections
	forget "${of_source[$1]}"
	if [ "$3" = 2s ]; then
		wait_until 20 copy_says 'has been silent for 2s'
	else
		wait_until 20 receiver_says 'ended: .*the source said nothing for 2s'
	fi
	wait_until 20 receiver_says 'session of near .* ended'
	kill -0 "$copier"
	ends_equal
}

for nr in 1 3; do
	run_case "$nr connection(s) are cut for long" gone_for_long "$nr"
	run_case "$nr connection(s) are cut for a moment" gone_for_a_moment "$nr"
	run_case "a source with $nr connection(s) never returns" source_never_returns "$nr"
done
for nr in 0 1; do
	what="$([ "$nr" = 0 ] && echo the control || echo a data) connection alone is gone"
	run_case "$what: the source notices" one_is_gone "$nr" 60s 2s
	run_case "$what: the receiver notices" one_is_gone "$nr" 2s 60s
done
