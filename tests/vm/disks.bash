# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash source=tests/lib.sh
# Bio-based disks for VM tests of the module, each a function that sets $disk
# and takes the disk away when the case ends. Needs tracker.bash, and in the
# file's "# VM:" line the modules that it makes disks of.
# shellcheck disable=SC2154  # d0, d1

# Kernels on which md raid0 and linear, brd and zram cannot be seen whole.
is_old() { case $(uname -r) in 5.10.* | 6.1.*) true ;; *) false ;; esac; }

# dm NAME TABLE...: a mapped disk; lines of TABLE are arguments.
dm() {
	local name=$1
	shift
	modprobe dm_mod
	printf '%s\n' "$@" | dmsetup create "$name"
	cleanup_fn dmsetup remove --retry "$name"
	disk=/dev/$(dmsetup info -c --noheadings -o blkdevname "$name")
	wait_until 10 test -b "$disk"
}

sectors() { blockdev --getsz "$1"; }

linear() {
	dm lin "0 65536 linear $(realpath "$d1") 8" "65536 65536 linear $(realpath "$d0") 1000"
}

striped() {
	dm str "0 131072 striped 2 64 $(realpath "$d0") 0 $(realpath "$d1") 0"
}

thin() {
	modprobe dm_thin_pool
	dm meta "0 8192 linear $(realpath "$d1") 0"
	local meta=$disk
	dd if=/dev/zero of="$meta" bs=4k count=1 oflag=direct status=none
	dm pool "0 $(sectors "$d0") thin-pool $meta $(realpath "$d0") 128 0"
	dmsetup message pool 0 "create_thin 0"
	dm thin "0 200000 thin $disk 0"
}

crypt() {
	modprobe dm_crypt
	whatever modprobe -a xts ecb	# built in, or not, by kernel
	local key
	key=$(printf '%064d' 7)
	dm crypt "0 131072 crypt aes-xts-plain64 $key 0 $(realpath "$d0") 0 1 allow_discards"
}

# The origin, with a snapshot that keeps what is overwritten.
origin() {
	modprobe dm_snapshot
	dd if=/dev/zero of="$d1" bs=4k count=1 oflag=direct status=none
	dm base "0 65536 linear $(realpath "$d0") 0"
	local base=$disk
	dm snap "0 65536 snapshot $base $(realpath "$d1") N 16"
	dm origin "0 65536 snapshot-origin $base"
}

multipath() {
	modprobe -a dm_multipath dm_round_robin
	dm mp "0 $(sectors "$d1") multipath $1 0 1 1 round-robin 0 1 1 $(realpath "$d1") 1"
}

multipath_of_bios() { multipath "2 queue_mode bio"; }
multipath_of_requests() { multipath 0; }

# loops COUNT: sets $loops to disks of 32 MiB in memory.
loops() {
	local n file
	modprobe loop
	loops=()
	for ((n = 0; n < $1; n++)); do
		file=$(mktemp /tmp/loop.XXXXXX)
		truncate -s 32M "$file"
		loops+=("$(losetup --show -f "$file")")
		cleanup_fn rm -f "$file"
		cleanup_fn losetup -d "${loops[-1]}"
	done
}

# md LEVEL COUNT
md() {
	local module=$1
	case $1 in
	raid[456]) module=raid456 ;;
	linear) module=md-linear ;;
	esac
	modprobe "$module"
	loops "$2"
	array "$1" "${loops[@]}"
}

# array LEVEL MEMBER...
array() {
	mdadm --quiet --create /dev/md7 --level="$1" --raid-devices=$(($# - 1)) \
		--assume-clean --metadata=1.2 --run "${@:2}"
	cleanup_fn mdadm --quiet --stop /dev/md7
	disk=/dev/md7
	wait_until 10 test -b "$disk"
}

ram() {
	modprobe brd rd_nr=1 rd_size=32768
	cleanup_fn rmmod brd
	disk=/dev/ram0
	wait_until 10 test -b "$disk"
}

zipped() {
	modprobe zram num_devices=1
	cleanup_fn rmmod zram
	disk=/dev/zram0
	wait_until 10 test -b "$disk"
	! is_old || return 0
	echo 32M >/sys/block/zram0/disksize
	cleanup_fn zram_reset
}

zram_reset() { echo 1 >/sys/block/zram0/reset; }

# A bcache without a cache.
cached() {
	modprobe bcache
	dd if=/dev/zero of="$d1" bs=64k count=1 oflag=direct status=none
	make-bcache --bdev "$d1"
	[ -b /dev/bcache0 ] || realpath "$d1" >/sys/fs/bcache/register
	disk=/dev/bcache0
	wait_until 10 test -b "$disk"
	cleanup_fn sh -c 'echo 1 >/sys/block/bcache0/bcache/stop'
}

# slow_on DISK [MS]: writes take a while.
slow_on() {
	local on
	on=$(realpath "$1")
	modprobe dm_delay
	dm slow "0 131072 delay $on 0 0 $on 0 ${2:-1500}"
}

slow() { slow_on "$d0"; }

# --- a program at work on a disk, $writer ------------------------------------------

# Not by the disk's own count of what is in flight: dm counts a write only once
# its target has sent it on.
busy() { [ "$(awk '{ print $3 }' "/proc/$writer/stat")" = D ]; }
ended() { wait "$writer"; }
