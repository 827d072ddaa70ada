# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: rmmod is EBUSY while a tracker or an open drain descriptor exists;
# after untrack it works under any load, and the module loads again without a
# word in the kernel log.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 turns=yes kernels=all+generic+rt+fault check=5.10+6.1+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

busy_with_tracker() {
	track a "$d0"
	fails_saying "(busy|in use|unavailable)" rmmod blkferry
	[ -d /sys/module/blkferry ]
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
	fails_saying "(busy|in use|unavailable)" rmmod blkferry
	ask_ok close a
	ask_ok drop "$fd"
	rmmod blkferry
	insmod /vm/blkferry.ko
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
		rmmod blkferry
		insmod /vm/blkferry.ko
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
	rmmod blkferry
	insmod /vm/blkferry.ko
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
run_case "rmmod is busy while a drain descriptor is open" busy_with_descriptor
run_case "trackers come and go under load" probes_come_and_go
run_case "untrack, rmmod, insmod under load" under_load
run_case "a reload says nothing" silent_reload
run_case "a tracker of the same name has a new UUID" ids_are_new
