# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash source=tests/lib.sh
# What VM tests of a job share: a receiver and a replicator in one guest, over
# the loopback device. d0 is the source, d1 the target. Everything that belongs
# to a case lies in $job_dir and ends with the case.

# shellcheck disable=SC2034  # for the test files
d0=/dev/vm/d0 d1=/dev/vm/d1
job_dir=
port=4712

# begin_case: an empty folder, a target without content, both keys.
begin_case() {
	# shellcheck disable=SC2154  # tests/lib.sh has it
	job_dir=$(mktemp -d "$test_tmp/job.XXXXXX")
	wipefs -qa "$d0" "$d1"
	rm -rf /run/blkferry
	blkferry key --generate --key "$job_dir/receiver.key" >"$job_dir/receiver.id"
	blkferry key --generate --key "$job_dir/source.key" >"$job_dir/source.id"
	cleanup_fn end_case
}

# What is left of a case: processes by their ids, freezes, trackers.
end_case() {
	local file tracker
	tail -n 12 "$job_dir"/move.log "$job_dir"/receiver.log "$job_dir"/report
	for file in "$job_dir"/*.pid; do
		[ -e "$file" ] || continue
		kill -KILL "$(cat "$file")" 2>/dev/null
	done
	wait 2>/dev/null
	no_guardian || whatever blkferry thaw move
	wait_until 20 no_guardian
	blkferry stats --json | jq -r '.trackers[]?.name' | while read -r tracker; do
		wait_until 10 blkferry untrack "$tracker" >/dev/null 2>&1
	done
	for file in "$job_dir"/*.mnt; do
		! mountpoint -q "$file" || wait_until 10 is_unmounted "$file"
	done
}

is_unmounted() { umount "$1" 2>/dev/null; }

# guardian_pid: of the guardian that runs, if one does; no process is started.
guardian_pid() {
	local at name
	for at in /proc/[0-9]*; do
		{ read -r name <"$at/comm"; } 2>/dev/null || continue
		[ "$name" != blkferry-guard ] || echo "${at#/proc/}"
	done
}

no_guardian() { [ -z "$(guardian_pid)" ]; }

# shellcheck disable=SC2120
# start_receiver [FAULT]: with one, the program that dies at fault points.
start_receiver() {
	cat >"$job_dir/receiver.conf" <<-END
		[receiver]
		listen = 127.0.0.1:$port
		key = $job_dir/receiver.key
		records = $job_dir/records
		[peer source]
		key = $(cat "$job_dir/source.id")
		targets = disk
		[target disk]
		path = $d1
		overwrite = yes
	END
	BLKFERRY_FAULT=${1:-} "blkferry${1:+-faulty}" receive \
		--config "$job_dir/receiver.conf" 2>"$job_dir/receiver.log" &
	echo $! >"$job_dir/receiver.pid"
	wait_until 20 grep -q 'listening on' "$job_dir/receiver.log"
}

# write_job LINE...: the job "move" of disk d0, with more lines for [job].
write_job() {
	cat >"$job_dir/move.conf" <<-END
		[job]
		receiver = 127.0.0.1:$port
		peer = $(cat "$job_dir/receiver.id")
		key = $job_dir/source.key
		interval = ${job_interval:-200ms}
		timeout = 20s
		whole-disk = ${job_whole_disk:-yes}
		$(printf '%s\n' "$@")
		[disk disk]
		device = ${source_device:-$d0}
		target = disk
	END
}

# add_disk DEVICE TARGET: to the job as written, and to the receiver that runs.
add_disk() {
	sed -i 's/^targets = disk$/targets = disk more/' "$job_dir/receiver.conf"
	printf '[target more]\npath = %s\noverwrite = yes\n' "$2" >>"$job_dir/receiver.conf"
	kill -HUP "$(cat "$job_dir/receiver.pid")"
	wait_until 20 grep -q 'was read again' "$job_dir/receiver.log"
	printf '[disk more]\ndevice = %s\ntarget = more\n' "$1" >>"$job_dir/move.conf"
}

# shellcheck disable=SC2120
# start_job [COMMAND...]: started through COMMAND, which becomes the replicator.
start_job() {
	"$@" "${replicator:-blkferry}" run move --config "$job_dir/move.conf" \
		--records-dir "$job_dir/source" >"$job_dir/move.out" 2>"$job_dir/move.log" &
	echo $! >"$job_dir/move.pid"
}

job_pid() { cat "$job_dir/move.pid"; }

# figure FILTER: of the job's status.
figure() { blkferry status move --json 2>/dev/null | jq -r "$1"; }

passes_are() {
	local now
	now=$(figure '.passes // 0')
	[ "${now:-0}" -ge "$1" ]
}

state_is() { [ "$(figure .state)" = "$1" ]; }

# is_ready: or will never be, for it has ended.
is_ready() { state_is ready || ! kill -0 "$(job_pid)" 2>/dev/null; }

wait_ready() {
	if ! wait_until 180 is_ready || ! state_is ready; then
		cat "$job_dir/move.log"
		return 1
	fi
}

# shellcheck disable=SC2119
# started [LINE...]: receiver and job run, the target is whole once.
started() {
	start_receiver
	write_job "$@"
	start_job
	wait_ready
}

# make_ext4 DEVICE NAME: made and mounted, with something in it.
make_ext4() {
	mkfs.ext4 -q -F "$1"
	mount_at "$1" "$2"
	cp /t/bin/blkferry "$job_dir/$2.mnt/"
}

mount_at() {
	mkdir -p "$job_dir/$2.mnt"
	mount "$1" "$job_dir/$2.mnt"
}

# is_frozen FOLDER: a second freeze is refused. (One that works is taken back.)
is_frozen() {
	if fsfreeze -f "$1" 2>/dev/null; then
		fsfreeze -u "$1"
		return 1
	fi
}

is_thawed() { ! is_frozen "$1"; }

# writes_to FOLDER: keeps writing files there.
writes_to() {
	while dd if=/dev/urandom of="$1/churn" bs=64k count=4 conv=fsync 2>/dev/null; do
		rm -f "$1/churn.old"
		mv "$1/churn" "$1/churn.old"
	done &
	echo $! >"$job_dir/writer.pid"
}

stop_writer() {
	kill -KILL "$(cat "$job_dir/writer.pid")"
	wait "$(cat "$job_dir/writer.pid")" 2>/dev/null || :
	rm "$job_dir/writer.pid"
}

# raw_writer: writes a MiB of d0, its last by default, all the time, past the
# filesystem; not as fast as it can, which would leave a guest with one processor
# no time for anything else.
raw_writer() {
	fio --name=raw --filename="$d0" --offset="${raw_offset:-95M}" --size=1M --rw=randwrite \
		--bs=4k --direct=1 --rate_iops=200 --ioengine=psync --thread --allow_mounted_write=1 \
		--time_based --runtime=600 >"$job_dir/fio.log" 2>&1 &
	echo $! >"$job_dir/writer.pid"
	wait_until 20 raw_writes
}

raw_writes() { [ "$(figure .dirty_bytes)" -gt 0 ]; }

# A last pass has ended or runs: whatever can be frozen is.
under_freeze() { figure '.pass.kind, .last_pass.kind' | grep -qx last; }

# cut_over ARGUMENT...: its report in $job_dir/report.
cut_over() {
	blkferry cutover move --json "$@" >"$job_dir/report"
}

reported() { jq -r "$1" "$job_dir/report"; }

# same_bytes A B [COUNT]: devices past the page caches: a mounted filesystem keeps
# blocks there that it has made up and not written, such as the bitmaps of groups
# that were never used. By a shell of its own, with which both readers end.
same_bytes() {
	# shellcheck disable=SC2016  # for that shell
	bash -c 'bytes() {
			if [ -b "$1" ]; then
				dd if="$1" bs=1M iflag=direct status=none
			else
				cat "$1"
			fi
		}
		cmp ${3:+-n "$3"} <(bytes "$1") <(bytes "$2")' same_bytes "$@"
}

same_disks() { same_bytes "$d0" "$d1"; }
