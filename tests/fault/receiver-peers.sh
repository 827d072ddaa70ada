#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: whom the receiver does not know gets words and nothing else; whoever
# does not speak TLS gets nothing; none of them keeps an honest source out.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/receiver.bash
. "$(dirname "$0")/receiver.bash"

unknown_key() {
	configure 10s
	start_receiver
	connect m mallory
	refused m "unknown-peer: .*\[peer NAME\]" wait
	[[ $reply == *"$(cat "$test_tmp/mallory.print")"* ]]
	wait_until 5 receiver_says "connection from 127.0.0.1:[0-9]+ refused: .*not known"
	eq "$(find "$test_tmp/records" -name '*.json' 2>/dev/null | wc -l)" 0 records
	still_serves 1
}

unlisted_target() {
	configure 10s
	start_receiver
	connect p alice
	tell p hello web
	refused p "target-not-listed: .*peer alice" open b 16777216
	connect q alice
	tell q hello web
	refused q "target-not-listed" open nosuch 16777216
	connect r alice
	tell r hello web
	refused r "target-not-listed" open b 4096 ro
	still_serves 1
}

plain_text() {
	configure 10s
	start_receiver
	connect p alice --plain
	tell p bytes 4096 0x41
	refused p "connection-lost" wait
	wait_until 5 receiver_says "refused: the TLS handshake failed"
	still_serves 1
}

# A source's frames without TLS are plain text, too.
no_tls() {
	configure 10s
	start_receiver
	connect p alice --plain
	refused p "connection-lost|protocol|timeout" hello web
	still_serves 1
}

silent_stranger() {
	configure 1s
	start_receiver
	connect p alice --plain
	refused p "connection-lost" wait
	wait_until 5 receiver_says "refused: the peer does not answer the TLS handshake"
	still_serves 1
}

# line_of PATTERN: the number of the first line of the log that has it.
line_of() {
	grep -nE -m 1 -- "$1" "$receiver_log" | cut -d: -f1
}

# 40 silent strangers: more than are waited for at once. The first make room,
# and an honest source comes through before any of the others is given up.
many_strangers() {
	local fd fds=() closed=0
	configure 10s
	start_receiver
	for _ in $(seq 40); do
		exec {fd}<>"/dev/tcp/${receiver_address/:/\/}"
		fds+=("$fd")
	done
	wait_until 10 receiver_says "too many connections"
	still_serves 1
	for fd in "${fds[@]}"; do	# the end of the stream, not time, is 1
		read -r -t 30 -u "$fd" _ || eq "$?" 1 "end of a stranger"
		closed=$((closed + 1))
	done
	eq "$closed" 40 "closed connections"
	wait_until 10 receiver_says "does not answer the TLS handshake"
	[ "$(line_of "epoch 1 is claimed")" -lt "$(line_of "does not answer")" ] ||
		fail "the honest source had to wait for the strangers' end"
	still_serves 2
}

# 24 for one target; when one goes there is room again.
sessions_of_a_key_are_bounded() {
	local i
	configure 10s
	start_receiver
	for i in $(seq 24); do
		connect "a$i" alice
		tell "a$i" hello "job$i"
	done
	connect one-more alice
	refused one-more "busy: this source has 24 sessions at once" wait
	refused a7 "protocol" claim 1
	wait_until 10 receiver_says "ended: job job7"
	connect again alice
	tell again hello again
}

complaints_are_bounded() {
	local i
	configure 10s
	start_receiver
	for i in $(seq 30); do
		connect "m$i" mallory
		refused "m$i" "unknown-peer" wait
		hang_up "m$i"
	done
	[ "$(grep -c "not known" "$receiver_log")" -lt 20 ] ||
		fail "$(grep -c "not known" "$receiver_log") lines for 30 strangers"
	still_serves 1
}

run_case "an unknown key gets words and nothing else" unknown_key
run_case "a target that is not listed for the key" unlisted_target
run_case "plain text instead of TLS" plain_text
run_case "frames without TLS" no_tls
run_case "one key does not take all sessions" sessions_of_a_key_are_bounded
run_case "a silent stranger is not waited for" silent_stranger
run_case "many silent strangers do not keep an honest source out" many_strangers
run_case "complaints about strangers are bounded" complaints_are_bounded
