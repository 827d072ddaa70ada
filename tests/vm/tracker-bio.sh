# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: every bio-based disk on the module's list is tracked like any other,
# by its own sectors: no change of any kind is missed, and a write in flight at a
# swap is in every generation until it has ended. When all is quiet nothing is in flight. Everything else is
# refused with words that say what to track instead. The table of what is which
# on which kernel is here.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M mem=768 turns=yes limit=1500 tools=mdadm+fio+sfdisk+make-bcache modules=bcache+dm_thin_pool+dm_crypt+xts+ecb+dm_snapshot+dm_multipath+dm_round_robin+dm_delay+raid0+raid1+raid10+raid456 kernels=all+generic+rt+fault check=5.10+6.1+7
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash

# --- what is shown ----------------------------------------------------------------

quiet() { eq "$(stat_of a inflight)" 0 "writes in flight"; }

every_kind_of_write() {
	local unit
	unit=$(($(blockdev --getss "$disk") / 512))
	write_at "$disk" $((3 * unit)) $((5 * unit))
	write_at "$disk" 1000 2048
	write_at "$disk" 57336 16
	write_at "$disk" $(($(sectors "$disk") - unit)) "$unit"
	write_at "$disk" 8192 64 sync
	write_at "$disk" 20480 512 buffered
	whatever blkdiscard -o 16M -l 2M "$disk"
	blkdiscard -z -o 20M -l 3M "$disk"
}

tracked() {
	"$@"
	remember "$disk"
	track a "$disk"
	every_kind_of_write
	covers_all_changes a "$disk"
	wait_until 10 quiet
	dirty_is a "$disk" -
	eq "$(stat_of a late)" 0 late
	eq "$(reason_of a unseen)" "0 0" unseen
	cleanup_fn whatever consumer "untrack oracle"
	oracle "$disk" 7 150
}

refused() {
	"$@"
	cleanup_fn whatever consumer "untrack a"
	fails_saying "^error EOPNOTSUPP .*(members|no members)" consumer "track a $disk"
}

tracked_on_new() {
	if is_old; then
		refused "$@"
	else
		tracked "$@"
	fi
}

null_of_bios() {
	null_disk queue_mode=0
	if [ -d "/sys/block/${disk##*/}/mq" ]; then
		tracked true
	else
		refused true
	fi
}

a_partition_of_md() {
	md raid1 2
	echo "start=4099, size=9001, type=83" | sfdisk --quiet --label dos "$disk"
	blockdev --rereadpt "$disk"
	wait_until 10 test -b "${disk}p1"
	track a "${disk}p1"
	write_at "$disk" 4096 8
	dirty_is a "${disk}p1" "0+8"
	write_at "$disk" 4000 8
	dirty_is a "${disk}p1" -
}

in_flight() { [ "$(stat_of a inflight)" -gt 0 ]; }

in_every_generation() {
	slow
	track a "$disk"
	start_consumer
	write_at "$disk" 800 8 &
	writer=$!
	wait_until 10 in_flight
	ask_ok begin a "$disk"
	[[ $reply = *" blocks=1 "*" carried=0"* ]]
	ask_ok finish a
	ask_ok begin a "$disk"
	[[ $reply = *" blocks=1 "*" carried=1"* ]]
	[[ $reply = *" writes=0 "* ]]
	ask_ok walk a
	eq "$(value extents "$reply")" 800+8 "carried"
	ended
	ask_ok finish a
	ask_ok begin a "$disk"
	eq "$(value carried "$reply")" 1 "landed since the last begin"
	ask_ok finish a
	dirty_is a "$disk" -
	eq "$(stat_of a new_blocks)" 1 "new blocks"
}

a_second_tracker() {
	slow
	track a "$disk"
	write_at "$disk" 800 8 &
	writer=$!
	wait_until 10 in_flight
	track b "$disk"
	dirty_is b "$disk" 800+8
	consumer "untrack a"
	ended
	dirty_is b "$disk" 800+8
	dirty_is b "$disk" -
}

untracked_meanwhile() {
	slow
	track a "$disk"
	write_at "$disk" 800 8 &
	writer=$!
	wait_until 10 in_flight
	consumer "untrack a"
	ended
}

