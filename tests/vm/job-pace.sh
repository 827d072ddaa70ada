# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy: passes come at intervals, but what gathers faster than a freeze could
# send within half of its bound starts one early; a load that the link cannot
# carry is said, with both rates and what helps; limits change while passes run.
# VM: disks=virtio:32M+virtio:32M mem=776 in=full limit=300 kernels=6.1 modules=dm-mod+ext4+loop tools=lvm+dmsetup+mkfs.ext4+fio+wipefs+fsfreeze+losetup+mountpoint+cmp
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash

# junk FROM MIB: random data there on the source.
junk() {
	dd if=/dev/urandom of="$d0" bs=1M seek="$1" count="$2" oflag=direct conv=notrunc 2>/dev/null
}

# The link carries 4 MiB a second, half of the bound 12 MiB of them at most.
early_pass() {
	begin_case
	junk 0 32
	job_interval=1h
	started 'rate = 4M' 'compression = none' 'max-downtime = 6s'
	eq "$(figure .passes)" 1 passes
	junk 4 24
	wait_until 120 passes_are 2
	wait_ready
	blkferry sync move
	same_disks
}

said() { grep -q "$1" "$job_dir/move.log"; }

# New blocks at six times the link's rate, until most of the disk is dirty.
wide_writer() {
	fio --name=wide --filename="$d0" --offset=2M --size=30M --rw=randwrite \
		--bs=16k --rate_iops=400 --direct=1 --ioengine=psync --thread \
		--time_based --runtime=600 >"$job_dir/fio.log" 2>&1 &
	echo $! >"$job_dir/writer.pid"
}

not_converging() {
	begin_case
	dd if=/dev/zero of="$d0" bs=1M count=32 oflag=direct conv=notrunc 2>/dev/null
	junk 0 16
	started 'rate = 1M' 'compression = none'
	wide_writer
	wait_until 120 said 'does not converge: .* become dirty while the link carries .*; more bandwidth'
	blkferry set move rate=3M level=1
	eq "$(figure '.limits | [.rate_bytes, .level] | @csv')" 3145728,1 limits
	stop_writer
	blkferry set move rate=none
	eq "$(figure .limits.rate_bytes)" 0 limit
	wait_ready
	blkferry sync move
	same_disks
}

run_case "what gathers fast starts a pass before its time" early_pass
run_case "a load that the link cannot carry is said" not_converging
