# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Cutovers of a busy filesystem between two memory disks, over TLS on loopback,
# one after the other: each ends with thaw, the target is reopened, the job goes
# on with a resync. Out on descriptor 9: a line for each, projected and measured
# downtime and the last passes' bytes.
set -eu
export PATH=/t/bin:$PATH test_tmp=/tmp/bench
mkdir -p "$test_tmp"
# shellcheck disable=SC1091
. /t/settings
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# memory_disk NAME MIB
memory_disk() {
	mkdir "/sys/kernel/config/nullb/$1"
	echo "$2" >"/sys/kernel/config/nullb/$1/size"
	echo 1 >"/sys/kernel/config/nullb/$1/memory_backed"
	echo 1 >"/sys/kernel/config/nullb/$1/power"
	if [ -d "/sys/block/$1" ]; then
		ln -s "/dev/$1" "/dev/vm/$1"
	else
		ln -s "/dev/nullb$(cat "/sys/kernel/config/nullb/$1/index")" "/dev/vm/$1"
	fi
}

one_cutover() {
	start_job
	wait_ready
	while ! passes_are 4; do :; done
	blkferry cutover move --then thaw --json >"$job_dir/report"
	wait "$(job_pid)"
	jq -r '.cutover | [.projected_downtime_ns, .downtime_ns,
		.dirty_bytes_at_freeze] | join(" ")' "$job_dir/report" >&9
	blkferry receive --config "$job_dir/receiver.conf" --reopen disk
}

modprobe configfs
grep -q " /sys/kernel/config " /proc/mounts ||
	mount -t configfs none /sys/kernel/config
modprobe null_blk nr_devices=0
mkdir -p /dev/vm
memory_disk d0 48
memory_disk d1 48
insmod /vm/blkferry.ko
begin_case
make_ext4 "$d0" data
start_receiver
write_job
writes_to "$job_dir/data.mnt"
for ((i = 0; i < ${CUTOVERS:-100}; i++)); do
	one_cutover
done
kill "$(cat "$job_dir/writer.pid")"
wait_until 20 is_unmounted "$job_dir/data.mnt"
