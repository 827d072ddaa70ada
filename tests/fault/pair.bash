# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # for those that source it; lib.sh's
# A source and a receiver that know each other: the image $source may be copied to
# the receiver's target "far", $far. Sourced after lib.sh.

bf=${bf:-${BLKFERRY:-build/blkferry}}
source=$test_tmp/source.img
far=$test_tmp/far.img
receiver=

"$bf" key -g -k "$test_tmp/near.key" >"$test_tmp/near.id"
peer=$("$bf" key -g -k "$test_tmp/far.key")

# write_receiver [LINE...]: its configuration, with more lines for [receiver].
write_receiver() {
	cat >"$test_tmp/receiver.conf" <<-END
		[receiver]
		listen = 127.0.0.1:0
		key = $test_tmp/far.key
		records = $test_tmp/records
		$(printf '%s\n' "$@")
		[peer near]
		key = $(cat "$test_tmp/near.id")
		targets = far
		[target far]
		path = $far
		overwrite = yes
	END
}

is_listening() { grep -q 'listening on ' "$test_tmp/receiver.log" || ! kill -0 "$receiver"; }

# start_receiver [COMMAND...]: through COMMAND, which becomes the receiver. Sets
# address. It ends with the case.
start_receiver() {
	: >"$test_tmp/receiver.log"
	"$@" "$bf" receive --config "$test_tmp/receiver.conf" \
		2>"$test_tmp/receiver.log" &
	receiver=$!
	cleanup_fn end_receiver
	wait_until 20 is_listening
	address=$(sed -n 's/^listening on //p' "$test_tmp/receiver.log")
}

end_receiver() {
	[ -z "$receiver" ] || { kill "$receiver" && wait "$receiver"; } 2>/dev/null
	receiver=
}

# A new start of it is at the address that it had.
same_address() {
	sed -i "s/^listen.*/listen = $address/" "$test_tmp/receiver.conf"
}
