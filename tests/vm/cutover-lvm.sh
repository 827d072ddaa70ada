# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: a filesystem on a logical volume of a tracked disk is found, frozen
# and moved as it was at the freeze; a hold outlives the replicator and ends by
# the operator's word only; a target that is cut over refuses writers; a volume
# group that is not in the job as a whole is refused.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=400 kernels=5.10+6.1+7 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

volumes() {
	lvm "$@" -y -q -q --config 'activation{udev_sync=0 udev_rules=0}' 9>&-
}

# A volume group on the devices, with one volume "data" of 64 MiB.
make_volume() {
	modprobe dm_mod
	volumes pvcreate "$@"
	volumes vgcreate vg "$@"
	volumes lvcreate -an -Zn -n data -L 64M vg
	volumes vgchange -ay vg
	cleanup_fn drop_volume
}

drop_volume() {
	end_case
	volumes vgchange -an vg
	volumes vgremove -f vg
	wipefs -qa "$d0"
}

found_and_moved() {
	begin_case
	make_volume "$d0"
	make_ext4 /dev/vg/data data
	started
	writes_to "$job_dir/data.mnt"
	cut_over --then hold
	eq "$(reported .cutover.state)" cut-over state
	eq "$(reported '.cutover.filesystems[].mountpoint')" "$job_dir/data.mnt" "what was frozen"
	[ "$(reported .cutover.dirty_bytes_at_freeze)" -gt 0 ]
	eq "$(reported '.cutover.confirm[0].blocks')" 0 "blocks of the last generation"
	same_disks
	wait "$(job_pid)"
	is_frozen "$job_dir/data.mnt"
	eq "$(figure .state)" holding "state of the guardian"
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
	wait_until 10 no_guardian
	kill -0 "$(cat "$job_dir/writer.pid")"
	stop_writer
	[ -z "$(blkferry stats --json | jq -r '.trackers[]?.name')" ]
}

# The volume is the job's disk, tracked as the bio-based disk that it is.
moved_itself() {
	# shellcheck disable=SC2034  # for write_job
	local source_device=/dev/vg/data
	begin_case
	make_volume "$d0"
	make_ext4 /dev/vg/data data
	started
	eq "$(blkferry stats --json | jq -r '.trackers[0].disk' | tr -d 0-9)" dm- "what is tracked"
	writes_to "$job_dir/data.mnt"
	cut_over --then hold
	eq "$(reported .cutover.state)" cut-over state
	eq "$(reported '.cutover.confirm[0].blocks')" 0 "blocks of the last generation"
	same_bytes /dev/vg/data "$d1" $((64 << 20))
	wait "$(job_pid)"
	blkferry thaw move
	is_thawed "$job_dir/data.mnt"
	wait_until 10 no_guardian
	stop_writer
}

# The job "move" is cut over at the target: a new run of it may not write there.
refuses_writers() {
	begin_case
	make_ext4 "$d0" data
	started
	cut_over --then thaw
	is_thawed "$job_dir/data.mnt"
	wait "$(job_pid)"
	status=0
	blkferry run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" 2>"$job_dir/again.log" || status=$?
	eq "$status" 7 "status of another run"
	grep -q 'cut over' "$job_dir/again.log"
}

group_outside() {
	begin_case
	modprobe loop
	truncate -s 32M "$job_dir/other.img"
	other=$(losetup -f --show "$job_dir/other.img")
	cleanup_fn losetup -d "$other"
	modprobe dm_mod
	volumes pvcreate "$d0" "$other"
	volumes vgcreate vg "$d0" "$other"
	cleanup_fn drop_volume
	volumes lvcreate -an -Zn -n data -l 100%FREE vg
	volumes vgchange -ay vg
	start_receiver
	write_job
	start_job
	status=0
	wait "$(job_pid)" || status=$?
	eq "$status" 7 "status of the run"
	grep -q "vg-data.*${other#/dev/}" "$job_dir/move.log"
}

run_case "a volume is found, frozen, held, moved, thawed" found_and_moved
run_case "a volume is tracked and moved by itself" moved_itself
run_case "a target that is cut over refuses writers" refuses_writers
run_case "a volume group outside of the job is refused" group_outside
