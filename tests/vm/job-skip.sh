# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: the first full copy leaves out what a mounted ext4 or xfs calls free
# and what swap holds; what is written there later is sent; every file is at the
# target after the cutover. What was left out is recorded, survives a restart,
# and is never called identical; whole-disk leaves nothing out, and makes good
# for what was.
# VM: disks=virtio:320M+virtio:320M+virtio:128M+virtio:128M mem=768 limit=900 kernels=5.10+6.1+7 modules=dm-mod+ext4+xfs+loop tools=mkfs.ext4+mkfs.xfs+mkswap+sfdisk+blockdev+fio+wipefs+fsfreeze+mountpoint+e2fsck+cmp+diff
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

job_whole_disk=no
modprobe xfs

# Bytes that are left out at least, and sent at most, of the disks in use.
least_skipped=$((200 << 20)) most_sent=$((110 << 20))

# As large as xfs is at least; ext4 needs less, and every byte is emulated.
small_disks() {
	d0=/dev/vm/d2 d1=/dev/vm/d3
	least_skipped=$((80 << 20)) most_sent=$((40 << 20))
}

# junk FROM MIB: what a filesystem or swap made later leaves where it is.
junk() {
	dd if=/dev/urandom of="$d0" bs=1M seek="$1" count="$2" oflag=direct conv=notrunc 2>/dev/null
}

# make_fs TYPE DEVICE NAME: mounted, with something in it.
make_fs() {
	"mkfs.$1" -q "$([ "$1" = xfs ] && echo -f || echo -F)" "$2"
	mkdir -p "$job_dir/$3.mnt"
	mount -t "$1" "$2" "$job_dir/$3.mnt" || dmesg | tail -n 20 | fail "no $1: $(cat)"
	cp /t/bin/blkferry "$job_dir/$3.mnt/before"
	sync
}

full_pass() { grep -o 'pass 1 (full): .*' "$job_dir/move.log"; }

verified() {
	blkferry verify move --json >"$job_dir/report"
	eq "$(reported .equal)" true "equal"
}

skipped_bytes() { reported '[.disks[].skipped_bytes] | add'; }

# The target, looked at while the source lives on.
same_files() {
	local options=ro
	[ "$1" = ext4 ] || options=ro,nouuid,norecovery
	[ "$1" = xfs ] || e2fsck -fn "$d1"
	mkdir -p "$job_dir/target.mnt"
	mount -t "$1" -o "$options" "$d1" "$job_dir/target.mnt"
	diff -r "$job_dir/data.mnt" "$job_dir/target.mnt"
	umount "$job_dir/target.mnt"
}

# xfs of 5.10 answers only once it is thawed: then all of it is copied.
silent() {
	[ "$1" = xfs ] && [[ $(uname -r) = 5.10.* ]] &&
		grep -q 'does not tell its free space while it is frozen' "$job_dir/move.log"
}

copied_whole() {
	verified
	eq "$(reported .identical)" true identical
	eq "$(skipped_bytes)" 0 "skipped bytes"
	is_thawed "$job_dir/data.mnt"
}

free_space() {
	[ "$1" != ext4 ] || small_disks
	begin_case
	junk 60 16
	make_fs "$1" "$d0" data
	job_interval=1h
	started
	if silent "$1"; then
		copied_whole
		return
	fi
	full_pass
	grep -q 'free space and swap were skipped' "$job_dir/move.log"
	verified
	eq "$(reported .identical)" false identical
	[ "$(skipped_bytes)" -gt "$least_skipped" ] || fail "skipped $(skipped_bytes)"
	[ "$(reported '.disks[0].skipped_ranges')" -gt 0 ]
	[ "$(figure .raw_bytes)" -lt "$most_sent" ] || fail "sent $(figure .raw_bytes)"
	blkferry verify move >"$job_dir/words"
	grep -q 'are equal except [0-9]* skipped ranges' "$job_dir/words"
}

