# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2119
# Policy (RULES 2, 3, 5): at every fault point of the module (kmod/fault.h, which
# the module lists) a step fails, or the process that asked for it dies, while a
# job copies a disk that is being written. The job goes on; or it compares again
# and says why; or it ends with a reason and the command that goes on from there.
# What may have been missed is never passed over. In the freeze of a cutover what
# is frozen thaws. Then it is cut over, both disks are equal, and the module
# unloads. No point is left out: one that nothing reaches fails this file.
# BLKFERRY_POINTS=all meets them all, else a sample by BLKFERRY_SEED.
# VM: disks=virtio:8M+virtio:8M+nvmepaths:8M mem=776 module=mistakes kernels=6.1 limit=900 limit_full=6000 modules=dm-mod+dm_delay+ext4 tools=dmsetup+fio+wipefs+mkfs.ext4+fsfreeze+cmp+mountpoint
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/cutover.bash
. /t/tests/vm/cutover.bash
# shellcheck source=tests/vm/disks.bash
. /t/tests/vm/disks.bash
# shellcheck source=/dev/null
. /t/settings

parameters=/sys/module/blkferry/parameters
seed=${BLKFERRY_SEED:-1}
d2=/dev/vm/d2

# --- the module ------------------------------------------------------------------

# Until it is unloaded, or the case ends.
loaded() {
	insmod /vm/blkferry.ko
	cleanup_fn unloaded
}

unloaded() {
	[ ! -d /sys/module/blkferry ] || rmmod blkferry
	! grep '^blkferry' /proc/slabinfo
}

# The table, as the module has it.
list_points() {
	insmod /vm/blkferry.ko
	cut -d' ' -f1 $parameters/fault_points
	rmmod blkferry
}

arm() { echo "$1" >$parameters/fault; }

met() { [ "$(sed -n "s/^$1 //p" $parameters/fault_points)" -gt 0 ]; }

# --- disks, and who writes to them -------------------------------------------------

# Writes land a while after they are submitted: some are always in flight.
late() {
	modprobe dm_delay
	dm late "0 16384 delay $(realpath "$d0") 0 0 $(realpath "$d0") 0 60"
	d0=$disk
}

virtio() { d0=$(realpath "$d0"); }

# A multipath head with two paths.
nvme() { d0=$(realpath "$d2"); }

# What only one kind of disk can meet; for all the others, that of most steps.
kind_for() {
	case $1 in
	kmod-alias-*) echo nvme ;;
	kmod-passthrough | kmod-request-*) echo virtio ;;
	*) echo late ;;
	esac
}

writes() {
	fio --name=load --filename="$d0" --size=6M --rw=randwrite --bs=16k --numjobs=3 \
		--rate_iops=20 --direct=1 --ioengine=psync --thread --time_based \
		--runtime=3000 --randseed="$seed" >"$job_dir/fio.log" 2>&1 &
	echo $! >"$job_dir/writer.pid"
}

# world KIND: all but the job itself.
world() {
	"$1"
	begin_case
	dd if=/dev/urandom of="$d0" bs=1M count=6 oflag=direct status=none
	dd if=/dev/zero of="$d1" bs=1M count=8 oflag=direct status=none
	start_receiver
	write_job
	writes
}

# --- what reaches points that a copy and its passes do not ---------------------------

# stir POINT: what fails of it says so.
stir() {
	case $1 in
	kmod-uevent-*) echo change >"/sys/class/block/${d0#/dev/}/uevent" ;;
	kmod-passthrough) says_if_it_fails cat "/sys/class/block/${d0#/dev/}/serial" ;;
	kmod-request-*) says_if_it_fails blkdiscard -z -o 6M -l 1M "$d0" ;;
	kmod-peek-*) says_if_it_fails blkferry extents move:disk ;;
	kmod-dump) says_if_it_fails blkferry stats ;;
	kmod-abort) interrupts_a_pass ;;
	kmod-mark) forgets_its_record ;;
	kmod-untrack) says_if_it_fails blkferry cancel move ;;
	esac
	wait_until 20 met "$1"
}

says_if_it_fails() {
	"$@" >"$job_dir/said" 2>&1 || [ -s "$job_dir/said" ]
}

