# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Cutovers of a busy filesystem between two memory disks, over TLS on loopback,
# one after the other: each ends with thaw, the target is reopened, the job goes
# on with a resync. The load writes and syncs files of sizes that differ, with
# breaths in between that differ as well, so that no two freezes meet the same of
# it, and that the one processor is not its alone. Out on descriptor 9: a line for
# each, projected and measured downtime, how long FIFREEZE took, and bytes dirty
# then.
set -eu
export PATH=/t/bin:$PATH test_tmp=/tmp/bench
mkdir -p "$test_tmp"
# shellcheck disable=SC1091
. /t/settings
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash
# shellcheck source=tests/bench/guest/disks.bash
. /t/tests/bench/guest/disks.bash

# pause MS: from 10 to 99; no process is started.
pause() { read -r -t "0.0$1" -u "$idle" _ || :; }

load() {
	RANDOM=1
	while dd if=/dev/urandom of="$1/churn" bs=32k count=$((1 + RANDOM % 8)) conv=fsync 2>/dev/null; do
		mv "$1/churn" "$1/churn.old"
		pause $((10 + RANDOM % 50))
	done
}

# In the log: to ask the job would take the processor from what is measured.
passes_logged() { grep -q "pass [$1-9] (delta)" "$job_dir/move.log"; }

one_cutover() {
	: >"$job_dir/move.log"
	start_job
	wait_until 180 passes_logged 5
	blkferry cutover move --then thaw --json >"$job_dir/report"
	wait "$(job_pid)"
	jq -r '.cutover | [.projected_downtime_ns, .downtime_ns, .freeze_ns,
		.dirty_bytes_at_freeze] | join(" ")' "$job_dir/report" >&9
	blkferry receive --config "$job_dir/receiver.conf" --reopen disk
}

mkdir -p /dev/vm
for name in d0 d1; do
	ln -s "$(null_disk "$name" size=24 memory_backed=1)" "/dev/vm/$name"
done
insmod /vm/blkferry.ko
exec {idle}<> <(:)
begin_case
make_ext4 "$d0" data
start_receiver
write_job
load "$job_dir/data.mnt" &
echo $! >"$job_dir/writer.pid"
# shellcheck disable=SC2154  # settings
for ((i = 0; i < cutovers; i++)); do
	one_cutover
done
kill "$(cat "$job_dir/writer.pid")"
wait_until 20 is_unmounted "$job_dir/data.mnt"
