#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a receiver that is named by a host name may come back at another
# address: the name is looked up for each attempt, the key says that it is the
# same receiver, and the copy goes on from where it was. Another receiver at that
# name is refused by its key, however long it waits there.
# RUN: limit=120
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# The names of this file alone: /etc/hosts of a mount namespace of its own.
if [ -z "${BLKFERRY_HOSTS:-}" ]; then
	export BLKFERRY_HOSTS=$test_tmp.hosts
	echo "127.0.0.1 far.test" >"$BLKFERRY_HOSTS"
	trap - EXIT
	rm -rf "$test_tmp"
	# shellcheck disable=SC2016  # the inner shell expands them
	unshare -m bash -c 'mount --bind "$BLKFERRY_HOSTS" /etc/hosts && exec bash "$0"' "$0"
	status=$?
	rm -f "$BLKFERRY_HOSTS"
	exit "$status"
fi

# shellcheck source=tests/fault/pair.bash
. "$(dirname "$0")/pair.bash"
head -c 24M /dev/urandom >"$source"
"$bf" key -g -k "$test_tmp/other.key" >"$test_tmp/other.id"

# In place: the file is what is mounted.
moves_to() { echo "$1 far.test" >"$BLKFERRY_HOSTS"; }

# receiver_at ADDRESS [KEY]: on the port that the first one was given.
receiver_at() {
	# shellcheck disable=SC2119
	write_receiver
	sed -i "s/^listen.*/listen = $1:${port:-0}/; s/far\.key/${2:-far}.key/" \
		"$test_tmp/receiver.conf"
	# shellcheck disable=SC2119
	start_receiver
	port=${address##*:}
}

start_copy() {
	truncate -s 24M "$far"
	moves_to 127.0.0.1
	receiver_at 127.0.0.1
	"$bf" copy "$source" "far.test:$port/far" --peer "$peer" --rate 8M \
		--key "$test_tmp/near.key" --run-dir "$test_tmp/run" \
		--records-dir "$test_tmp/near" >"$test_tmp/copy.log" 2>&1 &
	copier=$!
	wait_until 20 has_sent
	kill "$receiver"
	wait "$receiver"
}

has_sent() {
	[ "$("$bf" status --json --run-dir "$test_tmp/run" | jq '.jobs[0].raw_bytes // 0')" -gt 1000000 ]
}

comes_back() {
	start_copy
	moves_to 127.0.0.2
	receiver_at 127.0.0.2
	wait "$copier"
	cmp "$source" "$far"
	grep -q 'from 127\.' "$test_tmp/receiver.log"
}

is_another() {
	local status=0
	rm -rf "$far" "$test_tmp/records" "$test_tmp/near"
	start_copy
	moves_to 127.0.0.3
	receiver_at 127.0.0.3 other
	wait "$copier" || status=$?
	eq "$status" 7 "status of the copy"
	grep -q "answers with the key $(cat "$test_tmp/other.id")" "$test_tmp/copy.log"
}

run_case "it comes back at another address" comes_back
run_case "another one is there" is_another