interrupts_a_pass() {
	blkferry set move rate=100K
	wait_until 30 in_a_pass
	blkferry pause move
	blkferry resume move
	blkferry set move rate=none
}

in_a_pass() { [ "$(figure .pass)" != null ]; }

forgets_its_record() {
	kill -TERM "$(job_pid)"
	wait "$(job_pid)"
	rm -r "$job_dir/source"
	start_job
}

# --- what must come of it --------------------------------------------------------------

alive() { kill -0 "$(job_pid)" 2>/dev/null; }

met_or_settled() { met "$1" || ! alive || state_is ready; }

meets() {
	wait_until 120 met_or_settled "$1"
	met "$1" || stir "$1"
}

no_reason_stands() { [ "$(figure '.disks[0].reasons | length')" = 0 ]; }

# Whole and without doubt, and a pass has ended since.
settled() {
	! alive || { state_is ready && no_reason_stands && passes_are $((passes + 1)); }
}

compares_again() { grep -q 'needs a resync' "$job_dir/move.log"; }

is_doubt() {
	case $1 in
	kmod-bio-unseen | kmod-mark-beyond | kmod-passthrough | kmod-request-unknown | \
		kmod-uevent-* | kmod-begin-resized | kmod-begin-media) ;;
	*) return 1 ;;
	esac
}

doubt_is_told() { compares_again || ! alive; }

# Of a job that runs or has failed.
shown() {
	blkferry status move --json --records-dir "$job_dir/source" | jq -r "$1"
}

# A job that ended says why, and how to go on.
ended_in_words() {
	local status=0
	wait "$(job_pid)" || status=$?
	case $status in
	0) [ "$1" = kmod-untrack ] && return ;;
	1 | 5 | 7) ;;
	*) fail "status $status of the job" ;;
	esac
	shown '.reason.text'
	eq "$(shown .state)" failed "state of the job"
	[ -n "$(shown '.reason.text // empty')" ]
	follow "$(shown .next_command)"
}

# follow COMMAND: all of it but the run, which ends_equal does.
follow() {
	case $1 in
	"blkferry run move") ;;
	"blkferry untrack move:disk && blkferry run move") blkferry untrack move:disk ;;
	*) fail "the command that goes on: $1" ;;
	esac
}

# came_of POINT
came_of() {
	passes=$(figure '.passes // 0')
	! is_doubt "$1" || wait_until 60 doubt_is_told
	wait_until 120 settled
	if ! alive; then
		echo "outcome: ends"
		ended_in_words "$1"
	elif compares_again; then
		echo "outcome: steps down: $(figure .mode_reason)"
		[ -n "$(figure '.mode_reason // empty')" ]
	else
		echo "outcome: goes on"
	fi
}

# Started again if it has ended, perhaps only now.
whole() {
	alive || start_job
	state_is ready
}

ends_equal() {
	arm ""
	wait_until 180 whole
	stop_writer
	cut_over --then thaw
	same_disks
	wait "$(job_pid)"
	blkferry stats --json | jq -r '.trackers[]?.name' | xargs -rn1 blkferry untrack
	unloaded
}

# --- cases ---------------------------------------------------------------------------------

# POINT ERRNO: a step fails; those of the table of bios many times in a row, as one
# bio comes by three of them.
fails_at() {
	local times=1
	[[ $1 != kmod-inflight-[sf]* ]] || times=60
	loaded
	world "$(kind_for "$1")"
	arm "$1:1:$2:$times"
	start_job
	meets "$1"
	came_of "$1"
	ends_equal
}

# Who asks for a step is killed in it: the replicator, but for what it does not ask.
killed_at() {
	loaded
	world "$(kind_for "$1")"
	arm "$1:1"
	start_job
	wait_until 120 met_or_settled "$1"
	met "$1" || whatever stir "$1"
	met "$1"
	case $1 in
	kmod-peek-* | kmod-dump) ;;
	*) killed "$(job_pid)" ;;
	esac
	ends_equal
}

killed() {
	local status=0
	wait "$1" || status=$?
	eq "$status" 137 "status of what was to be killed"
}

