# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: what the oracle is for, it finds: each mistake that a tracker or its
# consumer could make is made on purpose, and is caught by one of three seeds.
# With the same module and no mistake the same seeds pass. MISTAKE_OPS is how
# many operations a seed makes.
# VM: mem=768 disks=virtio:8M+scsi:8M,dpofua=on+nvme:8M module=mistakes kernels=6.1 limit=900 limit_full=1500 modules=dm_delay
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash
# shellcheck source=/dev/null
. /t/settings

on_top=""
virtio() { disk=$d0; }
scsi() { disk=$d1; }

# A discard of the disk on top reaches the one below as two ranges of a request.
nvme() {
	dm two "0 16384 striped 2 16 $(realpath "$d2") 0 $(realpath "$d2") 8192"
	on_top=$disk
	disk=$d2
}

# Writes land a while after they are submitted.
late() {
	modprobe dm_delay
	dm late "0 16384 delay $(realpath "$d0") 0 0 $(realpath "$d0") 0 3"
}

# In the order of kmod/mistakes.h.
kernel_mistakes=(none no-carry one-range any-generation clear-all lose-tags
	lose-returned mark-first)

number_of() {
	local i
	for i in "${!kernel_mistakes[@]}"; do
		[ "${kernel_mistakes[i]}" != "$1" ] || echo "$i"
	done
}

# with MISTAKE [PARAMETER]: loads the module that makes it.
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
		whatever oracle "$disk" "$seed" "$MISTAKE_OPS" "${2:-none}" \
			${on_top:+"$on_top"} >"$test_tmp/said"
		cat "$test_tmp/said"
		if grep -qE '^(missed|differing [1-9]|the walk and its trailer differ|[0-9]+ blocks were marked)' \
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
	with none ${2:+"$2"}
	"$1"
	for seed in 1 2 3; do
		oracle "$disk" "$seed" "$MISTAKE_OPS" none ${on_top:+"$on_top"}
	done
}

# by_the_module MISTAKE DISK [PARAMETER]
by_the_module() {
	with "$1" ${3:+"$3"}
	caught "$2"
}

by_the_consumer() {
	with none
	caught virtio "$1"
}

for kind in virtio scsi nvme late; do
	run_case "no mistake on $kind" none_is_made $kind
done
run_case "no mistake without leaves" none_is_made virtio leaves_max_bytes=0
run_case "a swap that carries nothing is caught" by_the_module no-carry late
run_case "one range of a discard is caught" by_the_module one-range nvme
run_case "a commit of another generation is caught" by_the_module any-generation virtio
run_case "a reason cleared though raised again is caught" by_the_module clear-all scsi
run_case "a tagged word lost is caught" by_the_module lose-tags virtio leaves_max_bytes=0
run_case "a generation lost on its return is caught" by_the_module lose-returned virtio
run_case "a mark of what nothing touched is caught" by_the_module mark-first scsi
run_case "a commit before the copy is caught" by_the_consumer commit-before-copy
run_case "a walk taken for whole is caught" by_the_consumer short-walk
run_case "a late write of a session given up is caught" by_the_consumer late-write
