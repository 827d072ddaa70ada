# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: an allocation that fails, whichever it is, loses nothing. Each one that
# a command makes fails once, on disks of requests and of bios: the command is
# refused or does without, what was dirty is found, and it works the next time.
# The module loads or does not. Where the worker gets no leaves marks get coarse
# and are counted, and exact again when there are some.
# VM: disks=virtio:256M+scsi:1T mem=512 limit=300 kernels=fault
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash

faults=/sys/kernel/debug

# The kernel's own words on each failure would fill the log.
all_allocations_can_fail() {
	local at
	for at in failslab fail_page_alloc; do
		echo N >$faults/$at/ignore-gfp-wait
		echo 0 >$faults/$at/verbose
	done
	echo 0 >$faults/fail_page_alloc/min-order
	echo N >$faults/fail_page_alloc/ignore-gfp-highmem
}

# A cache that cannot be made is a stack trace in the kernel's own words; of other
# complaints there must be none. Then the log begins anew.
loads() {
	rmmod blkferry
	cleanup_fn insmod /vm/blkferry.ko
	alloc_fail load /vm/blkferry.ko
	dmesg >"$test_tmp/dmesg"
	grep -q 'kmem_cache_create.*blkferry_leaf.*failed' "$test_tmp/dmesg"
	grep -E 'BUG|WARNING|KASAN|Oops|refcount' "$test_tmp/dmesg" &&
		fail "more than that in the log"
	dmesg -c >"$test_tmp/dmesg"
	echo "blkferry-test: memory-fails.sh" >/dev/kmsg
}

on_a_bio_disk() {
	linear_of_virtio
	alloc_fail "$disk"
}

linear_of_virtio() { dm lin "0 65536 linear $(realpath "$d0") 8"; }

# workers_fail 0|1: the threads that work for others, and those to come.
workers_fail() {
	local at name
	for at in /proc/[0-9]*; do
		{ read -r name <"$at/comm"; } 2>/dev/null || continue
		case $name in
		kthreadd | kworker/u*) echo "$1" 2>/dev/null >"$at/make-it-fail" || : ;;
		esac
	done
}

# leaves_fail PERCENT: of the allocations that the workers make.
leaves_fail() {
	echo Y >$faults/failslab/task-filter
	echo -1 >$faults/failslab/times
	echo "$1" >$faults/failslab/probability
}

# mark_leaves NAME COUNT: a block in each of so many; sets $marked.
mark_leaves() {
	local n steps=()
	marked=""
	for ((n = 0; n < $2; n++)); do
		[ $((n % 40)) -ne 0 ] || steps+=("mark $1")
		steps[-1]+=" $((n * 262144))+8"
		marked+=" $((n * 262144))"
	done
	consumer "${steps[@]}" >"$test_tmp/out"
}

no_leaves() {
	track a "$d1"
	cleanup_fn workers_fail 0
	cleanup_fn leaves_fail 0
	workers_fail 1
	leaves_fail 100
	mark_leaves a 600
	[ "$(stat_of a coarse_marks)" -ge 300 ]
	holds_all a "$d1" "$marked"
	leaves_fail 0
	mark_leaves a 1
	dirty_is a "$d1" 0+8
}

all_allocations_can_fail
run_case "loading the module" loads
run_program alloc_fail "$d0"
run_case "each command on a disk of bios" on_a_bio_disk
run_case "the worker gets no leaves" no_leaves
