# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: the head of an NVMe namespace with several controllers is tracked
# through its paths: whichever path a write takes, and whichever paths come and
# go meanwhile, it is marked once it has completed.
# VM: disks=nvmepaths:128M cpus=2 limit=240 check=6.1+7
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

disk=$(realpath "$d0")

# PCI addresses of the controllers that are there.
controllers() {
	local at
	for at in /sys/class/nvme/nvme*; do
		[ ! -e "$at/device" ] || basename "$(realpath "$at/device")"
	done | sort
}

nr_paths() { [ "$(controllers | grep -c .)" -eq "$1" ] && [ "$(live)" -eq "$1" ]; }
live() { cat /sys/class/nvme/nvme*/state | grep -c live; }

cut() {
	echo 1 >"/sys/bus/pci/devices/$1/remove"
	cleanup_fn wait_until 20 nr_paths 2
	cleanup_fn eval 'echo 1 >/sys/bus/pci/rescan'
}

bring_back() {
	echo 1 >/sys/bus/pci/rescan
	wait_until 20 nr_paths 2
}

is_a_head() {
	wait_until 20 nr_paths 2
	[ -e "/sys/block/${disk##*/}/device/subsysnqn" ]
	[ ! -e "/sys/block/${disk##*/}/mq" ]
}

every_kind() {
	remember "$disk"
	track a "$disk"
	write_at "$disk" 3 5
	write_at "$disk" 8192 64 sync
	write_at "$disk" 20480 512 buffered
	blkdiscard -o 16M -l 2M "$disk"
	blkdiscard -z -o 20M -l 3M "$disk"
	covers_all_changes a "$disk"
	[ "$(stat_of a writes)" -ge 5 ]
	eq "$(reason_of a unseen)" "0 0" unseen
}

changes() {
	cleanup_fn whatever consumer "untrack oracle"
	oracle "$disk" 3 300
}

# Each write is whole, on whichever path; what a cut path took is sent again.
a_path_goes() {
	local first
	first=$(controllers | head -n 1)
	remember "$disk"
	track a "$disk"
	dd if=/dev/urandom of="$disk" bs=64k count=1000 oflag=direct status=none &
	local writer=$!
	seen() { [ "$(stat_of a writes)" -gt 20 ]; }
	wait_until 20 seen
	cut "$first"
	wait "$writer"
	covers_all_changes a "$disk"
}

# Without the alias of the new path nothing of what it writes would be seen.
a_path_comes() {
	local first second
	first=$(controllers | head -n 1)
	second=$(controllers | tail -n 1)
	track a "$disk"
	cut "$first"
	bring_back
	cut "$second"
	wait_until 20 nr_paths 1
	write_at "$disk" 4000 8
	dirty_is a "$disk" 4000+8
}

# The other path, one that was there but idle when tracking began.
the_idle_path() {
	local first second other
	first=$(controllers | head -n 1)
	second=$(controllers | tail -n 1)
	cleanup_fn whatever consumer "untrack a"
	for other in "$first" "$second"; do
		consumer "track a $disk"
		cut "$other"
		write_at "$disk" 4000 8
		dirty_is a "$disk" 4000+8
		bring_back
		consumer "untrack a"
	done
}

run_case "two controllers make a head" is_a_head
run_case "every kind of write" every_kind
run_case "the oracle" changes
run_case "a path goes while writes are under way" a_path_goes
run_case "a path comes while tracked" a_path_comes
run_case "each path alone" the_idle_path
