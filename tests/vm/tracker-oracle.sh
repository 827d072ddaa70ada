# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: no change is ever missed. Four threads change a disk in every way
# while passes drain it and end in every way, writes in flight at each swap; in
# the end the replica equals the disk, block for block, on every kind of disk.
# Operations of every kind have met every state of the drain. ORACLE_OPS is how
# many operations there are over all kinds of disks, ORACLE_SEED repeats a run,
# ORACLE_KINDS takes some kinds of disks alone.
# VM: mem=1536 disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=1500 limit_full=9000 tools=sfdisk+mdadm modules=dm_thin_pool+dm_crypt+xts+ecb+dm_snapshot+dm_multipath+dm_round_robin+dm_delay+raid0+raid1+raid10+raid456 kernels=all+generic+rt+fault check=5.10+6.1+7+fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash
# shellcheck source=/dev/null
. /t/settings

seed=${ORACLE_SEED:-1}
kinds=(virtio scsi nvme timed odd_partition looped linear thin crypt origin
	multipath_of_requests multipath_of_bios raid1 raid10 raid5)
is_old || kinds+=(raid0 ram zipped)
[ -z "${ORACLE_KINDS:-}" ] || read -ra kinds <<<"$ORACLE_KINDS"
each=$((${ORACLE_OPS:-50000} / ${#kinds[@]}))

virtio() { disk=$d0; }
scsi() { disk=$d1; }
nvme() { disk=$d2; }

odd_partition() {
	echo "start=4099, size=90001, type=83" | sfdisk --quiet --label dos "$d0"
	blockdev --rereadpt "$d0"
	disk=$(realpath "$d0")1
	wait_until 10 test -b "$disk"
}

# Completions come from a timer's interrupt, on two queues.
timed() {
	null_disk irqmode=2 completion_nsec=50000 submit_queues=2 discard=1
}

looped() {
	loops 1
	disk=${loops[0]}
}

raid0() { md raid0 2; }
raid1() { md raid1 2; }
raid10() { md raid10 2; }
raid5() { md raid5 3; }

changes() {
	"$1"
	cleanup_fn whatever consumer "untrack oracle"
	echo "again with: oracle $disk $seed $each"
	oracle "$disk" "$seed" "$each"
}

# The table of cells is part of what is shown.
for kind in "${kinds[@]}"; do
	run_case "$kind, seed $seed, $each operations" changes "$kind"
	echo "# $kind"
	grep -E '^(write|discard|flush|passthrough|differing)' "$test_tmp/log" | sed 's/^/# /'
done
