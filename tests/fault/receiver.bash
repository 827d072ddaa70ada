# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A real receiver process on loopback and sources that misbehave on command
# (peer.c). Sourced by the receiver's tests, after lib.sh.

bf=${BLKFERRY:-build/blkferry}
peer_program=${BLKFERRY_PEER:-build/fault/peer}
# shellcheck disable=SC2154  # lib.sh sets it
receiver_conf=$test_tmp/receiver.conf
receiver_log=$test_tmp/receiver.log
declare -A peer_in=() peer_out=()

# make_key NAME: a key file; prints its fingerprint.
make_key() {
	"$bf" key --generate --key "$test_tmp/$1.key"
}

# configure TIMEOUT: a receiver with the source "alice", allowed target "a".
configure() {
	local alice
	[ -e "$test_tmp/receiver.key" ] || make_key receiver >"$test_tmp/receiver.print"
	[ -e "$test_tmp/alice.key" ] || make_key alice >"$test_tmp/alice.print"
	[ -e "$test_tmp/mallory.key" ] || make_key mallory >"$test_tmp/mallory.print"
	alice=$(cat "$test_tmp/alice.print")
	cat >"$receiver_conf" <<END
[receiver]
listen = 127.0.0.1:0
key = $test_tmp/receiver.key
records = $test_tmp/records
timeout = $1
[peer alice]
key = $alice
targets = a
[target a]
path = $test_tmp/a.img
[target b]
path = $test_tmp/b.img
END
	rm -rf "$test_tmp/records" "$test_tmp"/[ab].img
	truncate -s 16M "$test_tmp/a.img" "$test_tmp/b.img"
}

is_listening() {
	receiver_address=$(sed -n 's/.*listening on //p' "$receiver_log" | tail -n 1)
	[ -n "$receiver_address" ] || ! kill -0 "$receiver_pid"
}

start_receiver() {
	: >"$receiver_log"
	"$bf" receive --config "$receiver_conf" >"$test_tmp/receiver.out" 2>"$receiver_log" &
	receiver_pid=$!
	cleanup_fn end_receiver
	wait_until 10 is_listening
	[ -n "$receiver_address" ] || fail "the receiver does not start: $(cat "$receiver_log")"
}

# Ends it if it still runs; shows its log when the case fails.
end_receiver() {
	[ -z "${receiver_pid:-}" ] || kill "$receiver_pid" 2>/dev/null
	[ -z "${receiver_pid:-}" ] || wait "$receiver_pid" 2>/dev/null
	receiver_pid=
	sed 's/^/receiver: /' "$receiver_log"
}

# stop_receiver SIGNAL STATUS: it must end so.
stop_receiver() {
	local status=0 pid=$receiver_pid
	kill -"$1" "$pid"
	wait "$pid" || status=$?
	receiver_pid=
	eq "$status" "$2" "status of the receiver"
}

receiver_says() {
	grep -qE -- "$1" "$receiver_log"
}

# connect NAME KEY [--plain]: a peer to talk to; its answer to connecting.
connect() {
	local in out
	mkfifo "$test_tmp/$1.in" "$test_tmp/$1.out"
	"$peer_program" ${3:+"$3"} "$receiver_address" "$test_tmp/$2.key" \
		<"$test_tmp/$1.in" >"$test_tmp/$1.out" &
	cleanup_fn reap_peer "$!"
	exec {in}>"$test_tmp/$1.in" {out}<"$test_tmp/$1.out"
	rm "$test_tmp/$1.in" "$test_tmp/$1.out"
	peer_in[$1]=$in peer_out[$1]=$out
	answer "$1"
}

reap_peer() {
	kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

answer() {
	read -r -t 60 -u "${peer_out[$1]}" reply || fail "$1 gives no answer"
}

# tell NAME COMMAND...: must be answered with ok.
tell() {
	local name=$1
	shift
	echo "$*" >&"${peer_in[$name]}"
	answer "$name"
	[ "$reply" = ok ] || fail "$name: $*: $reply"
}

# refused NAME PATTERN COMMAND...: must be answered with an error like PATTERN.
# What has no answer of its own is answered by what comes next.
refused() {
	local name=$1 pattern=$2
	shift 2
	echo "$*" >&"${peer_in[$name]}"
	answer "$name"
	if [ "$reply" = ok ] && [ "$1" != wait ]; then
		echo wait >&"${peer_in[$name]}"
		answer "$name"
	fi
	[[ $reply =~ ^error\ $pattern ]] || fail "$name: $*: $reply, wanted $pattern"
}

hang_up() {
	local in=${peer_in[$1]} out=${peer_out[$1]}
	exec {in}>&- {out}<&-
}

# writer NAME JOB EPOCH [restart]: alice, with target a of 16 MiB claimed.
writer() {
	connect "$1" alice
	tell "$1" hello "$2"
	tell "$1" open a 16777216
	tell "$1" claim "$3" ${4:+"$4"}
}

# still_serves EPOCH: whatever happened, an honest source is served.
still_serves() {
	writer honest probe-job "$1" restart
	tell honest begin 0 1
	tell honest data 0 1 0 65536 0x5a 1
	tell honest zero 0 1 65536 16711680
	tell honest barrier 0 1 16777216 complete
	tell honest digest 0 0 65536 0x5a
	hang_up honest
}
