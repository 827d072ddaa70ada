# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# 4 KiB random writes to disks that do nothing, untracked and tracked: in the
# steady state (every block dirty already), right after a swap (no block is), by
# way of batch completion, through a logical volume tracked beneath it and at
# itself; and what others take for the same. Out on descriptor 9: names and IOPS.
set -eu
export PATH=/t/bin:$PATH
# shellcheck source=tests/bench/guest/disks.bash
. /t/disks.bash

# writes DISK OPTION...: IOPS of as many writes as the disk has blocks.
writes() {
	fio --name=w --filename="$1" --direct=1 --ioengine=libaio --rw=randwrite \
		--bs=4k --iodepth=32 --randrepeat=1 --size=512m --output-format=json "${@:2}" |
		jq '.jobs[0].write.iops'
}

# Some blocks more than once, as writes are.
steady() { writes "$1" --norandommap; }

# Each block once.
first() { writes "$1"; }

polled() { writes "$1" --norandommap --ioengine=io_uring --hipri; }

note() { echo "$1 $2" >&9; }

fill() {
	fio --name=fill --filename="$1" --direct=1 --ioengine=libaio --rw=write \
		--bs=64k --iodepth=32 --size=512m >/dev/null
}

# probe_hits FUNCTION COMMAND...: how often it was called meanwhile.
probe_hits() {
	local at=/sys/kernel/tracing
	echo "p:bench $1" >$at/kprobe_events
	echo 1 >$at/events/kprobes/bench/enable
	"${@:2}" >/dev/null
	echo 0 >$at/events/kprobes/bench/enable
	awk '{ print $2 }' $at/kprobe_profile
	echo >$at/kprobe_events
}

# swapped: the map of tracker "a" is empty, its reserve full.
swapped() { consumer "begin a $1" "finish a"; }

plain=$(null_disk plain size=512 queue_mode=2 irqmode=0)
batched=$(null_disk batched size=512 queue_mode=2 irqmode=0 submit_queues=1 poll_queues=1)
metadata=$(null_disk metadata size=64 memory_backed=1)
modprobe dm_mod
modprobe dm-era
sectors=$(blockdev --getsz "$plain")
linear=$(mapped linear "0 $sectors linear $plain 0")
era=$(mapped era "0 $sectors era $metadata $plain 8")

steady "$plain" >/dev/null
note plain "$(steady "$plain")"
note plain_first "$(first "$plain")"
note linear "$(steady "$linear")"
note linear_first "$(first "$linear")"
note era_first "$(first "$era")"
note era "$(steady "$era")"
dmsetup remove era
note batched "$(polled "$batched")"

insmod /vm/blkferry.ko
consumer "track a $plain"
fill "$plain"
note tracked "$(steady "$plain")"
note linear_below "$(steady "$linear")"
swapped "$plain"
note tracked_first "$(first "$plain")"
consumer "untrack a" "track a $linear"
fill "$linear"
note linear_tracked "$(steady "$linear")"
swapped "$linear"
note linear_tracked_first "$(first "$linear")"
consumer "untrack a" "track a $batched"
fill "$batched"
note batched_tracked "$(polled "$batched")"
# Proof that these writes ended in batches: none of them came the other way.
note batches "$(probe_hits blk_mq_end_request_batch polled "$batched")"
note writes $((512 * 256))
note singly "$(probe_hits blk_update_request polled "$batched")"
consumer "untrack a"
rmmod blkferry
dmsetup remove linear
