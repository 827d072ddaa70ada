# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: nobody needs to be quiet when tracking of a bio-based disk begins: what
# is under way then is marked as a whole when it ends, whatever the driver did to
# its bio meanwhile; where nothing tells what it was the reason "unseen" is
# raised. A flush is no write and raises nothing.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M mem=768 turns=yes limit=400 tools=mdadm+fio+sfdisk+blkdiscard modules=dm_delay+raid0+raid1+null_blk kernels=all+generic+rt+fault check=5.10+6.1+7
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash

# under_way COMMAND...: at work in the background, waiting for the disk.
under_way() {
	"$@" &
	writer=$!
	wait_until 10 busy
}

# tracked_from_then_on DISK: while it is still at it; then it ends.
tracked_from_then_on() {
	track a "$1"
	busy || fail "it ended before tracking began" || return 1
	whatever ended
}

# late_is COUNT TIMES_UNSEEN
late_is() {
	eq "$(stat_of a late)" "$1" late
	eq "$(reason_of a unseen)" "$2 0" unseen
}

# --- writes -----------------------------------------------------------------------

on_top() { dm top "0 131072 linear $1 0"; }

a_write() {
	slow
	under_way put "$disk" 800 16
	tracked_from_then_on "$disk"
	dirty_is a "$disk" 800+16
	late_is 1 0
}

a_clone() {
	slow
	local below=$disk
	on_top "$below"
	under_way put "$disk" 800 16
	tracked_from_then_on "$below"
	dirty_is a "$below" 800+16
	late_is 1 0
}

slow_to_fail() {
	dm bad "0 131072 error"
	slow_on "$disk"
}

a_write_that_fails() {
	slow_to_fail
	under_way put "$disk" 800 16
	tracked_from_then_on "$disk"
	dirty_is a "$disk" 800+16
	late_is 1 0
	eq "$(stat_of a failed)" 1 failed
}

# Of a clone that failed nobody knows how much of it had been done.
a_clone_that_fails() {
	slow_to_fail
	local below=$disk
	on_top "$below"
	under_way put "$disk" 800 16
	tracked_from_then_on "$below"
	late_is 0 1
}

# Chunks of the array's writes are handed on as the very bios that they came as.
below_raid0() {
	modprobe raid0
	dm one "0 65536 linear $(realpath "$d0") 0"
	local one=$disk
	dm two "0 65536 linear $(realpath "$d1") 0"
	array raid0 "$one" "$disk"
	remember "$one"
	track a "$one"
	put "$disk" 0 8192
	case $(uname -r) in
	5.10.*) [ "$(reason_of a unseen)" != "0 0" ] ;;
	*) covers_all_changes a "$one" ;;
	esac
}

# Said when they are handed on, and again when they have landed: a resync that
# begins between the two would read too early.
doubted_again_at_the_end() {
	local said cleared
	modprobe raid0
	slow
	local one=$disk
	dm two "0 65536 linear $(realpath "$d1") 0"
	array raid0 "$one" "$disk"
	track a "$one"
	under_way put "$disk" 0 8192
	read -r said cleared < <(reason_of a unseen)
	[ "$said" -ge 1 ] || fail "raised $said times"
	busy || fail "it ended too early" || return 1
	ended
	[ "$(reason_of a unseen)" != "$said $cleared" ] || fail "said no more after that"
}

