# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: whichever way a program or the kernel itself writes, the blocks are
# marked: through io_uring from registered buffers, with completions that are
# polled for and end in batches, and what is swapped out.
# VM: mem=1024 disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

writes_by_uring() {
	remember "$1"
	track u "$1"
	uring_write "$1" 800 1024 "$2"
	uring_write "$1" 65536 8 "$2"
	eq "$(stat_of u write_bytes)" $((1032 * 512)) "bytes written"
	covers_all_changes u "$1"
	uring_write "$1" 4096 256 "$2"
	dirty_is u "$1" 4096+256
}

nvme_is_there() { [ -b "$(realpath "$d2")" ]; }

# poll_queues COUNT: the controller is probed anew, with queues that interrupt
# nobody.
poll_queues() {
	local driver=/sys/bus/pci/drivers/nvme pci
	pci=$(basename "$(realpath /sys/class/nvme/nvme*/device)")
	echo "$1" >/sys/module/nvme/parameters/poll_queues
	echo "$pci" >$driver/unbind
	echo "$pci" >$driver/bind
	wait_until 20 nvme_is_there
}

# The disk says that it can be polled, else nothing was.
polled() {
	cleanup_fn poll_queues 0
	poll_queues 2
	eq "$(cat "/sys/block/$(basename "$(realpath "$d2")")/queue/io_poll")" 1 io_poll
	writes_by_uring "$d2" polled
}

# In a control group with less memory than what it keeps in a RAM disk.
swap_out() {
	local group=/sys/fs/cgroup/small
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir $group
	cleanup_fn rmdir $group
	echo 16M >$group/memory.max
	sh -c "echo \$\$ >$group/cgroup.procs
		exec dd if=/dev/urandom of=/tmp/big bs=1M count=64 status=none"
	cleanup_fn rm -f /tmp/big
}

swapped() {
	local kib
	mkswap "$d1"
	remember "$d1"
	track s "$d1"
	swapon "$d1"
	cleanup_fn swapoff "$d1"
	swap_out
	kib=$(awk 'NR > 1 { print $4 }' /proc/swaps)
	[ "$kib" -gt 8192 ]
	[ "$(stat_of s write_bytes)" -ge $((kib * 512)) ]
	sync
	covers_all_changes s "$d1"
}

for disk in virtio:$d0 scsi:$d1 nvme:$d2; do
	run_case "${disk%%:*}: io_uring with registered buffers and files" \
		writes_by_uring "${disk#*:}" registered
done
run_case "nvme: io_uring polls for completions" polled
run_case "what is swapped out" swapped
