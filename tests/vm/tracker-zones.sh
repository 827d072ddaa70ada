# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a zone append marks the blocks that the driver says it wrote to, no
# more. Filesystems append: btrfs does on zoned disks from 5.12; zonefs did before
# 6.6, for synchronous direct writes, but the one of 6.1 takes its own appends for
# corruption.
# VM: disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 kernels=5.10+6.1+6.12+7 check=all tools=mkfs.btrfs modules=zonefs+btrfs
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

is_5_10() { case $(uname -r) in 5.10.*) true ;; *) false ;; esac; }

# The third zone is the file seq/1: its blocks are the zone's, from the start.
zonefs() {
	null_disk size=128 zoned=1 zone_size=16 zone_nr_conv=1
	mkzonefs "$disk"
	modprobe zonefs
	mount -t zonefs "$disk" /mnt
	cleanup_fn umount /mnt
	track z "$disk"
	dd if=/dev/urandom of=/mnt/seq/1 bs=64k count=1 oflag=direct,append \
		conv=notrunc status=none
	eq "$(stat_of z zone_ops)" 1 "appends"
	dirty_is z "$disk" $((2 * 32768))+128
	dd if=/dev/urandom of=/mnt/seq/1 bs=4k count=2 oflag=direct,append \
		conv=notrunc status=none
	eq "$(stat_of z zone_ops)" 3 "appends"
	dirty_is z "$disk" $((2 * 32768 + 128))+16
}

btrfs() {
	local n said
	null_disk size=160 zoned=1 zone_size=4 zone_nr_conv=0
	modprobe btrfs
	mkfs.btrfs -q -f -O zoned -d single -m single "$disk"
	mount -t btrfs "$disk" /mnt
	cleanup_fn umount /mnt
	# In this order: what mount has begun may still be on its way.
	track z "$disk"
	remember "$disk"
	for n in 1 2 3; do
		dd if=/dev/urandom of="/mnt/$n" bs=256k count=1 status=none
		sync
	done
	[ "$(stat_of z zone_ops)" -ge 3 ]
	said=$(covers_all_changes z "$disk") || fail "$said"
	echo "$said"
	# A zone has 1024 blocks: none was marked whole.
	[ "$(sed -n 's/.* marked \([0-9]*\) .*/\1/p' <<<"$said")" -lt 1024 ]
}

if is_5_10; then
	run_case "appends of zonefs mark their blocks" zonefs
else
	run_case "appends of btrfs mark their blocks" btrfs
fi
