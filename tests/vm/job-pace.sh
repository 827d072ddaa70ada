# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: passes come at intervals, but what gathers faster than a freeze could
# send within half of its bound starts one early; a load that the link cannot
# carry is said, with both rates and what helps; limits change while passes run.
# VM: disks=virtio:96M+virtio:96M mem=768 limit=600 modules=dm-mod+ext4+loop+vfat+nls_cp437+nls_ascii tools=lvm+dmsetup+mkfs.ext4+mkfs.vfat+fio+wipefs+fsfreeze+jq+losetup+mountpoint+e2fsck+unshare+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# junk FROM MIB
junk() {
	dd if=/dev/urandom of="$d0" bs=1M seek="$1" count="$2" oflag=direct conv=notrunc 2>/dev/null
}

blank() {
	dd if=/dev/zero of="$d0" bs=1M count=96 oflag=direct conv=notrunc 2>/dev/null
}

# The link carries some MiB a second: half of the bound takes about ten of them.
early_pass() {
	begin_case
	blank
	junk 0 24
	job_interval=1h
	started "rate = 4M" "compression = none" "max-downtime = 3s"
	eq "$(figure .passes)" 1 "passes"
	junk 32 48
	wait_until 60 passes_are 2
}

said_in_log() { grep -q "$1" "$job_dir/move.log"; }

# wide_writer: random blocks over most of the disk, so that most are new.
wide_writer() {
	fio --name=wide --filename="$d0" --offset=8M --size=88M --rw=randwrite \
		--bs=16k --direct=1 --ioengine=psync --thread --time_based \
		--runtime=600 >"$job_dir/fio.log" 2>&1 &
	echo $! >"$job_dir/writer.pid"
	wait_until 20 raw_writes
}

not_converging() {
	begin_case
	blank
	started
	blkferry set move rate=256K level=none
	wide_writer
	wait_until 120 said_in_log 'does not converge: .* become dirty while the link carries'
	eq "$(figure '.limits | [.rate_bytes, .level] | @csv')" 262144,0 limits
	stop_writer
	blkferry set move rate=none
}

run_case "what gathers fast starts a pass before its time" early_pass
run_case "a load that the link cannot carry is said" not_converging
