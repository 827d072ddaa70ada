#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a key or target that is taken from the configuration ends the sessions
# that use it before they write anything more, and no others; older TLS, a peer
# without a key and a replayed claim are refused; the receiver listens with no
# more privileges than opening targets takes; who did what is in its log, and
# no secret is. A source whose key is changed goes on from where it was.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/receiver.bash
. "$(dirname "$0")/receiver.bash"

# writing NAME EPOCH: alice has claimed target a and sent a block.
writing() {
	connect "$1" alice
	tell "$1" hello web
	tell "$1" open a 16777216
	tell "$1" claim "$2" restart
	tell "$1" begin 0 1
	tell "$1" data 0 1 0 4096 0x41 0
	tell "$1" barrier 0 1 4096
}

reload() {
	local before
	before=$(grep -c "audit: the configuration was read again" "$receiver_log" || :)
	kill -HUP "$receiver_pid"
	wait_until 10 reloaded $((before + 1))
}

reloaded() { [ "$(grep -c "audit: the configuration was read again" "$receiver_log")" -ge "$1" ]; }

# Alice is gone from the file; bob, who has target b, is not.
key_removed() {
	configure 20s
	[ -e "$test_tmp/bob.key" ] || make_key bob >"$test_tmp/bob.print"
	cat >>"$receiver_conf" <<-END
		[peer bob]
		key = $(cat "$test_tmp/bob.print")
		targets = b
	END
	start_receiver
	writing p 1
	connect q bob
	tell q hello other
	tell q open b 16777216
	tell q claim 1 restart
	sed -i '/^\[peer alice\]/,/^targets/d' "$receiver_conf"
	reload
	refused p "unknown-peer: the key of peer alice was taken" wait
	wait_until 5 receiver_says "audit: session of alice .* ended: .*unknown-peer"
	cmp -n 4096 "$test_tmp/a.img" <(head -c 4096 /dev/zero | tr '\0' A)
	tell q begin 0 1
	tell q data 0 1 0 4096 0x42 0
	tell q barrier 0 1 4096
	connect r alice
	refused r "unknown-peer" wait
}

target_removed() {
	configure 20s
	start_receiver
	writing p 1
	sed -i '/^\[peer alice\]/,/^targets/s/^targets.*/targets = b/' "$receiver_conf"
	reload
	refused p "target-not-listed" wait
	connect q alice
	tell q hello web
	refused q "target-not-listed" open a 16777216
}

# The name stays, the path behind it changes: nothing more goes to the old one.
path_changed() {
	configure 20s
	truncate -s 16M "$test_tmp/c.img"
	start_receiver
	writing p 1
	sed -i "s|^path = .*/a.img|path = $test_tmp/c.img|" "$receiver_conf"
	reload
	refused p "connection-lost: target a is .*/a.img no more" wait
	writing q 2
	cmp -n 4096 "$test_tmp/c.img" <(head -c 4096 /dev/zero | tr '\0' A)
	wait_until 5 flock -n "$test_tmp/a.img" true
	sed -i "s|^path = .*/c.img|path = $test_tmp/a.img|" "$receiver_conf"
	hang_up q
	wait_until 5 receiver_says "ended: job web, epoch 2"
	reload
	flock -n "$test_tmp/c.img" true		# what was only kept is let go
}

# A file with a fault in it changes nothing.
bad_reload() {
	configure 20s
	start_receiver
	writing p 1
	echo 'nonsense here' >>"$receiver_conf"
	kill -HUP "$receiver_pid"
	wait_until 10 receiver_says "the configuration stays as it was"
	tell p data 0 1 4096 4096 0x41 0
	tell p barrier 0 1 8192
}

older_tls() {
	requires openssl
	configure 10s
	start_receiver
	whatever openssl s_client -connect "$receiver_address" -tls1_2 </dev/null \
		>"$test_tmp/client" 2>&1
	grep -qE 'alert protocol version|Cipher is \(NONE\)' "$test_tmp/client"
	! grep -q 'Cipher is [A-Z]' "$test_tmp/client" || fail "TLS 1.2 was taken"
	wait_until 5 receiver_says "refused: the TLS handshake failed"
	still_serves 1
}

no_client_key() {
	requires openssl
	configure 10s
	start_receiver
	whatever openssl s_client -connect "$receiver_address" -tls1_3 </dev/null \
		>"$test_tmp/client" 2>&1
	wait_until 5 receiver_says "refused: the TLS handshake failed.*certificate"
	still_serves 1
}

replayed_claim() {
	configure 10s
	start_receiver
	writing p 5
	hang_up p
	connect q alice
	tell q hello web
	tell q open a 16777216
	refused q "stale-session" claim 5
}

