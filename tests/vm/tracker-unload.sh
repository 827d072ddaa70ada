# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: rmmod is EBUSY while a tracker or an open drain descriptor exists, or
# while somebody has a dump half read; it is no matter who listens to events.
# After untrack it works under any load, with writes still in flight, and the
# module loads again without a word in the kernel log.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 turns=yes kernels=all+generic+rt+fault check=5.10+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash

is_busy() {
	fails_saying "(busy|in use|unavailable)" rmmod blkferry
	[ -d /sys/module/blkferry ]
}

reload() {
	rmmod blkferry
	[ ! -d /sys/module/blkferry ]
	insmod /vm/blkferry.ko
}

busy_with_tracker() {
	track a "$d0"
	is_busy
}

# The refusal changes nothing: the generation goes on.
busy_with_generation() {
	track a "$d0"
	consumer "mark a 800+8"
	start_consumer
	ask_ok begin a "$d0"
	is_busy
	write_at "$d0" 80 8
	ask_ok walk a
	eq "$(value extents "$reply")" 800+8 extents
	ask_ok finish a
	dirty_is a "$d0" 80+8
}

busy_with_descriptor() {
	local fd
	consumer "track a $d0"
	start_consumer
	ask_ok begin a "$d0"
	ask_ok keep a
	fd=$(value fd "$reply")
	ask_ok finish a
	consumer "untrack a"
	is_busy
	ask_ok close a
	ask_ok drop "$fd"
	reload
}

# Its socket outlives the module, and hears nothing of the next one by accident.
events_subscribed() {
	start_consumer
	ask_ok event 0
	consumer "track a $d0" "untrack a"
	ask_ok event 10000
	[ "$reply" != "ok none" ]
	reload
	consumer "track a $d0" "untrack a"
	start_consumer
	ask_ok event 0
	consumer "track a $d0" "untrack a"
	ask_ok event 10000
	eq "$reply" "ok event=6 name=a reason=0" "told by the new module"
}

names() { seq -f "$1 t%g${2:+ $2}" 0 255; }

dump_is_begun() { grep -q begun "$test_tmp/dump"; }

# A dump that nobody goes on reading, of trackers that are gone meanwhile.
dump_under_way() {
	local steps
	mapfile -t steps < <(names track "$d0")
	consumer "${steps[@]}" | tail -n 1
	mkfifo "$test_tmp/go"
	half_dump <"$test_tmp/go" >"$test_tmp/dump" &
	exec 7>"$test_tmp/go"
	wait_until 10 dump_is_begun
	mapfile -t steps < <(names untrack)
	consumer "${steps[@]}" | tail -n 1
	is_busy
	exec 7>&-
	wait $!
	cat "$test_tmp/dump"
	[ "$(sed -n 's/ended \([0-9]*\) errno 0/\1/p' "$test_tmp/dump")" -lt 256 ]
	reload
}

# A suspended disk keeps what it is given: it cannot end before it resumes.
write_in_flight() {
	linear
	track keeps "$d0"
	consumer "track a $disk"
	dmsetup suspend lin
	put "$disk" 800 8 &
	writer=$!
	cleanup_fn whatever dmsetup resume lin
	wait_until 10 busy
	eq "$(stat_of a inflight)" 1 "writes in flight"
	consumer "untrack a" "untrack keeps"
	rmmod blkferry
	[ ! -d /sys/module/blkferry ]
	busy
	insmod /vm/blkferry.ko
	consumer "track keeps $d0" "track a $disk"
	dmsetup resume lin
	ended
	# Begun before this tracker: marked at its end.
	dirty_is a "$disk" 800+8
	consumer "untrack a"
}

# Writers that never pause on all disks, until the case ends.
start_load() {
	local disk
	for disk in "$d0" "$d1" "$d2"; do
		# shellcheck disable=SC2016  # the inner shell's $0
		setsid bash -c 'while dd if=/dev/zero of="$0" bs=4k count=2000 \
			oflag=direct conv=notrunc status=none; do :; done' "$disk" &
		cleanup_fn kill_group $!
	done
}

kill_group() {
	whatever kill -KILL -- "-$1"
	whatever wait "$1"
}

under_load() {
	local n
	start_load
	for n in $(seq 12); do
		consumer "track a $d0" "track b $d1" "track c $d2" \
			"begin a $d0 b $d1 c $d2" "finish a" "walk b"
		if [ $((n % 3)) -eq 0 ]; then
			whatever consumer "begin a $d0" "die"
		fi
		consumer "untrack a" "untrack b" "untrack c"
		reload
	done
}

probes_come_and_go() {
	local n
	start_load
	track keeps "$d2"
	for n in $(seq 20); do
		consumer "track a $d0" "untrack a" >/dev/null
	done
	[ "$(stat_of keeps writes)" -gt 0 ]
}

silent_reload() {
	local before
	rmmod blkferry
	before=$(dmesg | wc -l)
	insmod /vm/blkferry.ko
	reload
	consumer "track a $d0" "untrack a"
	eq "$(dmesg | tail -n +$((before + 1)))" "" "kernel log"
}

ids_are_new() {
	local first second
	first=$(consumer "track a $d0" "get a" "untrack a" | sed -n 2p)
	second=$(consumer "track a $d0" "get a" "untrack a" | sed -n 2p)
	[ "$(value uuid "$first")" != "$(value uuid "$second")" ]
}

run_case "rmmod is busy while a tracker exists" busy_with_tracker
run_case "rmmod is busy while a generation is owned" busy_with_generation
run_case "rmmod is busy while a drain descriptor is open" busy_with_descriptor
run_case "rmmod is busy while a dump is half read" dump_under_way
run_case "rmmod while events are listened to" events_subscribed
run_case "rmmod with a write in flight that was tracked" write_in_flight
run_case "trackers come and go under load" probes_come_and_go
run_case "untrack, rmmod, insmod under load" under_load
run_case "a reload says nothing" silent_reload
run_case "a tracker of the same name has a new UUID" ids_are_new
