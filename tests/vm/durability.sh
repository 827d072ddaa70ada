# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: DURABLE(n) is true. A power cut right behind any acknowledgement
# leaves every block that it covers as it was sent, or newer, and the receiver's
# record never says more than the target holds. Shown with dm-log-writes under
# a target disk, and under the filesystem of a target file. The same log
# convicts acknowledgements that come without, or before, their flush.
# VM: mem=768 disks=virtio:40M+virtio:512M+virtio:32M limit=400 kernels=5.10+6.1+7 module=no
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh

disk=/dev/vm/d0 log_disk=/dev/vm/d1 replica=/dev/vm/d2
logged=/dev/mapper/logged
# No udev here: dmsetup makes its nodes itself.
export DM_DISABLE_UDEV=1
modprobe -a dm_mod dm_log_writes ext4

blkferry key --generate --key "$test_tmp/receiver.key" >"$test_tmp/peer"
blkferry key --generate --key "$test_tmp/source.key" >"$test_tmp/source"

# start_logging MIB: of the disk.
start_logging() {
	dmsetup create logged --table \
		"0 $(($1 * 2048)) log-writes $disk $log_disk"
	cleanup_fn remove_logged
}

remove_logged() {
	[ ! -e $logged ] || dmsetup remove --retry logged
}

# The log is whole only when the device is gone.
stop_logging() {
	dmsetup status logged
	[[ $(dmsetup status logged) != *logging_disabled* ]]
	dmsetup remove --retry logged
}

# start_receiver TARGET RECORDS: one that knows nothing yet; sets $receiver and
# $address.
start_receiver() {
	local conf=$test_tmp/receiver.conf
	rm -rf "$2"
	cat >"$conf" <<-END
		[receiver]
		listen = 127.0.0.1:0
		key = $test_tmp/receiver.key
		records = $2
		[peer source]
		key = $(cat "$test_tmp/source")
		targets = t
		[target t]
		path = $1
	END
	blkferry receive --config "$conf" 2>"$test_tmp/receiver.log" &
	receiver=$!
	cleanup_fn stop_receiver
	wait_until 10 grep -q 'listening on' "$test_tmp/receiver.log"
	address=$(sed -n 's/.*listening on //p' "$test_tmp/receiver.log")
}

stop_receiver() {
	[ -n "$receiver" ] || return 0
	kill "$receiver"
	wait "$receiver" || fail "the receiver's status is $?"
	receiver=""
	cat "$test_tmp/receiver.log"
}

# send BYTES ROUNDS SEED RECORDS
send() {
	acked_source address="$address" peer="$(cat "$test_tmp/peer")" key="$test_tmp/source.key" \
		target=t records="$4" device=logged ledger="$test_tmp/ledger" \
		bytes="$1" rounds="$2" seed="$3" >"$test_tmp/figures"
}

# --- a disk -----------------------------------------------------------------------

to_disk() {
	start_logging 40
	start_receiver $logged "$test_tmp/records"
	send $((32 << 20)) 24 1 "$test_tmp/records"
	stop_receiver
	stop_logging
}

# judge STATUS WHAT LEDGER_MARK [OPTION]
judge() {
	local status=$1 what=$2
	shift 2
	expect_status "$status" log_judge judge $log_disk "$test_tmp/ledger" "$@"
	cat "$test_tmp/out"
	grep ^entries= "$test_tmp/out" >"$test_tmp/log-figures"
	sed -n "s/^judged=/$what: judged=/p" "$test_tmp/out" >>"$test_tmp/figures"
}

no_violation() {
	judge 0 "acknowledged" ack
	grep -q ' broken=0 violations=0$' "$test_tmp/out"
}

# Each of the acknowledgements is convicted, not just one.
all_broken() {
	judge 1 "$@"
	grep -qE '^judged=([0-9]+) broken=\1 ' "$test_tmp/out"
}

# last WORD FIELD: of the ledger's last line of that kind.
last() { grep "^$1 " "$test_tmp/ledger" | tail -n 1 | cut -d ' ' -f "$2"; }