records_of_web() { cat "$test_tmp"/records/web.*.json | jq -r '.body.peer'; }

# With old-key the new key owns what the old one wrote; without, it is a stranger
# to it. The old one is no key any more.
key_changed() {
	configure 20s
	[ -e "$test_tmp/carol.key" ] || make_key carol >"$test_tmp/carol.print"
	start_receiver
	writing p 3
	sed -i "s|^key = $(cat "$test_tmp/alice.print")|key = $(cat "$test_tmp/carol.print")|" \
		"$receiver_conf"
	reload
	refused p "unknown-peer" wait
	wait_until 5 receiver_says "audit: session of alice .* ended"
	connect q carol
	tell q hello web
	refused q "target-in-use: target a belongs to job web of SHA256:.*old-key" \
		open a 16777216
	hang_up q
	sed -i "s|^targets = a|&\nold-key = $(cat "$test_tmp/alice.print")|" "$receiver_conf"
	reload
	connect r carol
	tell r hello web
	tell r open a 16777216
	refused r "stale-session" claim 3
	hang_up r
	connect s carol
	tell s hello web
	tell s open a 16777216
	tell s claim 4
	tell s begin 0 2
	tell s barrier 0 2 16777216
	eq "$(records_of_web)" "$(cat "$test_tmp/carol.print")" "whose record it is"
	grep -qF "audit: job web: what $(cat "$test_tmp/alice.print") wrote is that of $(cat "$test_tmp/carol.print")" \
		"$receiver_log"
	connect t alice
	refused t "unknown-peer" wait
}

# What one key wrote is one peer's.
old_key_of_another() {
	configure 20s
	[ -e "$test_tmp/bob.key" ] || make_key bob >"$test_tmp/bob.print"
	cat >>"$receiver_conf" <<-END
		[peer bob]
		key = $(cat "$test_tmp/bob.print")
		old-key = $(cat "$test_tmp/alice.print")
		targets = b
	END
	expect_status 3 "$bf" receive --config "$receiver_conf"
	grep -q "old-key belongs to \[peer alice\]" "$test_tmp/out"
}

open_key_file() {
	configure 10s
	chmod 640 "$test_tmp/receiver.key"
	fails_saying "chmod 600|readable" "$bf" receive --config "$receiver_conf"
	chmod 600 "$test_tmp/receiver.key"
}

# CAP_DAC_OVERRIDE (bit 1) and CAP_IPC_LOCK (bit 14), in every thread.
privileges() {
	local status
	configure 10s
	start_receiver
	writing p 1
	for status in /proc/"$receiver_pid"/task/*/status; do
		eq $((0x$(awk '/^CapEff/ { print $2 }' "$status") & ~0x4002)) 0 "capabilities"
		eq $((0x$(awk '/^CapPrm/ { print $2 }' "$status") & ~0x4002)) 0 "capabilities"
		eq "$(awk '/^NoNewPrivs/ { print $2 }' "$status")" 1 "NoNewPrivs"
		eq "$(awk '/^Seccomp:/ { print $2 }' "$status")" 2 "Seccomp"
	done
}

audit_lines() {
	configure 10s
	start_receiver
	writing p 1
	tell p zero 0 1 4096 16773120
	tell p barrier 0 1 16777216 complete
	tell p cutover 1
	hang_up p
	wait_until 5 receiver_says "audit: session of alice .* ended: .*cut over"
	grep -F "audit: session of alice ($(cat "$test_tmp/alice.print")) from 127.0.0.1:" \
		"$receiver_log" | grep -qE ':[0-9]+: job web$'
	receiver_says "audit: job web: epoch 1 is claimed by alice, 1 disks"
	receiver_says "audit: job web: target a .* is cut over by alice, epoch 1"
	! grep -qF "$(sed -n 2p "$test_tmp/receiver.key")" "$receiver_log" "$test_tmp/receiver.out" ||
		fail "a key is in the log"
}

run_case "a key that is removed ends its session, no other" key_removed
run_case "so does a target that is taken from a key" target_removed
run_case "a target whose path is changed" path_changed
run_case "a faulty file changes nothing" bad_reload
run_case "TLS 1.2 is refused" older_tls
run_case "a peer without a key is refused" no_client_key
run_case "a replayed claim is refused" replayed_claim
run_case "a key that is changed keeps what it wrote" key_changed
run_case "an old key that is another peer's" old_key_of_another
run_case "a key file that others may read is refused" open_key_file
run_case "the receiver keeps only what opening targets takes" privileges
run_case "sessions and cutovers leave audit lines" audit_lines
