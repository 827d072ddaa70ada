# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Policy: a tracepoint is silent on a processor that has left the online mask,
# so whatever that processor ended last may be missing: every tracker says so
# when it is gone, and not when it comes.
# VM: mem=1024 disks=virtio:256M+scsi:192M,dpofua=on+nvme:320M limit=300 kernels=all+fault check=5.10+6.1+7
# shellcheck source=tests/lib.sh
. /t/tests/lib.sh
# shellcheck source=tests/vm/tracker.bash
. /t/tests/vm/tracker.bash

cpu=/sys/devices/system/cpu/cpu1/online

all_online() {
	echo 1 >$cpu
}

goes() {
	track a "$d0"
	track b "$d1"
	cleanup_fn all_online
	start_consumer
	ask_ok event 0
	echo 0 >$cpu
	eq "$(reason_of a cpu-offline)" "1 0" "reason of a"
	eq "$(reason_of b cpu-offline)" "1 0" "reason of b"
	ask_ok event 10000
	[[ $reply = "ok event=1 name="[ab]" reason="[1-9]* ]]
}

comes() {
	echo 0 >$cpu
	cleanup_fn all_online
	track a "$d0"
	echo 1 >$cpu
	eq "$(cat $cpu)" 1 online
	eq "$(reason_of a cpu-offline)" "0 0" "reason cpu-offline"
}

# A resync that began before the processor went leaves the reason standing.
sticky() {
	track a "$d0"
	cleanup_fn all_online
	start_consumer
	ask_ok begin a "$d0"
	echo 0 >$cpu
	ask_ok finish a - resynced
	eq "$(reason_of a cpu-offline)" "1 0" "raised during the resync"
	consumer "begin a $d0" "finish a - resynced"
	eq "$(reason_of a cpu-offline)" "1 1" "after a resync"
}

# Whatever goes on meanwhile, only doubt may be left, no difference.
under_load() {
	local oracle
	oracle "$d0" 77 400 >/tmp/oracle.log 2>&1 &
	oracle=$!
	cleanup_fn all_online
	for _ in $(seq 5); do
		echo 0 >$cpu
		echo 1 >$cpu
	done
	whatever wait "$oracle"
	cat /tmp/oracle.log
	grep -q "^the tracker doubts: a processor" /tmp/oracle.log
	grep -q "^differing 0 " /tmp/oracle.log
}

run_case "a processor that goes raises the reason on every tracker" goes
run_case "a processor that comes raises none" comes
run_case "only a resync that began later clears it" sticky
run_case "processors come and go under load" under_load
