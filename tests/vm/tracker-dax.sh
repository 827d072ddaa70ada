# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a disk that can be mapped into memory is refused, in words: what is
# stored through such a mapping is no block I/O. So are its partitions.
# VM: disks=pmem:256M cpus=2 limit=120 kernels=5.10+6.1+6.12+7 check=all tools=sfdisk
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

disk=/dev/pmem0

refused() {
	wait_until 10 test -b "$disk"
	eq "$(cat /sys/block/pmem0/queue/dax)" 1 "the disk can be mapped"
	fails_saying "^error EOPNOTSUPP .*mapped into memory" consumer "track a $disk"
}

partition_refused() {
	echo "start=2048, size=65536, type=83" | sfdisk --quiet --label dos "$disk"
	blockdev --rereadpt "$disk"
	wait_until 10 test -b "${disk}p1"
	fails_saying "^error EOPNOTSUPP .*mapped into memory" consumer "track a ${disk}p1"
}

run_case "a disk of persistent memory is refused" refused
run_case "a partition of one is refused" partition_refused
