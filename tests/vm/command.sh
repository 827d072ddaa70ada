# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: the command says what the module knows, by name and in units; what
# cannot be tracked is refused with the members that can; `extents` takes
# nothing away; a mounted disk is copied under a freeze and lives on.
# VM: disks=virtio:64M+virtio:96M+virtio:96M limit=240 kernels=5.10+6.1+7 tools=wipefs+mkfs.ext4+e2fsck+dmsetup+make-bcache modules=dm_mod+ext4+bcache check=6.1
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh

d0=$(realpath /dev/vm/d0) d1=$(realpath /dev/vm/d1) d2=$(realpath /dev/vm/d2)
name0=${d0##*/}

# A disk of bios that is not known to be seen whole; newer kernels' null_blk has
# no such mode any more. Sets refused.
refused_disk() {
	modprobe null_blk nr_devices=1 queue_mode=0
	cleanup_fn rmmod null_blk
	refused=/dev/nullb0
	[ -d /sys/block/nullb0/mq ] || return 0
	modprobe bcache
	make-bcache --bdev "$d2"
	[ -b /dev/bcache0 ] || echo "$d2" >/sys/fs/bcache/register
	refused=/dev/bcache0
	wait_until 10 test -b "$refused"
	cleanup_fn cache_ends
}

cache_ends() {
	echo 1 >/sys/block/bcache0/bcache/stop
	wait_until 10 cache_is_gone
}

# Its disk is let go of, with a last write, some time after the cache.
cache_is_gone() {
	[ ! -e /sys/block/bcache0 ] && wipefs -qa "$d2" && [ -z "$(wipefs "$d2")" ]
}

track() {
	blkferry track "$@"
	cleanup_fn whatever blkferry untrack "$1"
}

# stat NAME STATISTIC
stat_of() { blkferry stats "$1" --json | jq ".trackers[0].stats.$2"; }

write_blocks() { dd if=/dev/urandom of="$1" bs=4096 seek="$2" count="$3" oflag=direct conv=notrunc status=none; }

nothing_tracked() {
	eq "$(blkferry stats)" "nothing is tracked"
	eq "$(blkferry stats --json | jq -c .)" '{"format_version":1,"ok":true,"trackers":[]}'
}

track_and_untrack() {
	eq "$(blkferry track "$d0")" "tracking $name0 as \"$name0\": 64M, granularity 4K, clean"
	expect_status 1 blkferry track "$d0"
	eq "$(whatever blkferry track "$d0" --json | head -n 1 | jq -r .error.code)" exists
	blkferry untrack "$d0" | grep -q 'no longer tracked'
	expect_status 1 blkferry untrack "$d0"
	grep -q "is not tracked: blkferry track" "$test_tmp/out"
	expect_status 1 blkferry untrack nobody
	grep -q 'neither the name of a tracker nor a block device' "$test_tmp/out"
}

options_of_track() {
	track "$d0" --name web --granularity 64K --all-dirty --json >"$test_tmp/json"
	eq "$(jq -c '[.ok, .tracker.name, .tracker.disk, .tracker.granularity_bytes, .tracker.size_bytes]' "$test_tmp/json")" \
		"[true,\"web\",\"$name0\",65536,67108864]"
	eq "$(stat_of web dirty_bytes)" $((64 << 20))
	# So that no tracker is taken for a job's.
	expect_status 3 blkferry track "$d0" --name web1:root
}

several_trackers() {
	track "$d0" --name a
	track "$d0" --name b
	expect_status 3 blkferry untrack "$d0"
	grep -q 'has 2 trackers: give the name' "$test_tmp/out"
	blkferry untrack a
	blkferry untrack b
}

stats_count() {
	track "$d0"
	write_blocks "$d0" 10 3
	eq "$(stat_of "$d0" writes)" 3
	eq "$(stat_of "$name0" dirty_bytes)" 12288
	blkferry stats "$d0" >"$test_tmp/text"
	grep -qE '^  dirty_bytes +12K$' "$test_tmp/text"
	grep -qE "^  name +$name0$" "$test_tmp/text"
	eq "$(blkferry stats --json | jq -r '.trackers[0].resync_needed')" false
}

watched_bytes() { jq '.trackers[0].stats.write_bytes' "$test_tmp/watched" | tail -n 1 | grep -qx "$1"; }

stats_watched() {
	local pid
	track "$d0"
	blkferry stats "$d0" --watch --json >"$test_tmp/watched" &
	pid=$!
	wait_until 20 watched_bytes 0
	write_blocks "$d0" 8 2
	wait_until 20 watched_bytes 8192
	kill -TERM $pid
	wait $pid
	expect_status 3 blkferry stats "$d0" --watch --coverage
}

coverage_told() {
	blkferry stats "$d0" --coverage >"$test_tmp/text"
	grep -qE '^writes, discards.* tracked ' "$test_tmp/text"
	eq "$(blkferry stats "$d0" --coverage --json | jq -r '.coverage[] | select(.what == "removal").seen')" detected
	eq "$(blkferry stats)" "nothing is tracked"
	expect_status 3 blkferry stats --coverage
	refused_disk
	eq "$(blkferry stats "$refused" --coverage --json | jq -r '.coverage[0].seen')" refused
}

# Every statistic that the module has comes out under its name.
stats_all() {
	track "$d0"
	eq "$(blkferry stats --json | jq '.trackers[0].stats | length')" 18
	eq "$(blkferry stats --json | jq -r '.trackers[0].stats | to_entries[] | select(.value < 0) | .key')" ""
}

extents_listed() {
	track "$d0"
	write_blocks "$d0" 1 2
	write_blocks "$d0" 100 1
	blkferry extents "$d0" >"$test_tmp/list"
	eq "$(grep -v '^#' "$test_tmp/list" | xargs)" "4096 8192 409600 4096"
	eq "$(tail -n 1 "$test_tmp/list")" "# end: 12288 bytes"
	eq "$(blkferry extents "$name0" --json | jq -c '[.total_bytes, [.extents[] | [.offset_bytes, .length_bytes]]]')" \
		'[12288,[[4096,8192],[409600,4096]]]'
	eq "$(stat_of "$d0" dirty_bytes)" 12288 "taken away"
	truncate -s 64M "$test_tmp/copy.img"
	blkferry copy "$d0" "$test_tmp/copy.img" --extents "$test_tmp/list"
	cmp <(dd if="$d0" bs=4096 skip=1 count=2 status=none) \
		<(dd if="$test_tmp/copy.img" bs=4096 skip=1 count=2 status=none)
}

# Whole leaves come as bitmaps, neighbours are joined over windows.
extents_all_dirty() {
	track "$d0" --all-dirty
	eq "$(blkferry extents "$d0" | grep -v '^#')" "0 67108864"
}

bio_based() {
	modprobe dm_mod
	dmsetup create stack --table "0 65536 linear $d1 0"
	cleanup_fn whatever dmsetup remove --retry stack
	local dm
	dm=$(dirname /sys/block/dm-*/dm)
	dm=/dev/${dm##*/}
	blkferry track "$dm" --name stack
	cleanup_fn blkferry untrack stack
	write_blocks "$dm" 3 1
	eq "$(blkferry extents stack | grep -v '^#')" "12288 4096"
	eq "$(stat_of stack inflight)" 0
}

# Bio-based, and none that is known to be seen whole.
untrackable() {
	refused_disk
	expect_status 7 blkferry track "$refused"
	if [ "$refused" = /dev/nullb0 ]; then
		grep -q "/sys knows no members of it" "$test_tmp/out"
	else
		grep -q "$d2" "$test_tmp/out"
	fi
	expect_status 7 blkferry plan "$refused"
	grep -q 'critical .*\[untrackable\]' "$test_tmp/out"
	eq "$(whatever blkferry track "$refused" --json | head -n 1 | jq -r .error.code)" untrackable
}

mounted_disk() {
	mkfs.ext4 -qF "$d1"
	mkdir -p "$test_tmp/mnt"
	mount "$d1" "$test_tmp/mnt"
	cleanup_fn whatever umount "$test_tmp/mnt"
	head -c 5242880 /dev/urandom >"$test_tmp/mnt/file"
	blkferry copy "$d1" "$d2" --json >"$test_tmp/json"
	eq "$(jq -r .state "$test_tmp/json")" "done"
	[ "$(jq .cutover.downtime_ns "$test_tmp/json")" -gt 0 ] || fail "no freeze"
	echo lives >"$test_tmp/mnt/on"
	eq "$(blkferry stats --json | jq '.trackers | length')" 0 "trackers left"
	e2fsck -fn "$d2"
	mkdir -p "$test_tmp/copy"
	mount -o ro "$d2" "$test_tmp/copy"
	cleanup_fn whatever umount "$test_tmp/copy"
	cmp "$test_tmp/mnt/file" "$test_tmp/copy/file"
}

unused_disk() {
	wipe
	write_blocks "$d0" 0 64
	blkferry copy "$d0" "$d2" --overwrite
	cmp -n $((64 << 20)) "$d0" "$d2"
}

wipe() { dd if=/dev/zero of="$d2" bs=1M count=1 oflag=direct conv=notrunc status=none; }

without_the_module() {
	rmmod blkferry
	cleanup_fn insmod /vm/blkferry.ko
	mkdir -p "$test_tmp/mnt2"
	mkfs.ext4 -qF "$d1"
	mount "$d1" "$test_tmp/mnt2"
	cleanup_fn umount "$test_tmp/mnt2"
	wipe
	expect_status 7 blkferry copy "$d1" "$d2"
	grep -q -- '--insecure-torn' "$test_tmp/out"
	expect_status 0 blkferry copy "$d1" "$d2" --insecure-torn --overwrite
	expect_status 1 blkferry track "$d0"
	eq "$(whatever blkferry stats --json | head -n 1 | jq -r .error.code)" no-module
}

run_case "nothing is tracked" nothing_tracked
run_case "track and untrack" track_and_untrack
run_case "name, granularity and all dirty" options_of_track
run_case "a device with several trackers needs a name" several_trackers
run_case "what is counted" stats_count
run_case "every statistic has its name" stats_all
run_case "statistics are watched" stats_watched
run_case "coverage is told before anything is tracked" coverage_told
run_case "extents are listed, kept, and can be copied" extents_listed
run_case "a disk that is dirty all over" extents_all_dirty
run_case "a stacked disk is tracked" bio_based
run_case "a disk that cannot be seen whole is refused" untrackable
run_case "a mounted disk is copied and lives on" mounted_disk
run_case "an unused disk is copied whole" unused_disk
run_case "without the module" without_the_module
