#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: of two sessions of a job the one with the lower epoch writes nothing
# more, however late its frames come; what was acknowledged survives the
# receiver's death; cut over is final until the operator says otherwise.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/receiver.bash
. "$(dirname "$0")/receiver.bash"

# filled BYTE LENGTH: the target's first LENGTH bytes are all BYTE.
filled() {
	cmp -n "$2" "$test_tmp/a.img" <(head -c "$2" /dev/zero | tr '\0' "\\$1")
}

stale_session() {
	configure 10s
	start_receiver
	writer old web 1 restart
	tell old begin 0 1
	tell old data 0 1 0 1048576 0x11 0
	writer new web 2
	tell new begin 0 2
	tell new data 0 2 0 1048576 0x22 0
	tell new barrier 0 2 1048576
	refused old "stale-session: a newer session of job web" data 0 1 0 1048576 0x33 0
	tell new barrier 0 2 1048576
	tell new digest 0 0 1048576 0x22
	filled 042 1048576
}

stale_claim() {
	configure 10s
	start_receiver
	writer first web 7 restart
	connect second alice
	tell second hello web
	tell second open a 16777216
	refused second "stale-session: epoch 7 of job web is stale.*running twice" claim 7
	tell first begin 0 1
	tell first data 0 1 0 4096 0x11 0
	tell first barrier 0 1 4096
}

# Killed with blocks acknowledged: the record and the blocks are there.
killed_receiver() {
	configure 10s
	start_receiver
	writer p web 3 restart
	tell p begin 0 5
	tell p data 0 5 0 1048576 0x11 1
	tell p barrier 0 5 1048576
	stop_receiver KILL 137
	refused p "connection-lost" wait
	filled 021 1048576
	grep -q '"last_epoch": 3' "$test_tmp"/records/web.*.json
	grep -q '"through_bytes": 1048576' "$test_tmp"/records/web.*.json
	start_receiver
	connect q alice
	tell q hello web
	tell q open a 16777216
	refused q "stale-session" claim 3
	writer r web 4
}

stopped_receiver() {
	configure 10s
	start_receiver
	writer p web 1 restart
	connect q alice
	stop_receiver TERM 0
	refused p "connection-lost: the receiver is stopping" wait
}

cut_over_is_final() {
	configure 10s
	start_receiver
	writer p web 1 restart
	refused p "wrong-state: .*target a holds no complete copy" cutover 1
	writer q web 2
	tell q begin 0 1
	tell q zero 0 1 0 16777216
	tell q barrier 0 1 16777216 complete
	tell q cutover 2
	receiver_says "job web: target a \(.*\) is cut over by alice, epoch 2"
	refused q "protocol: DATA came after CUTOVER" data 0 1 0 4096 0x11 0
	connect r alice
	tell r hello web
	refused r "target-cut-over: .*receive --reopen a" open a 16777216
	connect s alice
	tell s hello other
	refused s "target-in-use: .*belongs to job web" open a 16777216
	flock -n "$test_tmp/a.img" true		# the receiver has let go of it
	fails_saying "not cut over|no job" "$bf" receive --config "$receiver_conf" --reopen b
	"$bf" receive --config "$receiver_conf" --reopen a
	writer t web 3
	fails_saying "not cut over" "$bf" receive --config "$receiver_conf" --reopen a
}

# The operator says that a job is over; not of one that writes or has cut over.
given_up() {
	configure 10s
	start_receiver
	writer p web 1 restart
	tell p begin 0 1
	tell p data 0 1 0 4096 0x11 0
	tell p barrier 0 1 4096
	fails_saying "is writing for job web" "$bf" receive --config "$receiver_conf" --forget a
	stop_receiver TERM 0
	start_receiver
	connect q alice
	tell q hello other
	refused q "target-in-use: .*receive --forget a" open a 16777216
	"$bf" receive --config "$receiver_conf" --forget a
	writer r other 1 restart
	tell r begin 0 1
	tell r zero 0 1 0 16777216
	tell r barrier 0 1 16777216 complete
	tell r cutover 1
	fails_saying "reopen a first" "$bf" receive --config "$receiver_conf" --forget a
	"$bf" receive --config "$receiver_conf" --reopen a
	"$bf" receive --config "$receiver_conf" --forget a
	fails_saying "no job has a record" "$bf" receive --config "$receiver_conf" --forget a
}

# What a job wrote is its own under whatever name it is reached.
another_name() {
	configure 10s
	ln -sf a.img "$test_tmp/alias.img"
	sed -i 's/^targets = a$/targets = a alias/' "$receiver_conf"
	printf '[target alias]\npath = %s\n' "$test_tmp/alias.img" >>"$receiver_conf"
	start_receiver
	writer p web 1 restart
	tell p begin 0 1
	tell p data 0 1 0 1048576 0x11 0
	tell p barrier 0 1 1048576
	stop_receiver TERM 0
	start_receiver
	connect q alice
	tell q hello other
	refused q "target-in-use: target alias belongs to job web" open alias 16777216
	filled 021 1048576
	rm "$test_tmp/a.img"
	truncate -s 16M "$test_tmp/a.img"	# another file now
	connect r alice
	tell r hello other
	tell r open alias 16777216
	tell r claim 1 restart
}

second_receiver() {
	local first
	configure 10s
	start_receiver
	writer p web 1 restart
	first=$receiver_pid
	start_receiver
	connect q alice
	tell q hello web
	refused q "target-in-use: .*locked by another program" open a 16777216
	kill "$first"
	wait "$first"
}

run_case "a stale session writes nothing late" stale_session
run_case "a stale claim disturbs nobody" stale_claim
run_case "kill -9 loses nothing that was acknowledged" killed_receiver
run_case "SIGTERM ends sessions with words" stopped_receiver
run_case "cut over is final until reopened" cut_over_is_final
run_case "a target whose job is over is given up" given_up
run_case "a target by another name" another_name
run_case "two receivers do not share a target" second_receiver
