#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Policy: a block device is written only if nobody uses it, nothing known is on
# it and it is large enough; what was acknowledged is on it whatever its sector
# size; a device that fails ends the session before anything is acknowledged; one
# that is not there is named when the receiver starts.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/fault/receiver.bash
. "$(dirname "$0")/receiver.bash"

PATH=$PATH:/sbin:/usr/sbin

# attach SECTOR FILE: a loop device over FILE, of 16 MiB, is target a.
attach() {
	requires losetup
	loop=$(losetup --find --show --sector-size "$1" "$2") ||
		skip "no loop device with sectors of $1 bytes"
	cleanup_fn losetup -d "$loop"
	sed -i "s|^path = .*/a.img|path = $loop|" "$receiver_conf"
}

device() {
	configure 10s
	attach "$1" "$test_tmp/a.img"
}

# expect_bytes FROM LENGTH BYTE: as the device has them, not the page cache.
expect_bytes() {
	blockdev --flushbufs "$loop"
	cmp <(dd if="$loop" iflag=skip_bytes,count_bytes bs=64k \
		skip="$1" count="$2" status=none) \
		<(head -c "$2" /dev/zero | tr '\0' "\\$3")
}

blocks_arrive() {
	device "$1"
	tr '\0' '\377' <"$test_tmp/a.img" | dd of="$loop" bs=1M oflag=direct status=none
	start_receiver
	writer p web 1 restart
	tell p begin 0 1
	tell p data 0 1 0 1048576 0x11 0
	tell p zero 0 1 1048576 8388608
	tell p data 0 1 9437184 1048576 0x22 3
	tell p zero 0 1 10485760 4096
	tell p barrier 0 1 16777216 complete
	expect_bytes 0 1048576 021
	expect_bytes 1048576 8388608 000
	expect_bytes 9437184 1048576 042
	expect_bytes 10485760 4096 000
	expect_bytes 10489856 6287360 377
	tell p digest 0 9437184 1048576 0x22
	tell p begin 0 2
	tell p data 0 2 512 1024 0x33 0		# less than a sector of 4096
	tell p zero 0 2 16776704 512
	tell p barrier 0 2 16777216 end
	expect_bytes 0 512 021
	expect_bytes 512 1024 063
	expect_bytes 1536 4096 021
	expect_bytes 16776704 512 000
	tell p cutover 1
}

mounted_device() {
	device 512
	mkfs.ext4 -q "$loop"
	mkdir "$test_tmp/mnt"
	mount "$loop" "$test_tmp/mnt"
	cleanup_fn umount "$test_tmp/mnt"
	start_receiver
	connect p alice
	tell p hello web
	refused p "target-in-use: .*mounted at $test_tmp/mnt" open a 16777216
}

# The identity of a loop device is its file's name, which need not be text.
unprintable_identity() {
	local file=$test_tmp/$'a\xff\x1b.img'
	configure 10s
	mv "$test_tmp/a.img" "$file"
	attach 512 "$file"
	start_receiver
	writer p web 1 restart
	grep -q '"identity": "loop/backing_file .*/a??.img"' "$test_tmp"/records/web.*.json
	writer q web 2
}

foreign_content() {
	device 512
	mkfs.ext4 -q -L treasure "$loop"
	sha256sum "$loop" >"$test_tmp/sum"
	start_receiver
	connect p alice
	tell p hello web
	refused p "target-has-data: .*ext4 labelled treasure.*wipefs" open a 16777216
	sha256sum -c --quiet "$test_tmp/sum"
	wipefs -q -a "$loop"
	writer q web 1 restart
}

too_small() {
	device 512
	start_receiver
	connect p alice
	tell p hello web
	refused p "target-too-small: .*has 16777216 bytes.*the source 16781312" open a 16781312
}

# A loop device on a filesystem that is full fails writes (those of which nothing
# fits: it is silent about the others). What was acknowledged before stays
# recorded, nothing is acknowledged afterwards.
failing_device() {
	configure 10s
	full_tmpfs
	attach 512 "$test_tmp/small/a.img"
	start_receiver
	writer p web 1 restart
	tell p begin 0 1
	tell p data 0 1 0 4096 0x11 0
	tell p barrier 0 1 4096
	for at in 1048576 2097152 3145728 4194304 5242880; do
		echo "data 0 1 $at 1048576 0x11 0" >&"${peer_in[p]}"
		answer p
	done
	[[ $reply == *target-io* ]] || refused p "target-io" barrier 0 1 6291456
	grep -q '"through_bytes": 4096' "$test_tmp"/records/web.*.json
}

# 4 MiB of room under a file of 16 MiB.
full_tmpfs() {
	mkdir "$test_tmp/small"
	cleanup_fn rmdir "$test_tmp/small"
	mount -t tmpfs -o size=4m tmpfs "$test_tmp/small"
	cleanup_fn umount "$test_tmp/small"
	truncate -s 16M "$test_tmp/small/a.img"
}

# A filesystem that is full: the file grows into it, and ENOSPC has a cure.
full_filesystem() {
	configure 10s
	full_tmpfs
	sed -i "s|^path = .*/a.img|path = $test_tmp/small/a.img|" "$receiver_conf"
	start_receiver
	writer p web 1 restart
	tell p begin 0 1
	for at in 0 1048576 2097152 3145728 4194304 5242880; do
		echo "data 0 1 $at 1048576 0x11 0" >&"${peer_in[p]}"
		answer p
	done
	[[ $reply == *target-io* ]] || refused p "target-io: .*make room" barrier
}

missing_target() {
	configure 10s
	rm "$test_tmp/b.img"
	start_receiver
	receiver_says "target b: $test_tmp/b.img: No such file or directory"
	! receiver_says "target a: " || fail "target a is there"
	eq "$("$bf" targets --config "$receiver_conf" --json |
		jq -c '.targets | map({ (.target): .state }) | add')" '{"a":"free","b":"missing"}'
	# It may come later.
	truncate -s 16M "$test_tmp/b.img"
	: >"$receiver_log"
	kill -HUP "$receiver_pid"
	wait_until 5 receiver_says 'was read again'
	! receiver_says "target b: " || fail "target b is there"
}

run_case "blocks arrive on sectors of 512 bytes" blocks_arrive 512
run_case "blocks arrive on sectors of 4096 bytes" blocks_arrive 4096
run_case "a mounted device is refused, and where it is mounted" mounted_device
run_case "a device whose identity is no text" unprintable_identity
run_case "foreign content is refused and left alone" foreign_content
run_case "too small a device is refused, naming both sizes" too_small
run_case "a failing device ends the session unacknowledged" failing_device
run_case "a full filesystem is named, with the cure" full_filesystem
run_case "a target that is not there is named" missing_target
