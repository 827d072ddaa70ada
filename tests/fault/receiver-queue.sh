#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: no more jobs are copied or compared whole at once than the receiver
# allows; the others are told "queued" and have changed nothing by asking; the
# turn ends with the copy, or with its session, however that ends; a job whose
# targets are complete waits for nobody.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/receiver.bash
. "$(dirname "$0")/receiver.bash"

one_at_a_time() {
	configure 10s
	sed -i -e 's/^timeout/full-copies = 1\n&/' -e 's/^targets = a$/targets = a b/' \
		"$receiver_conf"
	start_receiver
}

# second NAME: alice's other job, with target b.
second() {
	connect "$1" alice
	tell "$1" hello db
	tell "$1" open b 16777216
}

whole_copy() {
	tell "$1" begin 0 1
	tell "$1" data 0 1 0 65536 0x5a 1
	tell "$1" barrier 0 1 16777216 complete
}

waits_for_its_turn() {
	one_at_a_time
	writer first web 1 restart
	second p
	refused p "queued: the receiver copies 1 jobs whole already" claim 1 restart
	fails_saying . ls "$test_tmp"/records/db.*.json
	whole_copy first
	second q
	tell q claim 1 restart
}

has_its_turn_again() {
	one_at_a_time
	writer first web 1 restart
	writer again web 2 restart
	second p
	refused p queued claim 1 restart
}

ends_with_the_session() {
	one_at_a_time
	writer first web 1 restart
	tell first begin 0 1
	hang_up first
	wait_until 10 receiver_says 'ended: job web'
	second p
	tell p claim 1 restart
}

passes_wait_for_nobody() {
	one_at_a_time
	writer first web 1 restart
	whole_copy first
	hang_up first
	second p
	tell p claim 1 restart
	writer delta web 2
	tell delta begin 0 2
	tell delta data 0 2 0 4096 0x11 0
	tell delta barrier 0 2 16777216 end
}

limit_is_read_again() {
	one_at_a_time
	writer first web 1 restart
	sed -i 's/^full-copies = 1/full-copies = 2/' "$receiver_conf"
	kill -HUP "$receiver_pid"
	wait_until 10 receiver_says 'configuration was read again'
	second p
	tell p claim 1 restart
}

run_case "the second waits until the first is copied" waits_for_its_turn
run_case "a job that comes again keeps its turn" has_its_turn_again
run_case "a session's end is the turn's end" ends_with_the_session
run_case "delta passes wait for nobody" passes_wait_for_nobody
run_case "the limit is read again" limit_is_read_again
