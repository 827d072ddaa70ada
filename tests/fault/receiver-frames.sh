#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a known source that sends damaged, oversized, truncated or misplaced
# frames loses its connection with words; the target keeps what was on it, and
# the receiver serves on.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/receiver.bash
. "$(dirname "$0")/receiver.bash"

target_is_zero() {
	cmp -n 16777216 "$test_tmp/a.img" /dev/zero
}

# Types and sizes as in include/wire.h.
oversized_frame() {
	configure 10s
	start_receiver
	writer p web 1
	refused p "protocol: DATA of 4294967295 bytes" header 8 0 4294967295
	writer q web 2
	refused q "protocol: DATA of 1056801 bytes" header 8 0 1056801
	writer r web 3
	refused r "protocol: CLAIM of 17 bytes" header 5 0 17
	target_is_zero
	still_serves_other
}

# The target belongs to job web now.
still_serves_other() {
	writer honest web 1000
	tell honest begin 0 1
	tell honest zero 0 1 0 16777216
	tell honest barrier 0 1 16777216 complete
}

unknown_type() {
	configure 10s
	start_receiver
	writer p web 1
	refused p "protocol: frame of unknown type 99" header 99 0 8
	writer q web 2
	refused q "protocol: WELCOME came from the wrong side" header 2 0 64
	still_serves_other
}

garbage_after_hello() {
	configure 10s
	start_receiver
	connect p alice
	tell p hello web
	refused p "protocol" bytes 1000 0xff
	still_serves_other
}

truncated_frame() {
	configure 10s
	start_receiver
	writer p web 1
	tell p begin 0 1
	tell p header 8 0 1000048
	tell p bytes 500000 0x11
	tell p shut
	wait_until 5 receiver_says "session of alice .* ended: .*connection-lost"
	target_is_zero
	still_serves_other
}

stops_within_a_frame() {
	configure 1s
	start_receiver
	writer p web 1
	tell p begin 0 1
	tell p header 8 0 1000048
	tell p bytes 500000 0x11
	tell p deaf
	refused p "timeout: .*in the middle of a frame" wait
	target_is_zero
	still_serves_other
}

falls_silent() {
	configure 1s
	start_receiver
	writer p web 1
	tell p deaf
	refused p "timeout: the source said nothing for 1 ?s" wait
	still_serves_other
}

damaged_blocks() {
	configure 10s
	start_receiver
	writer p web 1
	tell p begin 0 1
	refused p "corrupt: target a: .*checksum" data 0 1 0 1048576 0x77 1 flip
	target_is_zero
	still_serves_other
}

beyond_the_end() {
	configure 10s
	start_receiver
	truncate -s 32M "$test_tmp/a.img"	# larger than what was opened
	writer p web 1
	tell p begin 0 1
	refused p "protocol: DATA with an extent beyond the device's end" \
		data 0 1 16777216 4096 0x77 0
	cmp -n 33554432 "$test_tmp/a.img" /dev/zero
	still_serves_other
}

run_case "oversized frames are refused before they are read" oversized_frame
run_case "unknown and misdirected types" unknown_type
run_case "garbage after HELLO" garbage_after_hello
run_case "a frame cut short by the connection's end" truncated_frame
run_case "a source that stops within a frame" stops_within_a_frame
run_case "a source that falls silent" falls_silent
run_case "damaged blocks are not written" damaged_blocks
run_case "nothing is written beyond the opened size" beyond_the_end
