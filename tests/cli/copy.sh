#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a copy equals its source or says why it is none; what a target holds
# is lost only where that was allowed; nothing is half said to be done.
# RUN: limit=180
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

bf=${BLKFERRY:-build/blkferry}
source=$test_tmp/source.img

# Data, a hole, zeroes that were written, data at the very end.
head -c 9M /dev/urandom >"$source"
truncate -s 33M "$source"
head -c 3M /dev/zero >>"$source"
head -c 1M /dev/urandom >>"$source"

copy() {
	"$bf" copy "$@" --run-dir "$test_tmp/run" --records-dir "$test_tmp/records"
}

new_target() {
	copy "$source" "$test_tmp/new.img" --json >"$test_tmp/json"
	cmp "$source" "$test_tmp/new.img"
	eq "$(wc -l <"$test_tmp/json")" 1 "lines"
	eq "$(jq -c '[.format_version, .ok, .state, .passes]' "$test_tmp/json")" '[1,true,"done",1]'
	[ "$(jq .wire_bytes "$test_tmp/json")" -lt $((11 << 20)) ] || fail "zeroes travelled"
	eq "$(stat -c %a "$test_tmp/new.img")" 600 "mode"
}

again() {
	dd if=/dev/urandom of="$source" bs=4k count=8 seek=100 conv=notrunc status=none
	expect_status 0 copy "$source" "$test_tmp/new.img"
	grep -q ': done$' "$test_tmp/out"
	cmp "$source" "$test_tmp/new.img"
}

relative_paths() {
	local command
	command=$(realpath "$bf")
	cd "$test_tmp"
	"$command" copy source.img ./rel.img --run-dir run --records-dir records
	cmp source.img rel.img
}

odd_names() {
	cp "$source" "$test_tmp/-a b:1 \"x\".img"
	copy "$test_tmp/-a b:1 \"x\".img" "$test_tmp/odd target.img"
	cmp "$source" "$test_tmp/odd target.img"
}

larger_target() {
	truncate -s 50M "$test_tmp/large.img"
	copy "$source" "$test_tmp/large.img"
	cmp -n "$(stat -c %s "$source")" "$source" "$test_tmp/large.img"
	eq "$(stat -c %s "$test_tmp/large.img")" $((50 << 20)) "size"
}

small_target() {
	head -c 1M /dev/urandom >"$test_tmp/small.img"
	cp "$test_tmp/small.img" "$test_tmp/small.before"
	expect_status 7 copy "$source" "$test_tmp/small.img"
	grep -q "source.img\|small.img" "$test_tmp/out"
	cmp "$test_tmp/small.img" "$test_tmp/small.before"
	eq "$(whatever copy "$source" "$test_tmp/small.img" --json | head -n 1 |
		jq -r .error.code)" target-too-small
}

foreign_target() {
	requires mkfs.ext4
	truncate -s 40M "$test_tmp/fs.img"
	mkfs.ext4 -q "$test_tmp/fs.img"
	cp "$test_tmp/fs.img" "$test_tmp/fs.before"
	expect_status 7 copy "$source" "$test_tmp/fs.img"
	grep -q 'ext4' "$test_tmp/out"
	cmp "$test_tmp/fs.img" "$test_tmp/fs.before"
	copy "$source" "$test_tmp/fs.img" --overwrite
	cmp -n "$(stat -c %s "$source")" "$source" "$test_tmp/fs.img"
}

same_file() {
	ln -s source.img "$test_tmp/link.img"
	cp "$source" "$test_tmp/before"
	expect_status 3 copy "$source" "$test_tmp/link.img"
	grep -q 'are the same' "$test_tmp/out"
	cmp "$source" "$test_tmp/before"
}

no_source() {
	expect_status 1 copy "$test_tmp/none" "$test_tmp/x.img"
	[ ! -e "$test_tmp/x.img" ]
	expect_status 1 copy "$source" /dev/nonexistent
	[ ! -e /dev/nonexistent ]
	head -c 1000 /dev/urandom >"$test_tmp/odd.img"
	expect_status 3 copy "$test_tmp/odd.img" "$test_tmp/x.img"
	grep -q 'multiple of 512' "$test_tmp/out"
	[ ! -e "$test_tmp/x.img" ]
}

# A copy that is stopped, or cancelled, is none: it says so and leaves none.
ended_early() {
	local pid status=0
	truncate -s 2T "$test_tmp/huge.img"
	copy "$test_tmp/huge.img" "$test_tmp/half.img" >"$test_tmp/out" 2>&1 &
	pid=$!
	wait_until 20 copy_listens
	"$@"
	wait "$pid" || status=$?
	eq "$status" 4 "status of the copy"
	grep -q 'not whole' "$test_tmp/out"
	[ ! -e "$test_tmp/half.img" ]
}