log_is_all() {
	log_judge image $log_disk all $((40 << 20)) "$test_tmp/image"
	cmp -n $((32 << 20)) "$test_tmp/image" $disk
	rm "$test_tmp/image"
	log_judge check "$test_tmp/ledger" $disk "$(last barrier 4)" \
		"$(last barrier 5)" "$(last ack 2)"
}

figures() {
	cat "$test_tmp/log-figures" "$test_tmp/figures" | sed "s/^/# $1: /"
	rm "$test_tmp/log-figures" "$test_tmp/figures"
}

run_case "a disk: DURABLE comes when the record says what the barrier stated" to_disk
run_case "a disk: what is acknowledged lies before a completed flush" no_violation
run_case "a disk: the log holds all that was written" log_is_all
run_case "a disk: without its flushes no acknowledgement would be true" \
	all_broken "flushes ignored" ack --ignore-flush
run_case "a disk: given at the barrier, none would be true" \
	all_broken "given at the barrier" barrier
figures disk

# --- a file, with the records beside it on one filesystem ---------------------------

to_file() {
	mkdir -p /mnt/target /mnt/replica
	start_logging 32
	mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 $logged
	mount -t ext4 $logged /mnt/target
	cleanup_fn unmount /mnt/target
	truncate -s 20M /mnt/target/file
	start_receiver /mnt/target/file /mnt/target/records
	send $((16 << 20)) 16 2 /mnt/target/records
	stop_receiver
	umount /mnt/target
	stop_logging
	log_judge points $log_disk >"$test_tmp/points"
}

unmount() { ! findmnt -M "$1" >"$test_tmp/mount" || umount "$1"; }

# after ENTRY: mounts what a power cut behind that entry of the log leaves.
after() {
	log_judge image $log_disk "$1" $((32 << 20)) $replica
	mount -t ext4 $replica /mnt/replica
	cleanup_fn unmount /mnt/replica
}

# "ENTRY ACKS": behind some acknowledgements, and at eight steps of the disk
# while several were given. ACKS had been given by then.
points() {
	awk '{ word = $2; sub(/-.*/, "", word); n = $2; sub(/.*-/, "", n) }
	     word == "ack" { acks = n }
	     word == "ack" && (n == 1 || n % 8 == 0) { print $1, acks }
	     word == "barrier" && n == 2 { open = 1 }
	     word == "ack" && n == 12 { open = 0 }
	     open && (word == "flush" || word == "fua") { step[++nr] = $1 " " acks }
	     END { for (i = 1; i <= 8; i++) print step[int(i * nr / 8)] }' \
		"$test_tmp/points"
}

# A record may be ahead of the acknowledgements, never ahead of the blocks.
record_is_true() {
	local entry=$1 acks=$2 generation through
	after "$entry"
	jq -r '.body.disks[0] | .generation, .through_bytes' \
		/mnt/replica/records/durability.*.json >"$test_tmp/recorded"
	{ read -r generation && read -r through; } <"$test_tmp/recorded"
	log_judge check "$test_tmp/ledger" /mnt/replica/file "$generation" \
		"$through" "$acks"
	umount /mnt/replica
}

records_are_true() {
	local entry acks nr=0
	while read -r entry acks; do
		record_is_true "$entry" "$acks"
		nr=$((nr + 1))
	done < <(points)
	[ "$nr" -ge 12 ]
	e2fsck -fn $replica
	echo "$nr power cuts" >>"$test_tmp/figures"
	grep -E ' (flush|fua)$' "$test_tmp/points" | cut -d ' ' -f 2 | sort |
		uniq -c >"$test_tmp/log-figures"
}

# The blocks of barrier 9 are not there when it is sent, whatever a record says.
early_record_is_convicted() {
	local generation through
	read -r _ _ _ generation through < <(grep '^barrier 9 ' "$test_tmp/ledger")
	after "$(awk '$2 == "barrier-9" { print $1 }' "$test_tmp/points")"
	expect_status 1 log_judge check "$test_tmp/ledger" /mnt/replica/file \
		"$generation" "$through" 9
	grep -q '^recorded=9 ' "$test_tmp/out"
}

run_case "a file: DURABLE comes when the record says what the barrier stated" to_file
run_case "a file: after a power cut its record is true of it" records_are_true
run_case "a file: a record written at the barrier would not be true" \
	early_record_is_convicted
figures file
