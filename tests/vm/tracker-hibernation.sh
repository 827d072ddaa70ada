# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a machine that hibernates is told on each of its trackers, as a reason
# and as an event, because what was written meanwhile, or by another system, was
# not seen; afterwards the tracker goes on. (7 comes back from its image whole, but
# then the emulator's ports, by which a test speaks, are deaf: what its log said by
# hand was the same.)
# VM: disks=virtio:64M+virtio:1G mem=512 limit=240 kernels=5.10+6.1 tools=mkswap
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

# The image goes to the swap area and comes back: all that the kernel does, but
# the power. Where that fails to find it again, as on 6.1, pages of the swap area
# stay taken and swapoff would wait for ever: it stays on.
hibernate() {
	mkswap "$d1"
	swapon "$d1"
	echo 0 >/sys/power/image_size
	echo test_resume >/sys/power/disk
	whatever sh -c 'echo disk >/sys/power/state'
	dmesg | grep -q 'PM: Image saving done' || dmesg | tail -n 20 |
		fail "the machine did not hibernate: $(cat)"
}

raised() {
	local times cleared
	read -r times cleared < <(reason_of "$1" hibernation)
	[ "$times" -ge 1 ] || fail "raised $times times"
	eq "$cleared" 0 cleared
}

each_tracker_is_told() {
	track a "$d0"
	track s "$d1"
	start_consumer
	ask_ok event 0
	hibernate
	raised a
	raised s
	ask_ok event 10000
	eq "${reply%% name=*}" "ok event=1" event
	eq "${reply##* }" "reason=6" event
	blkferry stats a | grep -q 'the machine hibernated'
	dd if=/dev/urandom of="$d0" bs=4096 seek=100 count=2 oflag=direct conv=notrunc status=none
	dirty_is a "$d0" "$(blocks 800 16)"
}

run_case "each tracker is told, and goes on" each_tracker_is_told