# Junk in free space at the source, zeroes at the target: then a file is put there.
written_later() {
	local before
	free_space "$1"
	before=$(skipped_bytes)
	dd if=/dev/urandom of="$job_dir/data.mnt/later" bs=1M count=24 conv=fsync 2>/dev/null
	rm "$job_dir/data.mnt/before"
	blkferry sync move >"$job_dir/sync"
	verified
	silent "$1" || [ "$(skipped_bytes)" -le $((before - (24 << 20))) ] ||
		fail "of $before skipped bytes $(skipped_bytes) are left"
	cut_over --then thaw
	same_files "$1"
}

restart_remembers() {
	free_space ext4
	kill -KILL "$(job_pid)"
	wait "$(job_pid)" || :
	start_job
	wait_ready
	eq "$(figure .mode)" delta mode
	verified
	[ "$(skipped_bytes)" -gt "$least_skipped" ]
}

# As a run leaves it that its guardian ended, for the freeze took too long.
died_asking() {
	local record body
	free_space ext4
	record=$job_dir/source/move.skipped.json
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
	body=$(jq -cj '.body | .asking = true' "$record")	# keys are sorted
	jq --argjson body "$body" --arg sum "$(printf %s "$body" | sha256sum | cut -d' ' -f1)" \
		'.body = $body | .checksum = $sum' "$record" >"$record.edited"
	mv "$record.edited" "$record"
	kill -TERM "$(cat "$job_dir/receiver.pid")"
	wait "$(cat "$job_dir/receiver.pid")"
	rm -rf "$job_dir/records"
	start_receiver
	start_job
	wait_ready
	grep -q 'ended while it had a filesystem frozen to ask for it' "$job_dir/move.log"
	copied_whole
}

whole_disk_makes_good() {
	free_space ext4
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
	umount "$job_dir/data.mnt"
	job_whole_disk=yes
	write_job
	start_job
	wait_ready
	verified
	eq "$(reported .identical)" true identical
	eq "$(skipped_bytes)" 0 "skipped bytes"
	blkferry verify move | grep -q 'are identical'
	same_disks
}

# d0: partition 1 with ext4, partition 2 with swap over old content.
swap_and_partitions() {
	begin_case
	junk 161 8
	junk 312 2
	dd if=/dev/zero of="$d1" bs=1M seek=160 oflag=direct conv=notrunc count=16 2>/dev/null
	printf 'label: dos\nsize=160M\nsize=150M, type=82\n' | sfdisk -q "$d0"
	blockdev --rereadpt "$d0"
	wait_until 10 test -b "$(partition 2)"
	mkswap "$(partition 2)"
	make_fs ext4 "$(partition 1)" data
	job_interval=1h
	started
	verified
	[ "$(skipped_bytes)" -gt $((200 << 20)) ] || fail "skipped $(skipped_bytes)"
	cmp -n 65536 "$(partition 2)" "$d1" 0 $((161 << 20))
	cmp -n $((4 << 20)) /dev/zero "$d1" 0 $((163 << 20))
	# Behind the last partition: nobody says that it is free.
	cmp -n $((2 << 20)) "$d0" "$d1" $((312 << 20)) $((312 << 20))
	umount "$job_dir/data.mnt"
}

partition() { echo "/dev/$(basename "$(readlink -f "$d0")")$1"; }

copy_of_a_mounted_disk() {
	begin_case
	junk 100 16
	make_fs ext4 "$d0" data
	blkferry copy "$d0" "$job_dir/copy.img" --json >"$job_dir/report"
	[ "$(du -m "$job_dir/copy.img" | cut -f1)" -lt 100 ] || fail "a thick copy"
	[ "$(reported .raw_bytes)" -lt $((110 << 20)) ] || fail "read $(reported .raw_bytes)"
	e2fsck -fn "$job_dir/copy.img"
	rm "$job_dir/copy.img"
}

run_case "free space of ext4 is left out, and sent once it is written" written_later ext4
run_case "free space of xfs is left out, and sent once it is written" written_later xfs
run_case "a source that starts anew knows what was left out" restart_remembers
run_case "what ended the source while it asked is not asked again" died_asking
run_case "whole-disk makes good for what was left out" whole_disk_makes_good
run_case "swap is left out, what no filesystem knows is not" swap_and_partitions
run_case "a copy of a mounted disk stays thin" copy_of_a_mounted_disk
