# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: the bench itself. The guest has the disks that were asked for, at
# their sizes, in the order in which they were named; a write reaches them.
# VM: disks=virtio:64M+scsi:48M+nvme:32M module=no check=all+fault kernels=all+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh

has_size() { eq "$(blockdev --getsize64 "$1")" $(($2 << 20)) "size of $1"; }

keeps_data() {
	dd if=/dev/urandom of="$test_tmp/data" bs=64k count=4
	dd if="$test_tmp/data" of="$1" bs=64k oflag=direct
	dd if="$1" of="$test_tmp/back" bs=64k count=4 iflag=direct
	cmp "$test_tmp/data" "$test_tmp/back"
}

run_case "the virtio disk has its size" has_size /dev/vm/d0 64
run_case "the SCSI disk has its size" has_size /dev/vm/d1 48
run_case "the NVMe disk has its size" has_size /dev/vm/d2 32
run_case "the virtio disk keeps data" keeps_data /dev/vm/d0
run_case "the SCSI disk keeps data" keeps_data /dev/vm/d1
run_case "the NVMe disk keeps data" keeps_data /dev/vm/d2
