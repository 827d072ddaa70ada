# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: filesystems above a job's disk are frozen topmost first, wherever they
# are mounted; what somebody else froze stays frozen; what cannot freeze is
# synced and must be quiet; what programs wrote past any filesystem is there, too,
# though it was still in the page cache.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=500 kernels=5.10+6.1+7 modules=dm-mod+bcache+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+sfdisk+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp+make-bcache
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

frozen_paths() { reported '.cutover.filesystems[] | "\(.mountpoint) \(.state)"'; }

loop_before_host() {
	begin_case
	modprobe loop
	make_ext4 "$d0" host
	truncate -s 32M "$job_dir/host.mnt/inner.img"
	inner=$(losetup -f --show "$job_dir/host.mnt/inner.img")
	cleanup_fn drop_inner
	make_ext4 "$inner" inner
	started
	writes_to "$job_dir/inner.mnt"
	cut_over --then hold
	eq "$(frozen_paths)" "$job_dir/inner.mnt frozen
$job_dir/host.mnt frozen" "order of the freeze"
	same_disks
	blkferry thaw move
	is_thawed "$job_dir/inner.mnt"
	is_thawed "$job_dir/host.mnt"
	stop_writer
}

drop_inner() {
	[ ! -e "$job_dir/writer.pid" ] || stop_writer
	# A replicator that was just told to thaw still holds it.
	wait_until 20 is_unmounted "$job_dir/inner.mnt"
	losetup -d "$inner"
	wait_until 10 loop_is_free
}

# An older kernel lets go of the file only after the last close.
loop_is_free() { ! losetup "$inner" >/dev/null 2>&1; }

frozen_by_another() {
	begin_case
	make_ext4 "$d0" data
	started
	fsfreeze -f "$job_dir/data.mnt"
	cleanup_fn fsfreeze -u "$job_dir/data.mnt"
	cut_over --then thaw
	eq "$(frozen_paths)" "$job_dir/data.mnt frozen by another" "what was frozen"
	is_frozen "$job_dir/data.mnt"
}

cannot_freeze() {
	begin_case
	modprobe -a vfat nls_cp437 nls_ascii
	mkfs.vfat "$d0"
	mkdir "$job_dir/data.mnt"
	mount -t vfat -o iocharset=ascii "$d0" "$job_dir/data.mnt"
	started
	cp /t/bin/blkferry "$job_dir/data.mnt/"
	cut_over --then thaw
	eq "$(frozen_paths)" "$job_dir/data.mnt synced only" "what was frozen"
	umount "$job_dir/data.mnt"
	mount -t vfat -o ro,iocharset=ascii "$d1" "$job_dir/data.mnt"
	cmp "$job_dir/data.mnt/blkferry" /t/bin/blkferry
}

# Written through the nodes of the disk and of a partition, which stay open; the
# kernel writes nothing back by itself meanwhile.
past_any_filesystem() {
	local centisecs=/proc/sys/vm/dirty_writeback_centisecs before
	begin_case
	before=$(cat $centisecs)
	cleanup_fn sh -c "echo $before >$centisecs"
	echo 0 >$centisecs
	printf 'label: dos\nstart=64M, size=16M\n' | sfdisk -q "$d0"
	wait_until 10 test -b "$(realpath "$d0")1"
	started
	exec 7<>"$d0" 8<>"$(realpath "$d0")1"
	dd if=/dev/urandom bs=64k count=20 seek=40 conv=notrunc status=none >&7
	dd if=/dev/urandom bs=64k count=20 seek=3 conv=notrunc status=none >&8
	[ "$(awk '$1 == "Dirty:" { print $2 }' /proc/meminfo)" -ge 2400 ]
	cut_over --then hold
	exec 7>&- 8>&-
	same_disks
	blkferry thaw move
}

# Only a process in a mount namespace of its own sees the mount.
other_namespace() {
	begin_case
	mkfs.ext4 -q -F "$d0"
	mkdir "$job_dir/hidden"
	mkfifo "$job_dir/end"
	unshare --mount sh -c "mount $d0 $job_dir/hidden && : >$job_dir/mounted && read -r _ <$job_dir/end" &
	echo $! >"$job_dir/hider.pid"
	wait_until 10 test -e "$job_dir/mounted"
	started
	cut_over --then thaw
	eq "$(frozen_paths)" "$job_dir/hidden frozen" "what was frozen"
	echo >"$job_dir/end"
	wait "$(cat "$job_dir/hider.pid")"
}

# Nothing among the holders leads from the disk to the cached one.
on_bcache() {
	begin_case
	modprobe bcache
	make-bcache --bdev "$d0"
	[ -b /dev/bcache0 ] || realpath "$d0" >/sys/fs/bcache/register
	wait_until 10 test -b /dev/bcache0
	cleanup_fn drop_cached
	make_ext4 /dev/bcache0 data
	started
	writes_to "$job_dir/data.mnt"
	cut_over --then hold
	eq "$(frozen_paths)" "$job_dir/data.mnt frozen" "what was frozen"
	same_disks
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
	stop_writer
}

drop_cached() {
	end_case
	echo 1 >/sys/block/bcache0/bcache/stop
	wait_until 10 cached_is_gone
}

# The disk below is let go of, with a last write, some time after it.
cached_is_gone() {
	[ ! -e /sys/block/bcache0 ] && wipefs -qa "$d0" && [ -z "$(wipefs "$d0")" ]
}

run_case "a loop file's filesystem before its host" loop_before_host
run_case "what another froze stays frozen" frozen_by_another
run_case "what cannot freeze is synced" cannot_freeze
run_case "a mount of another namespace" other_namespace
run_case "what was written past any filesystem" past_any_filesystem
run_case "a filesystem on bcache" on_bcache
