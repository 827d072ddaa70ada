# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: all disks of a job share one freeze window. A filesystem on a partition
# and one on an array over a partition of one disk and the whole of the other are
# both found, both frozen before the last pass, and both come out as they were
# when they froze.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=300 kernels=5.10+6.1+7 modules=ext4+loop+raid1 tools=mdadm+sfdisk+blockdev+mkfs.ext4+wipefs+fsfreeze+losetup+mountpoint+e2fsck+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

array_mib=40

# make_array MEMBER...: with its superblocks at the members' ends.
make_array() {
	modprobe raid1
	mdadm --quiet --create /dev/md7 --level=1 --raid-devices=$# --metadata=1.0 \
		--bitmap=none --assume-clean --size=${array_mib}M --run "$@"
	wait_until 10 test -b /dev/md7
}

attach() {
	modprobe loop
	truncate -s 48M "$job_dir/second.img" "$job_dir/second.copy"
	second=$(losetup -f --show "$job_dir/second.img")
	printf 'label: dos\nsize=40M\nsize=44M\n' | sfdisk -q "$d0"
	wait_until 10 test -b "$(realpath "$d0")2"
	make_array "$(realpath "$d0")2" "$second"
	cleanup_fn detach
}

detach() {
	end_case
	mdadm --quiet --stop /dev/md7
	losetup -d "$second"
	wipefs -qa "$d0" && blockdev --rereadpt "$d0"
}

# The array's superblocks, behind its data, are written when it falls idle.
same_data() {
	local to=$((81 << 20))
	same_bytes "$d0" "$d1" $to
	same_bytes "$second" "$job_dir/second.copy" $((array_mib << 20))
}

one_window() {
	begin_case
	attach
	make_ext4 "$(realpath "$d0")1" plain
	make_ext4 /dev/md7 array
	start_receiver
	write_job
	add_disk "$second" "$job_dir/second.copy"
	start_job
	wait_ready
	writes_to "$job_dir/array.mnt"
	mv "$job_dir/writer.pid" "$job_dir/first-writer.pid"
	writes_to "$job_dir/plain.mnt"
	cut_over --then hold
	eq "$(reported '.cutover.filesystems[] | "\(.mountpoint) \(.state)"' | sort)" \
		"$job_dir/array.mnt frozen
$job_dir/plain.mnt frozen" "what was frozen"
	eq "$(reported '.cutover.state')" cut-over "state of the cutover"
	is_frozen "$job_dir/array.mnt"
	is_frozen "$job_dir/plain.mnt"
	same_data
	blkferry thaw move
	is_thawed "$job_dir/array.mnt"
	is_thawed "$job_dir/plain.mnt"
	stop_writer
	mv "$job_dir/first-writer.pid" "$job_dir/writer.pid"
	stop_writer
}

run_case "a partition and an array over two disks freeze together" one_window
