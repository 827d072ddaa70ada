# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: no change is ever missed. Four threads change a disk in every way
# while passes drain it and end in every way, writes in flight at each swap; in
# the end the replica equals the disk, block for block.
# VM: mem=1024 disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=600 tools=sfdisk
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

changes() {
	cleanup_fn whatever consumer "untrack oracle"
	oracle "$@"
}

odd_partition() {
	echo "start=4099, size=90001, type=83" | sfdisk --quiet --label dos "$d0"
	blockdev --rereadpt "$d0"
	wait_until 10 test -b "$(realpath "$d0")1"
	changes "$(realpath "$d0")1" "$1" 400
}

# Completions come from a timer's interrupt, on two queues.
null_blk() {
	null_disk irqmode=2 completion_nsec=50000 submit_queues=2 discard=1
	changes "$disk" "$1" 500
}

for seed in 1 2; do
	run_case "virtio, seed $seed" changes "$d0" $seed 500
	run_case "SCSI, seed $seed" changes "$d1" $seed 500
	run_case "NVMe, seed $seed" changes "$d2" $seed 500
	run_case "null_blk completing in a timer, seed $seed" null_blk $seed
	run_case "a partition at an odd sector, seed $seed" odd_partition $seed
done
