#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: at every fault point of source and target (user/lib/fault.h) the
# process that gets there is killed, or the step fails; then what died is
# started again, the copy is made again, and source and target are equal, or
# the target says that it was cut over and is equal. No point is left out: one
# that nothing reaches fails this file. (A copy of an image freezes nothing: the
# points of "cutover-" are tests/vm/cutover-death.sh's.)
# RUN: limit=400
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

bf=${BLKFERRY_FAULTY:-build/faulty/blkferry}
# shellcheck source=tests/fault/pair.bash
. "$(dirname "$0")/pair.bash"
kills=0 failures=0

# The form of 2 MiB: data, zeroes, data.
head -c 1M /dev/urandom >"$source"
truncate -s 3M "$source"
head -c 1M /dev/urandom >>"$source"

mapfile -t points < <(sed -n 's/^\tX(.*"\(.*\)").*/\1/p' user/lib/fault.h |
	grep -v '^cutover-')
# shellcheck disable=SC2119
write_receiver

# receiver_with FAULT: on the port that the first one was given.
receiver_with() {
	start_receiver env BLKFERRY_FAULT="$1"
	same_address
}

# copy STATUSES FAULT: with one of the statuses. A receiver that dies meanwhile is
# started again, and the copy goes on with it.
copy() {
	local status=0 copier dead
	BLKFERRY_FAULT=$2 "$bf" copy "$source" "$address/far" --resync --peer "$peer" \
		--key "$test_tmp/near.key" --run-dir "$test_tmp/run" \
		--records-dir "$test_tmp/near" >"$test_tmp/copy.log" 2>&1 &
	copier=$!
	wait -n -p dead "$copier" "$receiver" || status=$?
	if [ "$dead" = "$receiver" ]; then
		eq "$status" 137 "status of the receiver"
		grep "fault point" "$test_tmp/receiver.log" >"$test_tmp/died.log"
		receiver_with ""
		status=0
		wait "$copier" || status=$?
	fi
	[[ " $1 " == *" $status "* ]] || {
		cat "$test_tmp/copy.log"
		fail "status $status of the copy, wanted one of $1"
	}
}

reached() { cat "$test_tmp"/{copy,receiver,died}.log | grep -q "fault point $1 is reached"; }

# A target that differs in a part: a resync compares and sends.
fresh() {
	: >"$test_tmp/died.log"
	rm -rf "$test_tmp/records" "$test_tmp/near" "$test_tmp/run"
	cp "$source" "$far"
	dd if=/dev/urandom of="$far" bs=64k count=9 seek="$((RANDOM % 40))" conv=notrunc status=none
	dd if=/dev/urandom of="$far" bs=64k count=9 seek=50 conv=notrunc status=none
}

# One fault, then all again without it.
fault() {
	local point=$1 what=$1:$2
	fresh
	case $point in
	source-*) receiver_with "" && copy "0 1 5 7 137" "$what" ;;
	# Taken, and only the answer was lost: the copy finds out by itself.
	target-cut-over | target-answered) receiver_with "$what" && copy 0 "" ;;
	target-*) receiver_with "$what" && copy "0 1 5 7" "" ;;
	*) receiver_with "$what" && copy "0 1 5 7 137" "" ;;
	esac
	reached "$point"
	end_receiver
	receiver_with ""
	copy "0 7" ""
	grep -q 'done$\|receive --reopen' "$test_tmp/copy.log"
	cmp -n "$(stat -c %s "$source")" "$source" "$far"
	[ -z "$(find "$test_tmp/records" -name '*.new')" ] || "$bf" receive \
		--config "$test_tmp/receiver.conf" --reopen far
}

killed_at() { fault "$1" 1; }
fails_at() { fault "$1" "1:$2"; }
# EIO, ENOMEM, ENOSPC: each point meets the next one.
errors=(5 12 28)

# What is durable already has no way to fail any more.
can_fail() {
	case $1 in
	target-durable | target-cut-over | target-answered | source-cut-over | record-renamed) return 1 ;;
	esac
}

for point in "${points[@]}"; do
	run_case "killed at $point" killed_at "$point"
	kills=$((kills + 1))
	can_fail "$point" || continue
	error=${errors[failures % 3]}
	run_case "error $error at $point" fails_at "$point" "$error"
	failures=$((failures + 1))
done

# Nobody has to start anything for that.
damaged_is_sent_again() {
	fresh
	receiver_with target-damaged:2:74
	copy 0 ""
	reached target-damaged
	cmp -n "$(stat -c %s "$source")" "$source" "$far"
	end_receiver
}
run_case "what arrives damaged is sent again" damaged_is_sent_again

counted fault-points "${#points[@]}"
counted fault-kills "$kills"
counted fault-errors "$failures"
