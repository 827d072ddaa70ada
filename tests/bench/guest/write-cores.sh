# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# 4 KiB random writes from two cores at once to one disk that does nothing, whose
# tracker both mark: instruction counts do not show what cores do to each other.
# Untracked and tracked in turns. Out on descriptor 9: both IOPS of each turn.
set -eu
export PATH=/t/bin:$PATH
# shellcheck source=tests/bench/guest/disks.bash
. /t/disks.bash

# writes DISK: IOPS of both.
writes() {
	fio --name=w --filename="$1" --direct=1 --ioengine=libaio --rw=randwrite \
		--bs=4k --iodepth=32 --norandommap --size=512m --numjobs=2 \
		--cpus_allowed=0-1 --cpus_allowed_policy=split --group_reporting \
		--time_based --runtime=2 --output-format=json | jq '.jobs[0].write.iops'
}

disk=$(null_disk plain size=512 queue_mode=2 irqmode=0 submit_queues=2)
writes "$disk" >/dev/null
for ((turn = 0; turn < 7; turn++)); do
	untracked=$(writes "$disk")
	insmod /vm/blkferry.ko
	consumer "track a $disk"
	fio --name=fill --filename="$disk" --direct=1 --ioengine=libaio --rw=write \
		--bs=64k --iodepth=32 --size=512m >/dev/null
	echo "$untracked $(writes "$disk")" >&9
	consumer "untrack a"
	rmmod blkferry
done
