#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy (the rule in include/wire.h): a source and a receiver whose releases are
# one protocol version apart copy, whichever is the newer one; a feature that one of
# them lacks is done without, one that the other does not know does no harm. Two
# apart, or with nothing in common, the copy is refused at once, with both ranges
# and what to do, before anything is written, and the receiver serves the next one.
# Both ends are real programs; one of them speaks as another release does.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/pair.bash
. "$(dirname "$0")/pair.bash"
this=$bf other=${BLKFERRY_FAULTY:-build/faulty/blkferry}
all=0xffffffffffffffff	# every feature that may ever be

# Data that packs well, zeroes, data that does not.
yes blkferry | head -c 1M >"$source"
truncate -s 2M "$source"
head -c 1M /dev/urandom >>"$source"

# as_release VERSION_MIN VERSION FEATURES: sets release, the start of a command.
as_release() {
	release=(env "BLKFERRY_VERSION_MIN=$1" "BLKFERRY_VERSION=$2" "BLKFERRY_FEATURES=$3")
}

# receiver_is PROGRAM [RELEASE...]: its target holds something like the source.
receiver_is() {
	bf=$1
	shift
	rm -rf "$test_tmp/records" "$test_tmp/near" "$test_tmp/run"
	head -c 3M /dev/zero | tr '\0' x >"$far"
	dd if="$source" of="$far" bs=64k count=16 conv=notrunc status=none
	cp "$far" "$test_tmp/before.img"
	# shellcheck disable=SC2119
	write_receiver
	start_receiver "$@"
}

# copy_of STATUS PROGRAM [RELEASE...]: compares first, over two connections.
copy_of() {
	local status=0 wanted=$1 program=$2
	shift 2
	"$@" "$program" copy "$source" "$address/far" --resync --verbose --connections 2 --peer "$peer" \
		--key "$test_tmp/near.key" --run-dir "$test_tmp/run" \
		--records-dir "$test_tmp/near" >"$test_tmp/copy.log" 2>&1 || status=$?
	[ "$status" = "$wanted" ] || cat "$test_tmp/copy.log" "$test_tmp/receiver.log"
	eq "$status" "$wanted" "status of the copy"
}

arrives() {
	cmp "$source" "$far"
	end_receiver
}

# source_is MIN MAX FEATURES; target_is MIN MAX FEATURES
source_is() {
	as_release "$@"
	receiver_is "$this"
	copy_of 0 "$other" "${release[@]}"
	arrives
}

target_is() {
	as_release "$@"
	receiver_is "$other" "${release[@]}"
	copy_of 0 "$this"
	arrives
}

both_are() {
	as_release "$@"
	receiver_is "$other" "${release[@]}"
	copy_of 0 "$other" "${release[@]}"
	arrives
}

says_so() {
	grep -q "source speaks protocol versions $1, this receiver $2; install releases that are at most one apart" \
		"$test_tmp/copy.log"
	cmp "$test_tmp/before.img" "$far"
}

# The receiver is the older one by two; then one of its own version comes.
source_too_new() {
	as_release 2 3 0xf
	receiver_is "$this"
	copy_of 1 "$other" "${release[@]}"
	says_so "2 to 3" "1 to 1"
	copy_of 0 "$this"
	arrives
}

source_too_old() {
	as_release 2 3 0xf
	receiver_is "$other" "${release[@]}"
	copy_of 1 "$this"
	says_so "1 to 1" "2 to 3"
	as_release 2 2 0xf
	copy_of 0 "$other" "${release[@]}"
	arrives
}

# It would be told by the end of the copy that the target had answered nonsense.
digests_are_missing() {
	"$1" 1 1 0xd
	grep -q "the target's release knows no digests, so all is sent" "$test_tmp/copy.log"
}

run_case "a source of the next version, with features unknown here" source_is 1 2 "$all"
run_case "a receiver of the next version, with features unknown here" target_is 1 2 "$all"
run_case "both are of the next version, and know this one" both_are 1 2 "$all"
run_case "both are of the next version alone" both_are 2 2 "$all"
for side in source target; do
	run_case "a $side of the release before, without any feature" "${side}_is" 1 1 0
	for bit in 0x1 0x2 0x4 0x8; do
		run_case "a $side without feature $bit" "${side}_is" 1 1 "$((0xf & ~bit))"
	done
	run_case "a $side without digests: all is sent" digests_are_missing "${side}_is"
done
run_case "a source two versions ahead is refused" source_too_new
run_case "a receiver two versions ahead refuses" source_too_old
