# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: no netlink message, however wrong, and no order of them from several
# sockets at once, while disks are written and trackers and drains come and go,
# does any harm: each sound message is answered, each answer is sound, no
# descriptor appears that no answer told of. After the storm every tracker can be
# deleted, a new one finds exactly what is written, and the module unloads.
# FUZZ_SEED repeats what each socket sends, FUZZ_MESSAGES is how many are sent at
# most, FUZZ_SECONDS for how long.
# VM: mem=1024 turns=yes disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 kernels=all+fault check=fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash
# shellcheck source=/dev/null
. /t/settings

seed=${FUZZ_SEED:-${BLKFERRY_SEED:-1}}
messages=${FUZZ_MESSAGES:-100000}
seconds=${FUZZ_SECONDS:-120}

# A bio-based disk is among them: "mapped", on part of $d1.
map() {
	modprobe dm_mod
	dmsetup create mapped --table "0 131072 linear $(realpath "$d1") 8"
}

mapped() { echo "/dev/$(dmsetup info -c --noheadings -o blkdevname mapped)"; }

nothing_is_left() {
	eq "$(consumer list)" "ok 0" "trackers left"
}

# Exactly, and every write: some at spots, then many at once.
sees_writes() {
	local n
	track fresh "$1"
	write_at "$1" 800 8
	write_at "$1" 4091 10
	dirty_is fresh "$1" "$(blocks 800 8),$(blocks 4091 10)"
	dirty_is fresh "$1" -
	remember "$1"
	for n in $(seq 40); do
		write_at "$1" $((RANDOM * 3 % 130000)) $((RANDOM % 60 + 1)) &
		[ $((n % 4)) -ne 0 ] || wait
	done
	wait
	covers_all_changes fresh "$1"
	eq "$(stat_of fresh writes)" 42 "writes seen"
}

unmap() {
	dmsetup remove --retry mapped
	[ ! -e /sys/block/dm-0 ]
}

run_case "a mapped disk among the others" map
echo "# again with: netlink_fuzz $seed $messages $seconds $d0 $d2 $(mapped)"
run_program netlink_fuzz "$seed" "$messages" "$seconds" "$d0" "$d2" "$(mapped)"
run_case "no tracker is left" nothing_is_left
run_case "a new tracker on virtio sees every write" sees_writes "$d0"
run_case "a new tracker on NVMe sees every write" sees_writes "$d2"
run_case "a new tracker on the mapped disk sees every write" sees_writes "$(mapped)"
run_case "the mapped disk can be removed" unmap