# The module does not load, leaves nothing, and loads the next time.
load_fails() {
	local status=0
	fails_saying "can't insert" insmod /vm/blkferry.ko "fault=$1:1:$2"
	dmesg | grep -q "fault point $1 is reached"
	[ ! -d /sys/module/blkferry ]
	unloaded
	world virtio
	start_job
	wait "$(job_pid)" || status=$?
	eq "$status" 1 "status of a job without the module"
	grep -q 'there is no module' "$job_dir/move.log"
	loaded
	start_job
	ends_equal
}

# in_the_freeze POINT[:...]: met for the first time when the filesystem is frozen.
in_the_freeze() {
	local point=${1%%:*} status=0
	loaded
	begin_case
	mkfs.ext4 -q -F "$d0"
	mount_at "$d0" data
	start_receiver
	job_interval=1h
	write_job "pre-freeze = [ ! -e $job_dir/hook ] || sh $job_dir/hook"
	writes_to "$job_dir/data.mnt"
	start_job
	wait_ready
	echo "echo $1 >$parameters/fault" >"$job_dir/armed"
	mv "$job_dir/armed" "$job_dir/hook"
	cut_over --then hold || status=$?
	met "$point"
	echo "outcome: status $status of the cutover"
	if [ "$status" -eq 0 ]; then
		# It was compared again before it ended; but a command may have
		# been another's, who only looks.
		[ "$point" = kmod-command ] || compares_again
	else
		wait_until 30 is_thawed "$job_dir/data.mnt"
		rm "$job_dir/hook"
		arm ""
		wait_until 180 whole
		cut_over --then hold
	fi
	same_disks
	stop_writer
	blkferry thaw move
}

# --- which of them ---------------------------------------------------------------------------

mapfile -t points < <(list_points)

# Who comes there is a process that asked for something.
asked_for() {
	case $1 in
	kmod-load-* | kmod-inflight-[sf]* | kmod-bio-* | kmod-mark-* | kmod-reserve-* | \
		kmod-request-* | kmod-passthrough | kmod-uevent-* | kmod-alias-*) return 1 ;;
	esac
}

# What a last pass comes by.
in_a_last_pass() {
	case $1 in
	kmod-command | kmod-device | kmod-begin-* | kmod-drain-* | kmod-walk-* | kmod-commit-*) ;;
	*) return 1 ;;
	esac
}

mapfile -t kills < <(for point in "${points[@]}"; do ! asked_for "$point" || echo "$point"; done)
mapfile -t freezes < <(for point in "${points[@]}"; do ! in_a_last_pass "$point" || echo "$point"; done)
errors=(12 5 28)
failures=0 killed=0 frozen=0	# cases that were run

# With the next error.
fail_at() {
	local point=$1 error=${errors[failures % 3]}
	failures=$((failures + 1))
	case $point in
	kmod-load-*) run_case "error $error at $point" load_fails "$point" "$error" ;;
	*) run_case "error $error at $point" fails_at "$point" "$error" ;;
	esac
}

freeze_at() {
	run_case "frozen: error 12 at $1" in_the_freeze "$1:1:12"
	frozen=$((frozen + 1))
}

kill_in_freeze_at() {
	run_case "frozen: killed at $1" in_the_freeze "$1:1"
	frozen=$((frozen + 1))
}

kill_at() {
	run_case "killed at $1" killed_at "$1"
	killed=$((killed + 1))
}

# meet SOME FUNCTION POINT...: all of them, or so many in a sample.
meet() {
	local some=$1 how=$2 n
	shift 2
	if [ "${BLKFERRY_POINTS:-}" = all ]; then
		for n in "$@"; do
			"$how" "$n"
		done
		return
	fi
	for ((n = 0; n < some; n++)); do
		"$how" "${@:RANDOM % $# + 1:1}"
	done
}

RANDOM=$seed
meet 4 fail_at "${points[@]}"
meet 1 kill_at "${kills[@]}"
meet 1 freeze_at "${freezes[@]}"
meet 1 kill_in_freeze_at "${freezes[@]}"
counted module-fault-points "${#points[@]}"
if [ "${BLKFERRY_POINTS:-}" = all ]; then
	counted module-fault-errors "$failures"
	counted module-fault-kills "$killed"
	counted module-fault-freezes "$frozen"
else
	counted module-fault-sample $((failures + killed + frozen))
fi
