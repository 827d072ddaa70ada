# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Walk and commit of 10,000 blocks over 500 leaves, on 64 GiB and on 64 TiB; the
# memory of a fully dirty map of 1 TiB. Out on descriptor 9: nanoseconds, which
# are instructions, of both; bytes.
set -eu
export PATH=/t/bin:$PATH

modprobe configfs
modprobe null_blk nr_devices=0
grep -q ' /sys/kernel/config ' /proc/mounts ||
	mount -t configfs none /sys/kernel/config

# null_disk NAME MIB: prints its path.
null_disk() {
	local at=/sys/kernel/config/nullb/$1
	mkdir "$at"
	echo "$2" >"$at/size"
	echo 1 >"$at/power"
	if [ -d "/sys/block/$1" ]; then
		echo "/dev/$1"
	else
		echo "/dev/nullb$(cat "$at/index")"
	fi
}

insmod /vm/blkferry.ko
small=$(walk time "$(null_disk small 65536)")
large=$(walk time "$(null_disk large 67108864)")
map=$(walk fill "$(null_disk tib 1048576)")
rmmod blkferry
echo "$small $large $map" >&9
