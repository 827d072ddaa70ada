# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Disks of measures in a guest: null_blk's, and mapped ones upon them. Sourced.

grep -q ' /sys/kernel/config ' /proc/mounts || {
	modprobe configfs
	mount -t configfs none /sys/kernel/config
}
modprobe null_blk nr_devices=0

# null_disk NAME SETTING=VALUE...: prints its path.
null_disk() {
	local at=/sys/kernel/config/nullb/$1 setting
	mkdir "$at"
	for setting in "${@:2}"; do
		echo "${setting#*=}" >"$at/${setting%%=*}"
	done
	echo 1 >"$at/power"
	if [ -d "/sys/block/$1" ]; then
		echo "/dev/$1"
	else
		echo "/dev/nullb$(cat "$at/index")"
	fi
}

# mapped NAME TABLE: prints its path.
mapped() {
	dmsetup create --noudevsync "$1" --table "$2"
	echo "/dev/$(dmsetup info -c --noheadings -o blkdevname "$1")"
}