copy_listens() { [ -S "$(copy_socket)" ]; }
copy_socket() { echo "$test_tmp"/run/*.sock; }

# The copy is the only child of its function's shell.
stop_copy() { kill -TERM "$(pgrep -P "$pid")"; }

cancel_copy() {
	local job
	job=$(basename "$(copy_socket)" .sock)
	"$bf" cancel "$job" --run-dir "$test_tmp/run"
}

listed_extents() {
	printf '# list\n0 1M\n8M 4K\n' >"$test_tmp/list"
	truncate -s 37M "$test_tmp/part.img" "$test_tmp/expected.img"
	dd if="$source" of="$test_tmp/expected.img" bs=1M count=1 conv=notrunc status=none
	dd if="$source" of="$test_tmp/expected.img" bs=4K count=1 skip=2048 seek=2048 \
		conv=notrunc status=none
	copy "$source" "$test_tmp/part.img" --extents "$test_tmp/list"
	cmp "$test_tmp/part.img" "$test_tmp/expected.img"
}

resync_sends_what_differs() {
	cp "$source" "$test_tmp/seeded.img"
	dd if=/dev/urandom of="$test_tmp/seeded.img" bs=4k count=1 seek=77 conv=notrunc status=none
	dd if=/dev/urandom of="$test_tmp/seeded.img" bs=1 count=1 seek=$((36 << 20)) conv=notrunc status=none
	copy "$source" "$test_tmp/seeded.img" --resync --json >"$test_tmp/json"
	cmp "$source" "$test_tmp/seeded.img"
	eq "$(jq -c '[.mode,.raw_bytes,.last_pass.compared_bytes,.last_pass.kind]' "$test_tmp/json")" \
		"[\"resync\",8192,$((37 << 20)),\"resync\"]"
	expect_status 3 copy "$source" "$test_tmp/seeded.img" --resync --extents /dev/null
}

bad_extents() {
	printf '0 1M\nnonsense\n' >"$test_tmp/list"
	expect_status 3 copy "$source" "$test_tmp/bad.img" --extents "$test_tmp/list"
	grep -q 'line 2' "$test_tmp/out"
	printf '1G 1M\n' >"$test_tmp/list"
	fails_saying 'end|beyond' copy "$source" "$test_tmp/bad.img" --extents "$test_tmp/list"
}

receiver_options() {
	expect_status 3 copy "$source" 127.0.0.1:1/t
	grep -q -- '--peer SHA256' "$test_tmp/out"
	expect_status 3 copy "$source" 127.0.0.1:1/t --peer nonsense
	expect_status 3 copy "$source" "$test_tmp/y.img" --peer "$peer"
	expect_status 3 copy "$source" 127.0.0.1:1/t --peer "$peer" --overwrite
	[ ! -e "$test_tmp/y.img" ]
}

# The receiver of the cases below.
start_receiver() {
	truncate -s 37M "$test_tmp/far.img" "$test_tmp/slow.img"
	cat >"$test_tmp/receiver.conf" <<-END
		[receiver]
		listen = 127.0.0.1:0
		key = $test_tmp/far.key
		records = $test_tmp/far.records
		[peer near]
		key = $("$bf" key -g -k "$test_tmp/near.key")
		targets = far slow
		[target far]
		path = $test_tmp/far.img
		[target slow]
		path = $test_tmp/slow.img
		[target unlisted]
		path = $test_tmp/unlisted.img
	END
	peer=$("$bf" key -g -k "$test_tmp/far.key")
	"$bf" receive --config "$test_tmp/receiver.conf" 2>"$test_tmp/receiver.log" &
	receiver=$!
	wait_until 20 grep -q 'listening on ' "$test_tmp/receiver.log"
	address=$(sed -n 's/^listening on //p' "$test_tmp/receiver.log")
}

over_tls() {
	copy "$source" "$address/far" --peer "$peer" --key "$test_tmp/near.key" \
		--json >"$test_tmp/json"
	cmp "$source" "$test_tmp/far.img"
	eq "$(jq -r .state "$test_tmp/json")" "done"
}

socket_is_there() { [ -n "$(find "$test_tmp/slow.run" -name '*.sock' 2>/dev/null)" ]; }

# A copy that would take an hour ends as soon as its limit is taken away.
set_while_it_runs() {
	local job copy
	"$bf" copy "$source" "$address/slow" --peer "$peer" --key "$test_tmp/near.key" \
		--rate 4K --compression none --run-dir "$test_tmp/slow.run" \
		--records-dir "$test_tmp/records" >"$test_tmp/slow.out" 2>&1 &
	copy=$!
	wait_until 20 socket_is_there
	job=$(basename "$test_tmp"/slow.run/*.sock .sock)
	eq "$("$bf" status "$job" --run-dir "$test_tmp/slow.run" --json |
		jq .limits.rate_bytes)" 4096 "rate"
	expect_status 3 "$bf" set "$job" rate=fast --run-dir "$test_tmp/slow.run"
	expect_status 3 "$bf" set "$job" speed=1M --run-dir "$test_tmp/slow.run"
	expect_status 3 "$bf" set "$job" rate --run-dir "$test_tmp/slow.run"
	"$bf" set "$job" level=3 interval=1m cores=1 \
		"rate-windows=mon-fri 00:00-24:00 8K, daily 00:00-24:00 4K" \
		--run-dir "$test_tmp/slow.run" --json >"$test_tmp/json"
	eq "$(jq -c '.limits | [.rate_bytes, .level, .interval_ns, .cores]' "$test_tmp/json")" \
		'[4096,3,60000000000,1]' "limits"
	eq "$(jq -r .limits.rate_windows "$test_tmp/json")" \
		"mon+tue+wed+thu+fri 00:00-24:00 8K/s, daily 00:00-24:00 4K/s"
	"$bf" set "$job" rate-windows=none rate=none --run-dir "$test_tmp/slow.run"
	wait "$copy"
	cmp "$source" "$test_tmp/slow.img"
}

# What is left of 9 MiB or more takes its time, and cannot take less.
read_rate_holds() {
	local job copy start size=$((12 << 20))
	head -c "$size" /dev/urandom >"$test_tmp/random.img"
	truncate -s "$size" "$test_tmp/slow.img"
	rm -rf "$test_tmp/slow.run" "$test_tmp/records" "$test_tmp"/slow.records
	"$bf" copy "$test_tmp/random.img" "$test_tmp/slow.copy" \
		--run-dir "$test_tmp/slow.run" --records-dir "$test_tmp/records" \
		--read-rate 64K >"$test_tmp/slow.out" 2>&1 &
	copy=$!
	wait_until 20 socket_is_there
	job=$(basename "$test_tmp"/slow.run/*.sock .sock)
	expect_status 3 "$bf" set "$job" read-rate=fast --run-dir "$test_tmp/slow.run"
	start=$(date +%s%N)
	"$bf" set "$job" read-rate=4M --run-dir "$test_tmp/slow.run" --json >"$test_tmp/json"
	eq "$(jq -c .limits.read_rate_bytes "$test_tmp/json")" $((4 << 20)) "read rate"
	wait "$copy"
	# One frame's worth was read, at most, before the limit was looked at.
	[ $(($(date +%s%N) - start)) -ge 1000000000 ]
	cmp "$test_tmp/random.img" "$test_tmp/slow.copy"
}

# slow_copy COMMAND...: takes some seconds; COMMAND is what runs it.
slow_copy() {
	head -c 20M /dev/urandom >"$test_tmp/shown.img"
	rm -rf "$test_tmp/shown.copy" "$test_tmp/run" "$test_tmp/records"
	"$@" "$bf copy $test_tmp/shown.img $test_tmp/shown.copy --read-rate 4M \
		--run-dir $test_tmp/run --records-dir $test_tmp/records"
	cmp "$test_tmp/shown.img" "$test_tmp/shown.copy"
}

on_a_terminal() {
	SHELL=/bin/sh TERM=xterm script -qec "$1" "$test_tmp/typescript" </dev/null >"$test_tmp/screen"
}

# One line that is drawn again and again, and is gone when the command ends.
line_on_a_terminal() {
	local lines
	slow_copy on_a_terminal
	tr '\r' '\n' <"$test_tmp/screen" >"$test_tmp/drawn"
	grep -q '%), raw .*/s, wire .*/s.*, ETA ' "$test_tmp/drawn"
	lines=$(grep -c '%), raw ' "$test_tmp/drawn")
	[ "$lines" -ge 2 ] || fail "drawn $lines times"
	[ "$(grep -c '%), raw' "$test_tmp/screen")" -le 1 ] || fail "more than one line"
	grep -q "$(printf '\r\033\\[K')copy-shown[^ ]*: done" "$test_tmp/screen"
}

