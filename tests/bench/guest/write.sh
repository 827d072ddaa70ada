# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# 4 KiB random writes to a disk that does nothing, untracked and tracked in the
# steady state (every block dirty already). Out on descriptor 9: both IOPS.
set -eu
export PATH=/t/bin:$PATH

modprobe null_blk queue_mode=2 irqmode=0 nr_devices=1 gb=1
disk=/dev/nullb0

iops() {
	fio --name=w --filename=$disk --direct=1 --ioengine=libaio --rw=randwrite \
		--bs=4k --iodepth=32 --randrepeat=1 --norandommap --io_size=400m \
		--size=1g --output-format=json | jq '.jobs[0].write.iops'
}

iops >/dev/null
untracked=$(iops)
insmod /vm/blkferry.ko
consumer "track a $disk"
fio --name=fill --filename=$disk --direct=1 --ioengine=libaio --rw=write \
	--bs=64k --iodepth=32 --size=1g
iops >/dev/null
tracked=$(iops)
consumer "get a" "untrack a"
rmmod blkferry
echo "$untracked $tracked" >&9
