# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: what the oracle is for, it finds: each mistake that a tracker or its
# consumer could make is made on purpose, and is caught within three seeds. With
# the same module and no mistake the same seeds pass.
# VM: mem=768 disks=virtio:64M+scsi:64M,dpofua=on+nvme:64M module=mistakes kernels=6.1 limit=400 modules=dm_delay
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash

virtio() { disk=$d0; }
nvme() { disk=$d2; }

# Writes land a while after they are submitted.
late() {
	modprobe dm_delay
	dm late "0 131072 delay $(realpath "$d0") 0 0 $(realpath "$d0") 0 3"
}

# In the order of kmod/mistakes.h.
kernel_mistakes=(none no-carry one-range any-generation clear-all lose-tags
	lose-returned)

number_of() {
	local i
	for i in "${!kernel_mistakes[@]}"; do
		[ "${kernel_mistakes[i]}" != "$1" ] || echo "$i"
	done
}

# with MISTAKE: loads the module that makes it.
with() {
	insmod /vm/blkferry.ko mistake="$(number_of "$1")" ${2:+"$2"}
	cleanup_fn rmmod blkferry
	cleanup_fn whatever consumer "untrack oracle"
}

# caught DISK [CONSUMER'S MISTAKE]: by one of three seeds, in so many words.
caught() {
	local seed
	"$1"
	for seed in 1 2 3; do
		whatever oracle "$disk" "$seed" 2000 "${2:-none}" >"$test_tmp/said"
		cat "$test_tmp/said"
		if grep -qE '^(missed|differing [1-9]|the walk and its trailer differ)' \
			"$test_tmp/said"; then
			echo "caught by seed $seed"
			return
		fi
		whatever consumer "untrack oracle"
	done
	fail "no seed caught it"
}

none_is_made() {
	local seed
	with none
	"$1"
	for seed in 1 2 3; do
		oracle "$disk" "$seed" 2000
	done
}

by_the_module() {
	with "$1"
	caught "$2"
}

by_the_consumer() {
	with none
	caught virtio "$1"
}

# A command that may have written, while a resync is under way.
reason_cleared_too_early() {
	with clear-all
	consumer "track s $d1"
	cleanup_fn consumer "untrack s"
	opaque
	start_consumer
	ask_ok begin s "$d1"
	opaque
	ask_ok finish s - resynced
	eq "$(reason_of s passthrough)" "2 2" "the mistake"
}

opaque() { whatever sg_raw "$d1" c0 00 00 00 00 00; }

for kind in virtio nvme late; do
	run_case "no mistake on $kind" none_is_made $kind
done
run_case "a swap that carries nothing is caught" by_the_module no-carry late
run_case "one range of a discard is caught" by_the_module one-range nvme
run_case "a commit of another generation is caught" by_the_module any-generation virtio
run_case "a reason that is cleared though raised again shows" reason_cleared_too_early
run_case "a tagged word lost is caught" by_the_module lose-tags virtio
run_case "a generation lost on its return is caught" by_the_module lose-returned virtio
run_case "a commit before the copy is caught" by_the_consumer commit-before-copy
run_case "a walk without its end is caught" by_the_consumer short-walk