# One for each state and pass: no more in a few seconds.
lines_in_a_file() {
	local lines
	slow_copy sh -c 2>"$test_tmp/said"
	! grep "$(printf '[\r\033]')" "$test_tmp/said" || fail "control characters in a file"
	lines=$(grep -c 'pass 1 (full)' "$test_tmp/said")
	[[ $lines = [12] ]] || fail "$lines lines of one pass"
}

cut_over_stays() {
	expect_status 7 copy "$source" "$address/far" --peer "$peer" --key "$test_tmp/near.key"
	grep -q 'receive --reopen' "$test_tmp/out"
}

unlisted_target() {
	expect_status 7 copy "$source" "$address/unlisted" --peer "$peer" --key "$test_tmp/near.key"
	[ ! -e "$test_tmp/unlisted.img" ]
}

unknown_source() {
	"$bf" key -g -k "$test_tmp/stranger.key"
	expect_status 7 copy "$source" "$address/far" --peer "$peer" --key "$test_tmp/stranger.key"
}

wrong_receiver() {
	local other
	other=$("$bf" key -g -k "$test_tmp/other.key")
	fails_saying 'SHA256' copy "$source" "$address/far" --peer "$other" --key "$test_tmp/near.key"
}

# A receiver of its own at $1: sets $receiver, says where in lost.log.
serve_lost() {
	sed -e "s/^listen = .*/listen = $1/" -e "s/far\.\(img\|records\)/lost.\1/" \
		"$test_tmp/receiver.conf" >"$test_tmp/lost.conf"
	"$bf" receive --config "$test_tmp/lost.conf" 2>"$test_tmp/lost.log" &
	receiver=$!
	cleanup_fn whatever kill "$receiver"
	wait_until 20 grep -q 'listening on ' "$test_tmp/lost.log"
}