# A chain of which the first were submitted before the tracker was there, one after
# the other as a slow disk takes them; each is chained to the next.
some_are_written() { [ "$(awk '{ print $5 }' "/sys/block/${disk#/dev/}/stat")" -ge 3 ]; }

older_ones_of_a_chain() {
	local said cleared
	modprobe null_blk nr_devices=1 queue_mode=2 submit_queues=1 hw_queue_depth=1 \
		irqmode=2 completion_nsec=50000000 gb=1
	cleanup_fn rmmod null_blk
	dm chain "0 65536 linear /dev/nullb0 0"
	under_way blkdiscard -z -l 12M "$disk"
	wait_until 20 some_are_written
	track a "$disk"
	unseen_is_said() { [ "$(reason_of a unseen)" != "0 0" ]; }
	wait_until 10 unseen_is_said
	read -r said cleared < <(reason_of a unseen)
	busy || fail "it ended too early" || return 1
	ended
	[ "$(reason_of a unseen)" != "$said $cleared" ] || fail "said no more after that"
}

# --- a driver that takes off its bio what it has done -------------------------------

# Nothing waits on brd, but a write takes its time: tracking begins while one
# after the other is written to the end of the disk, most often within one. That
# one and all that follow are dirty.
within_a_write() {
	local line writing
	whatever ask "untrack a"
	exec {writing}< <(exec write_on "$1")
	IFS= read -r -t 30 line <&"$writing"
	eq "$line" writing "the writer's word"
	ask_ok "track a $2"
	cat <&"$writing" # until it has ended
	exec {writing}<&-
	[ "$(stat_of a late) $(reason_of a unseen)" != "0 0 0" ]
}

# within_one DISK TRACKED
within_one() {
	start_consumer
	cleanup_fn whatever consumer "untrack a"
	wait_until 120 within_a_write "$1" "$2"
}

one_after_the_other() {
	local dirty first
	ram
	within_one "$disk" "$disk"
	late_is 1 0
	dirty=$(drained a "$disk")
	first=${dirty%%+*}
	eq $((first % 2048)) 0 "before the start of the first one"
	eq "$dirty" "$first+$((65536 - first))" dirty
}

clones_of_them() {
	ram
	local below=$disk
	dm top "0 65536 linear $below 0"
	within_one "$disk" "$below"
}

# --- flushes ----------------------------------------------------------------------

slow_to_flush() { echo "0 32768 delay $1 $2 0 $1 $2 0 $1 $2 $3"; }

# flusher NAME SECTOR: on $d0, at first quick, so that others are made of it.
flusher() {
	modprobe dm_delay
	dm "$1" "$(slow_to_flush "$(realpath "$d0")" "$2" 0)"
}

flushes_take_long() {
	dmsetup reload "$1" --table "$(slow_to_flush "$(realpath "$d0")" "$2" 1500)"
	dmsetup suspend "$1"
	dmsetup resume "$1"
}

# flush_of DISK [TRACKED]
flush_of() {
	under_way dd if=/dev/null of="$1" conv=fdatasync,notrunc status=none
	tracked_from_then_on "${2:-$1}"
	dirty_is a "${2:-$1}" -
	late_is 0 0
}

flush_of_dm() {
	flusher slow 0
	flushes_take_long slow 0
	flush_of "$disk"
}

# flush_of_stack WHICH: the upper or the lower one is tracked.
flush_of_stack() {
	flusher slow 0
	flushes_take_long slow 0
	local lower=$disk
	dm top "0 32768 linear $lower 0"
	case $1 in
	upper) flush_of "$disk" ;;
	lower) flush_of "$disk" "$lower" ;;
	esac
}

flush_of_md() {
	local lower
	modprobe raid1
	flusher slow 0
	lower=$disk
	flusher other 32768
	array raid1 "$lower" "$disk"
	flushes_take_long slow 0
	cleanup_fn flushes_are_quick slow 0
	case $1 in
	array) flush_of "$disk" ;;
	member) flush_of "$disk" "$lower" ;;
	esac
}

# The array's own last words are flushed.
flushes_are_quick() {
	dmsetup reload "$1" --table "$(slow_to_flush "$(realpath "$d0")" "$2" 0)"
	dmsetup suspend "$1"
	dmsetup resume "$1"
}

run_case "a write" a_write
run_case "a write cloned by a disk above" a_clone
run_case "a write that fails" a_write_that_fails
run_case "a clone that fails is doubted" a_clone_that_fails
run_case "writes handed on by md raid0 are marked, on 5.10 doubted" below_raid0
if [[ $(uname -r) = 5.10.* ]]; then
	run_case "what was handed on is doubted when it has landed" doubted_again_at_the_end
	run_case "the older ones of a chain are doubted when all have landed" older_ones_of_a_chain
fi
if ! is_old; then
	run_case "writes to brd" one_after_the_other
	run_case "clones to brd are marked or doubted" clones_of_them
fi
run_case "a flush of a dm disk" flush_of_dm
run_case "a flush of a stack, the upper one tracked" flush_of_stack upper
run_case "a flush of a stack, the lower one tracked" flush_of_stack lower
run_case "a flush of an md array" flush_of_md array
run_case "a flush of an md array, a member tracked" flush_of_md member
