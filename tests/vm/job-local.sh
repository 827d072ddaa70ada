# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: a job whose targets are paths of the same machine passes and cuts over
# as one with a receiver does; a file that is its target stays thin; a
# target that lies on the job's own disk, or is too small, stops it before
# anything is begun; its plan names what no one has mounted.
# VM: disks=virtio:32M+virtio:32M mem=784 limit=300 kernels=5.10+6.1 modules=dm-mod+ext4+loop tools=lvm+dmsetup+mkfs.ext4+wipefs+fsfreeze+losetup+mountpoint+cmp+flock+sfdisk+mkswap+blockdev
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# write_local_job TARGET [SOURCE]: d0, or what is given, goes there.
write_local_job() {
	cat >"$job_dir/move.conf" <<-END
		[job]
		interval = 200ms
		whole-disk = yes
		[disk disk]
		device = ${2:-$d0}
		target = $1
		overwrite = yes
	END
}

plan() { blkferry plan move --config "$job_dir/move.conf" "$@"; }

expect_refusal() {
	expect_status 7 plan
	grep -q "$1" "$test_tmp/out"
	expect_status "$2" timeout 60 blkferry run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source"
	grep -q "$3" "$test_tmp/out"
	eq "$(blkferry stats --json | jq '.trackers | length')" 0 trackers
}

to_a_disk() {
	begin_case
	make_ext4 "$d0" data
	write_local_job "$d1"
	start_job
	wait_ready
	writes_to "$job_dir/data.mnt"
	wait_until 60 passes_are 4
	cut_over --then hold
	same_disks
	blkferry thaw move
	stop_writer
}

# New storage, such as a mounted export, holds the copy as a file: made before, so
# that nothing is written where the export is not mounted.
to_a_file() {
	local copy
	begin_case
	dd if=/dev/zero of="$d0" bs=1M count=32 oflag=direct status=none
	make_ext4 "$d0" data
	make_ext4 "$d1" store
	rm "$job_dir/store.mnt/blkferry"
	copy=$job_dir/store.mnt/copy.img
	truncate -s "$(blockdev --getsize64 "$d0")" "$copy"
	write_local_job "$copy"
	plan >"$test_tmp/out"
	grep -q target-space "$test_tmp/out"
	start_job
	wait_ready
	writes_to "$job_dir/data.mnt"
	wait_until 60 passes_are 4
	cut_over --then hold
	same_bytes "$d0" "$copy"
	[ "$(($(stat -c '%b' "$copy") * 512))" -lt $((24 << 20)) ]
	blkferry thaw move
	stop_writer
}

# It would copy itself, and its own freeze would stop it.
onto_its_own_disk() {
	begin_case
	make_ext4 "$d0" data
	write_local_job "$job_dir/data.mnt/copy.img"
	expect_refusal target-inside 7 'lies on a disk of the job itself'
	[ ! -e "$job_dir/data.mnt/copy.img" ]
	umount "$job_dir/data.mnt"
	printf 'label: dos\n,8M\n,\n' | sfdisk -q "$d0"
	wait_until 10 test -b "$(realpath "$d0")2"
	write_local_job "$(realpath "$d0")2"
	expect_refusal target-inside 7 'the source itself'
	# The other way round: a partition onto its own disk.
	write_local_job "$d0" "$(realpath "$d0")2"
	expect_refusal target-inside 7 'the source itself'
}

too_small() {
	begin_case
	make_ext4 "$d0" data
	printf 'label: dos\n,8M\n' | sfdisk -q "$d1"
	wait_until 10 test -b "$(realpath "$d1")1"
	write_local_job "$(realpath "$d1")1"
	expect_refusal target-too-small 7 'its target has 8'
}

names_what_is_not_mounted() {
	begin_case
	printf 'label: dos\n,8M\n,8M\n,\n' | sfdisk -q "$d0"
	wait_until 10 test -b "$(realpath "$d0")3"
	mkfs.ext4 -q -F "$(realpath "$d0")1"
	mkswap "$(realpath "$d0")2" >"$job_dir/mkswap.log"
	write_local_job "$d1"
	plan --json >"$job_dir/plan"
	eq "$(jq -r '.findings[] | select(.check == "unmounted" or .check == "swap-area").text' \
		"$job_dir/plan" | sort)" "holds ext4, which is not mounted: copied as it is
holds nothing that is known: copied as it is
holds swap: copied as it is" "what lies on the partitions"
}

run_case "a disk of the same machine: passes and cutover" to_a_disk
run_case "a file on another filesystem stays thin, and is equal" to_a_file
run_case "a target on the job's own disk is refused, and nothing is begun" onto_its_own_disk
run_case "a target that is too small is refused, and nothing is begun" too_small
run_case "a plan names what is not mounted" names_what_is_not_mounted