lose_target() {
	rm -rf "$test_tmp/lost.records" "$test_tmp/lost.img"
	truncate -s 16G "$test_tmp/lost.img"
}

committed_some() {
	jq -e '[.. | objects | .through_bytes? // 0] | max > 0' "$test_tmp"/lost.records/*.json
}

# receiver_goes COMMAND...: and comes back after COMMAND, while a copy to it has
# sent the first part of its source; the copy is whole in the end.
receiver_goes() {
	local pid status=0 at big=$test_tmp/big.img
	cp --sparse=always "$source" "$big"
	truncate -s 16G "$big"
	lose_target
	serve_lost 127.0.0.1:0
	at=$(sed -n 's/^listening on //p' "$test_tmp/lost.log")
	copy "$big" "$at/far" --peer "$peer" --key "$test_tmp/near.key" >"$test_tmp/out" 2>&1 &
	pid=$!
	wait_until 60 committed_some
	kill -KILL "$receiver"
	wait "$receiver" || :
	"$@"
	serve_lost "$at"
	wait "$pid" || status=$?
	eq "$status" 0 "status of the copy"
	cmp -n $((37 << 20)) "$big" "$test_tmp/lost.img"
}

receiver_ended() {
	eq "$1" 0 "status of the receiver"
	expect_status 5 copy "$source" "$address/far" --peer "$peer" --key "$test_tmp/near.key"
	grep -q 'blkferry receive' "$test_tmp/out"
}

reopen() {
	local command=("$bf" receive --config "$test_tmp/receiver.conf" --reopen far)
	eq "$("${command[@]}")" "far may be written again"
}

run_case "to a file that is made for it" new_target
run_case "the same copy again" again
run_case "relative paths" relative_paths
run_case "names with blanks, colons and quotes" odd_names
run_case "a larger target keeps its size" larger_target
run_case "a smaller target is refused and stays as it is" small_target
run_case "a target with a filesystem is refused, then overwritten" foreign_target
run_case "source and target are the same file" same_file
run_case "a source that is none leaves no target behind" no_source
run_case "a copy that is stopped is none" ended_early stop_copy
run_case "a copy that is cancelled is none" ended_early cancel_copy
run_case "what a list says and nothing else" listed_extents
run_case "a resync sends what differs" resync_sends_what_differs
run_case "a list that makes no sense" bad_extents
peer="" receiver="" address=""
start_receiver
run_case "options that belong to the other kind of target" receiver_options
run_case "a copy goes on after a lost receiver" receiver_goes :
run_case "a target that is lost in the middle gets all again" receiver_goes lose_target
run_case "over TLS to a receiver" over_tls
run_case "limits are changed while it runs" set_while_it_runs
run_case "no more is read a second than is allowed" read_rate_holds
run_case "progress on a terminal is one line" line_on_a_terminal
run_case "progress in a file is a line a pass" lines_in_a_file
run_case "a target that was cut over is not written again" cut_over_stays
run_case "a target that is not listed for this key" unlisted_target
run_case "a source that the receiver does not know" unknown_source
run_case "a receiver that is not the one meant" wrong_receiver
kill -TERM "$receiver"
wait "$receiver"
run_case "a receiver that is told to end ends well, and is then away" receiver_ended $?
run_case "the operator reopens the target" reopen