# Large zeroing on a disk without the operation is a chain of writes, the ends of
# which some kernels do not tell.
chained() {
	slow
	track a "$disk"
	start_consumer
	blkdiscard -z -o 4M -l 8M "$disk" &
	writer=$!
	wait_until 10 in_flight
	ask_ok begin a "$disk"
	ask_ok finish a
	ended
	wait_until 10 quiet
	eq "$(drained a "$disk")" 8192+16384 "what was in flight"
	dirty_is a "$disk" -
	eq "$(reason_of a unseen)" "0 0" unseen
}

failed() {
	dm bad "0 1000 linear $(realpath "$d0") 0" "1000 1000 error"
	track a "$disk"
	whatever write_at "$disk" 1200 8
	dirty_is a "$disk" 1200+8
	eq "$(stat_of a failed)" 1 failed
	quiet
}

# More at once than the table holds: those are marked when they end. None ends
# before the last is submitted, on a busy host either.
too_many() {
	slow_on "$d0" 8000
	track a "$disk"
	fio --name=many --filename="$disk" --ioengine=libaio --iodepth=12000 --bs=4k \
		--rw=write --direct=1 --size=48M --minimal >/dev/null
	wait_until 10 quiet
	[ "$(stat_of a late)" -gt 0 ]
	eq "$(reason_of a unseen)" "0 0" unseen
	eq "$(drained a "$disk")" 0+98304 dirty
}

beneath() {
	linear
	track a "$d1"
	write_at "$disk" 0 8
	dirty_is a "$d1" 8+8
}

table_counts() { eq "$(reason_of a table)" "$1 0" "reason table"; }

another_table() {
	linear
	track a "$disk"
	start_consumer
	ask_ok event 0
	write_at "$disk" 0 8
	echo change >"/sys/block/${disk##*/}/uevent"
	table_counts 0
	dmsetup suspend lin
	dmsetup reload lin --table "0 65536 linear $(realpath "$d1") 8192"
	dmsetup resume lin
	drained a "$disk" >/dev/null	# a generation that begins now is told
	table_counts 1
	ask_ok event 10000
	[[ $reply = *"reason=7"* ]] || fail "$reply"
}

# Though it is seen by its requests.
multipath_table() {
	multipath_of_requests
	track a "$disk"
	dmsetup suspend mp
	dmsetup resume mp
	drained a "$disk" >/dev/null
	table_counts 1
}

another_disks_table() {
	linear
	track a "$disk"
	dm other "0 1024 linear $(realpath "$d1") 70000"
	dmsetup suspend other
	dmsetup resume other
	track b "$disk"
	eq "$(reason_of b table)" "0 0" "told before its tracker"
	dmsetup suspend other
	dmsetup resume other
	told() { [ "$(reason_of b table)" = "1 0" ]; }
	wait_until 10 told
	table_counts 0
}

run_case "dm linear is tracked" tracked linear
run_case "dm striped is tracked" tracked striped
run_case "dm thin is tracked" tracked thin
run_case "dm crypt is tracked" tracked crypt
run_case "dm snapshot-origin is tracked" tracked origin
run_case "dm multipath, bio-based, is tracked" tracked multipath_of_bios
run_case "dm multipath, request-based, is tracked" tracked multipath_of_requests
run_case "md raid1 is tracked" tracked md raid1 2
run_case "md raid10 is tracked" tracked md raid10 2
run_case "md raid4 is tracked" tracked md raid4 3
run_case "md raid5 is tracked" tracked md raid5 3
run_case "md raid6 is tracked" tracked md raid6 4
run_case "md raid0 is tracked from 6.6, before refused" tracked_on_new md raid0 2
run_case "brd is tracked from 6.6, before refused" tracked_on_new ram
run_case "zram is tracked from 6.6, before refused" tracked_on_new zipped
run_case "bcache is refused" refused cached
run_case "null_blk is refused where it is bio-based, else tracked" null_of_bios
run_case "a partition of an md array" a_partition_of_md
run_case "a write in flight is in every generation" in_every_generation
run_case "a second tracker learns what is in flight" a_second_tracker
run_case "untrack with a write in flight" untracked_meanwhile
run_case "chained writes leave the table" chained
run_case "failed writes are marked and counted" failed
run_case "more writes in flight than the table holds" too_many
run_case "another mapping table raises a reason" another_table
run_case "that of a request-based multipath does, too" multipath_table
run_case "another disk's table does not" another_disks_table
run_case "the disk below a dm disk" beneath
